"""The bounds of a connection by themselves: real sockets, no sink, no database, and a clock that the test moves."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import uvicorn
import uvloop
from uvicorn.server import ServerState

from webhook_sink.http.protocol import BoundedProtocol, Bounds, WaitingClients

HEAD = b"POST /webhooks HTTP/1.1\r\nHost: x\r\n"
LONG = b"Content-Length: 100\r\n\r\n"
LENGTH, CHUNKED = HEAD + b"Content-Length: 10\r\n\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
OK, LATE = b"HTTP/1.1 200 OK", b"HTTP/1.1 408 Request Timeout"
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
BOUNDS = Bounds(headers=1_000, header_seconds=10.0, body_seconds=20.0, idle_seconds=40.0, connections=10, bodies=100)


class Observed(BoundedProtocol):
    """The protocol, and how many bytes of its client it has had."""

    came = 0

    def data_received(self, data: bytes) -> None:
        self.came += len(data)
        super().data_received(data)


class ClockedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock goes on when the test says so, and never by itself."""

    now = 0.0

    def time(self) -> float:
        return self.now


def on_a_clock(body: Callable[[ClockedLoop, Server], Awaitable[None]]) -> None:
    """Runs `body` with a server on a clock of its own."""
    loop = ClockedLoop()

    async def main() -> None:
        async with server() as served:
            await body(loop, served)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


class Server:
    """A server in the test's own loop, whose app answers 200 once it has the whole body."""

    def __init__(self, address: Any, clients: WaitingClients, refused: list[str], opened: list[Observed]) -> None:
        self.address, self.clients, self.refused, self._opened = address, clients, refused, opened

    async def client(self) -> Client:
        """A client, once the server has its connection."""
        connection, number = socket.create_connection(self.address), len(self._opened)
        connection.setblocking(False)
        while len(self._opened) == number or self._opened[number].transport is None:
            await asyncio.sleep(0)
        return Client(connection, self._opened[number])


class Client:
    """One connection, from both of its ends."""

    def __init__(self, connection: socket.socket, protocol: Observed) -> None:
        self.connection, self.protocol, self._sent = connection, protocol, 0

    async def send(self, data: bytes) -> None:
        """Sends, and waits until the server has it all."""
        self._sent += self.connection.send(data)
        while self.protocol.came < self._sent:
            await asyncio.sleep(0)

    async def answer(self) -> bytes:
        """The status line of the next answer; nothing where the server closed the connection without."""
        received = await asyncio.get_running_loop().sock_recv(self.connection, 65_536)
        return received.partition(b"\r\n")[0]

    async def is_closed(self) -> bool:
        """Whether the server has closed the connection, once it has done what is due now."""
        for _ in range(3):
            await asyncio.sleep(0)
        return self.protocol.transport.is_closing()


async def answer_whole_bodies(scope: Any, receive: Any, send: Any) -> None:
    while (message := await receive()).get("more_body"):
        pass
    if message["type"] != "http.disconnect":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def server(bounds: Bounds = BOUNDS) -> AsyncIterator[Server]:
    opened: list[Observed] = []
    refused: list[str] = []
    clients = WaitingClients(bounds, refused.append)
    config = uvicorn.Config(
        answer_whole_bodies,
        log_config=None,
        ws="none",
        timeout_keep_alive=bounds.idle_seconds,  # type: ignore[arg-type]
    )
    config.load()
    new = partial(Observed, config=config, server_state=ServerState(), app_state={}, clients=clients)

    def connected() -> Observed:
        opened.append(new())
        return opened[-1]

    loop, problems = asyncio.get_running_loop(), list[Any]()
    loop.set_exception_handler(lambda _, problem: problems.append(problem))
    served = await loop.create_server(connected, "127.0.0.1", 0)
    try:
        yield Server(served.sockets[0].getsockname(), clients, refused, opened)
        assert problems == []
    finally:
        for each in opened:
            each.transport.abort()
        served.close()


