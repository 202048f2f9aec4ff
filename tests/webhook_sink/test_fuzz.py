"""Fuzzed bodies and headers: never a 5xx that is not meant, never a 200 that is not committed."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.deliveries import signature
from sources.stripe_api.events import TYPES
from tests.webhook_sink.conftest import NOW, SECRET, Served, Stored, event

SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
Serve = Callable[..., Served]

SCALARS = st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats(allow_nan=False) | st.text(max_size=20)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
)
LISTED = st.fixed_dictionaries(
    {"object": st.just("list") | JSON, "data": st.lists(JSON, max_size=2) | JSON, "has_more": st.booleans() | JSON}
)
OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["x_1", "x_2", ""]) | JSON,
        "object": st.sampled_from(["customer", "invoice", "subscription", "card", "event", "balance", "capability"])
        | JSON,
        "created": JSON,
        "metadata": JSON,
        "items": LISTED | JSON,
        "lines": LISTED | JSON,
        "customer": JSON,
        "deleted": JSON,
        "invented": JSON,
        "_account_id": JSON,
        "object_id": JSON,
    },
)
EVENTS = st.fixed_dictionaries(
    {
        "id": st.integers(0, 10**12).map(lambda number: f"evt_{number}") | JSON,
        "object": st.sampled_from(["event", "event", "event", "v2.core.event"]) | JSON,
        "type": st.sampled_from(sorted(TYPES)) | st.text(max_size=30) | JSON,
        "created": st.integers(0, 2_000_000_000) | st.just("2027-01-01T00:00:00Z") | JSON,
        "data": st.fixed_dictionaries({"object": OBJECTS | JSON}) | JSON,
    },
    optional={
        "account": st.just("acct_x") | JSON,
        "livemode": JSON,
        "api_version": JSON,
        "context": JSON,
        "related_object": st.fixed_dictionaries({"id": JSON, "type": st.just("customer") | JSON, "url": JSON}) | JSON,
    },
)


def committed(stored: Stored, id: str) -> bool:
    rows = stored.query("select status from stripe.stripe_webhook_events where id = %s", id)
    return bool(rows) and rows[0][0] in ("processed", "ignored")


def test_signed_events_of_any_shape(serve: Serve, stored: Stored) -> None:
    served = serve()

    @settings(max_examples=150, suppress_health_check=SHARED)
    @given(fields=EVENTS)
    def example(fields: dict[str, Any]) -> None:
        try:
            body = orjson.dumps(fields)
        except TypeError:  # integers beyond 64 bits, lone surrogates
            return
        answer = served.post(body)
        assert answer.status in (200, 400), (answer.status, answer.data)
        if answer.status == 200:
            assert committed(stored, fields["id"])

    example()


def test_bodies_and_signatures_of_any_bytes(serve: Serve, stored: Stored) -> None:
    served = serve()
    good = orjson.dumps(event("customer.created", {"id": "cus_1", "object": "customer"}))

    @settings(max_examples=100, suppress_health_check=SHARED)
    @given(
        body=st.binary(max_size=200) | st.just(good),
        header=st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=120)
        | st.builds(lambda t, v: f"t={t},v1={v}", st.integers(), st.text("0123456789abcdef", max_size=64)),
    )
    def example(body: bytes, header: str) -> None:
        assert served.post(body, header.encode("latin-1").decode("latin-1")).status == 400
        assert served.post(body, signature(body, [SECRET], NOW)).status in (200, 400)

    example()
    assert stored.value("select count(*) from stripe.stripe_webhook_events") <= 1


def test_requests_that_are_no_http_end_without_harm(serve: Serve) -> None:
    served = serve()

    @settings(max_examples=60, suppress_health_check=SHARED)
    @given(sent=st.binary(min_size=1, max_size=300), start=st.sampled_from([b"", b"POST /webhooks HTTP/1.1\r\n"]))
    def example(sent: bytes, start: bytes) -> None:
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
            connection.sendall(start + sent)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(4_096)
        assert b" 5" not in answer.split(b"\r\n", 1)[0]
        assert b"Traceback" not in answer

    example()
    assert served.get("/health").status == 200
