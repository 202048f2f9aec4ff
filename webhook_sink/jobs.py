"""Jobs: syncs, loads, checks and replays that users start with the management API or on the status page.

They run in one thread, one after the other. `sync_runs` shows each under its run id, so that its result outlives this
process. `pipelines` does the work itself. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pipelines.commands.accounts import each_account, own_account, work_on_each_account
from pipelines.configuration.settings import CommonSettings
from pipelines.loading.run import Order, run
from pipelines.loading.session import Session, known_account, new_run_id, open_session
from pipelines.state import State
from pipelines.sync.objects import Loaded
from pipelines.sync.stripe_api.objects import load_objects
from pipelines.sync.stripe_api.settings import read_sync_settings
from pipelines.sync.stripe_api.sync import Sync
from pipelines.warehouse.database import Database
from sources.columns.conversion_counts import left_out
from sources.errors import BadConfiguration, ConnectorError
from sources.stripe_api.catalogue.prefixes import shown_id
from sources.stripe_api.provider import STRIPE
from webhook_sink.commit.connection import describe_error
from webhook_sink.database import SharedDatabase
from webhook_sink.replay import Selection, replay
from webhook_sink.settings import SinkSettings
from webhook_sink.sink import Sink

log = logging.getLogger("stripe_elt.sink")

QUEUED_JOBS, KNOWN_JOBS = 10, 100
NO_KEY = "A sync needs a key to read with: set {}."

Work = Callable[[Any, str, Database | None], object]
"""The work of a job for one account: takes its settings, a run id, and an open database (None: it opens its own)."""


class JobRefused(ConnectorError):
    """A job that cannot begin now; with `is_running`, because the same job has not ended."""

    def __init__(self, message: str, *, is_running: bool) -> None:
        super().__init__(message)
        self.is_running = is_running


@dataclass(slots=True)
class Job:
    """A request that runs in the background. `run_id` is the key of its first run in `sync_runs`.

    `status` is `queued`, `running`, `complete` or `error`; its runs have details. `parts` is how many resources it
    reads; None if unknown.
    """

    run_id: str
    command: str
    asked: Mapping[str, Any]
    status: str = "queued"
    error: str | None = None
    parts: int | None = None
    queued_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.status in ("queued", "running")


class Jobs:
    """The jobs of this process. All run in one thread, so that they wait for each other instead of failing."""

    def __init__(self, settings: CommonSettings, database: SharedDatabase | None = None) -> None:
        self.settings = settings
        self.database = database or SharedDatabase(settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sync")
        self._jobs: dict[str, Job] = {}
        self._turn = threading.Lock()

    def __iter__(self) -> Any:
        return iter(list(self._jobs.values()))

    @property
    def waiting(self) -> int:
        """How many jobs have not ended."""
        return sum(job.is_open for job in self)

    def find(self, run_id: str) -> Job | None:
        """The job with this run id, if this process knows it."""
        return self._jobs.get(run_id)

    def start(
        self,
        command: str,
        asked: Mapping[str, Any],
        work: Work,
        *,
        parts: int | None = None,
        alone: bool = False,
        each: bool = True,
        reads: bool = True,
    ) -> Job:
        """Queues the work: for `each` account of the settings, or for the key's own.

        Raises BadConfiguration if it `reads` from the API and there is no key, and JobRefused if too many jobs wait or,
        with `alone`, if the same job has not ended.
        """
        if reads and not self.settings.has_key:
            raise BadConfiguration(NO_KEY.format(self.settings.key_variable))
        with self._turn:
            if self.waiting >= QUEUED_JOBS:
                raise JobRefused("too many syncs are waiting", is_running=False)
            for job in self if alone else ():
                if job.is_open and (job.command, job.asked) == (command, asked):
                    raise JobRefused(
                        f"The same job is {job.status} since {job.queued_at:%H:%M:%S} UTC, so no second one was"
                        " started. Wait until it has ended.",
                        is_running=True,
                    )
            job = Job(new_run_id(), command, asked, parts=parts)
            ended = [id for id, job in self._jobs.items() if not job.is_open]
            for id in ended[: max(0, len(self._jobs) - KNOWN_JOBS)]:
                del self._jobs[id]
            self._jobs[job.run_id] = job
            self._thread.submit(self._run, job, work, each).add_done_callback(lambda done: _ended(job, done))
        return job

    def close(self) -> None:
        """Drops the jobs that have not begun. The running job continues, and the process ends after it."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self.database.close()

    def _run(self, job: Job, work: Work, each: bool) -> None:
        """Works on each account. An error of one account is logged, and raised after the others."""

        def log_failure(account: CommonSettings, error: ConnectorError) -> None:
            log.error("%s was not finished: %s", account.accounts or "the key's own account", error)
            failures.append(error)

        def work_as_run(account: CommonSettings) -> None:
            run_id = job.run_id if account is accounts[0] else f"{job.run_id}-{account.accounts}"
            with self.database.opened_for_job() as opened:
                work(account, run_id, opened)

        job.status = "running"
        failures: list[ConnectorError] = []
        accounts = each_account(self.settings) if each else [own_account(self.settings)]
        work_on_each_account(accounts, work_as_run, log_failure)
        if failures:
            raise failures[-1]


