"""Orb's objects as rows: arrays that fill tables of their own, markers, keys, and what no row can hold."""

from __future__ import annotations

from typing import Any

import pytest

from sources.columns.conversion_counts import ConversionCounts
from sources.errors import BrokenPage
from sources.orb_api.objects.rows import explode, gone
from sources.rows import Row, Stamp

STAMP = Stamp("orb", 1_000, "list")
OWN = {"_account_id": "orb", "_as_of": 1_000, "_source": "list"}


def invoice(*lines: Any, **fields: Any) -> Row:
    return {"id": "inv", "created_at": "2026-01-01T00:00:00+00:00", "line_items": list(lines), **fields}


def test_an_array_leaves_its_object_and_closes_its_set() -> None:
    rows = explode("invoices", [invoice({"id": "a"}, {"id": "b"})], STAMP)
    assert rows["invoices"] == [{"id": "inv", "created_at": "2026-01-01T00:00:00+00:00", **OWN}]
    marker = {"id": "inv", **OWN, "_parent_id": "inv", "_source": "set"}
    lines = [{"id": id, **OWN, "_parent_id": "inv"} for id in ("a", "b")]
    assert rows["invoice_line_items"] == [*lines, marker]


def test_an_empty_array_closes_an_empty_set_and_none_says_nothing() -> None:
    closed: dict[str, list[str]] = {}
    assert explode("invoices", [invoice()], STAMP, closed=closed)["invoice_line_items"] == []
    assert closed == {"invoice_line_items": ["inv"]}
    assert explode("invoices", [invoice() | {"line_items": None}], STAMP).keys() == {"invoices"}


@pytest.mark.parametrize("odd", [{"name": "no id"}, {"id": ""}, {"id": 7}, "text", {"id": "a"}, {"id": "x" * 3_000}])
def test_entries_without_a_key_of_their_own_stay_and_the_set_is_not_closed(odd: Any) -> None:
    counts = ConversionCounts()
    rows = explode("invoices", [invoice({"id": "a"}, odd, {"id": "b"})], STAMP, counts=counts)
    same = odd == {"id": "a"}
    assert [item["id"] for item in rows["invoice_line_items"]] == (["b"] if same else ["a", "b"])
    assert rows["invoices"][0]["line_items"] == ([{"id": "a"}] * 2 if same else [odd])
    assert "have no key, or share it" in counts.rejected()[0].why


def test_a_plan_keeps_the_ids_of_its_prices_which_belong_to_no_plan() -> None:
    rows = explode("plans", [{"id": "p", "created_at": "x", "prices": [{"id": "a"}, {"name": "odd"}]}], STAMP)
    assert rows["plans"][0]["prices"] == ["a", {"name": "odd"}]
    assert rows["prices"] == [{"id": "a", **OWN}]


def test_both_kinds_of_intervals_have_their_tables_and_copies_of_others_stay() -> None:
    shown = {"id": "s", "customer": {"id": "c"}, "plan": {"id": "p", "prices": [{"id": "x"}]}}
    intervals = {"price_intervals": [{"id": "i"}], "adjustment_intervals": [{"id": "j"}]}
    rows = explode("subscriptions", [shown | intervals], STAMP)
    assert rows["subscriptions"] == [{**shown, **OWN}]
    assert rows["subscription_price_intervals"][0]["_parent_id"] == "s"
    assert rows["subscription_adjustment_intervals"][0]["id"] == "j"
    assert "prices" not in rows


def test_an_object_without_a_key_is_named_and_its_neighbours_stay() -> None:
    counts = ConversionCounts()
    rows = explode("items", [{"name": "none"}, {"id": "a"}], STAMP, counts=counts)
    assert [item["id"] for item in rows["items"]] == ["a"]
    assert counts.rejected()[0].why == "it lacks its key, id"
    with pytest.raises(BrokenPage, match="lacks its key"):
        explode("items", [{"name": "none"}], STAMP)


def test_fields_named_like_our_own_columns_are_kept_aside() -> None:
    row = explode("items", [{"id": "a", "_as_of": 5, "_source": None}], STAMP)["items"][0]
    assert (row["_as_of"], row["_other_fields"]) == (1_000, {"_as_of": 5})


def test_an_object_that_is_gone_leaves_a_tombstone_and_no_children() -> None:
    rows = gone("invoices", "inv", Stamp("orb", 1_000, "retrieve"))
    assert rows["invoices"] == [{"id": "inv", **OWN, "_source": "retrieve", "_deleted_at": 1_000}]
    assert [item["_source"] for item in rows["invoice_line_items"]] == ["set"]
