"""What events tell, and when payloads are believed. Pure: no request."""

from __future__ import annotations

from typing import Any

import pytest

from sources.changes import Change, Ignored
from sources.rows import Stamp
from sources.stripe_api.objects.changes import change_of, gone, rows_of

VERSION, ACCOUNT = "2026-10-28.endive", "acct_1"


def event(type: str, obj: dict[str, Any], created: int = 100, **others: Any) -> dict[str, Any]:
    return {"type": type, "created": created, "api_version": VERSION, "data": {"object": obj}} | others


def customer(**fields: Any) -> dict[str, Any]:
    return {"id": "cus_1", "object": "customer", "created": 50, "name": "Ada"} | fields


def listed(*ids: str, has_more: bool = False) -> dict[str, Any]:
    data = [{"id": id, "object": "line_item", "amount": 1} for id in ids]
    return {"object": "list", "data": data, "has_more": has_more, "url": "/v1/x"}


def invoice(lines: dict[str, Any]) -> dict[str, Any]:
    return {"id": "in_1", "object": "invoice", "created": 50, "lines": lines, "total": 5, "status": "draft"}


def told(given: dict[str, Any]) -> Change:
    change = change_of(given, VERSION, ACCOUNT)
    assert isinstance(change, Change)
    return change


def test_a_whole_payload_of_the_projects_version_is_believed() -> None:
    change = told(event("customer.updated", customer()))
    assert (change.table, change.key, change.at, change.created, change.doubt) == (
        "customers",
        ("cus_1",),
        100,
        50,
        None,
    )
    rows = rows_of(change, ACCOUNT)
    assert rows["customers"][0]["_source"] == "event"
    assert rows["customers"][0]["_as_of"] == 100


@pytest.mark.parametrize(
    ("given", "doubt"),
    [
        (event("customer.updated", customer(), api_version="2020-08-27"), "version"),
        (event("customer.updated", customer(), api_version=None), "version"),
        (event("invoice.updated", invoice(listed("il_1", has_more=True))), "cut list"),
        (event("invoice.updated", invoice(listed("il_1"))), None),
        (
            event("checkout.session.completed", {"id": "cs_1", "object": "checkout.session", "created": 1}),
            "list not shown",
        ),
        (event("price.updated", {"id": "price_1", "object": "price", "created": 1}), "field not shown"),
        (event("payment_intent.succeeded", {"id": "pi_1", "object": "payment_intent", "created": 1}), None),
    ],
)
def test_what_cannot_be_believed_is_doubted(given: dict[str, Any], doubt: str | None) -> None:
    assert told(given).doubt == doubt


@pytest.mark.parametrize(
    "given",
    [
        event("invoice.upcoming", {"object": "invoice", "total": 1}),
        event("customer.created", {"object": "customer"}),
        event("something.new", {"object": "something", "id": "s_1"}),
        event("customer.updated", customer(), account="acct_2"),
    ],
)
def test_what_changes_no_row_says_why(given: dict[str, Any]) -> None:
    ignored = change_of(given, VERSION, ACCOUNT)
    assert isinstance(ignored, Ignored)
    assert ignored.reason


def test_a_deleted_object_keeps_its_fields_and_loses_its_children() -> None:
    rows = rows_of(told(event("invoice.deleted", invoice(listed("il_1", "il_2")))), ACCOUNT)
    (row,) = rows["invoices"]
    assert (row["total"], row["_deleted_at"]) == (5, 100)
    assert [line["_source"] for line in rows["invoice_line_items"]] == ["set"]


def test_a_deletion_of_another_version_is_a_tombstone() -> None:
    rows = rows_of(told(event("invoice.deleted", invoice(listed("il_1")), api_version="2020-08-27")), ACCOUNT)
    (row,) = rows["invoices"]
    assert "object" not in row
    assert row["_deleted_at"] == 100
    assert [line["_source"] for line in rows["invoice_line_items"]] == ["set"]


def test_an_ended_subscription_lives_on() -> None:
    ended = {"id": "sub_1", "object": "subscription", "created": 1, "status": "canceled"}
    assert not told(event("customer.subscription.deleted", ended)).is_deletion


def test_what_is_gone_takes_its_children_along() -> None:
    rows = gone("invoices", {"id": "in_1"}, Stamp(ACCOUNT, 7, "retrieve"), None)
    assert rows["invoices"][0]["_deleted_at"] == 7
    assert rows["invoice_line_items"][0]["_source"] == "set"
