"""uvicorn's HTTP protocol with bounds on how long the sink waits for a client, and on how much a client may send.

uvicorn leaves these bounds to a proxy. Without a proxy, an endless header stalls the event loop, and connections that
send nothing, or bodies that lack a byte, fill the memory. If there are too many, the client that has kept the sink
waiting longest is disconnected. Knows no event and no signature.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST_PIPELINED = 8
FRAMING = 8
"""The most bytes of framing that a chunked body may have for each byte of content: a chunk of one byte has five."""
LINGER_SECONDS = 5.0
"""How long a client may continue to send after its answer, and how long it may take to read the last answer."""

Phase = Literal["head", "body", "answer", "idle"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Times in seconds, sizes in bytes. `headers` also bounds the framing between the chunks of a body."""

    headers: int
    header_seconds: float
    body_seconds: float
    idle_seconds: float
    connections: int
    bodies: int


class WaitingClients:
    """What all connections share: which clients the sink waits for, longest first, and the bytes of unfinished bodies.

    `count_refusal` is called with the reason of each refusal.
    """

    def __init__(self, bounds: Bounds, count_refusal: Callable[[str], None]) -> None:
        self.bounds, self.count_refusal = bounds, count_refusal
        self.connections: dict[BoundedProtocol, None] = {}
        self.held_bytes = 0

    def make_room(self, newest: BoundedProtocol, count: int) -> None:
        """If there are more connections than allowed, ends the one that has kept the sink waiting longest."""
        if count > self.bounds.connections:
            next(iter(self.connections), newest).refuse(503, "connections", "there are too many connections")

    def hold(self, nbytes: int) -> None:
        """Counts bytes of a body. While all unfinished bodies together are too long, ends the oldest ones."""
        self.held_bytes += nbytes
        if self.held_bytes <= self.bounds.bodies:
            return
        for oldest in [connection for connection in self.connections if connection.held_bytes]:
            oldest.refuse(503, "bodies", "too many bodies are unfinished")
            if self.held_bytes <= self.bounds.bodies:
                return


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `held_bytes` is how much of its body has arrived, until the body is complete."""

    def __init__(self, *arguments: Any, clients: WaitingClients, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._clients, self._bounds = clients, clients.bounds
        self._phase: Phase = "head"
        self._requests = self._head = self._body = self._framing = self._size = self.held_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._refusal: tuple[int, str, str] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected, and has to send its headers."""
        super().connection_made(transport)
        self._wait_at_most(self._bounds.header_seconds)
        self._clients.make_room(self, len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._stop_waiting()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Parses the data, and counts what is not a complete request yet."""
        if self.transport.is_closing() or self.parser is None:
            return
        requests, body, phase = self._requests, self._body, self._phase
        self._size = len(data)
        super().data_received(data)
        if self.transport.is_closing():
            self._stop_waiting()
        elif self._phase == "answer":
            self._stop_waiting()
            if self.cycle.response_complete:
                self._wait_for_next_request()
        elif self._phase == "body":
            if requests != self._requests:
                self._wait_at_most(self._bounds.body_seconds)
            elif phase == "body":
                self._framing += len(data) - (self._body - body)
            if not self.cycle.response_complete:
                arrived = self._body - self.held_bytes
                self.held_bytes += arrived
                self._clients.hold(arrived)
            if self._framing > self._bounds.headers + FRAMING * self._body:
                self.refuse(400, "framing", "the body has too much framing around its chunks")
        else:
            if phase == "idle" or requests != self._requests:
                self._wait_at_most(self._bounds.header_seconds)
            if requests == self._requests:
                self._head += len(data)
            self._phase = "head"
            if self._head > self._bounds.headers:
                self.refuse(431, "headers", "the headers are too long")

    def on_message_begin(self) -> None:
        """See uvicorn. Bounds the requests that a client sends before it has the answer to the first."""
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
        self.headers = []  # receives the trailers, which we do not use
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
        """See uvicorn. A client that is still sending gets a short time to finish and to read the answer."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._end()
        elif self._phase == "body":
            self._release_body()
            self._wait_at_most(LINGER_SECONDS)
        elif self._phase == "answer" and self.cycle.response_complete:
            self._phase = "idle"
            self._clients.connections[self] = None  # uvicorn's own timer ends the connection

    def send_400_response(self, msg: str) -> None:
        """Answers a request that uvicorn cannot parse, or that exceeded a bound while it was parsed."""
        self.refuse(*(self._refusal or (400, "http", msg)))

    def timeout_keep_alive_handler(self) -> None:
        """See uvicorn. The client has sent no further request in time."""
        self._end()

    def pause_writing(self) -> None:
        """The client does not read its answer."""
        super().pause_writing()
        self._wait_at_most(self._bounds.idle_seconds)

    def resume_writing(self) -> None:
        """The client reads its answer again."""
        self._stop_waiting()
        super().resume_writing()

    def refuse(self, status: int, reason: str, text: str) -> None:
        """Answers, if still possible, and ends the connection."""
        if self.transport.is_closing():
            self._stop_waiting()  # the client has disconnected, which uvicorn notices later: its bytes no longer count
            return
        self._clients.count_refusal(reason)
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

    def _on_timeout(self) -> None:
        """The client missed its deadline."""
        self._timer = None
        if self.flow.write_paused:
            self.transport.abort()
        elif self._phase == "body" and not self.cycle.response_complete:
            self.refuse(408, "slow", "the body did not arrive in time")
        elif self._phase == "head" and self._head + self._requests:
            self.refuse(408, "slow", "the headers did not arrive in time")
        else:
            self._end()

    def _wait_at_most(self, seconds: float) -> None:
        self._stop_waiting()
        self._clients.connections[self] = None
        self._timer = self.loop.call_later(seconds, self._on_timeout)

    def _wait_for_next_request(self) -> None:
        self._phase = "idle"
        self._wait_at_most(self._bounds.idle_seconds)

    def _stop_waiting(self) -> None:
        self._clients.connections.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._release_body()

    def _release_body(self) -> None:
        self._clients.held_bytes -= self.held_bytes
        self.held_bytes = 0

    def _end(self) -> None:
        """Closes the connection once the answer is sent, or after a time-out."""
        self._stop_waiting()
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _unsupported_upgrade_warning(self) -> None:
        """Logs nothing. A request to upgrade to another protocol is answered like any other request."""
