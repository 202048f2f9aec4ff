"""What Orb's events tell, and whether their payloads are believed."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.orb import OrbSimulator
from simulator.orb.account import cut
from sources.changes import Change, Ignored
from sources.errors import BrokenPage
from sources.orb_api.catalogue import CATALOGUE
from sources.orb_api.catalogue.events import ALERTS, SUBJECTS
from sources.orb_api.objects.changes import change_of, rows_of

AT, SECOND = "2026-03-01T12:00:00.654321+00:00", 1_772_366_400
SIM = OrbSimulator(seed=6, customers=4, now=SECOND, running=False)


def event(type: str, obj: Any, **fields: Any) -> dict[str, Any]:
    field = SUBJECTS.get(type.partition(".")[0], ("object", ""))[0]
    return {"id": "event", "type": type, "created_at": AT, "properties": {"x": 1}, field: obj, **fields}


def change(type: str, obj: Any, **fields: Any) -> Change:
    told = change_of(event(type, obj, **fields), "", "orb")
    assert isinstance(told, Change)
    return told


@pytest.mark.parametrize("type", sorted(CATALOGUE.types))
def test_every_type_is_a_change_of_its_table_or_ignored_with_a_reason(type: str) -> None:
    known = CATALOGUE.types[type]
    told = change_of(event(type, {"id": "a"}), "", "orb")
    if known.ignored:
        assert isinstance(told, Ignored)
        assert told.reason
    else:
        assert isinstance(told, Change)
        assert told.table == ("alert_events" if type in ALERTS else known.table)
        assert told.at == SECOND
        assert told.is_deletion == (type == "payment_method.deleted")


@pytest.mark.parametrize(
    "table", ["customers", "subscriptions", "invoices", "credit_notes", "plans", "billable_metrics"]
)
def test_a_whole_payload_is_believed_and_a_cut_one_is_not(table: str) -> None:
    obj = SIM.account.objects(table)[0]
    type = f"{table.removesuffix('s')}.edited"
    assert change(type, obj).doubt is None
    assert change(type, obj, payload_style="expanded").doubt is None
    assert change(type, obj, payload_style="standard").doubt == "cut payload"
    assert change(type, {name: value for name, value in obj.items() if name != "created_at"}).doubt == (
        "cut payload" if table != "billable_metrics" else None
    )
    if cut(table, obj) != obj:
        assert change(type, cut(table, obj)).doubt == "cut payload"


def test_a_balance_is_read_again() -> None:
    assert change("customer.balance_transaction_created", SIM.account.objects("customers")[0]).doubt == "balance"


def test_a_type_that_is_new_is_taken_by_its_first_word() -> None:
    assert change("invoice.sung", SIM.account.objects("invoices")[0]).table == "invoices"
    told = change_of(event("weather.changed", {"id": "a"}), "", "orb")
    assert told == Ignored("weather.changed", "no table holds its object")


@pytest.mark.parametrize(
    "broken", [{"type": None}, {"created_at": "yesterday"}, {"created_at": None}, {"invoice": None}]
)
def test_an_event_that_is_none_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(BrokenPage, match="the event has no"):
        change_of(event("invoice.issued", {"id": "a"}) | broken, "", "orb")


def test_an_object_without_a_key_is_ignored() -> None:
    assert change_of(event("invoice.issued", {}), "", "orb") == Ignored("invoice.issued", "its object lacks its key")


def test_rows_are_dated_by_the_second_of_the_event() -> None:
    invoice = SIM.account.objects("invoices")[0]
    rows = rows_of(change("invoice.issued", invoice), "orb")
    assert rows["invoices"][0]["_as_of"] == SECOND
    assert rows["invoices"][0]["_source"] == "event"
    assert rows["invoice_line_items"][-1]["_source"] == "set"


def test_a_payment_method_that_is_deleted_keeps_its_columns() -> None:
    (row,) = rows_of(change("payment_method.deleted", {"id": "pm", "customer_id": "c"}), "orb")["payment_methods"]
    assert (row["customer_id"], row["_deleted_at"]) == ("c", SECOND)


def test_an_alert_is_a_row_about_its_subject() -> None:
    told = change("subscription.usage_exceeded", {"id": "sub"})
    assert told.object == {
        "id": "event",
        "type": "subscription.usage_exceeded",
        "created_at": AT,
        "subject_type": "subscription",
        "subject_id": "sub",
        "properties": {"x": 1},
    }
