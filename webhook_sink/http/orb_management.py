"""The management API for Orb's tables. It has the same key, the same answers and the same jobs as Stripe's.

POST /sync/orb                               {"object": "invoice", "created": {"gte": 1700000000}}: loads that list
POST /sync/orb/{table}                       loads the table's list
POST /sync/orb/{table}/{id}                  one object of the table
POST /sync/orb/single/{id}                   one object of any table; ?type=invoice
POST /sync/orb/new|changes|everything        a sync, like `stripe-elt orb-sync --reads`
GET  /sync/orb/runs/{id}                     GET /sync/orb/status
"""

from __future__ import annotations

from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pipelines.commands.orb_report import orb_session
from pipelines.loading.run import Order
from pipelines.loading.session import open_session
from pipelines.sync.orb_api.lists import load_lists
from pipelines.sync.orb_api.objects import load_orb_objects, shown_id
from pipelines.sync.orb_api.sync import OrbSync, What
from pipelines.warehouse.database import Database
from sources.catalogue import Catalogue
from sources.errors import UnknownResource
from sources.orb_api.provider import ORB
from webhook_sink.http.management import BadRequest, Handler, Management, error_answer, json_of, order_of
from webhook_sink.jobs import Jobs, Work, log, stored_objects
from webhook_sink.sink import Sink

READS: tuple[What, ...] = get_args(What)


def orb_management_routes(sink: Sink, jobs: Jobs, api_key: str) -> list[BaseRoute]:
    """The routes."""
    api = OrbManagement(sink, jobs, api_key)
    syncs = [Route(f"/sync/orb/{what}", api.guarded(api.sync(what)), methods=["POST"]) for what in READS]
    return [
        Route("/sync/orb", api.guarded(api.load), methods=["POST"]),
        Route("/sync/orb/status", api.guarded(api.status), methods=["GET"]),
        Route("/sync/orb/runs/{id}", api.guarded(api.run), methods=["GET"]),
        Route("/sync/orb/single/{id:path}", api.guarded(api.single), methods=["POST"]),
        *syncs,
        Route("/sync/orb/{table}", api.guarded(api.table), methods=["POST"]),
        Route("/sync/orb/{table}/{id:path}", api.guarded(api.single), methods=["POST"]),
    ]


class OrbManagement(Management):
    """The handlers."""

    base = "/sync/orb"

    async def load(self, request: Request) -> Response:
        """`POST /sync/orb`."""
        order = order_of(await json_of(request), self._catalogue)
        return self._start("orb_sync", order.asked, load(order))

    async def table(self, request: Request) -> Response:
        """`POST /sync/orb/{table}`."""
        given = await json_of(request)
        if "object" in given:
            raise BadRequest("the path names the list to load, so leave out object")
        try:
            order = order_of({"object": request.path_params["table"], **given}, self._catalogue)
        except UnknownResource as error:
            return error_answer(404, str(error))
        return self._start("orb_sync", order.asked, load(order))

    def sync(self, what: What) -> Handler:
        """`POST /sync/orb/new`, `changes` and `everything`."""

        async def handler(request: Request) -> Response:
            if await json_of(request):
                raise BadRequest("this request takes no fields")
            return self._start("orb_sync", {"reads": what}, sync(what))

        return handler

    async def single(self, request: Request) -> Response:
        """`POST /sync/orb/{table}/{id}` and `POST /sync/orb/single/{id}`. Answers when the object is loaded."""
        id = request.path_params["id"]
        kind = request.path_params.get("table") or request.query_params.get("type")
        if not (id + (kind or "")).isprintable():
            raise BadRequest("the id or the type has characters that cannot be printed")
        return await self._loaded(load_object, self._settings, id, kind)

    @property
    def _catalogue(self) -> Catalogue:
        return self._sink.provider.catalogue


# --- what the jobs do -------------------------------------------------------------------------------------------------


def load(order: Order) -> Work:
    """Loads lists, and retrieves the rows that no list shows any more."""

    def work(settings: Any, run_id: str, opened: Database | None) -> object:
        with orb_session(settings, order.command, order.asked, run_id=run_id, opened=opened) as session:
            return load_lists(session, order, session.state)

    return work


def sync(what: What) -> Work:
    """Applies events, then reads the lists."""

    def work(settings: Any, run_id: str, opened: Database | None) -> object:
        asked = {"reads": what}
        with orb_session(settings, "orb_sync", asked, clock=False, run_id=run_id, opened=opened) as session:
            synced = OrbSync(session, settings, log.warning).run(what)
            session.end("partial" if session.counts.rejected() else "complete")
            return synced

    return work


def load_object(settings: Any, id: str, kind: str | None) -> dict[str, Any]:
    """Loads a single object with its embedded objects; returns its run and what was loaded. Raises UnknownObject."""
    asked = {"ids": [shown_id(id).strip("'")]}
    with open_session(settings, "orb_object", provider=ORB, scope="object", asked=asked) as session:
        return stored_objects(session, lambda: load_orb_objects(session, [id], kind))
