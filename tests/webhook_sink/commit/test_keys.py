"""Ids that are not unique: two objects of Stripe's are two rows, whatever version of the API an event shows them in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from pipelines.loading.run import Order, run
from simulator import Simulator
from sources.stripe_api.catalogue import select
from sources.stripe_api.provider import STRIPE
from tests.webhook_sink.account_equality import assert_equal
from tests.webhook_sink.conftest import NOW, Served, Stored, event, settings_for

Serve = Callable[..., Served]
LINES = "select id, _parent_id from stripe.invoice_line_items where _deleted_at is null"


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(seed=5, customers=4, now=NOW, running=False) as sim:
        yield sim


def renewals(sim: Simulator, api_version: str) -> list[dict[str, Any]]:
    """An event for each invoice of the account, in a version of its own."""
    told: list[bytes] = []
    sim.account.events.listeners.append(told.append)
    sim.account.events.api_version = api_version
    for invoice in sim.account.objects("invoices"):
        sim.account.tell("invoices", invoice["id"], "invoice.updated")
    return [orjson.loads(body) for body in told]


def shown_ids(events: list[dict[str, Any]]) -> list[str]:
    return [line["id"] for each in events for line in each["data"]["object"]["lines"]["data"]]


@pytest.mark.parametrize("api_version", ["2019-05-16", "2017-08-15"])
def test_lines_that_share_an_id_below_several_invoices_are_all_kept(
    serve: Serve, stored: Stored, sim: Simulator, api_version: str
) -> None:
    """A sink without a key believes the shape of its endpoint's version; a later load gives the lines of today."""
    events = [renewal for renewal in renewals(sim, api_version) if not renewal["data"]["object"]["lines"]["has_more"]]
    invoices = {each["data"]["object"]["id"] for each in events}
    expected = [row for row in sim.account.rows("invoice_line_items") if row.parent in invoices]
    ids = shown_ids(events)
    assert len(set(ids)) < len(ids) == len(expected)
    served = serve(account=sim.account.id)
    assert set(served.send(*events)) == {200}
    if api_version > "2018":
        assert sorted(stored.query(LINES)) == sorted(each.key for each in expected)
    else:
        kept = stored.value("select sum(jsonb_array_length(lines -> 'data')) from stripe.invoices")
        assert kept > 0
        assert len(stored.query(LINES)) + kept == len(expected)
    sim.clock.advance(5)
    run(settings_for(stored.url, sim), Order("stripe_full", select(["invoices"])), STRIPE)
    assert_equal(stored.url, sim, ("invoices", "invoice_line_items"))


@pytest.mark.parametrize("api_version", ["2019-05-16", "2017-08-15"])
def test_lines_that_share_an_id_within_an_invoice_are_not_lost(
    serve: Serve, stored: Stored, sim: Simulator, api_version: str
) -> None:
    """Where nothing tells two lines of a subscription apart they stay in the invoice's row."""
    invoice = sim.account.objects("invoices")[0]["id"]
    shared = {"subscription": "sub_shared", "amount": 100, "currency": "usd"}
    lines = [sim.make("invoice_line_items", id=f"il_{n}", invoice=invoice, **shared) for n in range(2)]
    sim.account.update("invoices", invoice, {"lines": lines}, event=False)
    (told,) = [renewal for renewal in renewals(sim, api_version) if renewal["data"]["object"]["id"] == invoice]
    assert shown_ids([told]) == ["sub_shared", "sub_shared"]
    assert serve(account=sim.account.id).send(told) == [200]
    if api_version > "2018":
        assert sorted(stored.query(LINES)) == [("il_0", invoice), ("il_1", invoice)]
    else:
        assert stored.value("select jsonb_array_length(lines -> 'data') from stripe.invoices") == 2


def test_line_of_an_unheard_of_event_belongs_to_the_invoice_that_it_names(serve: Serve, stored: Stored) -> None:
    line = {"id": "il_1", "object": "line_item", "amount": 5, "currency": "usd"}
    told = [
        event("invoice_line_item.created", {**line, "invoice": invoice}, id=f"evt_{n}")
        for n, invoice in enumerate(("in_1", "in_2", None))
    ]
    assert serve().send(*told) == [200, 200, 200]
    assert sorted(stored.query(LINES)) == [("il_1", "in_1"), ("il_1", "in_2")]
    assert stored.ledger("evt_2")[0] == "ignored"


def lines(*shown: tuple[str, int]) -> dict[str, Any]:
    """An invoice with lines of these ids and amounts, all of them."""
    entries = [{"id": id, "object": "line_item", "amount": amount} for id, amount in shown]
    return {"id": "in_1", "object": "invoice", "lines": {"object": "list", "has_more": False, "data": entries}}


def test_lines_beside_those_that_share_an_id_are_taken_and_the_rest_is_said(
    serve: Serve, stored: Stored, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve()
    told = [
        event("invoice.created", lines(("il_1", 1), ("il_2", 2)), id="evt_1"),
        event("invoice.updated", lines(("sub_1", 100), ("sub_1", 300), ("ii_9", 7)), id="evt_2", created=NOW + 5),
        event("invoice.updated", lines(("ii_9", 8)), id="evt_3", created=NOW + 10),
    ]
    assert served.send(*told[:2]) == [200, 200]
    assert {id for id, _ in stored.query(LINES)} == {"il_1", "il_2", "ii_9"}  # the list is not whole: none is deleted
    assert stored.value("select lines -> 'data' -> 1 ->> 'amount' from stripe.invoices") == "300"
    why = "invoice_line_items: 2 entries of invoices.lines have no key, or share it"
    assert stored.ledger("evt_1") == ("processed", 1, None)
    assert stored.ledger("evt_2") == ("processed", 1, why)
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert (record.getMessage().endswith(why), vars(record)["event"]) == (True, "evt_2")
    assert served.send(told[2]) == [200]
    assert [id for id, _ in stored.query(LINES)] == ["ii_9"]


def test_line_whose_key_no_index_takes_is_left_out_by_itself(serve: Serve, stored: Stored) -> None:
    assert serve().send(event("invoice.updated", lines(("il_" + "x" * 1_500, 1), ("il_2", 2)))) == [200]
    assert [id for id, _ in stored.query(LINES)] == ["il_2"]
    status, _, why = stored.ledger()
    assert (status, why) == (
        "processed",
        "invoice_line_items: it has a key that is too long for an index, id, _parent_id",
    )


def test_what_an_object_that_was_read_again_leaves_out_is_said_of_its_event(
    serve: Serve, stored: Stored, sim: Simulator
) -> None:
    invoice = sim.account.objects("invoices")[0]["id"]
    shown = [sim.make("invoice_line_items", id=id, invoice=invoice) for id in ("il_0", "il_1", "il_2")]
    sim.account.update("invoices", invoice, {"lines": shown}, event=False)
    told: list[bytes] = []
    sim.account.events.listeners.append(told.append)
    sim.account.tell("invoices", invoice, "invoice.updated")
    sim.faults.add("replace", path_prefix="/v1/invoices/", old=b'"id":"il_2"', new=b'"id":"il_1"')
    served = serve(sim, revalidate="invoices")
    assert [served.post(body).status for body in told] == [200]
    sim.clock.advance(5)
    served.read_again()
    assert [id for id, _ in stored.query(LINES)] == ["il_0"]
    why = "invoice_line_items: 2 entries of invoices.lines have no key, or share it"
    assert stored.ledger(orjson.loads(told[0])["id"]) == ("processed", 1, why)
