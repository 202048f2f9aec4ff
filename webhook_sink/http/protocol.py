"""uvicorn's HTTP protocol with bounds: how long a client may be waited for, and how much it may send meanwhile.

uvicorn leaves all of it to a proxy. Without one, a header without end stalls the event loop, and connections that send
nothing, or bodies that miss a byte, fill the memory. Whoever has kept the sink waiting longest gives way to the others.
Knows no event and no signature.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST_PIPELINED = 8
FRAMING = 8
"""Bytes around a byte of a chunked body, at the most: a chunk of one byte takes five."""
LINGER_SECONDS = 5.0
"""For a client that was answered before it had sent all of its request, and for one that does not read its answer."""

Phase = Literal["head", "body", "answer", "idle"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Times in seconds, sizes in bytes. `headers` also bounds what lies around the chunks of a body."""

    headers: int
    header_seconds: float
    body_seconds: float
    idle_seconds: float
    connections: int
    bodies: int


class Waiting:
    """What all connections share: those that we wait for, longest first, and the bytes of unfinished bodies.

    `refused` is told the reason of each refusal.
    """

    def __init__(self, bounds: Bounds, refused: Callable[[str], None]) -> None:
        self.bounds, self.refused = bounds, refused
        self.connections: dict[BoundedProtocol, None] = {}
        self.held = 0

    def make_room(self, newest: BoundedProtocol, count: int) -> None:
        """When there are more connections than allowed, ends the one that has kept us waiting longest."""
        if count > self.bounds.connections:
            next(iter(self.connections), newest).refuse(503, "connections", "there are too many connections")

    def hold(self, nbytes: int) -> None:
        """Counts bytes of a body; ends the oldest bodies while all of them are too long together."""
        self.held += nbytes
        if self.held <= self.bounds.bodies:
            return
        for oldest in [one for one in self.connections if one.held]:
            oldest.refuse(503, "bodies", "too many bodies are unfinished")
            if self.held <= self.bounds.bodies:
                return


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `held` are the bytes of its body that came so far, until the body is whole."""

    def __init__(self, *given: Any, waiting: Waiting, **more: Any) -> None:
        super().__init__(*given, **more)
        self._waiting, self._bounds = waiting, waiting.bounds
        self._phase: Phase = "head"
        self._requests = self._head = self._body = self._framing = self._size = self.held = 0
        self._timer: asyncio.TimerHandle | None = None
        self._refusal: tuple[int, str, str] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there, and has to send its headers."""
        super().connection_made(transport)
        self._wait(self._bounds.header_seconds)
        self._waiting.make_room(self, len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._cease()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Parses, and counts what is not a whole request yet."""
        if self.transport.is_closing() or self.parser is None:
            return
        requests, body, phase = self._requests, self._body, self._phase
        self._size = len(data)
        super().data_received(data)
        if self.transport.is_closing():
            self._cease()
        elif self._phase == "answer":
            self._cease()
            if self.cycle.response_complete:
                self._rest()
        elif self._phase == "body":
            if requests != self._requests:
                self._wait(self._bounds.body_seconds)
            elif phase == "body":
                self._framing += len(data) - (self._body - body)
            if not self.cycle.response_complete:
                came = self._body - self.held
                self.held += came
                self._waiting.hold(came)
            if self._framing > self._bounds.headers + FRAMING * self._body:
                self.refuse(400, "framing", "there is too much around the chunks of the body")
        else:
            if phase == "idle" or requests != self._requests:
                self._wait(self._bounds.header_seconds)
            if requests == self._requests:
                self._head += len(data)
            self._phase = "head"
            if self._head > self._bounds.headers:
                self.refuse(431, "headers", "the headers are too long")

    def on_message_begin(self) -> None:
        """See uvicorn. Requests that were sent before the answer to the first one are few."""
        if len(self.pipeline) >= MOST_PIPELINED:
            self._refusal = (400, "pipelined", "too many requests were sent at once")
            raise ValueError
        self._phase = "head"
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """See uvicorn."""
        if self._head + self._size > self._bounds.headers:
            length = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if length > self._bounds.headers:
                self._refusal = (431, "headers", "the headers are too long")
                raise ValueError
        super().on_headers_complete()
        self.headers = []  # for the trailers, which belong to no request of ours
        self._phase = "body"
        self._requests += 1
        self._head = self._body = self._framing = 0

    def on_body(self, body: bytes) -> None:
        """See uvicorn."""
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See uvicorn."""
        super().on_message_complete()
        self._phase = "answer"

    def on_response_complete(self) -> None:
        """See uvicorn. A client that is still sending has a little time to end it and read the answer."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._end()
        elif self._phase == "body":
            self._release()
            self._wait(LINGER_SECONDS)
        elif self._phase == "answer" and self.cycle.response_complete:
            self._phase = "idle"
            self._waiting.connections[self] = None  # uvicorn's own timer ends it

    def send_400_response(self, msg: str) -> None:
        """What uvicorn answers to a request that it cannot parse, or that a bound above has stopped."""
        self.refuse(*(self._refusal or (400, "http", msg)))

    def timeout_keep_alive_handler(self) -> None:
        """See uvicorn: the client has sent no further request."""
        self._end()

    def pause_writing(self) -> None:
        """The client does not read what it asked for."""
        super().pause_writing()
        self._wait(self._bounds.idle_seconds)

    def resume_writing(self) -> None:
        """The client reads."""
        self._cease()
        super().resume_writing()

    def refuse(self, status: int, reason: str, text: str) -> None:
        """Answers, where that is still possible, and ends the connection."""
        if self.transport.is_closing():
            self._cease()  # the client has left, which uvicorn is told later: what it held is free now
            return
        self._waiting.refused(reason)
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            body = text.encode("ascii")
            retry = b"retry-after: 5\r\n" if status == 503 else b""
            self.transport.write(
                STATUS_LINE[status]
                + b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
                + retry
                + b"content-length: %d\r\n\r\n%s" % (len(body), body)
            )
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self._end()

    def _late(self) -> None:
        """The client missed its deadline."""
        self._timer = None
        if self.flow.write_paused:
            self.transport.abort()
        elif self._phase == "body" and not self.cycle.response_complete:
            self.refuse(408, "slow", "the body did not come in time")
        elif self._phase == "head" and self._head + self._requests:
            self.refuse(408, "slow", "the headers did not come in time")
        else:
            self._end()

    def _wait(self, seconds: float) -> None:
        self._cease()
        self._waiting.connections[self] = None
        self._timer = self.loop.call_later(seconds, self._late)

    def _rest(self) -> None:
        self._phase = "idle"
        self._wait(self._bounds.idle_seconds)

    def _cease(self) -> None:
        self._waiting.connections.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._release()

    def _release(self) -> None:
        self._waiting.held -= self.held
        self.held = 0

    def _end(self) -> None:
        """Closes once the answer is sent, or without it."""
        self._cease()
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _unsupported_upgrade_warning(self) -> None:
        """Said by uvicorn for each such request; it is answered as if it had not asked for another protocol."""
