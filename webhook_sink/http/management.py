"""The management API, which runs syncs on request and reports on them. It exists only if a key for it is set.

    POST /sync                        {"object": "charge", "created": {"gte": 1700000000}}: loads that list
    POST /sync/daily|weekly|monthly   events, then the lists, looking back a day, a week or a month
    POST /sync/single/{id}            one object with its children; with several accounts, ?account=acct_…
    POST /sync/forget/{id}            overwrites what is held of a customer, as `stripe-elt forget`; ?dry_run=true
    GET  /sync/runs/{id}              what came of a request, by the run id of its answer
    GET  /sync/status                 sync_runs, sync_status and sync_accounts

Syncs run in the background, one after the other, and `sync_runs` shows them under the run id that the answer has; what
they begin has ids that begin with it. The work itself is done by `pipelines`. Every request carries the key as
`X-API-Key`.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import orjson
from psycopg.errors import UndefinedTable
from psycopg.rows import dict_row
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from pipelines.accounts import each_account, one_account, work_on_each_account
from pipelines.configuration.settings import Settings
from pipelines.forget import forget
from pipelines.loading.run import Order, run
from pipelines.session import new_run_id, open_session
from pipelines.state import overview, runs_of
from pipelines.sync.objects import UnknownObject, load_objects
from pipelines.sync.settings import read_sync_settings
from pipelines.sync.sync import Sync
from pipelines.warehouse.problems import AlreadyRunning
from sources.columns.conversion_counts import left_out
from sources.errors import BadConfiguration, ConnectorError
from sources.stripe_api.catalogue import select
from sources.stripe_api.catalogue.prefixes import shown_id
from webhook_sink.commit.connection import describe_error, transaction
from webhook_sink.sink import Sink

log = logging.getLogger("stripe_elt.sink")

Handler = Callable[[Request], Awaitable[Response]]
HOURS = {"daily": 24.0, "weekly": 7 * 24.0, "monthly": 31 * 24.0}
LONGEST_BODY = 65_536
QUEUED_JOBS, KNOWN_JOBS = 10, 100
WORST_FIRST = ("running", "error", "killed", "interrupted", "partial", "complete")
RUN_ID = re.compile(r"[0-9a-f]{32}(?:-[\w-]{1,100})?", re.ASCII)
GROUP_NAMES = ("all", "default")


class BadRequest(Exception):
    """A request that makes no sense; the message says why."""


@dataclass(slots=True)
class Job:
    """A request that runs in the background. `run_id` is the key of its first run in `sync_runs`.

    `status` is `queued`, `running`, `complete` or `error`: whether it ran to its end. Its runs say more.
    """

    run_id: str
    command: str
    asked: Mapping[str, Any]
    status: str = "queued"
    error: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.status in ("queued", "running")


Work = Callable[[Settings, str], object]
"""What a job does for one account: with its settings, as the run of this id."""


def management_routes(sink: Sink, settings: Settings, api_key: str) -> list[BaseRoute]:
    """The routes. `settings` may name several accounts: syncs are of each of them."""
    api = Management(sink, settings, api_key)
    periods = [
        Route(f"{prefix}/{period}", api.guarded(api.period(period)), methods=["POST"])
        for period in HOURS
        for prefix in ("/sync", "")
    ]
    return [
        Route("/sync", api.guarded(api.load), methods=["POST"]),
        Route("/sync/status", api.guarded(api.status), methods=["GET"]),
        Route("/sync/runs/{id}", api.guarded(api.run), methods=["GET"]),
        Route("/sync/single/{id:path}", api.guarded(api.single), methods=["POST"]),
        Route("/sync/forget/{id}", api.guarded(api.forget), methods=["POST"]),
        *periods,
        Route("/sync/{period}", api.guarded(api.unknown), methods=["POST"]),
    ]


class Management:
    """The handlers. All jobs run in one thread, so that they wait for each other instead of failing."""

    def __init__(self, sink: Sink, settings: Settings, api_key: str) -> None:
        self._sink, self._settings, self._api_key = sink, settings, api_key.encode()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sync")
        self._jobs: dict[str, Job] = {}

    def guarded(self, handler: Handler) -> Handler:
        """The handler, for requests with the right key only, and with its errors turned into answers."""

        async def answer(request: Request) -> Response:
            given = request.headers.get("x-api-key", "").encode("latin-1", "replace")
            if not hmac.compare_digest(given, self._api_key):
                return _error(401, "X-API-Key is missing or wrong")
            try:
                return await handler(request)
            except (BadRequest, BadConfiguration) as error:
                return _error(400, str(error))
            except UnknownObject as error:
                return _error(404, str(error))
            except AlreadyRunning as error:
                return _error(409, str(error))
            except ConnectorError as error:
                return _error(502, str(error))

        return answer

    async def load(self, request: Request) -> Response:
        """`POST /sync`."""
        order = order_of(await _json(request))
        return self._start("sync", order.asked, lambda settings, run_id: run(settings, order, run_id=run_id))

    def period(self, period: str) -> Handler:
        """`POST /sync/daily` and its like."""

        async def handler(request: Request) -> Response:
            body = await _json(request)
            names = _names(body, {"object", "children"}) if body else []
            select(names)
            command = f"sync_{period}"
            sync_settings = replace(read_sync_settings(), lookback_hours=HOURS[period], cadence_hours=0.0)

            def sync(settings: Settings, run_id: str) -> object:
                with open_session(settings, command, run_id=run_id, asked=body) as session:
                    return Sync(session, sync_settings, names, warn=log.warning).run()

            return self._start(command, body, sync)

        return handler

    async def unknown(self, request: Request) -> Response:
        """`POST /sync/yearly` and its like."""
        return _error(404, f"there is no such sync: {', '.join(HOURS)}")

    async def single(self, request: Request) -> Response:
        """`POST /sync/single/{id}`. Answers when the object is loaded."""
        id, kind = request.path_params["id"], request.query_params.get("type")
        account = request.query_params.get("account")
        if not (id + (kind or "") + (account or "")).isprintable():
            raise BadRequest("the id, the type or the account has characters that cannot be printed")
        settings = one_account(replace(self._settings, stripe_account=account) if account else self._settings)
        answer = await asyncio.to_thread(_load, settings, id, kind)
        return JSONResponse(answer, 422 if "error" in answer else 200)

    async def forget(self, request: Request) -> Response:
        """`POST /sync/forget/{id}`. Answers when the customer is forgotten."""
        id, dry_run = request.path_params["id"], request.query_params.get("dry_run", "false")
        if dry_run not in ("true", "false"):
            raise BadRequest("dry_run has to be true or false")
        outcome = await asyncio.to_thread(
            forget, self._settings, self._sink.provider, [id], is_dry_run=dry_run == "true"
        )
        return JSONResponse(outcome.to_json())

    async def run(self, request: Request) -> Response:
        """`GET /sync/runs/{id}`."""
        id = request.path_params["id"]
        job = self._jobs.get(id)
        runs = await self._rows(runs_of(self._settings.dataset), id, id) if RUN_ID.fullmatch(id) else []
        if job is None and not runs:
            return _error(404, "there is no run with this id")
        first: Mapping[str, Any] = runs[0] if runs else {}
        found = {job.status if job else "complete", *(one["status"] for one in runs)}
        answer = {
            "run_id": id,
            "command": job.command if job else first["command"],
            "asked": job.asked if job else first["asked"],
            "status": job.status if job and job.is_open else next(one for one in WORST_FIRST if one in found),
            "error": (job.error if job else None) or next((one["error"] for one in runs if one["error"]), None),
            "runs": runs,
        }
        return Response(orjson.dumps(answer, default=str), media_type="application/json")

    async def status(self, request: Request) -> Response:
        """`GET /sync/status`."""
        found = {what: await self._rows(query) for what, query in overview(self._settings.dataset).items()}
        body = orjson.dumps({"waiting": self._waiting, **found}, default=str)
        return Response(body, media_type="application/json")

    @property
    def _waiting(self) -> int:
        return sum(job.is_open for job in self._jobs.values())

    async def _rows(self, query: str, *parameters: str) -> list[Mapping[str, Any]]:
        async with transaction(self._sink.pool) as connection:
            try:
                async with connection.cursor(row_factory=dict_row) as cursor:
                    await cursor.execute(query.encode(), parameters or None)
                    return list(await cursor.fetchall())
            except UndefinedTable:
                return []

    def _start(self, command: str, asked: Mapping[str, Any], work: Work) -> Response:
        """Queues the work for each account, and answers with its run id."""
        if not self._sink.can_read:
            raise BadConfiguration("A sync needs a key to read with: set STRIPE_SECRET_KEY.")
        if self._waiting >= QUEUED_JOBS:
            return _error(503, "too many syncs are waiting")
        job = Job(new_run_id(), command, asked)
        ended = [id for id, one in self._jobs.items() if not one.is_open]
        for id in ended[: max(0, len(self._jobs) - KNOWN_JOBS)]:
            del self._jobs[id]
        self._jobs[job.run_id] = job
        future = asyncio.get_running_loop().run_in_executor(self._thread, self._each_account, job, work)
        future.add_done_callback(lambda done: _ended(job, done))
        answer = {"status": "queued", "run_id": job.run_id, "command": command, "waiting": self._waiting}
        return JSONResponse(answer, 202, headers={"Location": f"/sync/runs/{job.run_id}"})

    def _each_account(self, job: Job, work: Work) -> None:
        """Works on each account of the settings. Logs what stops one of them, and raises it after the others."""

        def log_failure(account: Settings, error: ConnectorError) -> None:
            log.error("%s was not finished: %s", account.stripe_account or "the key's own account", error)
            failures.append(error)

        def work_as_run(account: Settings) -> None:
            work(account, job.run_id if account is accounts[0] else f"{job.run_id}-{account.stripe_account}")

        job.status = "running"
        failures: list[ConnectorError] = []
        accounts = each_account(self._settings)
        work_on_each_account(accounts, work_as_run, log_failure)
        if failures:
            raise failures[-1]


def _ended(job: Job, done: asyncio.Future[None]) -> None:
    if done.cancelled():
        job.status = "error"
        log.warning("%s was cancelled", job.command)
    elif (error := done.exception()) is not None:
        job.status, job.error = "error", describe_error(error)
        log.error("%s failed: %s", job.command, job.error)
    else:
        job.status = "complete"
        log.info("%s ended", job.command)


def order_of(body: Mapping[str, Any]) -> Order:
    """The load that `POST /sync` asks for. Raises BadRequest, and UnknownResource for a list that does not exist."""
    resources = select(_names(body, {"object", "children", "created", "full_refresh"}))
    since, until = _bounds(body.get("created") or {})
    return Order("sync", resources, since or 0, until, full_refresh=body.get("full_refresh") is True, asked=body)


def _names(body: Mapping[str, Any], known: Set[str]) -> list[str]:
    """The resource or group that a body asks for, which may have these fields only. Raises BadRequest.

    `all` is the default group, as wide as what other engines call so; with `children` it is every list there is, also
    those that take a request for each of their parents.
    """
    if unknown := set(body) - known:
        raise BadRequest(f"unknown fields: {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
    name, children = body.get("object", "all"), body.get("children", False)
    if not isinstance(name, str):
        raise BadRequest("object has to be the name of a resource or of a group, or Stripe's own name of an object")
    if not isinstance(children, bool) or (children and name not in GROUP_NAMES):
        raise BadRequest("children has to be true or false, and goes only with the object all")
    if name in GROUP_NAMES:
        return ["all" if children else "default"]
    return [name]


def _bounds(created: Any) -> tuple[int | None, int | None]:
    """[since, until) in unix seconds."""
    if not isinstance(created, dict) or set(created) - {"gt", "gte", "lt", "lte"}:
        raise BadRequest("created has to be an object with gt, gte, lt or lte, in unix seconds")
    if not all(type(value) is int and value >= 0 for value in created.values()):
        raise BadRequest("the bounds of created have to be unix seconds")
    since = [value + (name == "gt") for name, value in created.items() if name.startswith("g")]
    until = [value + (name == "lte") for name, value in created.items() if name.startswith("l")]
    return max(since, default=None), min(until, default=None)


def _load(settings: Settings, id: str, kind: str | None) -> dict[str, Any]:
    asked = {"ids": [shown_id(id).strip("'")]}
    with open_session(settings, "sync_single", scope="object", asked=asked) as session:
        try:
            loaded = load_objects(session, [id], kind)
        except Exception as error:
            session.end("error", describe_error(error))
            raise
        rejected = session.counts.rejected()
        why = left_out(rejected, is_load=True) if rejected else None
        session.end("partial" if rejected else "complete", why)
    answer = [{"id": each.id, "table": each.table, "deleted": each.is_deleted} for each in loaded]
    return {"run_id": session.state.run_id, "loaded": answer, **({"error": why} if why else {})}


async def _json(request: Request) -> Mapping[str, Any]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_BODY:
            raise BadRequest("the body is too long")
    try:
        found = orjson.loads(body or b"{}")
    except ValueError:
        raise BadRequest("the body is not JSON") from None
    if not isinstance(found, dict):
        raise BadRequest("the body is not a JSON object")
    return found


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)