@pytest.mark.timeout(5)
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_body_that_is_held_by_a_client_who_has_left_does_not_stop_the_sink(loop: Callable[[], Any]) -> None:
    """Its end and another client's byte come in one turn of the loop: it is closing, and not yet lost."""

    async def main() -> None:
        async with server() as served:
            older, newer = await served.client(), await served.client()
            await older.send(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 50)
            await newer.send(HEAD + b"Content-Length: 52\r\n\r\n" + b"x" * 50)
            assert served.clients.held_bytes == 100
            for _ in range(3):  # turns in which nothing comes: then what comes first is read first
                await asyncio.sleep(0)
            older.connection.close()
            await newer.send(b"x")
            assert served.clients.held_bytes == 51
            await newer.send(b"x")
            assert await newer.answer() == OK
            assert (served.clients.held_bytes, served.refused) == (0, [])

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


SLOW = {
    "nothing": (b"", 10, b""),
    "half a line": (b"POST /web", 10, LATE),
    "half the headers": (HEAD, 10, LATE),
    "no body": (LENGTH, 20, LATE),
    "a byte too few": (LENGTH + b"123456789", 20, LATE),
    "no last chunk": (CHUNKED + b"1\r\nx\r\n", 20, LATE),
    "no second request": (GET, 40, b""),
    "half a second request": (GET + b"GET /", 10, LATE),
}
"""What a client sends, the seconds after which it is let go, and what it is told."""


@pytest.mark.parametrize("what", SLOW)
def test_client_that_is_too_slow_is_let_go_and_not_before(what: str) -> None:
    sent, seconds, told = SLOW[what]

    async def body(loop: ClockedLoop, served: Server) -> None:
        client = await served.client()
        await client.send(sent)
        if sent.startswith(GET):
            assert await client.answer() == OK
        loop.now += seconds - 0.1
        assert not await client.is_closed()
        loop.now += 0.2
        assert await client.is_closed()
        assert await client.answer() == told
        assert served.refused == (["slow"] if told else [])

    on_a_clock(body)


@pytest.mark.parametrize(
    ("begin", "drop", "seconds"), [(b"", b"\r\n", 10), (HEAD, b"X: x\r\n", 10), (HEAD + LONG, b"x", 20)]
)
def test_client_that_drips_is_let_go_all_the_same(begin: bytes, drop: bytes, seconds: int) -> None:
    async def body(loop: ClockedLoop, served: Server) -> None:
        client = await served.client()
        await client.send(begin)
        for _ in range(seconds - 1):
            loop.now += 1
            await client.send(drop)
            assert not await client.is_closed()
        loop.now += 1.1
        assert await client.is_closed()

    on_a_clock(body)


ENDLESS = {
    "a header": (HEAD + b"X: ", b"x" * 10_000, "headers"),
    "headers": (HEAD, b"X: x\r\n" * 2_000, "headers"),
    "an address": (b"POST /", b"x" * 10_000, "headers"),
    "a name": (HEAD, b"x" * 10_000, "headers"),
    "empty lines": (b"", b"\r\n" * 5_000, "headers"),
    "trailers": (CHUNKED + b"1\r\nx\r\n0\r\n", b"X: x\r\n" * 2_000, "framing"),
    "a trailer": (CHUNKED + b"1\r\nx\r\n0\r\nX: ", b"x" * 10_000, "framing"),
    "a chunk's extension": (CHUNKED + b"1;x=", b"x" * 10_000, "framing"),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_has_no_end_is_refused(what: str) -> None:
    begin, more, reason = ENDLESS[what]

    async def body(loop: ClockedLoop, served: Server) -> None:
        client = await served.client()
        await client.send(begin)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await loop.sock_sendall(client.connection, more * (50_000_000 // len(more)))
        assert served.refused == [reason]
        other = await served.client()
        await other.send(GET)
        assert await other.answer() == OK

    on_a_clock(body)
