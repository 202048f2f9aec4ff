"""Orb's webhooks: what is taken and refused, what is believed, read again, stored in part, ignored or kept."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from pipelines.configuration.settings import read_settings
from simulator.account.deliveries import signature as stripe_signature
from simulator.orb import OrbSimulator
from simulator.orb.account import cut, moment
from simulator.orb.deliveries import signature, signed_headers
from sources.columns.contract import Contract
from sources.errors import BadConfiguration
from sources.orb_api.catalogue import CATALOGUE
from sources.orb_api.catalogue.events import ALERTS, SUBJECTS
from sources.orb_api.provider import ORB
from sources.stripe_api.provider import STRIPE
from tests.conftest import new_database
from tests.webhook_sink.conftest import NOW, Stored, begin, event, settings_for, sink_settings
from tests.webhook_sink.conftest import SECRET as STRIPES
from tests.webhook_sink.orb_served import AT, SECRET, OrbServed, orb_event, orb_servers, orb_settings
from webhook_sink.commit.ledger import create_tables
from webhook_sink.commit.schema import SchemaState
from webhook_sink.endpoints.providers import Served as Serving
from webhook_sink.endpoints.providers import served_by
from webhook_sink.http.embedded import process_webhook
from webhook_sink.http.server import server_of
from webhook_sink.receiver import LARGE
from webhook_sink.settings import read_sink_settings
from webhook_sink.sink import Sink

Serve = Callable[..., OrbServed]
SIM = OrbSimulator(seed=6, customers=6, now=NOW - 100, running=False)


def first(table: str) -> dict[str, Any]:
    return SIM.account.objects(table)[0]


@pytest.fixture
def serve_orb(postgres_url: str) -> Iterator[Serve]:
    with orb_servers(postgres_url) as start:
        yield start


@pytest.fixture(scope="module")
def shared(postgres_server: str) -> Iterator[tuple[OrbServed, Stored]]:
    """A sink without a key, and its database, for tests whose events have ids and objects of their own."""
    with new_database(postgres_server) as url, orb_servers(url) as start:
        yield start(), Stored(url)


def test_an_event_is_in_its_tables_and_in_the_ledger_when_it_is_answered(shared: tuple[OrbServed, Stored]) -> None:
    served, stored = shared
    invoice = first("invoices")
    issued = orb_event("invoice.issued", id="one", invoice=invoice)
    assert served.send(issued, orb_event("resource_event.test", id="two")) == [200, 200]
    columns = "total, status, extract(epoch from _as_of)::int, _source, _account_id"
    (row,) = stored.query(f"select {columns} from orb.invoices where id = %s", invoice["id"])
    assert row == (Decimal(invoice["total"]), invoice["status"], NOW, "event", "orb")
    lines = stored.query("select id from orb.invoice_line_items where _parent_id = %s", invoice["id"])
    assert [id for (id,) in lines] == [item["id"] for item in invoice["line_items"]]
    columns = "type, object_id, object_type, account_id, livemode, api_version, status, attempts, error"
    assert stored.query(f"select {columns} from orb.orb_webhook_events where id in ('one', 'two') order by id") == [
        ("invoice.issued", invoice["id"], "invoice", "orb", False, None, "processed", 1, None),
        ("resource_event.test", None, None, "orb", False, None, "ignored", 1, "it is a test of the webhook"),
    ]
    metrics = served.get("/metrics").data
    assert b'orb_sink_events_total{status="processed",type="invoice.issued"}' in metrics
    assert b"stripe_sink" not in metrics


def test_a_redelivery_does_nothing_and_an_older_state_loses(shared: tuple[OrbServed, Stored]) -> None:
    served, stored = shared
    customer = {**first("customers"), "id": "twice"}
    new = orb_event("customer.edited", id="new", customer=customer | {"name": "new"}, at="2027-01-15T08:00:05.25+00:00")
    old = orb_event("customer.edited", id="old", customer=customer | {"name": "old"}, at="2027-01-15T09:00:04+01:00")
    assert served.send(new, new, old, new) == [200] * 4
    assert stored.value("select name from orb.customers where id = 'twice'") == "new"
    assert stored.value("select attempts from orb.orb_webhook_events where id = 'new'") == 1


@pytest.mark.parametrize("type", [*sorted(CATALOGUE.types), "invoice.brand_new", "plan.without_object", "unheard.of"])
def test_every_type_is_answered_200_and_stored_or_ignored_with_a_reason(
    type: str, shared: tuple[OrbServed, Stored]
) -> None:
    served, stored = shared
    field, table = SUBJECTS.get(type.partition(".")[0], ("", ""))
    shown = {field: {"id": f"of {type}", "created_at": AT, "name": "x"}} if field and "without" not in type else {}
    assert served.send(orb_event(type, id=f"of {type}".replace(" ", "-"), **shown)) == [200]
    status, error = stored.query("select status, error from orb.orb_webhook_events where type = %s", type)[-1]
    known = CATALOGUE.types.get(type)
    if (known is not None and known.ignored) or not shown:
        assert (status, bool(error)) == ("ignored", True)
    else:
        assert (status, error) == ("processed", None)
        where = ("alert_events", f"of-{type}") if type in ALERTS else (table, f"of {type}")
        deleted = stored.value(f"select _deleted_at is not null from orb.{where[0]} where id = %s", where[1])
        assert deleted is (type == "payment_method.deleted")


# --- signatures -------------------------------------------------------------------------------------------------------

BODY = orjson.dumps(orb_event("customer.edited", id="signed", customer={**first("customers"), "id": "signed"}))
TIME = moment(NOW).removesuffix("+00:00")
GOOD = signature(BODY, [SECRET], TIME)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Orb-Signature": GOOD},
        {"X-Orb-Timestamp": TIME},
        {"X-Orb-Signature": "", "X-Orb-Timestamp": ""},
        {"X-Orb-Signature": "nonsense", "X-Orb-Timestamp": TIME},
        {"X-Orb-Signature": GOOD.replace("v1=", "v0="), "X-Orb-Timestamp": TIME},
        {"X-Orb-Signature": GOOD[:-1] + "é", "X-Orb-Timestamp": TIME},
        {"X-Orb-Signature": GOOD, "X-Orb-Timestamp": TIME + "+00:00"},
        {"X-Orb-Signature": signature(BODY, [SECRET], "now"), "X-Orb-Timestamp": "now"},
        {"X-Orb-Signature": signature(BODY, ["another"], TIME), "X-Orb-Timestamp": TIME},
        {"X-Orb-Signature": signature(BODY + b" ", [SECRET], TIME), "X-Orb-Timestamp": TIME},
        signed_headers(BODY, [SECRET], NOW - 301),
        signed_headers(BODY, [SECRET], NOW + 301),
        {"Stripe-Signature": stripe_signature(BODY, [SECRET], NOW)},
    ],
)
def test_a_wrong_signature_is_400_and_leaves_no_trace(
    headers: dict[str, str], shared: tuple[OrbServed, Stored]
) -> None:
    served, stored = shared
    sent = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    answer = served.post(BODY, "", **sent)
    assert answer.status == 400
    assert SECRET.encode() not in answer.data
    assert served.post(BODY, "").status == 400
    found = stored.query("select status from orb.orb_webhook_events where object_id = 'signed'")
    assert found in ([], [("processed",)])  # by the test of right signatures


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Orb-Signature": GOOD, "X-Orb-Timestamp": TIME},
        {"X-Orb-Signature": f"  v1={'0' * 64}   {GOOD} ", "X-Orb-Timestamp": f" {TIME} "},
        {"X-Orb-Signature": f"v1={'0' * 64}, {GOOD}", "X-Orb-Timestamp": f"2020-01-01T00:00:00, {TIME}"},
        {
            "X-Orb-Signature": signature(BODY, [SECRET], "2027-01-15T09:04:59.9+01:00"),
            "X-Orb-Timestamp": "2027-01-15T09:04:59.9+01:00",
        },
        signed_headers(BODY, [SECRET], NOW - 299),
        signed_headers(BODY, ["another", SECRET], NOW),
    ],
)
def test_a_right_signature_is_taken_also_among_others_and_blanks(
    headers: dict[str, str], shared: tuple[OrbServed, Stored]
) -> None:
    served, _ = shared
    assert served.post(BODY, "", **headers).status == 200


def test_the_signatures_of_a_large_body_are_checked_beside_the_other_webhooks(serve_orb: Serve, stored: Stored) -> None:
    checked: list[str] = []

    def verify(body: bytes, *arguments: Any, **options: Any) -> None:
        checked.append(threading.current_thread().name)
        ORB.verify(body, *arguments, **options)

    served = serve_orb(provider=replace(ORB, verify=verify))
    large = orjson.dumps(orb_event("customer.edited", customer={"id": "a", "metadata": {"note": "x" * LARGE}}))
    assert served.post(BODY).status == 200
    assert served.post(large).status == 200
    assert served.post(large, "", **signed_headers(large, ["another"], NOW)).status == 400
    assert checked[1] != checked[0] != checked[2]
    assert stored.value("select length(metadata->>'note') from orb.customers where id = 'a'") == LARGE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"id": "a", "type": "customer.edited"}',
        b'{"id": 1, "type": "customer.edited", "created_at": "2027-01-15T08:00:00Z"}',
        b'{"id": "a", "type": "customer.edited", "created_at": "yesterday"}',
        b'{"id": "a", "type": "customer.edited", "created_at": "2027-01-15T08:00:00"}',
        orjson.dumps(event("customer.created", {"id": "cus_1", "object": "customer"})),
    ],
)
def test_what_is_no_event_of_orbs_is_400(body: bytes, shared: tuple[OrbServed, Stored]) -> None:
    assert shared[0].post(body).status == 400


# --- what is believed -------------------------------------------------------------------------------------------------

IN_PART = 'orb_sink_distrusted_total{reason="cut payload",then="stored in part"}'


@pytest.mark.parametrize("table", ["subscriptions", "invoices", "plans"])
def test_without_a_key_a_cut_payload_leaves_the_columns_that_it_lacks(
    table: str, shared: tuple[OrbServed, Stored]
) -> None:
    served, stored = shared
    field = table.removesuffix("s")
    whole = SIM.account.objects(table)[1]
    id, before = whole["id"], sum_of(served.get("/metrics").data, IN_PART)
    changed = "memo" if table == "invoices" else "name"

    def send(event: str, obj: dict[str, Any], at: str = AT, **more: Any) -> None:
        assert served.send(orb_event(f"{field}.edited", id=f"{event}-{table}", at=at, **{field: obj}, **more)) == [200]

    send("whole", whole)
    columns = sorted((whole.keys() - cut(table, whole).keys()) & CATALOGUE.fields(table).keys())
    assert columns
    query = f"select {', '.join(columns)} from orb.{table} where id = %s"
    (kept,) = stored.query(query, id)
    part = cut(table, whole) | {changed: "cut"}
    send("cut", part, "2027-01-15T08:00:01+00:00", payload_style="standard")
    assert stored.query(query, id) == [kept]
    told = f"select {changed}, extract(epoch from _as_of)::int, _deleted_at from orb.{table} where id = %s"
    assert stored.query(told, id) == [("cut", NOW + 1, None)]
    for embedded in CATALOGUE.tables[table].embedded:
        living = f"select count(*) from orb.{embedded.table} where _parent_id = %s and _deleted_at is null"
        assert stored.value(living, id) == len(whole[embedded.field])
    # A field that is there and null empties its column; a part that comes late changes nothing.
    send("null", part | {changed: None}, "2027-01-15T08:00:02+00:00")
    send("late", part | {changed: "late"}, payload_style="standard")
    assert stored.query(told, id) == [(None, NOW + 2, None)]
    send("unknown", part | {"id": f"unknown {table}"})
    assert stored.query(told, f"unknown {table}") == [("cut", NOW, None)]
    assert sum_of(served.get("/metrics").data, IN_PART) == before + 4


def sum_of(metrics: bytes, series: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in metrics.decode().splitlines() if line.startswith(series))


@pytest.mark.parametrize("style", ["standard", "summary"])
def test_with_a_key_cut_payloads_and_balances_are_read_again(style: str, serve_orb: Serve, stored: Stored) -> None:
    with OrbSimulator(seed=6, customers=4, now=NOW, running=False) as sim:
        served = serve_orb(sim)
        account = sim.account
        account.style = style  # type: ignore[assignment]
        account.listeners.append(lambda told: bodies.append(orjson.dumps(account.payload(told, account.style))))
        bodies: list[bytes] = []
        invoice, customer = account.objects("invoices")[0], account.objects("customers")[0]
        account.update("invoices", invoice["id"], {"memo": "read"}, "invoice.edited")
        account.update("customers", customer["id"], {"balance": "1.00"}, "customer.balance_transaction_created")
        assert [served.post(body).status for body in bodies] == [200, 200]
        sim.clock.advance(5)
        served.read_again()
        assert stored.query("select memo, _source from orb.invoices") == [("read", "retrieve")]
        assert stored.query("select balance, _source from orb.customers") == [(Decimal(1), "retrieve")]
        statuses = stored.query("select distinct status from orb.orb_webhook_events")
        assert statuses == [("processed",)]


def test_a_key_that_orb_refuses_is_told_and_webhooks_are_taken(
    serve_orb: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    with OrbSimulator(seed=6, customers=1, now=NOW - 100, running=False) as sim:
        sim.api.key = "test_another"
        served = serve_orb(sim)
        assert served.post(BODY).status == 200
        while not (told := [message for message in caplog.messages if "objects cannot be read again" in message]):
            pass
        assert "ORB_API_KEY" in told[0]


def test_an_object_whose_id_no_request_can_ask_for_is_stored_as_it_came(serve_orb: Serve, stored: Stored) -> None:
    served = serve_orb(SIM)
    for number, id in enumerate((rb"\u0000x", rb"\ud800x")):
        shown = orjson.dumps(orb_event("invoice.issued", id=f"odd{number}", invoice={"id": "ID", "status": "issued"}))
        assert served.post(shown.replace(b"ID", id)).status == 200
    assert stored.query("select distinct status, error from orb.orb_webhook_events") == [("processed", None)]
    assert stored.query("select status from orb.invoices") == [("issued",), ("issued",)]
    assert stored.query("select * from orb.orb_webhook_rereads") == []


# --- a process with both ----------------------------------------------------------------------------------------------


def test_one_process_takes_both_providers_webhooks(postgres_url: str, stored: Stored) -> None:
    given = sink_settings(orb_webhook_secret=SECRET)
    stripe, orb = settings_for(postgres_url), orb_settings(postgres_url)
    sinks = [
        Sink(stripe, given, provider=STRIPE, takes_webhooks=True, clock=lambda: float(NOW)),
        Sink(orb, given, provider=ORB, takes_webhooks=True, clock=lambda: float(NOW)),
    ]
    with ExitStack() as running:
        serving = [Serving(sinks[0], stripe, given.paths), Serving(sinks[1], orb, given.orb_paths)]
        port, loop = begin(server_of(serving, given), sinks, running)
        served = OrbServed(sinks[1], port, loop, lambda: float(NOW))
        assert served.send(orb_event("customer.edited", customer=first("customers"))) == [200]
        body = orjson.dumps(event("customer.created", {"id": "cus_1", "object": "customer"}))
        headers = {"Stripe-Signature": stripe_signature(body, [STRIPES], NOW)}
        assert served.http.request("POST", f"{served.url}/webhooks", body=body, headers=headers).status == 200
        assert served.http.request("POST", f"{served.url}/webhooks/orb", body=body, headers=headers).status == 400
        assert served.get("/ready").status == 200
        metrics = served.get("/metrics").data
        assert b"stripe_sink_events_total" in metrics
        assert b"orb_sink_events_total" in metrics
    for table in ("orb.customers", "stripe.customers"):
        assert stored.value(f"select count(*) from {table}") == 1


def test_a_dataset_takes_the_events_of_one_provider(postgres_url: str) -> None:
    create_tables(postgres_url, "shared", STRIPE)
    state = SchemaState(postgres_url, "shared", STRIPE, Contract())
    asyncio.run(state.create())
    asyncio.run(state.add({"customers": {"id"}}))
    with pytest.raises(BadConfiguration, match="has the tables of stripe"):
        create_tables(postgres_url, "shared", ORB)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {"stripe": (False, "/webhooks")}),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_1"}, {"stripe": (False, "/webhooks")}),
        (
            {"STRIPE_WEBHOOK_SECRET": "whsec_1", "ORB_WEBHOOK_SECRET": "one"},
            {"stripe": (False, "/webhooks"), "orb": (False, "/webhooks/orb")},
        ),
        ({"ORB_WEBHOOK_SECRET": "one"}, {"orb": (False, "/webhooks /webhooks/orb")}),
        (
            {"STRIPE_SECRET_KEY": "sk_test_1", "ORB_API_KEY": "test_1"},
            {"stripe": (False, "/webhooks"), "orb": (True, "/webhooks/orb")},
        ),
        ({"ORB_API_KEY": "test_1"}, {"stripe": (True, "/webhooks"), "orb": (True, "/webhooks/orb")}),
        (
            {"ORB_WEBHOOK_SECRET": "one", "WEBHOOK_SINK__ORB_PATH": "/a,/b", "WEBHOOK_SINK__PATH": "/c"},
            {"orb": (False, "/a /b /c")},
        ),
    ],
)
def test_the_secrets_and_keys_decide_which_sinks_there_are(
    variables: dict[str, str], expected: dict[str, tuple[bool, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = read_settings(destination="postgres", database_url="postgresql://localhost/nothing")
    found = served_by(settings, read_sink_settings(), destination="postgres", database_url=settings.database_url)
    told = {each.sink.provider.name: (each.sink.is_optional, " ".join(sorted(each.paths))) for each in found}
    assert told == expected
    assert all(each.settings.database_url == settings.database_url for each in found)


def test_paths_and_tables_that_cannot_be_meant_are_refused(postgres_url: str) -> None:
    for wrong in ({"orb_path": "orb"}, {"revalidate": "invoises"}):
        with pytest.raises(BadConfiguration, match=next(iter(wrong))):
            read_sink_settings(**wrong)
    with pytest.raises(BadConfiguration, match=r"path and orb_path both have /b,"):
        read_sink_settings(path="/a,/b", orb_path="/b,/c")
    both = read_sink_settings(revalidate="customers, charge, plan, license_types")
    assert both.revalidated(CATALOGUE) == {"customers", "plans", "license_types"}
    with pytest.raises(BadConfiguration, match="ORB_API_KEY"):
        Sink(orb_settings(postgres_url), both, provider=ORB)


def test_a_program_can_hand_over_orbs_webhooks(postgres_url: str, stored: Stored) -> None:
    body = orjson.dumps(orb_event("customer.edited", at=moment(time.time()), customer=first("customers")))
    given = {"database_url": postgres_url, "orb_webhook_secret": SECRET}
    headers = signed_headers(body, [SECRET], time.time())
    assert process_webhook(body, headers, provider="orb", **given).status == 200
    assert process_webhook(body, {**headers, "X-Orb-Timestamp": TIME}, provider="orb", **given).status == 400
    assert stored.value("select count(*) from orb.customers") == 1
    with pytest.raises(BadConfiguration, match="There is no provider"):
        process_webhook(body, headers, provider="chargebee", **given)
