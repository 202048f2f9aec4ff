"""The ASGI app. The webhook itself is plain ASGI (28 µs a request; with Starlette 45); all else is Starlette's.

Answers hold no traceback, no secret and nothing of the body. Stripe takes any 2xx as success; after any other answer it
sends the event again for up to three days: https://docs.stripe.com/webhooks.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Message, Receive, Scope, Send

from sources.events import BadEvent, BadSignature
from webhook_sink.commit.batch import Outcome
from webhook_sink.commit.connection import transaction
from webhook_sink.commit.writer import QueueFull
from webhook_sink.sink import Sink

log = logging.getLogger("stripe_elt.sink")

PATH = "/webhooks"
ENCODED = (
    "the body is {}. The provider sends plain UTF-8, so a proxy before the sink must have changed it. Have the"
    " proxy pass the body on byte for byte, because the signature covers it."
)
CODINGS = frozenset(("gzip", "x-gzip", "deflate", "compress", "br", "zstd"))
"""Content codings: https://www.iana.org/assignments/http-parameters/http-parameters.xhtml#content-coding."""
_BEGINNINGS: Mapping[bytes, str] = {
    b"\x1f\x8b": "compressed with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"\x78\x01": "compressed with deflate",
    b"\x78\x5e": "compressed with deflate",
    b"\x78\x9c": "compressed with deflate",
    b"\x78\xda": "compressed with deflate",
    b"\xef\xbb\xbf": "preceded by a byte order mark",
    b"\xff\xfe": "written in UTF-16 or UTF-32",
    b"\xfe\xff": "written in UTF-16 or UTF-32",
    b"\0": "written in UTF-16 or UTF-32",
    b"{\0": "written in UTF-16 or UTF-32",
}
EMPTY: Message = {"type": "http.response.body", "body": b""}
ANSWERS: dict[Outcome, tuple[int, bytes]] = {
    "committed": (200, b""),
    "duplicate": (200, b""),
    "failed": (500, b"the event was kept, but could not be processed"),
    "unavailable": (503, b"the database is not available"),
}


class Refused(Exception):
    """A request that is refused: the status and text of the answer, and the reason for the metrics."""

    def __init__(self, status: int, reason: str, text: str) -> None:
        super().__init__(text)
        self.status, self.reason, self.text = status, reason, text


class App:
    """The whole app. `body_limit` is in bytes, `tolerance` the age in seconds at which a signature is refused.

    `on_failure` is called if the sink cannot start.
    """

    def __init__(
        self,
        sink: Sink,
        routes: Sequence[BaseRoute] = (),
        *,
        body_limit: int,
        tolerance: float,
        on_failure: Callable[[], None],
    ) -> None:
        self._sink, self._on_failure = sink, on_failure
        self._body_limit, self._tolerance = body_limit, tolerance
        self._others = Starlette(
            routes=[
                Route("/health", self._health),
                Route("/ready", self._ready),
                Route("/metrics", self._metrics),
                *routes,
            ],
            exception_handlers={Exception: _fault},
        )
        self._others.router.redirect_slashes = False  # an address with one more slash is another address: 404

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["path"] == PATH:
            await self._webhook(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self._others(scope, receive, send)

    async def _webhook(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        try:
            status, text = await self._take(scope, receive)
        except Refused as refused:
            self._sink.metrics.count_refusal(refused.reason)
            status, text = refused.status, refused.text.encode()
        except Exception as error:
            log.exception("a webhook met an error that should not have happened", exc_info=error)
            status, text = 500, b"internal error"
        headers = [(b"content-length", b"%d" % len(text))]
        if text:
            headers.append((b"content-type", b"text/plain; charset=utf-8"))
        if status == 503:
            headers.append((b"retry-after", b"5"))
        elif status == 405:
            headers.append((b"allow", b"POST"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text} if text else EMPTY)
        self._sink.metrics.latency.observe(time.perf_counter() - started)

    async def _take(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        """Takes an event. Returns the status and text of the answer. Raises Refused."""
        sink = self._sink
        if scope["method"] != "POST":
            raise Refused(405, "method", "POST a webhook here")
        if not sink.is_ready:
            raise Refused(503, "starting", "the sink is starting")
        if sink.writer.is_full:
            raise Refused(503, "full", "too many events are waiting")
        provider = sink.provider
        signature = _header(scope, provider.signature_header)
        body = await _read_body(scope, receive, self._body_limit)
        try:
            provider.verify(body, signature, sink.secrets, tolerance=self._tolerance, now=sink.clock())
            event = provider.read_event(body)
        except BadSignature as error:
            raise Refused(400, "signature", _reason(str(error), body, scope)) from None
        except BadEvent as error:
            raise Refused(400, "body", _reason(str(error), body, scope)) from None
        try:
            outcome = await sink.submit(event)
        except QueueFull:
            raise Refused(503, "full", "too many events are waiting") from None
        return ANSWERS[outcome]

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._sink.start(self._on_failure)
            else:
                await self._sink.stop()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _ready(self, request: Request) -> Response:
        """Ready if the schema is known and the database answers now."""
        if not self._sink.is_ready:
            return JSONResponse({"status": "starting"}, 503)
        try:
            async with transaction(self._sink.pool, timeout=2.0) as connection:
                await connection.execute("SELECT 1")
        except Exception:
            return JSONResponse({"status": "the database does not answer"}, 503)
        return JSONResponse({"status": "ready"})

    async def _metrics(self, request: Request) -> Response:
        self._sink.metrics.waiting.set(self._sink.writer.queue_length)
        return Response(self._sink.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


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


def _reason(reason: str, body: bytes, scope: Scope) -> str:
    """Why a body is refused, and whether a proxy has encoded it otherwise, as far as that shows."""
    encoding = encoding_of(body, _header(scope, b"content-encoding"))
    return f"{reason}: {ENCODED.format(encoding)}" if encoding else reason


async def _fault(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "internal error"}, 500)


def encoding_of(body: bytes, coding: str) -> str | None:
    """How the body is encoded, if it is not in plain UTF-8; otherwise None.

    `coding` is the Content-Encoding. Only a proxy encodes a body, and no signature matches it then.
    """
    for beginning, encoding in _BEGINNINGS.items():
        if body.startswith(beginning):
            return encoding
    named = coding.strip().lower()
    return f"compressed with {named}" if named in CODINGS else None
