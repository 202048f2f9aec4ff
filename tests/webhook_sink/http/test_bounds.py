"""The sink without a proxy before it: clients that send too slowly or too much stop nobody else.

`test_protocol.py` has each bound by itself.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.webhook_sink.conftest import Served, event
from webhook_sink.commit.metrics import MOST_TYPES, Metrics

Serve = Callable[..., Served]
HEAD = b"POST /webhooks HTTP/1.1\r\nHost: x\r\nStripe-Signature: t=1,v1=0\r\n"


@pytest.fixture
def connect() -> Iterator[Callable[[Served], socket.socket]]:
    with ExitStack() as opened:

        def open_one(served: Served) -> socket.socket:
            return opened.enter_context(socket.create_connection(("127.0.0.1", served.port), 60))

        yield open_one


Connect = Callable[[Served], socket.socket]


def received(connection: socket.socket) -> bytes:
    """All that comes until the sink closes the connection."""
    answer = b""
    try:
        while part := connection.recv(65_536):
            answer += part
    except ConnectionResetError:
        pass
    return answer


def is_served(served: Served, number: int = 1) -> bool:
    one = event("customer.created", {"id": f"cus_{number}", "object": "customer"}, id=f"evt_{number}")
    return served.send(one) == [200] and served.get("/ready").status == 200


def refusals(served: Served, reason: str) -> float:
    found = re.search(rf'refused_total\{{reason="{reason}"\}} (\S+)', served.get("/metrics").data.decode())
    return float(found[1]) if found else 0.0


def test_headers_that_come_at_once_and_are_too_long_are_431(serve: Serve, connect: Connect) -> None:
    connection = connect(serve(header_limit=2_000))
    connection.sendall(HEAD + b"X: " + b"x" * 2_000 + b"\r\nContent-Length: 0\r\n\r\n")
    assert received(connection).startswith(b"HTTP/1.1 431 ")


def test_client_that_is_too_slow_is_let_go(serve: Serve, connect: Connect) -> None:
    served = serve(header_timeout=2.0)
    connection = connect(served)
    connection.sendall(HEAD)
    assert received(connection).startswith(b"HTTP/1.1 408 ")
    assert is_served(served)
    assert refusals(served, "slow") == 1


@pytest.mark.parametrize(
    "sent", [b"", HEAD, HEAD + b"Content-Length: 10\r\n\r\n1", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"]
)
def test_more_connections_than_may_be_leave_room_for_others(serve: Serve, connect: Connect, sent: bytes) -> None:
    served = serve(connections=20)
    held = [connect(served) for _ in range(60)]
    for connection in held:
        with suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(sent)
    if sent.startswith(b"GET"):
        for connection in held:
            with suppress(ConnectionResetError):
                connection.recv(1)  # answered, and kept for a next request, or refused: none is at work any more
    assert all(is_served(served, number) for number in range(5))
    assert refusals(served, "connections") >= 40


def test_unfinished_bodies_leave_room_for_others(serve: Serve, connect: Connect) -> None:
    served = serve(bodies_megabytes=2, body_limit=500_000)
    held = [connect(served) for _ in range(12)]
    for connection in held:
        connection.sendall(HEAD + b"Content-Length: 400000\r\n\r\n" + b"x" * 399_999)
    assert received(held[0]).startswith(b"HTTP/1.1 503 ")
    assert all(is_served(served, number) for number in range(5))
    assert refusals(served, "bodies") >= 7


def test_requests_that_are_sent_ahead_are_few(serve: Serve, connect: Connect) -> None:
    served = serve()
    few, many = connect(served), connect(served)
    request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    few.sendall(request * 5 + request.replace(b"Host", b"Connection: close\r\nHost"))
    assert received(few).count(b"HTTP/1.1 200 ") == 6
    many.sendall(request * 1_000)
    assert received(many).count(b"HTTP/1.1 200 ") < 100
    assert refusals(served, "pipelined") == 1


def test_early_answer_leaves_time_to_read_it_and_the_connection_is_good_for_the_next(
    serve: Serve, connect: Connect
) -> None:
    connection = connect(serve(body_limit=2_000))
    connection.sendall(HEAD + b"Content-Length: 900000\r\n\r\n")
    assert connection.recv(12) == b"HTTP/1.1 413"
    connection.sendall(b"x" * 900_000 + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"HTTP/1.1 200 " in received(connection)


def test_types_that_nobody_knows_share_a_series_of_the_metrics() -> None:
    metrics = Metrics("orb")
    for number in range(2 * MOST_TYPES):
        metrics.count_event(f"invented.{number}", "ignored")
    series = re.findall(r"^orb_sink_events_total{.* (\S+)$", metrics.text().decode(), re.MULTILINE)
    assert (len(series), sum(map(float, series))) == (MOST_TYPES + 1, 2 * MOST_TYPES)
