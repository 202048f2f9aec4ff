"""Fuzzed bodies and headers: never a 5xx that is not meant, never a 200 that is not committed."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator import Simulator
from simulator.account.deliveries import signature
from sources.stripe_api.catalogue import CATALOGUE
from tests.webhook_sink.conftest import NOW, SECRET, Served, Stored, event

KEY = "key of the management api"
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
        "type": st.sampled_from(sorted(CATALOGUE.types)) | st.text(max_size=30) | JSON,
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


def test_headers_of_any_kind_beside_a_good_signature(serve: Serve, stored: Stored) -> None:
    served = serve()
    numbers = itertools.count()
    value = st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=40)

    @settings(max_examples=60, suppress_health_check=SHARED)
    @given(
        headers=st.dictionaries(
            st.sampled_from(["Content-Type", "Content-Encoding", "User-Agent", "X-Forwarded-For", "Accept", "Expect"])
            | st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,15}", fullmatch=True).filter(
                lambda each: "-length" not in each.lower()
            ),
            value,
            max_size=4,
        ),
        query=st.text("abc=&%2?/", max_size=20),
    )
    def example(headers: dict[str, str], query: str) -> None:
        headers = {name: text for name, text in headers.items() if name.lower() not in CONNECTIONS}
        id = f"evt_{next(numbers)}"
        body = orjson.dumps(event("customer.created", {"id": "cus_1", "object": "customer"}, id=id))
        signed = headers | {"Stripe-Signature": signature(body, [SECRET], NOW)}
        answer = served.http.request("POST", f"{served.url}/webhooks?{query}", body=body, headers=signed)
        assert answer.status in (200, 400)
        assert committed(stored, id) is (answer.status == 200)

    example()


CONNECTIONS = ("connection", "transfer-encoding", "upgrade", "host", "stripe-signature", "expect", "te", "trailer")
"""Headers that change how HTTP itself goes on; the fuzzed bytes below have them."""


PATHS = (
    "/health",
    "/ready",
    "/metrics",
    "/sync",
    "/sync/daily",
    "/sync/single/cus_1",
    "/sync/status",
    "/webhooks",
    "/",
)


def test_any_method_and_path(serve: Serve) -> None:
    served = serve(api_key=KEY)

    @settings(max_examples=100, suppress_health_check=SHARED)
    @given(
        method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
        | st.from_regex(r"[A-Z]{1,12}", fullmatch=True),
        path=st.sampled_from(PATHS),
        more=st.text("/.%20aéd?=&#", max_size=12),
        key=st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=20),
    )
    def example(method: str, path: str, more: str, key: str | None) -> None:
        headers = {"X-API-Key": key.encode().decode("latin-1")} if key is not None else {}
        answer = served.http.request(method, served.url + path + quote(more, safe="/.%?=&"), headers=headers)
        if path.startswith("/sync"):
            assert answer.status in (400, 401, 404, 405)
        assert answer.status < 500

    example()


def test_orders_of_any_shape(serve: Serve) -> None:
    """Without Stripe's key, so that the order which can be meant is refused for that, and for nothing else."""
    served = serve(api_key=KEY)
    bounds = st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]) | st.text(max_size=4), JSON, max_size=4)

    @settings(max_examples=150, suppress_health_check=SHARED)
    @given(
        body=st.fixed_dictionaries(
            {},
            optional={
                "object": st.sampled_from(["charge", "charges", "core", "all", ""]) | JSON,
                "created": bounds | JSON,
                "full_refresh": JSON,
                "other": JSON,
            },
        )
        | JSON
        | st.binary(max_size=40),
        period=st.sampled_from(["", "/daily", "/weekly", "/monthly", "/yearly"]),
    )
    def example(body: Any, period: str) -> None:
        try:
            raw = body if isinstance(body, bytes) else orjson.dumps(body)
        except TypeError:  # integers beyond 64 bits, lone surrogates
            return
        answer = served.http.request("POST", f"{served.url}/sync{period}", body=raw, headers={"X-API-Key": KEY})
        assert answer.status == (404 if period == "/yearly" else 400), answer.data
        assert orjson.loads(answer.data)["error"]

    example()


def test_single_objects_of_any_id(serve: Serve, stored: Stored, simulator: Callable[..., Simulator]) -> None:
    sim = simulator(seed=2, customers=2)
    served = serve(sim, api_key=KEY)
    there = [sim.account.objects(name)[0]["id"] for name in ("customers", "products", "invoices")]
    kinds = ["customer", "customers", "invoice", "card"]

    @settings(max_examples=40, suppress_health_check=SHARED)
    @given(
        id=st.sampled_from(there)
        | st.text(max_size=12)
        | st.builds("{}{}".format, st.sampled_from(["cus_", "in_", "acct_1/", "../", "ch_"]), st.text(max_size=6)),
        kind=st.none() | st.sampled_from(kinds) | st.text(max_size=8),
    )
    def example(id: str, kind: str | None) -> None:
        path = f"/sync/single/{quote(id, safe='')}" + (f"?type={quote(kind, safe='')}" if kind is not None else "")
        answer = served.http.request("POST", served.url + path, headers={"X-API-Key": KEY})
        assert answer.status in (200, 400, 404), (answer.status, answer.data)
        if answer.status == 200:
            for obj in orjson.loads(answer.data)["loaded"]:
                assert stored.query(f"select 1 from stripe.{obj['table']} where id = %s", obj["id"])

    example()
