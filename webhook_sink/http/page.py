"""The status page over HTTP: who may see it, what its forms do, and the stream of what changes.

    GET  /                   the page, or the form for the password
    POST /page/login         POST /page/logout
    POST /page/do            begins a job
    GET  /page/live          server-sent events with changed parts of the page
    GET  /page/style.css     GET /page/live.js

It exists only if a password or a key for the management API is set. The headers of its answers allow only our own
scripts and styles, and forbid frames, caching and referrers.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

import webhook_sink.jobs as work
from pipelines.configuration.settings import Settings
from pipelines.loading.run import Order
from sources.errors import BadConfiguration, ConnectorError
from sources.stripe_api.catalogue import select
from webhook_sink.commit.recent import STATUSES
from webhook_sink.jobs import Job, JobRefused, Jobs
from webhook_sink.pages import render
from webhook_sink.pages.guard import LIFETIME, Guard, Visit
from webhook_sink.pages.reading import Asked
from webhook_sink.pages.watch import Watch, shown
from webhook_sink.settings import SinkSettings
from webhook_sink.sink import Sink

COOKIE = "stripe_elt_page"
LONGEST_FORM, LONGEST_ID = 16_384, 255
MOST_STREAMS, STREAM_SECONDS, LOOK_SECONDS, PING_EVERY = 50, 600.0, 1.0, 15
DAY_HOURS = 24.0
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

Handler = Callable[[Request], Awaitable[Response]]


class Refused(Exception):
    """A refused request: the status of the answer, and a sentence for the user."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def page_routes(
    settings: Settings,
    sink_settings: SinkSettings,
    jobs: Jobs,
    sink: Sink | None = None,
    is_ending: Callable[[], bool] = lambda: False,
) -> list[BaseRoute]:
    """The routes; none if there is neither a password nor a key. Streams end soon after the process `is_ending`."""
    if not sink_settings.page_passwords:
        return []
    page = Page(settings, sink_settings, jobs, sink, is_ending)
    return [
        Route("/", page.guarded(page.show), methods=["GET"]),
        Route("/page/login", page.guarded(page.login), methods=["POST"]),
        Route("/page/logout", page.guarded(page.logout), methods=["POST"]),
        Route("/page/do", page.guarded(page.do), methods=["POST"]),
        Route("/page/live", page.guarded(page.live), methods=["GET"]),
        Route("/page/style.css", page.guarded(page.style), methods=["GET"]),
        Route("/page/live.js", page.guarded(page.script), methods=["GET"]),
    ]


