"""The management API, which runs syncs on request and reports on them. It exists only if a key for it is set.

    POST /sync                        {"object": "charges", "created": {"gte": 1700000000}}: loads that list
    POST /sync/daily|weekly|monthly   events, then the lists, looking back a day, a week or a month
    POST /sync/single/{id}            one object with its children; with several accounts, ?account=acct_…
    GET  /sync/status                 sync_runs, sync_status and sync_accounts

Syncs run in the background, one after the other, and `sync_runs` shows them. The work itself is done by `pipelines`.
Every request carries the key as `X-API-Key`.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import orjson
from psycopg.errors import UndefinedTable
from psycopg.rows import dict_row
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from pipelines.accounts import each_account, one_account, work_on_each_account
from pipelines.loading.run import Order, run
from pipelines.session import open_session
from pipelines.settings import Settings
from pipelines.state import overview
from pipelines.sync.objects import UnknownObject, load_objects
from pipelines.sync.settings import read_sync_settings
from pipelines.sync.sync import Sync
from pipelines.warehouse.problems import AlreadyRunning
from sources.columns.conversion_counts import left_out
from sources.errors import BadConfiguration, ConnectorError
from sources.stripe_api.catalogue import RESOURCES, select, table_of_object
from webhook_sink.commit.connection import describe_error, transaction
from webhook_sink.sink import Sink

log = logging.getLogger("stripe_elt.sink")

HOURS = {"daily": 24.0, "weekly": 7 * 24.0, "monthly": 31 * 24.0}
LONGEST_BODY = 65_536
QUEUED_JOBS = 10
Job = Callable[[], object]


class BadRequest(Exception):
    """A request that makes no sense; the message says why."""


def management_routes(sink: Sink, settings: Settings, api_key: str) -> list[BaseRoute]:
    """The routes. `settings` may name several accounts: syncs are of each of them."""
    api = Management(sink, settings, api_key)
    return [
        Route("/sync", api.guarded(api.load), methods=["POST"]),
        Route("/sync/status", api.guarded(api.status), methods=["GET"]),
        Route("/sync/single/{id:path}", api.guarded(api.single), methods=["POST"]),
        Route("/sync/{period:str}", api.guarded(api.period), methods=["POST"]),
    ]


class Management:
    """The handlers. All jobs run in one thread, so that they wait for each other instead of failing."""

    def __init__(self, sink: Sink, settings: Settings, api_key: str) -> None:
        self._sink, self._settings, self._api_key = sink, settings, api_key.encode()
        self._jobs = ThreadPoolExecutor(1, thread_name_prefix="sync")
        self._waiting = 0

    def guarded(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
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
        return self._start("sync", lambda: self._each_account(lambda settings: run(settings, order)))

    async def period(self, request: Request) -> Response:
        """`POST /sync/daily` and its like."""
        period = request.path_params["period"]
        if period not in HOURS:
            return _error(404, f"there is no such sync: {', '.join(HOURS)}")
        sync_settings = replace(read_sync_settings(), lookback_hours=HOURS[period], cadence_hours=0.0)

        def sync(settings: Settings) -> object:
            with open_session(settings, f"sync_{period}") as session:
                return Sync(session, sync_settings, warn=log.warning).run()

        return self._start(f"sync_{period}", lambda: self._each_account(sync))

    async def single(self, request: Request) -> Response:
        """`POST /sync/single/{id}`. Answers when the object is loaded."""
        id, kind = request.path_params["id"], request.query_params.get("type")
        account = request.query_params.get("account")
        if not (id + (kind or "") + (account or "")).isprintable():
            raise BadRequest("the id, the type or the account has characters that cannot be printed")
        settings = one_account(replace(self._settings, stripe_account=account) if account else self._settings)
        answer = await asyncio.to_thread(_load, settings, id, kind)
        return JSONResponse(answer, 422 if "error" in answer else 200)

    async def status(self, request: Request) -> Response:
        """`GET /sync/status`."""
        found = {what: await self._rows(query) for what, query in overview(self._settings.dataset).items()}
        body = orjson.dumps({"waiting": self._waiting, **found}, default=str)
        return Response(body, media_type="application/json")

    async def _rows(self, query: str) -> list[Mapping[str, Any]]:
        async with transaction(self._sink.pool) as connection:
            try:
                async with connection.cursor(row_factory=dict_row) as cursor:
                    await cursor.execute(query.encode())
                    return list(await cursor.fetchall())
            except UndefinedTable:
                return []

    def _each_account(self, work: Callable[[Settings], object]) -> None:
        """Works on each account of the settings. Logs what stops one of them, and raises it after the others."""

        def log_failure(account: Settings, error: ConnectorError) -> None:
            log.error("%s was not finished: %s", account.stripe_account or "the key's own account", error)
            failures.append(error)

        failures: list[ConnectorError] = []
        work_on_each_account(each_account(self._settings), work, log_failure)
        if failures:
            raise failures[-1]

    def _start(self, name: str, job: Job) -> Response:
        if not self._sink.can_read:
            raise BadConfiguration("A sync needs a key to read with: set STRIPE_SECRET_KEY.")
        if self._waiting >= QUEUED_JOBS:
            return _error(503, "too many syncs are waiting")
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._jobs, job)
        future.add_done_callback(lambda done: self._ended(name, done))
        return JSONResponse({"status": "queued", "command": name, "waiting": self._waiting}, 202)

    def _ended(self, name: str, done: asyncio.Future[object]) -> None:
        self._waiting -= 1
        if done.cancelled():
            log.warning("%s was cancelled", name)
        elif (error := done.exception()) is not None:
            log.error("%s failed: %s", name, describe_error(error))
        else:
            log.info("%s ended", name)


def order_of(body: Mapping[str, Any]) -> Order:
    """The load that `POST /sync` asks for. Raises BadRequest, and UnknownResource for a list that does not exist."""
    unknown = set(body) - {"object", "created", "full_refresh"}
    if unknown:
        raise BadRequest(f"unknown fields: {', '.join(sorted(unknown))}")
    name = body.get("object", "default")
    if not isinstance(name, str):
        raise BadRequest("object has to be the name of a resource or of a group, or Stripe's own name of an object")
    if name not in RESOURCES and (table := table_of_object(name)) in RESOURCES:
        name = str(table)
    since, until = _bounds(body.get("created") or {})
    return Order("sync", select([name]), since or 0, until, full_refresh=body.get("full_refresh") is True)


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
    with open_session(settings, "sync_single", scope="object") as session:
        try:
            loaded = load_objects(session, [id], kind)
        except Exception as error:
            session.end("error", describe_error(error))
            raise
        rejected = session.counts.rejected()
        why = left_out(rejected, is_load=True) if rejected else None
        session.end("partial" if rejected else "complete", why)
    answer = [{"id": each.id, "table": each.table, "deleted": each.is_deleted} for each in loaded]
    return {"loaded": answer, **({"error": why} if why else {})}


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
