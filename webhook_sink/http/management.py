"""The management API, which runs syncs on request and reports on them. It exists only if a key for it is set.

    POST /sync                        {"object": "charge", "created": {"gte": 1700000000}}: loads that list
    POST /sync/daily|weekly|monthly   events, then the lists, looking back a day, a week or a month
    POST /sync/single/{id}            one object with its children; with several accounts, ?account=acct_…
    POST /sync/forget/{id}            overwrites a customer's data, like `stripe-elt forget`; ?dry_run=true
    GET  /sync/runs/{id}              the result of a request, by the run id in its answer
    GET  /sync/status                 sync_runs, sync_status and sync_accounts

Syncs are jobs, see `webhook_sink.jobs`: `sync_runs` shows them under the run id in the answer, and the runs that they
start have ids that begin with it. Every request needs the key in `X-API-Key`.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping, Set
from typing import Any

import orjson
from psycopg.errors import UndefinedTable
from psycopg.rows import dict_row
from psycopg_pool import PoolClosed
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from pipelines.commands.accounts import one_account
from pipelines.loading.run import Order
from pipelines.privacy.forget import forget
from pipelines.state import overview, runs_of
from pipelines.sync.objects import UnknownObject
from pipelines.warehouse.problems import AlreadyRunning
from sources.catalogue import LAST_SECOND, Catalogue
from sources.errors import BadConfiguration, ConnectorError
from sources.stripe_api.catalogue import CATALOGUE
from webhook_sink.commit.connection import transaction
from webhook_sink.jobs import JobRefused, Jobs, Work, load, load_object, sync
from webhook_sink.sink import Sink

Handler = Callable[[Request], Awaitable[Response]]
HOURS = {"daily": 24.0, "weekly": 7 * 24.0, "monthly": 31 * 24.0}
LONGEST_BODY = 65_536
WORST_FIRST = ("running", "error", "killed", "interrupted", "partial", "complete")
RUN_ID = re.compile(r"[0-9a-f]{32}(?:-[\w-]{1,100})?", re.ASCII)
GROUP_NAMES = ("all", "default")


class BadRequest(Exception):
    """An invalid request; the message says why."""


def management_routes(sink: Sink, jobs: Jobs, api_key: str) -> list[BaseRoute]:
    """The routes. If the settings of the jobs name several accounts, syncs are for each of them."""
    api = Management(sink, jobs, api_key)
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
    """The handlers. `base` is the beginning of their paths."""

    base = "/sync"

    def __init__(self, sink: Sink, jobs: Jobs, api_key: str) -> None:
        self._sink, self._jobs, self._settings, self._api_key = sink, jobs, jobs.settings, api_key.encode()
        self._loading_object = asyncio.Lock()

    def guarded(self, handler: Handler) -> Handler:
        """The handler, for requests with the right key only, and with its errors turned into answers."""

        async def answer(request: Request) -> Response:
            given = request.headers.get("x-api-key", "").encode("latin-1", "replace")
            if not hmac.compare_digest(given, self._api_key):
                return error_answer(401, "X-API-Key is missing or wrong")
            try:
                return await handler(request)
            except (BadRequest, BadConfiguration) as error:
                return error_answer(400, str(error))
            except UnknownObject as error:
                return error_answer(404, str(error))
            except PoolClosed:
                return error_answer(503, "the sink is not connected to its database yet, or waits for a webhook secret")
            except AlreadyRunning as error:
                return error_answer(409, str(error))
            except ConnectorError as error:
                return error_answer(502, str(error))

        return answer

    async def load(self, request: Request) -> Response:
        """`POST /sync`."""
        order = order_of(await json_of(request))
        return self._start("sync", order.asked, load(order))

    def period(self, period: str) -> Handler:
        """`POST /sync/daily`, `weekly` and `monthly`."""

        async def handler(request: Request) -> Response:
            body = await json_of(request)
            names = _names(body, {"object", "children"}) if body else []
            CATALOGUE.select(names)
            command = f"sync_{period}"
            return self._start(command, body, sync(command, HOURS[period], names, body))

        return handler

    async def unknown(self, request: Request) -> Response:
        """`POST /sync/yearly` and other unknown names."""
        return error_answer(404, f"there is no such sync: {', '.join(HOURS)}")

    async def single(self, request: Request) -> Response:
        """`POST /sync/single/{id}`. Answers when the object is loaded."""
        id, kind = request.path_params["id"], request.query_params.get("type")
        account = request.query_params.get("account")
        if not (id + (kind or "") + (account or "")).isprintable():
            raise BadRequest("the id, the type or the account has characters that cannot be printed")
        settings = one_account(self._settings.acting_for(account) if account else self._settings)
        return await self._loaded(load_object, settings, id, kind)

    async def _loaded(self, load: Callable[..., dict[str, Any]], *arguments: Any) -> Response:
        """Loads an object, after earlier requests for objects: only one session may load objects at a time."""
        async with self._loading_object:
            answer = await asyncio.to_thread(load, *arguments)
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
        job = self._jobs.find(id)
        runs = await self._rows(runs_of(self._settings.dataset), id, id, id) if RUN_ID.fullmatch(id) else []
        if job is None and not runs:
            return error_answer(404, "there is no run with this id")
        first: Mapping[str, Any] = runs[0] if runs else {}
        found = {job.status if job else "complete", *(run["status"] for run in runs)}
        answer = {
            "run_id": id,
            "command": job.command if job else first["command"],
            "asked": job.asked if job else first["asked"],
            "status": job.status if job and job.is_open else next(status for status in WORST_FIRST if status in found),
            "error": (job.error if job else None) or next((run["error"] for run in runs if run["error"]), None),
            "runs": runs,
        }
        return Response(orjson.dumps(answer, default=str), media_type="application/json")

    async def status(self, request: Request) -> Response:
        """`GET /sync/status`."""
        found = {what: await self._rows(query) for what, query in overview(self._settings.dataset).items()}
        body = orjson.dumps({"waiting": self._jobs.waiting, **found}, default=str)
        return Response(body, media_type="application/json")

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
        try:
            job = self._jobs.start(command, asked, work)
        except JobRefused as error:
            return error_answer(503, str(error))
        answer = {"status": "queued", "run_id": job.run_id, "command": command, "waiting": self._jobs.waiting}
        return JSONResponse(answer, 202, headers={"Location": f"{self.base}/runs/{job.run_id}"})


def order_of(body: Mapping[str, Any], catalogue: Catalogue = CATALOGUE) -> Order:
    """The load that the body of `POST /sync` means. Raises BadRequest, and UnknownResource for an unknown list."""
    resources = catalogue.select(_names(body, {"object", "children", "created", "full_refresh"}))
    since, until = _bounds(body.get("created") or {})
    return Order("sync", resources, since or 0, until, full_refresh=body.get("full_refresh") is True, asked=body)


def _names(body: Mapping[str, Any], known: Set[str]) -> list[str]:
    """The resource or group that a body names; it may have only the `known` fields.

    Raises BadRequest. `all` is the default group, as in other engines; with `children`, it is every list, including
    those that take a request for each parent.
    """
    if unknown := set(body) - known:
        raise BadRequest(f"unknown fields: {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
    name, children = body.get("object", "all"), body.get("children", False)
    if not isinstance(name, str):
        raise BadRequest(
            "object has to be the name of a resource or of a group, or the provider's own name of an object"
        )
    if not isinstance(children, bool) or (children and name not in GROUP_NAMES):
        raise BadRequest("children has to be true or false, and goes only with the object all")
    if name in GROUP_NAMES:
        return ["all" if children else "default"]
    return [name]


def _bounds(created: Any) -> tuple[int | None, int | None]:
    """[since, until) in unix seconds."""
    if not isinstance(created, dict) or set(created) - {"gt", "gte", "lt", "lte"}:
        raise BadRequest("created has to be an object with gt, gte, lt or lte, in unix seconds")
    if not all(type(value) is int and 0 <= value <= LAST_SECOND for value in created.values()):
        raise BadRequest("the bounds of created have to be unix seconds, not milliseconds")
    since = [value + (name == "gt") for name, value in created.items() if name.startswith("g")]
    until = [value + (name == "lte") for name, value in created.items() if name.startswith("l")]
    return max(since, default=None), min(until, default=None)


async def json_of(request: Request) -> Mapping[str, Any]:
    """The JSON object in the body; an empty one for an empty body. Raises BadRequest."""
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


def error_answer(status: int, message: str) -> Response:
    """The API's answer to an error."""
    return JSONResponse({"error": message}, status)