def _ended(job: Job, done: Future[None]) -> None:
    if done.cancelled():
        job.status = "error"
        log.warning("%s was cancelled", job.command)
    elif (error := done.exception()) is not None:
        job.status, job.error = "error", describe_error(error)
        log.error("%s failed: %s", job.command, job.error)
    else:
        job.status = "complete"
        log.info("%s ended", job.command)


# --- what jobs do -----------------------------------------------------------------------------------------------------


def load(order: Order) -> Work:
    """Loads lists."""
    return lambda settings, run_id, opened: run(settings, order, STRIPE, run_id=run_id, opened=opened)


def sync(command: str, hours: float, names: Sequence[str], asked: Mapping[str, Any]) -> Work:
    """Applies events, then reads the lists, looking back `hours`. Reads the settings of syncs now, and raises their
    errors.
    """
    sync_settings = replace(read_sync_settings(), lookback_hours=hours, cadence_hours=0.0)

    def work(settings: Any, run_id: str, opened: Database | None) -> object:
        with open_session(settings, command, provider=STRIPE, run_id=run_id, asked=asked, opened=opened) as session:
            return Sync(session, sync_settings, names, warn=log.warning).run()

    return work


def check(sample: int | None, asked: Mapping[str, Any]) -> Work:
    """Compares the tables with the account, and repairs them. `sample` is about how many objects of each list."""

    def work(settings: Any, run_id: str, opened: Database | None) -> object:
        from pipelines.check.account import check_account  # imports PyArrow (26 MB), which webhooks do not need

        return check_account(settings, provider=STRIPE, sample=sample, asked=asked, run_id=run_id, opened=opened)

    return work


def one_object(id: str, kind: str | None) -> Work:
    """Loads a single object. `kind` is a table or an object's name, for ids that do not show it."""
    return lambda settings, run_id, opened: load_object(settings, id, kind, run_id=run_id, opened=opened)


def load_object(
    settings: Any, id: str, kind: str | None, *, run_id: str | None = None, opened: Database | None = None
) -> dict[str, Any]:
    """Loads a single object with its children, and returns its run and what was loaded, as the API answers it.

    `error` says what was left out. Raises UnknownObject, and the errors of `open_session`.
    """
    asked = {"ids": [shown_id(id).strip("'")]}
    opening = open_session(
        settings, "sync_single", provider=STRIPE, scope="object", asked=asked, run_id=run_id, opened=opened
    )
    with opening as session:
        return stored_objects(session, lambda: load_objects(session, [id], kind))


def stored_objects(session: Session, load: Callable[[], Sequence[Loaded]]) -> dict[str, Any]:
    """Loads objects in an open session, ends its run, and returns both as the API answers them."""
    try:
        loaded = load()
    except Exception as error:
        session.end("error", describe_error(error))
        raise
    rejected = session.counts.rejected()
    why = left_out(rejected, is_load=True) if rejected else None
    session.end("partial" if rejected else "complete", why)
    answer = [{"id": each.id, "table": each.table, "deleted": each.is_deleted} for each in loaded]
    return {"run_id": session.state.run_id, "loaded": answer, **({"error": why} if why else {})}


def replay_failed(sink_settings: SinkSettings, asked: Mapping[str, Any], database: SharedDatabase) -> Work:
    """Merges the failed events of the ledger again, with a sink of its own. Postgres only."""

    def work(settings: Any, run_id: str, opened: Database | None) -> None:
        async def replayed() -> tuple[int, int]:
            sink = Sink(settings, sink_settings, provider=STRIPE)
            sink.start()
            try:
                await sink.opened()
                outcomes = await replay(sink, Selection())
            finally:
                await sink.stop()
            return outcomes.total(), outcomes["failed"] + outcomes["unavailable"] + outcomes["unreadable"]

        with database.opened() as connection:
            account_id = known_account(connection, settings) or ""
            state = State(connection, settings.dataset, account_id, run_id, "replay", asked)
            state.create()
            state.save([], rows=0, requests=0)
            try:
                events, failed = asyncio.run(replayed())
            except BaseException as error:
                state.end("error", describe_error(error), rows=0, requests=0)
                raise
            why = f"{failed} of {events} events failed again: the list of events says why." if failed else None
            state.end("partial" if failed else "complete", why, rows=events - failed, requests=0)

    return work
