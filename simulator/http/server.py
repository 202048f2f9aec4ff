"""HTTP/1.1 over asyncio: reads requests with httptools and writes answers; a fault can delay, cut or suppress them.

Knows no Stripe rule: it calls `respond` for each request and sends its reply.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import httptools

REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 402: "Request Failed", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 409: "Conflict", 413: "Payload Too Large", 429: "Too Many Requests",
    500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip


@dataclass(slots=True)
class Reply:
    """The answer to send: `cut` sends half of the body, `drop` and `reset` nothing; `delay` is in seconds.

    `date` returns the Date header at the moment of sending, because Stripe's clock may have moved since the state was
    read. `done` is called when the reply was sent, or sending it failed.
    """

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    delay: float = 0.0
    way: Literal["whole", "cut", "drop", "reset"] = "whole"
    date: Callable[[], str] | None = None
    done: Callable[[], None] | None = None


Respond = Callable[[str, str, str, dict[str, str], bytes], Reply]


class Connection(asyncio.Protocol):
    """One connection: requests are answered one after the other, even if they arrive pipelined."""

    def __init__(self, respond: Respond, connections: set[Connection]) -> None:
        self._respond, self._connections = respond, connections
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[str, bytes, dict[str, str], bytes, bool]] = deque()
        self._busy = False
        self._url, self._headers, self._body = b"", {}, b""  # type: bytes, dict[str, str], bytes

    # --- asyncio.Protocol --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self._connections.add(self)
        connected = transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._connections.discard(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._send(Reply(400, [("Content-Type", "text/plain")], b"Bad Request"), keep=False)

    def close(self) -> None:
        """Closes the connection."""
        if self._transport is not None:
            self._transport.close()

    # --- httptools ---------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url, self._headers, self._body = b"", {}, b""

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """A whole request."""
        keep = self._parser.should_keep_alive()
        method = self._parser.get_method().decode()
        self._waiting.append((method, self._url, self._headers, self._body, keep))
        if not self._busy:
            self._next()

    # --- answering ---------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        while self._waiting and not self._busy:
            method, url, headers, body, keep = self._waiting.popleft()
            path, _, query = url.decode("latin-1").partition("?")
            try:
                reply = self._respond(method, path, query, headers, body)
            except Exception:  # a bug of the simulator: the client gets a 500, and stderr shows the traceback
                logging.getLogger(__name__).exception("%s %s?%s", method, path, query)
                reply = Reply(500, [("Content-Type", "text/plain")], b"the simulator has failed, see its log")
            if reply.delay > 0:
                self._busy = True
                asyncio.get_running_loop().call_later(reply.delay, self._late, reply, keep)
            else:
                self._send(reply, keep)

    def _late(self, reply: Reply, keep: bool) -> None:
        self._busy = False
        self._send(reply, keep)
        self._next()

    def _send(self, reply: Reply, keep: bool) -> None:
        if reply.done is not None:
            reply.done()
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if reply.way == "reset":
            transport.abort()
            return
        if reply.way == "drop":
            transport.close()
            return
        lines = [f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in reply.headers]
        if reply.date is not None:
            lines.append(f"Date: {reply.date()}")
        lines.append(f"Content-Length: {len(reply.body)}")
        lines.append("Connection: keep-alive\r\n\r\n" if keep else "Connection: close\r\n\r\n")
        body = reply.body[: len(reply.body) // 2] if reply.way == "cut" else reply.body
        transport.writelines(["\r\n".join(lines).encode("latin-1"), body])
        if not keep or reply.way == "cut":
            transport.close()
