"""POST /webhooks over real HTTP: what is taken, what is refused, and that a 200 is committed."""

from __future__ import annotations

import gzip
import socket
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import urllib3

from simulator.account.deliveries import signature
from tests.webhook_sink.conftest import ACCOUNT, NOW, SECRET, Served, Stored, event

Serve = Callable[..., Served]
CUSTOMER = {
    "id": "cus_1",
    "object": "customer",
    "created": NOW - 9,
    "email": "jenny@example.com",
    "metadata": {"a": "b"},
}


def test_event_is_in_its_table_and_in_the_ledger_when_it_is_answered(serve: Serve, stored: Stored) -> None:
    assert serve().send(event("customer.created", CUSTOMER)) == [200]
    (row,) = stored.query(
        "select id, email, metadata, created, _account_id, _as_of, _source, _deleted_at from stripe.customers"
    )
    created, as_of = datetime.fromtimestamp(NOW - 9, UTC), datetime.fromtimestamp(NOW, UTC)
    assert row == ("cus_1", "jenny@example.com", {"a": "b"}, created, ACCOUNT, as_of, "event", None)
    columns = "id, type, object_id, object_type, account_id, livemode, status, attempts, error, created"
    assert stored.query(f"select {columns} from stripe.stripe_webhook_events") == [
        ("evt_1", "customer.created", "cus_1", "customer", ACCOUNT, False, "processed", 1, None, as_of)
    ]


def test_ledger_keeps_the_payload_as_it_came(serve: Serve, stored: Stored) -> None:
    body = orjson.dumps(event("customer.created", CUSTOMER | {"name": "a\0b"}), option=orjson.OPT_INDENT_2)
    assert serve().post(body).status == 200
    assert stored.value("select payload::text from stripe.stripe_webhook_events").encode() == body


def test_redelivery_is_answered_200_and_does_nothing(serve: Serve, stored: Stored) -> None:
    served = serve()
    first = event("customer.updated", CUSTOMER | {"name": "first"})
    second = event("customer.updated", CUSTOMER | {"name": "second"}, id="evt_2")
    assert served.send(first, second, first) == [200, 200, 200]
    assert stored.value("select name from stripe.customers") == "second"
    assert stored.ledger() == ("processed", 1, None)


def test_several_secrets_are_valid_while_one_rolls(serve: Serve) -> None:
    served = serve(webhook_secret=f"whsec_new, {SECRET}")
    body = orjson.dumps(event("customer.created", CUSTOMER))
    assert served.post(body, signature(body, ["whsec_new"], NOW)).status == 200
    assert served.post(body, signature(body, [SECRET], NOW)).status == 200
    assert served.post(body, signature(body, ["whsec_other", "whsec_new"], NOW)).status == 200
    assert served.post(body, signature(body, ["whsec_other"], NOW)).status == 400


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        "t=1",
        "t=,v1=",
        f"t={NOW}",
        f"v1={'0' * 64}",
        f"t={NOW},v1=é",
        f"t=-{NOW},v1={'0' * 64}",
        f"t={'9' * 5000},v1={'0' * 64}",
        f"t={NOW},v0={{good}}",
    ],
)
def test_bad_signature_is_400_and_leaves_no_trace(refusing: Served, header: str) -> None:
    body = orjson.dumps(event("customer.created", CUSTOMER))
    good = signature(body, [SECRET], NOW).partition("v1=")[2]
    answer = refusing.post(body, header.replace("{good}", good).encode().decode("latin-1"))
    assert answer.status == 400
    assert SECRET.encode() not in answer.data


def test_signature_of_another_body_is_400(refusing: Served) -> None:
    body = orjson.dumps(event("customer.created", CUSTOMER))
    assert refusing.post(body + b" ", signature(body, [SECRET], NOW)).status == 400


def test_signature_past_its_tolerance_is_400(serve: Serve) -> None:
    served = serve(tolerance=60)
    body = orjson.dumps(event("customer.created", CUSTOMER))
    assert served.post(body, signature(body, [SECRET], NOW - 61)).status == 400
    assert served.post(body, signature(body, [SECRET], NOW - 60)).status == 200


GOOD, OTHER = f"t={NOW},v1={{good}}", f"t={NOW - 1},v1={'0' * 64}"


@pytest.mark.parametrize(
    "headers",
    [
        [GOOD.replace(",", ", ")],  # as proxies join headers
        [GOOD.replace(",", " ,\t") + " ,"],
        [f"{OTHER}, {GOOD}"],
        [f"{GOOD}, {OTHER}"],
        [OTHER, GOOD],
        [GOOD, OTHER],
        ["nonsense", OTHER, GOOD],
        ["t=x,v1=0", GOOD],
        [f"v1={{good}},t={NOW}"],
        [f"t={NOW},v1={'0' * 64}", f"t={NOW},v1={{good}}"],
    ],
)
def test_signature_is_found_wherever_proxies_have_put_it(serve: Serve, stored: Stored, headers: list[str]) -> None:
    body = orjson.dumps(event("customer.created", CUSTOMER))
    good = signature(body, [SECRET], NOW).partition("v1=")[2]
    served, given = serve(), urllib3.HTTPHeaderDict()
    for header in headers:
        given.add("stripe-SIGNATURE", header.replace("{good}", good))
    assert served.http.request("POST", f"{served.url}/webhooks", body=body, headers=given).status == 200
    assert stored.ledger() == ("processed", 1, None)


def test_many_timestamps_cost_no_more_than_a_few_signatures(refusing: Served) -> None:
    body = orjson.dumps(event("customer.created", CUSTOMER))
    many = ",".join(f"t={NOW - 1 - n},v1={'0' * 64}" for n in range(100))
    assert refusing.post(body, f"{many},{signature(body, [SECRET], NOW)}").status == 400


