"""Discounts: they come with what they are given on, while that keeps their ids, and with events."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from simulator.content.business.contracts import Contract
from tests.pipelines.mirror import Mirror

if TYPE_CHECKING:
    from simulator import Simulator

LISTS = ("customers", "coupons", "subscriptions", "invoiceitems", "invoices")


def contract(sim: Simulator, coupon: str) -> Contract:
    """A subscription with a coupon, whose first invoice is lowered by it."""
    account, maker = sim.account, sim.maker(len(sim.account.objects("subscriptions")))
    price = next(obj for obj in account.objects("prices") if obj["recurring"] and obj["unit_amount"])
    sold = [({"tiers": None, "transform_quantity": None, **price}, 2)]
    return Contract.begin(maker, account.objects("customers")[0], sold, coupon=account.get("coupons", coupon))


def discount_of_item(sim: Simulator, of: Contract) -> str:
    """A coupon on an item of a subscription, which `customer.subscription.updated` tells by the item's ids."""
    (item,) = of.items
    made = sim.make(
        "discounts", customer=of.customer, subscription=of.id, subscription_item=item, start=sim.clock.seconds(),
        source={"coupon": "LAUNCH25", "type": "coupon"},
    )  # fmt: skip
    sim.account.create("discounts", made)
    (shown,) = sim.account.show("subscriptions", of.id)["items"]["data"]
    sim.account.update("subscriptions", of.id, {"items": [shown | {"discounts": [made["id"]]}]}, event=False)
    sim.account.update("subscriptions", of.id, {"metadata": {"item": "discounted"}})
    return str(made["id"])


def discount_of_line(sim: Simulator, of: Contract) -> str:
    """A coupon on one line of an invoice: neither the invoice nor a subscription names it."""
    id = of.invoiced[0]
    made = sim.make(
        "discounts", customer=of.customer, invoice=id, start=sim.clock.seconds(),
        source={"coupon": "LAUNCH25", "type": "coupon"},
    )  # fmt: skip
    sim.account.create("discounts", made, event=False)
    first, *others = sim.account.show("invoices", id)["lines"]["data"]
    lines = [first | {"discounts": [made["id"]]}, *others]
    sim.account.update("invoices", id, {"lines": lines}, event=False)
    return str(made["id"])


def ids_of(row: dict[str, Any]) -> Any:
    return json.loads(row["discounts"])


def test_lists_bring_discounts_while_their_parents_keep_the_ids(mirrored: Callable[..., Mirror]) -> None:
    mirror = mirrored()
    account = mirror.sim.account
    lasting, ended = contract(mirror.sim, "friends & family"), contract(mirror.sim, "10off")
    of_item, of_line = discount_of_item(mirror.sim, lasting), discount_of_line(mirror.sim, lasting)
    (first,), (last,) = lasting.coupons, ended.coupons
    account.update("subscriptions", ended.id, {"discounts": []})
    account.delete("discounts", last)  # the invoice still names it
    mirror.load(*LISTS)
    assert mirror.differences(LISTS) == []
    rows = {row["id"]: row for row in mirror.rows("discounts")}
    assert rows.keys() == {first, of_item, of_line, last}
    assert {id for id, row in rows.items() if row["_deleted_at"] is not None} == {last}
    assert {row["_source"] for row in rows.values()} == {"list"}
    assert ids_of(mirror.row("subscriptions", lasting.id)) == [first]
    assert ids_of(mirror.row("subscription_items", next(iter(lasting.items)))) == [of_item]
    assert ids_of(mirror.row("invoices", ended.invoiced[0])) == [last]
    assert [ids_of(row) for row in mirror.rows("invoice_line_items") if of_line in row["discounts"]] == [[of_line]]
    assert of_line not in mirror.row("invoices", lasting.invoiced[0])["discounts"]
    coupon = "select coupon_id from stripe_current.discounts where id = ?"
    assert mirror.destination.value(coupon, [first]) == "friends & family"
    invoice, read = mirror.row("invoices", lasting.invoiced[0]), mirror.row("discounts", first)
    assert read["_as_of"] >= invoice["_as_of"]  # that of a read that showed it


@pytest.mark.long
def test_events_tell_ids_and_discounts_begin_and_end_with_events_of_their_own(mirrored: Callable[..., Mirror]) -> None:
    mirror = mirrored()
    mirror.load(*LISTS)
    mirror.sync(*LISTS)
    made = contract(mirror.sim, "friends & family")
    (first,) = made.coupons
    mirror.pass_time(120)
    mirror.sync(*LISTS)
    assert mirror.differences(LISTS) == []
    assert (ids_of(mirror.row("subscriptions", made.id)), mirror.row("discounts", first)["_source"]) == (
        [first], "event",
    )  # fmt: skip
    told = mirror.row("subscriptions", made.id)
    mirror.read(made.id)
    read = mirror.row("subscriptions", made.id)
    assert (read["_source"], read["discounts"]) == ("retrieve", told["discounts"])
    assert mirror.row("discounts", first)["_source"] == "retrieve"
    at = mirror.sim.clock.seconds()
    mirror.pass_time(5)
    mirror.sim.account.update("subscriptions", made.id, {"discounts": []})
    mirror.sim.account.delete("discounts", first)
    mirror.pass_time(120)
    mirror.sync(*LISTS)
    assert mirror.row("discounts", first)["_deleted_at"].timestamp() == at + 5
    assert mirror.differences(LISTS) == []


@pytest.mark.long
def test_a_check_finds_and_repairs_discounts(mirrored: Callable[..., Mirror]) -> None:
    mirror = mirrored()
    made, lost = contract(mirror.sim, "friends & family"), contract(mirror.sim, "LAUNCH25")
    (changed,), (missing,) = made.coupons, lost.coupons
    mirror.load(*LISTS)
    mirror.pass_time(3600)
    mirror.destination.query("update stripe.discounts set customer = 'cus_other' where id = ?", [changed])
    mirror.destination.query("delete from stripe.discounts where id = ?", [missing])
    report = mirror.check(*LISTS)
    found = {(finding.table, finding.key, finding.drift, finding.fields) for finding in report.findings}
    assert found == {
        ("discounts", (changed,), "stale", ("customer",)),
        ("discounts", (missing,), "missing", ()),
    }
    assert mirror.differences(LISTS) == []
    assert not mirror.check(*LISTS).has_drift
