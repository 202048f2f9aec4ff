"""The sink: builds its parts from the settings, and processes events. Knows no HTTP server.

Everything that needs the database or the provider happens in the background, so that the sink can start before
Postgres.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg

from pipelines.commands.accounts import own_account
from pipelines.configuration.privacy import read_privacy
from pipelines.configuration.settings import CommonSettings, read_contract
from pipelines.warehouse.postgres.connecting import not_connected, refuses_login
from pipelines.warehouse.postgres.libpq import postgres_conninfo
from pipelines.warehouse.problems import DatabaseProblem, database_error_of, explained, state_of
from pipelines.warehouse.verdict import DENIED
from sources.errors import AuthenticationFailed, BadConfiguration, BrokenPage, ConnectorError, RetryLater
from sources.events import Event
from sources.provider import Provider
from webhook_sink.commit.batch import BatchTransactions, Outcome, PendingWrite
from webhook_sink.commit.connection import describe_error, new_pool, transaction
from webhook_sink.commit.ledger import Ledger, create_tables
from webhook_sink.commit.metrics import Metrics
from webhook_sink.commit.schema import SchemaState
from webhook_sink.commit.writer import Writer
from webhook_sink.decision import Decision, Policy, decide
from webhook_sink.endpoints.secrets import has_secrets, no_secret, read_secrets, unreadable
from webhook_sink.owner import Owner, owner_of
from webhook_sink.rereads import Rereader
from webhook_sink.settings import SinkSettings

log = logging.getLogger("stripe_elt.sink")

DAY = 86_400
START_PAUSE, CANCEL_AGAIN = 1.0, 0.5
HOUSEKEEPING_PAUSE, MOST_DROPPED = 15.0, 5_000
SECRET_PAUSE = 15.0


def refuse_future(created: int, now: float, skew: float) -> None:
    """Raises BrokenPage for an event from the future, because no later state could overwrite its rows.

    Times are in unix seconds. `skew` is the setting `max_clock_skew`. At least a day is always allowed, so that a
    machine whose clock is hours behind still accepts events.
    """
    if created - now > max(skew, DAY):
        raise BrokenPage(
            f"The event's creation time is {int(created - now)} seconds ahead of this machine's clock, so it was not"
            " applied. Check that the clock is set by NTP, then replay the event."
        )


class Sink:
    """Accepts events and commits them. Belongs to one event loop.

    `start` begins in the background, and `is_ready` says whether events can be committed. If `settings` name several
    connected accounts, the sink works for the platform. With `takes_webhooks` it needs a webhook secret, from the
    settings or the database. A sink that `is_optional` waits for a secret, and changes nothing until then; if it cannot
    start, that is only logged. `clock` returns unix seconds.
    """

    def __init__(
        self,
        settings: CommonSettings,
        sink_settings: SinkSettings,
        *,
        provider: Provider,
        takes_webhooks: bool = False,
        is_optional: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.provider = provider
        self._settings, self._dataset = own_account(settings), settings.dataset
        self._takes_webhooks, self.is_optional, self.clock = takes_webhooks, is_optional, clock
        self._configured_secrets = self.secrets = sink_settings.secrets_of(provider.name)
        self._revalidated = sink_settings.revalidated(provider.catalogue)
        self._payload_days = sink_settings.payload_days
        self._backfills = sink_settings.backfill_related and provider.related is not None
        self._database_timeout, self.batch_events = sink_settings.database_timeout, sink_settings.batch_events
        self._policy: Policy | None = None
        self.failure: ConnectorError | None = None
        self._conninfo = postgres_conninfo(settings.database_url, settings.database_ca)
        self.metrics, self.ledger = Metrics(provider.name), Ledger(settings.dataset, provider.name)
        self.pool = new_pool(
            self._conninfo,
            sink_settings.database_timeout,
            size=sink_settings.pool_size,
            keepalive=sink_settings.pool_keepalive,
        )
        privacy = read_privacy(provider.catalogue)
        self._schema = SchemaState(self._conninfo, settings.dataset, provider, read_contract(), privacy)
        transactions = BatchTransactions(
            self.pool,
            self._schema,
            self.ledger,
            self.metrics,
            timeout=sink_settings.database_timeout,
            reread_delay=sink_settings.reread_delay,
        )
        self.writer = Writer(
            transactions,
            self._schema,
            self.metrics,
            queue_events=sink_settings.queue_events,
            queue_bytes=sink_settings.queue_megabytes * 1_048_576,
            batch_events=sink_settings.batch_events,
            timeout=sink_settings.database_timeout,
        )
        self._clients: dict[str | None, Any] = {}
        self._is_wait_logged = False  # whether it was logged that an optional sink waits
        self.rereader = Rereader(
            self.pool,
            self.ledger,
            self.writer,
            self.metrics,
            provider.retrieve,
            self.client_of,
            workers=sink_settings.reread_workers,
            attempts=sink_settings.reread_attempts,
        )
        self._tasks: list[asyncio.Task[None]] = []
        needing = {"revalidate": self._revalidated, "backfill_related": self._backfills}
        for name, is_on in needing.items():
            if is_on and not self.can_read:
                raise BadConfiguration(f"The setting {name} needs a key to read with: set {self.key_variable}.")

    @property
    def is_ready(self) -> bool:
        """Whether the database is connected and the schema is known."""
        return self._policy is not None

    @property
    def key_variable(self) -> str:
        """The environment variable of the provider's key."""
        return self._settings.key_variable

    @property
    def can_read(self) -> bool:
        """Whether there is a key for reading objects again."""
        return self._settings.has_key

    # --- events -------------------------------------------------------------------------------------------------------

    def submit(self, event: Event) -> asyncio.Future[Outcome]:
        """Decides what to do with an event, and queues it. Raises QueueFull. Only when the sink `is_ready`."""
        assert self._policy is not None
        loop = asyncio.get_running_loop()
        account_id = event.account or self._policy.account_id
        try:
            refuse_future(event.created, self.clock(), self._settings.max_clock_skew)
            decision, decision_error = decide(event, self._policy, self.provider), None
        except ConnectorError as error:
            decision, decision_error = Decision({}), error
        if event.livemode is None and self._policy.livemode is not None:
            event = replace(event, livemode=self._policy.livemode)
        if decision.doubt is not None:
            then = "read again" if decision.reread else "stored in part" if decision.part_of else "believed"
            self.metrics.distrusted.labels(decision.doubt, then).inc()
        outcome = loop.create_future()
        if decision.related:
            decision = replace(decision, related=self.rereader.readable(decision.related))
        if decision.reread is not None or decision.related:
            outcome.add_done_callback(lambda _: self.rereader.wake())
        write = PendingWrite(decision, account_id, outcome, loop.time(), event, decision_error=decision_error)
        return self.writer.submit(write)

    async def take(self, event: Event) -> Outcome:
        """Submits an event once the queue has room, and returns its outcome. Only when the sink `is_ready`."""
        while self.writer.is_full:
            await self.writer.drained()
        return await self.submit(event)

    def client_of(self, context: str | None) -> Any:
        """The client for a connected account, or for our own (None). Raises BadConfiguration without a key."""
        client = self._clients.get(context)
        if client is None:
            settings = self._settings.acting_for(context) if context else self._settings
            client = self._clients[context] = self.provider.open_client(settings)
        return client

    # --- start and stop
    # -----------------------------------------------------------------------------------------------------

    def start(self, on_failure: Callable[[], None] = lambda: None) -> None:
        """Begins in the background. If the sink cannot start, sets `failure` and calls `on_failure`."""
        self._tasks = [asyncio.create_task(self._begin(on_failure), name="begin")]

    def start_once(self) -> None:
        """Begins in the background, if it has not begun."""
        if not self._tasks:
            self.start()

    async def opened(self) -> None:
        """Returns when the sink is ready. Raises its `failure` if it cannot start."""
        await asyncio.shield(self._tasks[0])  # a cancelled caller must not stop the sink
        if self.failure is not None:
            raise self.failure

    async def stop(self) -> None:
        """Commits the accepted events, and closes."""
        if self.is_ready:
            await self.writer.drained()
        pending = set(self._tasks)
        while pending := {task for task in pending if not task.done()}:
            # More than once: before Python 3.12, wait_for loses a cancellation that arrives together with a result.
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=CANCEL_AGAIN)
        self.rereader.close()
        await self.pool.close()
        for client in self._clients.values():
            client.close()

    async def _begin(self, on_failure: Callable[[], None]) -> None:
        """Waits for Postgres, creates what is missing, finds the account, and starts the other tasks."""
        try:
            owner = await self._prepare()
            while owner is None:
                await asyncio.sleep(SECRET_PAUSE if self._is_wait_logged else START_PAUSE)
                owner = await self._prepare()
        except ConnectorError as error:
            self.failure = error
            if self.is_optional:
                log.error("webhooks from %s are not accepted: %s", self.provider.name, error)
            else:
                on_failure()
            return
        for name, work in (("writer", self.writer.run()), ("housekeeping", self._keep_house())):
            self._tasks.append(asyncio.create_task(work, name=name))
        if self.can_read:
            self._tasks.append(asyncio.create_task(self.rereader.run(), name="rereads"))
            if self._settings.configured_account:  # otherwise the key has just been used
                threading.Thread(target=self._check_key, name="key", daemon=True).start()
        version = self._settings.asked_version or self.provider.api_version()
        self._policy = Policy(
            owner.account_id,
            version,
            owner.livemode,
            self.can_read,
            self._revalidated,
            self._backfills,
            self.key_variable,
        )
        log.info("ready: events of %s go into %s", owner.account_id, self._dataset)

    async def _prepare(self) -> Owner | None:
        """Prepares the database, and returns the owner of the events; None after a temporary failure.

        Raises errors that make it impossible to start.
        """
        try:
            if self.is_optional and not await asyncio.to_thread(self._has_secret):
                return None
            if not await asyncio.to_thread(create_tables, self._conninfo, self._dataset, self.provider):
                log.warning(
                    "waiting for the database: the server is a standby, which is read-only until it is promoted"
                )
                return None
            await self.pool.open()  # connects meanwhile; without `wait`, whose time-out closes the pool for good
            await self._schema.create()
            async with self.pool.connection(self._database_timeout):
                pass
            await self._renew_secrets()
            if self._takes_webhooks and not self.secrets:
                raise BadConfiguration(no_secret(self.provider.name))
            return await asyncio.to_thread(owner_of, self._settings, self._conninfo, self.provider, self.client_of)
        except RetryLater as error:
            log.warning("waiting for the provider: %s", error)
        except ConnectorError:
            raise
        except Exception as error:
            found = database_error_of(error)
            if found is not None and state_of(found) == DENIED:
                raise DatabaseProblem(explained(found)) from error
            if isinstance(found, psycopg.Error) and refuses_login(found):
                raise not_connected(found, self._conninfo) from error
            log.warning("waiting for the database: %s", describe_error(error))
        return None

    def _check_key(self) -> None:
        """Logs a warning if the provider refuses the key. The sink goes on, because webhooks need no key. Blocking."""
        try:
            self.provider.read_account(self.client_of(None), self._settings.configured_account)
        except AuthenticationFailed as error:
            log.warning("webhooks are accepted, but objects cannot be read again: %s", error)
        except Exception as error:  # a temporary failure: each object that is read again has its own error
            log.info("%s could not be checked: %s", self.key_variable, describe_error(error))

    def _has_secret(self) -> bool:
        """Whether the settings or the database have a webhook secret. If not, that is logged once. Blocking."""
        if self._configured_secrets or has_secrets(self._conninfo, self._dataset, self.provider.name):
            self._is_wait_logged = False
            return True
        if not self._is_wait_logged:
            log.info("webhooks from %s are not accepted until there is a signing secret for them", self.provider.name)
        self._is_wait_logged = True
        return False

    # --- housekeeping -------------------------------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        """Every few seconds: reads new secrets, counts open events, and drops old payloads."""
        while True:
            try:
                await self._renew_secrets()
                await self._count_open_events()
                await self.drop_old_payloads()
            except Exception as error:
                log.warning("housekeeping was postponed, because the database failed: %s", describe_error(error))
            await asyncio.sleep(HOUSEKEEPING_PAUSE)

    async def _renew_secrets(self) -> None:
        """Reads the secrets in the database again; those of the settings come first.

        Raises BadConfiguration if the role may not read them and the settings have none.
        """
        async with transaction(self.pool) as connection:
            stored = await read_secrets(connection, self._dataset, self.provider.name)
        if stored is None and not self._configured_secrets:
            raise BadConfiguration(unreadable(self._dataset, self.provider.name))
        self.secrets = tuple(dict.fromkeys((*self._configured_secrets, *(stored or ()))))

    async def drop_old_payloads(self) -> None:
        """Drops up to 5,000 payloads of processed events that are older than the setting `payload_days`."""
        if self._payload_days == float("inf"):
            return
        async with transaction(self.pool) as connection:
            await connection.execute(self.ledger.drop_payloads, (self._payload_days, MOST_DROPPED))

    async def _count_open_events(self) -> None:
        async with transaction(self.pool) as connection:
            counts = dict(await (await connection.execute(self.ledger.count_open_events)).fetchall())
        for status in ("processing", "failed"):
            self.metrics.open.labels(status).set(counts.get(status, 0))