PLAIN = orjson.dumps(event("customer.created", CUSTOMER))


@pytest.mark.parametrize(
    ("body", "coding", "said"),
    [
        (gzip.compress(PLAIN), "gzip", "gzip"),
        (gzip.compress(PLAIN), "", "gzip"),  # the proxy did not say so
        (zlib.compress(PLAIN), "deflate", "deflate"),
        (b"\x0b\x02\x80" + PLAIN, "br", "br"),
        (b"\xef\xbb\xbf" + PLAIN, "", "byte order mark"),
        (PLAIN.decode().encode("utf-16"), "", "UTF-16"),
        (PLAIN.decode().encode("utf-16-be"), "", "UTF-16"),
    ],
)
@pytest.mark.parametrize("signed", ["before", "after"])
def test_body_that_a_proxy_has_encoded_is_400_and_says_so(
    refusing: Served, body: bytes, coding: str, said: str, signed: str
) -> None:
    header = signature(PLAIN if signed == "before" else body, [SECRET], NOW)
    answer = refusing.post(body, header, **({"Content-Encoding": coding} if coding else {}))
    assert answer.status == 400
    assert said in answer.data.decode()
    assert "proxy" in answer.data.decode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"object":"event"',
        b'{"object":"event"}',
        b'{"object":"event","id":"evt_1","type":"customer.created","created":1,"data":[]}',
        b'{"object":"event","id":1,"type":"customer.created","created":1,"data":{"object":{}}}',
        b'{"object":"event","id":"evt_1","type":"customer.created","created":"x","data":{"object":{}}}',
        b'{"object":"event","id":"evt_1","type":"customer.created","created":1e400,"data":{"object":{}}}',
        b'{"object":"event","id":"e\\u0000","type":"customer.created","created":1,"data":{"object":{}}}',
        b'{"object":"event","id":"e","type":"t","created":1,"account":7,"data":{"object":{}}}',
        b"[" * 100_000,
    ],
)
def test_signed_body_that_is_no_event_is_400(refusing: Served, body: bytes) -> None:
    answer = refusing.post(body)
    assert answer.status == 400
    assert b"Traceback" not in answer.data


def test_body_over_the_limit_is_413_whether_it_says_so_or_not(serve: Serve) -> None:
    served = serve(body_limit=2_000)
    body = orjson.dumps(event("customer.created", CUSTOMER | {"name": "x" * 3_000}))
    assert served.post(body).status == 413
    chunked = served.http.request(
        "POST", f"{served.url}/webhooks", body=iter([body[:1500], body[1500:]]), headers={"Stripe-Signature": "t=1"}
    )
    assert chunked.status == 413


def test_chunked_body_is_taken(serve: Serve) -> None:
    body = orjson.dumps(event("customer.created", CUSTOMER))
    headers = {"Stripe-Signature": signature(body, [SECRET], NOW)}
    served = serve()
    answer = served.http.request("POST", f"{served.url}/webhooks", body=iter([body[:50], body[50:]]), headers=headers)
    assert answer.status == 200


def test_other_methods_are_405(refusing: Served) -> None:
    answer = refusing.get("/webhooks")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("begun", [b"", b"{"])
def test_body_that_does_not_come_is_408(serve: Serve, begun: bytes) -> None:
    served = serve(body_timeout=0.01)
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(b"POST /webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + begun)
        assert connection.recv(12) == b"HTTP/1.1 408"


def test_connection_that_closes_halfway_leaves_no_trace(serve: Serve, stored: Stored) -> None:
    served = serve()
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(b"POST /webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert served.send(event("customer.created", CUSTOMER)) == [200]
    assert stored.value("select count(*) from stripe.stripe_webhook_events") == 1


def test_events_at_once_are_each_committed_and_share_transactions(serve: Serve, stored: Stored) -> None:
    served = serve()
    events = [event("customer.created", CUSTOMER | {"id": f"cus_{i}"}, id=f"evt_{i}") for i in range(300)]
    served.send(events[0])
    with ThreadPoolExecutor(32) as threads:
        assert set(threads.map(lambda each: served.send(each)[0], events)) == {200}
    assert stored.value("select count(*) from stripe.customers") == 300
    assert stored.value("select count(*) from stripe.stripe_webhook_events where status = 'processed'") == 300
    metrics = served.get("/metrics").data.decode()
    batches = float(metrics.split("stripe_sink_batch_events_count ")[1].split("\n")[0])
    assert batches < 290


def test_health_readiness_and_metrics(serve: Serve) -> None:
    served = serve()
    served.send(event("customer.created", CUSTOMER), event("invoice.upcoming", {"object": "invoice"}, id="evt_2"))
    assert (served.get("/health").status, served.get("/ready").status) == (200, 200)
    metrics = served.get("/metrics").data.decode()
    assert 'stripe_sink_events_total{status="processed",type="customer.created"} 1.0' in metrics
    assert 'stripe_sink_events_total{status="ignored",type="invoice.upcoming"} 1.0' in metrics
    assert served.get("/nowhere").status == 404


@pytest.mark.parametrize(
    ("type", "obj", "reason"),
    [
        ("invoice.upcoming", {"object": "invoice", "customer": "cus_1"}, "previews"),
        ("thing.created", {"object": "thing", "id": "th_1"}, "no table"),
        ("customer.updated", {"object": "customer"}, "has no id"),
    ],
)
def test_event_without_a_row_is_ignored_for_a_reason(
    serve: Serve, stored: Stored, type: str, obj: dict[str, Any], reason: str
) -> None:
    assert serve().send(event(type, obj)) == [200]
    status, _, error = stored.ledger()
    assert status == "ignored"
    assert reason in error
