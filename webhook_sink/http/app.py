"""The ASGI app. Webhooks are handled in plain ASGI (28 µs a request; with Starlette 45), all other routes by
Starlette."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Message, Receive, Scope, Send

from webhook_sink.commit.connection import transaction
from webhook_sink.receiver import Answer, Receiver, Refused
from webhook_sink.sink import Sink

log = logging.getLogger("stripe_elt.sink")

READY_SECONDS = 2.0
"""How long `/ready` waits for the databases."""
EMPTY: Message = {"type": "http.response.body", "body": b""}


class App:
    """The whole app: webhooks at the paths that have a receiver, the other routes of the sink, and `routes`.

    It can be mounted below a path of another ASGI app. That app does not run a mounted app's lifespan, so it needs
    `lifespan` as its own; otherwise the sink starts with the first webhook. `on_failure` is called if the sink cannot
    start, `on_stop` when it ends.
    """

    def __init__(
        self,
        receivers: Mapping[str, Receiver],
        routes: Sequence[BaseRoute] = (),
        *,
        on_failure: Callable[[], None] = lambda: None,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._receivers, self._sinks = receivers, list(dict.fromkeys(receiver.sink for receiver in receivers.values()))
        self._on_failure, self._on_stop = on_failure, on_stop
        self._asking: asyncio.Future[bool] | None = None  # whether the databases answer
        self._others = Starlette(
            routes=[
                Route("/health", self._health),
                Route("/ready", self._ready),
                Route("/metrics", self._metrics),
                *routes,
            ],
            exception_handlers={Exception: _fault},
        )
        self._others.router.redirect_slashes = False  # an address with an additional slash is another address: 404

    @property
    def paths(self) -> Set[str]:
        """The paths that take webhooks."""
        return self._receivers.keys()

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """All routes except those of webhooks."""
        return self._others.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and (receiver := self._receivers.get(_own_path(scope))) is not None:
            await _webhook(receiver, scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self._others(scope, receive, send)

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Starts the sinks, and stops them after the block: the `lifespan` of the app in which this one is mounted."""
        self._start()
        try:
            yield
        finally:
            await self._stop()

    def _start(self) -> None:
        for sink in self._sinks:
            sink.start(self._on_failure)

    async def _stop(self) -> None:
        self._on_stop()
        await asyncio.gather(*(sink.stop() for sink in self._sinks))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._start()
            else:
                await self._stop()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _ready(self, request: Request) -> Response:
        """Ready if every sink knows its schema and its database answers. Optional sinks count once they have begun."""
        begun = [sink for sink in self._sinks if sink.is_ready]
        if not begun or not all(sink.is_ready or sink.is_optional for sink in self._sinks):
            return JSONResponse({"status": "starting"}, 503)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(_answer(begun))
        # It is not cancelled if it takes too long: if the server hangs, psycopg waits ten seconds for a cancellation.
        await asyncio.wait({self._asking}, timeout=READY_SECONDS)
        if not (self._asking.done() and self._asking.result()):
            return JSONResponse({"status": "the database does not answer"}, 503)
        return JSONResponse({"status": "ready"})

    async def _metrics(self, request: Request) -> Response:
        for sink in self._sinks:
            sink.metrics.waiting.set(sink.writer.queue_length)
        text = b"".join(sink.metrics.text() for sink in self._sinks)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


async def _answer(sinks: Sequence[Sink]) -> bool:
    """Whether the databases of these sinks answer."""
    try:
        for sink in sinks:
            async with transaction(sink.pool, timeout=READY_SECONDS) as connection:
                await connection.execute("SELECT 1")
    except Exception:
        return False
    return True


async def _webhook(receiver: Receiver, scope: Scope, receive: Receive, send: Send) -> None:
    started = time.perf_counter()
    try:
        answer = await _take(receiver, scope, receive, started)
    except Exception as error:
        answer = receiver.refusal(error)
    text = answer.text.encode()
    headers = [(b"content-length", b"%d" % len(text))]
    if text:
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
    if answer.status == 503:
        headers.append((b"retry-after", b"5"))
    elif answer.status == 405:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": text} if text else EMPTY)
    receiver.note(answer, started)


async def _take(receiver: Receiver, scope: Scope, receive: Receive, began: float) -> Answer:
    """Receives the event of a request; `began` is its start on the clock of `time.perf_counter`. Raises Refused."""
    if scope["method"] != "POST":
        raise Refused(405, "method", "POST a webhook here")
    await receiver.ready()
    body = await _read_body(scope, receive, receiver.body_limit)
    signed = [_header(scope, name) for name in receiver.sink.provider.signature_headers]
    return await receiver.take(body, signed, _header(scope, b"content-encoding"), began)


def _own_path(scope: Scope) -> str:
    """The path below the one where the app is mounted: https://asgi.readthedocs.io/en/latest/specs/www.html."""
    path: str = scope["path"]
    mounted = scope.get("root_path")
    return path[len(mounted) :] if mounted and path.startswith(f"{mounted}/") else path


async def _read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body. Raises Refused if it is too long, or the client disconnects before its end."""
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if length.isdigit() and int(length) > limit:
        raise Refused(413, "size", "the body is too long")
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "disconnect", "the connection was closed")
        part: bytes = message.get("body", b"")
        if len(body) + len(part) > limit:
            raise Refused(413, "size", "the body is too long")
        if not message.get("more_body"):
            return bytes(body + part) if body else part
        body += part


def _header(scope: Scope, wanted: bytes) -> str:
    """All headers of this name, joined with commas: https://www.rfc-editor.org/rfc/rfc9110#section-5.3."""
    return b",".join([value for name, value in scope["headers"] if name == wanted]).decode("latin-1")


async def _fault(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "internal error"}, 500)