class Page:
    """The handlers. `sink` is the one of this process, if it takes webhooks."""

    def __init__(
        self,
        settings: Settings,
        sink_settings: SinkSettings,
        jobs: Jobs,
        sink: Sink | None,
        is_ending: Callable[[], bool],
    ) -> None:
        self._settings, self._sink_settings, self._jobs, self._sink = settings, sink_settings, jobs, sink
        self._is_ending = is_ending
        self._guard = Guard(sink_settings.page_passwords)
        self._watch = Watch(settings, jobs.database)
        self._streams = 0

    def guarded(self, handler: Handler) -> Handler:
        """The handler, with the headers of every answer added, and refusals turned into answers."""

        async def answer(request: Request) -> Response:
            try:
                response = await handler(request)
            except Refused as refused:
                response = await self._refusal(request, refused)
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return answer

    async def show(self, request: Request) -> Response:
        """`GET /`."""
        visit = self._visit(request)
        if visit is None:
            return self._login_form(request, 200)
        began = request.query_params.get("began")
        job = self._jobs.find(began) if began else None
        notice = {"look": "good", "text": f"{_name(job)} has been queued. Activity shows how it goes."} if job else None
        return await self._page(request, visit, 200, notice, chosen=began)

    async def login(self, request: Request) -> Response:
        """`POST /page/login`."""
        form = await _form(request)
        visit = self._guard.visit(request.cookies.get(COOKIE))
        self._check_origin(request)
        if visit is None or not self._guard.is_token(visit, form.get("token", "")):
            return self._login_form(request, 403, "This form is too old, or cookies are blocked. Please try again.")
        client = request.client.host if request.client else ""
        if (wait := self._guard.wait(client)) > 0:
            seconds = math.ceil(wait)
            problem = f"Too many wrong passwords. Please wait {seconds} second{'' if seconds == 1 else 's'}."
            return self._login_form(request, 429, problem, {"Retry-After": str(seconds)})
        if not self._guard.admit(form.get("password", ""), client):
            return self._login_form(request, 401, "The password is wrong.")
        response = RedirectResponse(_base(request) + "/", 303)
        self._keep(request, response, self._guard.begin("member"))
        return response

    async def logout(self, request: Request) -> Response:
        """`POST /page/logout`."""
        visit, _ = await self._posted(request)
        self._guard.leave(visit)
        response = RedirectResponse(_base(request) + "/", 303)
        response.delete_cookie(COOKIE, path=_base(request) or "/", httponly=True, samesite="strict")
        return response

    async def do(self, request: Request) -> Response:
        """`POST /page/do`: begins a job, and shows the page again."""
        _, form = await self._posted(request)
        try:
            job = self._begin(form)
        except JobRefused as error:
            raise Refused(409 if error.is_running else 503, str(error)) from None
        except (BadConfiguration, ConnectorError) as error:
            raise Refused(400, str(error)) from None
        return RedirectResponse(f"{_base(request)}/?{urlencode({'began': job.run_id})}#activity", 303)

    async def live(self, request: Request) -> Response:
        """`GET /page/live`."""
        visit = self._visit(request)
        if visit is None:
            raise Refused(401, "Sign in first.")
        if self._streams >= MOST_STREAMS:
            raise Refused(503, "Too many pages are open.")
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(self._stream(request, visit), media_type="text/event-stream", headers=headers)

    async def style(self, request: Request) -> Response:
        """`GET /page/style.css`."""
        return Response(render.text_of("style.css"), media_type="text/css")

    async def script(self, request: Request) -> Response:
        """`GET /page/live.js`."""
        return Response(render.text_of("live.js"), media_type="text/javascript")

    # --- the page -----------------------------------------------------------------------------------------------------

    async def _values(self, request: Request) -> dict[str, Any]:
        asked = _asked(request)
        # copied before the database is read, so that the reading includes their results
        jobs = [replace(job) for job in self._jobs]
        seen = await self._watch.see(asked, sum(not job.is_open for job in jobs))
        values = shown(self._settings, seen, self._watch.stripe, asked)
        metrics = self._sink.metrics if self._sink else None
        return values | {
            "base": _base(request),
            "jobs": jobs,
            "queue": self._sink.writer.queue_length if self._sink else 0,
            "ties": metrics.tie_count if metrics else 0,
        }

    async def _page(
        self, request: Request, visit: Visit, status: int, notice: Mapping[str, str] | None, chosen: str | None = None
    ) -> Response:
        query = urlencode({name: value for name, value in request.query_params.items() if name in ("status", "type")})
        values = await self._values(request) | {
            "visit": visit,
            "notice": notice,
            "chosen": chosen,
            "live": f"{_base(request)}/page/live{'?' + query if query else ''}",
            "resources": [resource.name for resource in select(["all"])],
        }
        return Response(await asyncio.to_thread(render.page, values), status, media_type="text/html")

    async def _stream(self, request: Request, visit: Visit) -> AsyncIterator[bytes]:
        """Yields changed parts of the page, until the browser disconnects or the cookie is no longer valid."""
        self._streams += 1
        try:
            known: dict[str, str] = {}
            for turn in range(int(STREAM_SECONDS / LOOK_SECONDS)):
                if self._is_ending() or await request.is_disconnected():
                    return
                if self._guard.visit(visit.cookie) is None:
                    yield b"event: bye\ndata: signed out\n\n"
                    return
                parts = await asyncio.to_thread(render.sections, await self._values(request))
                changed = {id: html for id, html in parts.items() if known.get(id) != html}
                known = parts
                if changed:
                    yield b"data: " + orjson.dumps(changed) + b"\n\n"
                elif turn % PING_EVERY == 0:
                    yield b": alive\n\n"
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._streams -= 1

    def _login_form(
        self, request: Request, status: int, problem: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        visit = self._guard.begin("visitor")
        values = {
            "base": _base(request),
            "dataset": self._settings.dataset,
            "problem": problem,
            "token": visit.token,
        }
        response = Response(render.login(values), status, headers, media_type="text/html")
        self._keep(request, response, visit)
        return response

    async def _refusal(self, request: Request, refused: Refused) -> Response:
        """The page with the refusal's text at the top; plain text for visitors who may not see the page."""
        visit = self._visit(request)
        if visit is None or request.method != "POST":
            return Response(str(refused), refused.status, media_type="text/plain")
        return await self._page(request, visit, refused.status, {"look": "bad", "text": str(refused)})

    # --- who asks -----------------------------------------------------------------------------------------------------

    def _visit(self, request: Request) -> Visit | None:
        """The visit of a user who has given the password; None for others."""
        visit = self._guard.visit(request.cookies.get(COOKIE))
        return visit if visit is not None and visit.kind == "member" else None

    async def _posted(self, request: Request) -> tuple[Visit, dict[str, str]]:
        """The visit of the user who sent a form, and its fields. Raises Refused."""
        visit = self._visit(request)
        if visit is None:
            raise Refused(401, "Sign in first.")
        self._check_origin(request)
        form = await _form(request)
        if not self._guard.is_token(visit, form.get("token", "")):
            raise Refused(403, "The form did not come from this page. Reload the page, and try again.")
        return visit, form

    def _check_origin(self, request: Request) -> None:
        """Raises Refused for a form that was sent from another site."""
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Refused(403, "The form was sent from another site.")

    def _keep(self, request: Request, response: Response, visit: Visit) -> None:
        is_secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", ""))
        response.set_cookie(
            COOKIE,
            visit.cookie,
            max_age=LIFETIME,
            path=_base(request) or "/",
            secure=is_secure,
            httponly=True,
            samesite="strict",
        )

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def _begin(self, form: Mapping[str, str]) -> Job:
        """Starts the job of a form. Raises Refused, JobRefused, BadConfiguration and UnknownResource."""
        what = form.get("what", "")
        if what == "sync":
            return self._jobs.start("sync_daily", {}, work.sync("sync_daily", DAY_HOURS, (), {}), alone=True)
        if what == "load":
            asked: dict[str, Any] = {"object": form.get("resource", "")}
            resources = select([asked["object"]])
            if form.get("full_refresh"):
                asked["full_refresh"] = True
            order = Order("sync", resources, full_refresh="full_refresh" in asked, asked=asked)
            return self._jobs.start("sync", asked, work.load(order), parts=len(resources), alone=True)
        if what == "object":
            id = form.get("id", "").strip()
            if not id or len(id) > LONGEST_ID or not id.isprintable():
                raise Refused(400, "Give the id of an object, such as cus_123.")
            return self._jobs.start("sync_single", {"ids": [id]}, work.one_object(id, None), alone=True, each=False)
        if what == "check":
            sample = form.get("sample", "")
            if sample and not (sample.isascii() and sample.isdigit() and 0 < int(sample) <= 1_000_000):
                raise Refused(400, "The size of the sample has to be a whole number, 1 or more.")
            asked = {"sample": int(sample)} if sample else {}
            return self._jobs.start("stripe_check", asked, work.check(asked.get("sample"), asked), alone=True)
        if what == "replay" and self._settings.destination == "postgres":
            replayed = work.replay_failed(self._sink_settings, {}, self._jobs.database)
            return self._jobs.start("replay", {}, replayed, alone=True, each=False, reads=False)
        raise Refused(400, "There is no such job.")


def _name(job: Job) -> str:
    return render.COMMANDS.get(job.command, job.command)


def _base(request: Request) -> str:
    """The path at which the app is mounted."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def _asked(request: Request) -> Asked:
    """The filter of events in the address; an unknown status counts as no filter."""
    status, type = request.query_params.get("status"), request.query_params.get("type", "")
    known = type if type and len(type) <= LONGEST_ID and type.isprintable() else None
    return Asked(status if status in STATUSES else None, known)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form. Raises Refused."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_FORM:
            raise Refused(413, "The form is too long.")
    try:
        fields: Mapping[str, Sequence[str]] = parse_qs(body.decode(), max_num_fields=20, keep_blank_values=True)
    except ValueError:
        raise Refused(400, "The form cannot be read.") from None
    return {name: values[-1] for name, values in fields.items()}
