"""What becomes of Stripe's objects: rows of tables, tombstones, set markers, and the object again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sources.columns.columns import OWN_COLUMNS, Columns
from sources.columns.conversion_counts import ConversionCounts
from sources.columns.typed import object_of, typed_rows
from sources.errors import BrokenPage
from sources.rows import Stamp
from sources.stripe_api.catalogue import CATALOGUE, TABLES
from sources.stripe_api.catalogue.fields import fields_of
from sources.stripe_api.objects.changes import gone
from sources.stripe_api.objects.rows import explode, set_marker
from tests.sources.comparable import comparable
from tests.sources.json_values import escaped, identical, in_digits, strings, values

STAMP = Stamp("acct_1", 1_760_000_000, "list")
OWN = {"_account_id": "acct_1", "_as_of": 1_760_000_000, "_source": "list"}
MARK = {**OWN, "_source": "set"}
NOW = datetime(2025, 11, 1, 12, 30, 0, 123456, tzinfo=UTC)


def listed(*entries: dict[str, Any], more: bool = False) -> dict[str, Any]:
    return {"object": "list", "data": list(entries), "has_more": more, "url": "/v1/somewhere"}


def exploded(table: str, objects: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The table's own rows of objects, below a parent where the table's key takes one. The objects are not changed."""
    parent_id = "x_9" if "_parent_id" in TABLES[table].key else None
    return explode(table, deepcopy(list(objects)), STAMP, parent_id=parent_id)[table]


def typed(table: str, *objects: dict[str, Any], known: Columns | None = None) -> list[dict[str, Any]]:
    return typed_rows(table, exploded(table, objects), known or Columns(CATALOGUE), clock=lambda: NOW)


# --- explode


def test_object_becomes_row_with_stamp() -> None:
    rows = explode("customers", [{"id": "cus_1", "object": "customer", "name": "A", "address": {"city": "B"}}], STAMP)
    assert rows == {"customers": [{"id": "cus_1", "object": "customer", "name": "A", "address": {"city": "B"}, **OWN}]}


def test_embedded_list_moves_to_its_table_and_is_closed() -> None:
    line = {"id": "il_1", "object": "line_item", "amount": 5}
    rows = explode("invoices", [{"id": "in_1", "object": "invoice", "lines": listed(line)}], STAMP)
    assert rows["invoices"] == [{"id": "in_1", "object": "invoice", **OWN}]
    assert rows["invoice_line_items"] == [
        {"id": "il_1", "object": "line_item", "amount": 5, **OWN, "_parent_id": "in_1"},
        {"id": "in_1", **MARK, "_parent_id": "in_1"},
    ]


def test_empty_embedded_list_is_closed_too() -> None:
    rows = explode("invoices", [{"id": "in_1", "object": "invoice", "lines": listed()}], STAMP)
    assert rows["invoice_line_items"] == [{"id": "in_1", **MARK, "_parent_id": "in_1"}]


def test_cut_embedded_list_is_not_closed() -> None:
    line = {"id": "il_1", "object": "line_item"}
    rows = explode("invoices", [{"id": "in_1", "object": "invoice", "lines": listed(line, more=True)}], STAMP)
    assert [row["_source"] for row in rows["invoice_line_items"]] == ["list"]


def test_list_inside_a_nested_object_is_taken_out_of_it() -> None:
    item = {"id": "li_1", "object": "item"}
    quote = {"id": "qt_1", "object": "quote", "computed": {"upfront": {"line_items": listed(item), "total": 1}, "x": 2}}
    rows = explode("quotes", [quote], STAMP)
    assert rows["quotes"][0]["computed"] == {"upfront": {"total": 1}, "x": 2}
    assert [row["id"] for row in rows["quote_computed_upfront_line_items"]] == ["li_1", "qt_1"]


@pytest.mark.parametrize(
    "lines",
    [
        None,
        "in_1",
        [{"id": "il_1"}],
        {"object": "list"},
        {"data": []},
        listed("il_1"),
        listed({"id": None}),
        listed({}),
    ],  # type: ignore[arg-type]
)
def test_what_is_no_list_of_objects_stays_in_the_row(lines: object) -> None:
    rows = explode("invoices", [{"id": "in_1", "object": "invoice", "lines": deepcopy(lines)}], STAMP)
    assert rows == {"invoices": [{"id": "in_1", "object": "invoice", "lines": lines, **OWN}]}


def test_child_takes_its_parent_from_the_request_or_from_its_own_field() -> None:
    item = {"id": "si_1", "object": "subscription_item", "subscription": "sub_1"}
    expanded = {**item, "subscription": {"id": "sub_1", "object": "subscription"}}
    parents = [
        explode("subscription_items", [deepcopy(item)], STAMP, parent_id="sub_9"),
        explode("subscription_items", [deepcopy(item)], STAMP),
        explode("subscription_items", [deepcopy(expanded)], STAMP),
        explode("subscription_items", [{"id": "si_1"}], STAMP),
    ]
    assert [rows["subscription_items"][0]["_parent_id"] for rows in parents] == ["sub_9", "sub_1", "sub_1", None]


def test_table_without_parents_keeps_no_parent() -> None:
    rows = explode("payment_methods", [{"id": "pm_1", "object": "payment_method"}], STAMP, parent_id="cus_1")
    assert "_parent_id" not in rows["payment_methods"][0]


def test_unknown_object_value_lands_in_the_table_of_its_list() -> None:
    rows = explode("payment_sources", [{"id": "x_1", "object": "hoard"}], STAMP, parent_id="cus_1")
    assert rows["payment_sources"][0]["object"] == "hoard"


def test_singleton_has_no_key() -> None:
    assert (
        explode("balances", [{"object": "balance", "available": []}], STAMP)["balances"][0]["_account_id"] == "acct_1"
    )


@pytest.mark.parametrize("obj", [{"object": "invoice"}, {"id": None}, {"id": 5}, {"id": ""}])
def test_object_without_its_key_is_a_broken_page(obj: dict[str, Any]) -> None:
    with pytest.raises(BrokenPage, match="invoices lacks its key"):
        explode("invoices", [obj], STAMP)


# --- deletions


def test_stub_becomes_tombstone_and_its_children_end() -> None:
    rows = explode("invoices", [{"id": "in_1", "object": "invoice", "deleted": True}], STAMP)
    assert rows == {
        "invoices": [{"id": "in_1", **OWN, "_deleted_at": 1_760_000_000}],
        "invoice_line_items": [{"id": "in_1", **MARK, "_parent_id": "in_1"}],
    }


@pytest.mark.parametrize(
    ("table", "stub"),
    [
        ("payment_sources", {"id": "card_1", "object": "card", "currency": "eur", "deleted": True}),
        (
            "terminal_readers",
            {"id": "tmr_1", "object": "terminal.reader", "deleted": True, "device_type": "x", "serial_number": "y"},
        ),
        ("product_features", {"id": "prodft_1", "object": "product_feature", "deleted": True}),
        ("apple_pay_domains", {"id": "apwc_1", "object": "apple_pay_domain", "deleted": True}),
    ],
)
def test_stubs_of_all_shapes_become_tombstones(table: str, stub: dict[str, Any]) -> None:
    row = exploded(table, [stub])[0]
    assert "object" not in row
    assert row["_deleted_at"] == 1_760_000_000


def test_full_object_marked_deleted_keeps_its_fields() -> None:
    obj = {"id": "prodft_1", "object": "product_feature", "entitlement_feature": {}, "livemode": True, "deleted": True}
    row = explode("product_features", [obj], STAMP, parent_id="prod_1")["product_features"][0]
    assert row["object"] == "product_feature"
    assert row["_deleted_at"] == 1_760_000_000
    assert "deleted" not in row


def test_deleted_false_is_a_living_object() -> None:
    row = explode("customers", [{"id": "cus_1", "object": "customer", "deleted": False}], STAMP)["customers"][0]
    assert row == {"id": "cus_1", "object": "customer", **OWN}


def test_tombstone_has_the_key_and_no_object() -> None:
    (row,) = gone("customers", {"id": "cus_1"}, STAMP, None)["customers"]
    assert row == {"id": "cus_1", **OWN, "_deleted_at": 1_760_000_000}
    (row,) = gone("capabilities", {"id": "transfers", "account": "acct_2"}, STAMP, "acct_2")["capabilities"]
    assert row == {
        "id": "transfers",
        "account": "acct_2",
        **OWN,
        "_parent_id": "acct_2",
        "_deleted_at": 1_760_000_000,
    }


@pytest.mark.parametrize("table", sorted(name for name, line in TABLES.items() if line.parent))
def test_set_marker_of_every_child_table_has_a_whole_key_and_no_object(table: str) -> None:
    (row,) = typed_rows(table, [set_marker(table, "x_1", STAMP)], Columns(CATALOGUE))
    assert all(row[field] is not None for field in TABLES[table].key)
    assert (row["_source"], row["_parent_id"], row.get("object")) == ("set", "x_1", None)


# --- typing


def test_row_order_is_key_own_columns_snapshot_learned() -> None:
    known = Columns(CATALOGUE)
    first = {"zebra": 1, "object": "customer", "email": "a@b.c", "balance": 1, "id": "cus_1"}
    (row,) = typed("customers", first, known=known)
    own = [name for name in OWN_COLUMNS if name != "_parent_id"]
    assert list(row) == [
        "id",
        *own,
        *(name for name in fields_of("customers") if name in first and name != "id"),
        "zebra",
    ]


def test_declared_types_are_kept() -> None:
    (price,) = typed("prices", {"id": "p", "unit_amount_decimal": "10.5", "created": 1_700_000_000, "active": True})
    assert price["unit_amount_decimal"] == Decimal("10.5")
    assert price["created"] == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert price["active"] is True
    assert price["_synced_at"] == NOW
    assert price["_as_of"] == datetime.fromtimestamp(1_760_000_000, UTC)


@pytest.mark.parametrize(
    ("table", "field", "value", "variant", "stored"),
    [
        ("charges", "amount", "12", "text", "12"),
        ("charges", "amount", 2.5, "double", 2.5),
        ("charges", "amount", 1.0, "double", 1.0),
        ("charges", "amount", True, "bool", True),
        ("charges", "amount", 2**63, "json", "9223372036854775808"),
        ("charges", "amount", {"a": [1]}, "json", '{"a":[1]}'),
        ("charges", "description", 5, "bigint", 5),
        ("charges", "captured", 1, "bigint", 1),
        ("charges", "captured", "true", "text", "true"),
        ("charges", "created", -(10**12), "bigint", -(10**12)),
        ("charges", "created", 10**12, "bigint", 10**12),
        ("charges", "created", 1.5, "double", 1.5),
        ("charges", "created", "2025-03-01T12:00:00Z", "text", "2025-03-01T12:00:00Z"),
        ("charges", "customer", {"id": "cus_1"}, "json", '{"id":"cus_1"}'),
        ("coupons", "percent_off", 2**53 + 1, "bigint", 2**53 + 1),
        ("coupons", "percent_off", False, "bool", False),
        ("coupons", "percent_off", Decimal("1e400"), "json", "1E+400"),
        ("prices", "unit_amount_decimal", "0.1234567890123", "text", "0.1234567890123"),
        ("prices", "unit_amount_decimal", "1" * 27, "text", "1" * 27),
        ("prices", "unit_amount_decimal", 10, "bigint", 10),
        ("v2_core_accounts", "created", 1_700_000_000, "bigint", 1_700_000_000),
        ("v2_core_accounts", "created", "2025-03-01T12:00:00.1234567Z", "text", "2025-03-01T12:00:00.1234567Z"),
        ("v2_core_accounts", "created", "2025-02-30T12:00:00Z", "text", "2025-02-30T12:00:00Z"),
    ],
)
def test_what_does_not_fit_goes_to_a_variant(table: str, field: str, value: Any, variant: str, stored: Any) -> None:
    (row,) = typed(table, {"id": "x_1", field: value})
    assert row[field] is None
    assert identical(row[f"{field}__v_{variant}"], stored)


@pytest.mark.parametrize(
    ("table", "field", "value", "stored"),
    [
        ("coupons", "percent_off", 25, 25.0),
        ("coupons", "percent_off", 2**53, float(2**53)),
        ("charges", "created", -1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("charges", "created", 253_402_214_399, datetime(9999, 12, 30, 23, 59, 59, tzinfo=UTC)),
        ("v2_core_accounts", "created", "2025-03-01T12:00:00.123456Z", datetime(2025, 3, 1, 12, 0, 0, 123456, UTC)),
        ("v2_core_accounts", "created", "2025-03-01T12:00:00Z", datetime(2025, 3, 1, 12, tzinfo=UTC)),
        ("charges", "amount", -(2**63), -(2**63)),
        ("charges", "metadata", {"b": 1e22, "a": [-0.0, 2**64]}, '{"b":1e+22,"a":[-0.0,18446744073709551616]}'),
    ],
)
def test_what_fits_stays_in_its_column(table: str, field: str, value: Any, stored: Any) -> None:
    (row,) = typed(table, {"id": "x_1", field: value})
    assert row[field] == stored
    assert type(row[field]) is type(stored)
    assert not [name for name in row if "__v_" in name]


def test_variant_columns_are_known_from_then_on() -> None:
    known = Columns(CATALOGUE)
    typed("charges", *({"id": "x_1", "amount": value} for value in ("a", 2.5, {}, True)), known=known)
    typed("charges", {"id": "x_1", "captured": 1, "amount": 5, "amount__v_text": "a field of Stripe's"}, known=known)
    assert {name: kind for name, kind in known.of("charges").items() if "__v_" in name} == {
        "amount__v_text": "text",
        "amount__v_double": "double",
        "amount__v_bool": "bool",
        "amount__v_json": "json",
        "captured__v_bigint": "bigint",
    }


def test_unstorable_characters_are_escaped_and_counted() -> None:
    counts = ConversionCounts()
    objects = [{"id": "ch_1", "description": "a\0b", "amount": "\ud800"}, {"id": "ch_2", "metadata": {"\0": "x"}}]
    first, second = typed_rows(
        "charges", explode("charges", objects, STAMP)["charges"], Columns(CATALOGUE), counts=counts
    )
    assert (first["description"], first["amount__v_text"]) == (r"a\u0000b", r"\ud800")
    assert second["metadata"] == r'{"\\u0000":"x"}'
    assert counts.escaped() == {("charges", "description"): 1, ("charges", "amount"): 1, ("charges", "metadata"): 1}
    assert counts.variants() == {("charges", "amount__v_text"): 1}


def test_unseen_field_is_learned_from_its_first_value_and_stays() -> None:
    known = Columns(CATALOGUE)
    assert "new_field" not in typed("charges", {"id": "ch_0", "new_field": None}, known=known)[0]
    assert typed("charges", {"id": "ch_1", "new_field": 5}, known=known)[0]["new_field"] == 5
    later = typed("charges", {"id": "ch_2", "new_field": "x"}, known=known)[0]
    assert (later["new_field"], later["new_field__v_text"]) == (None, "x")


def test_fields_that_cannot_be_columns_are_kept_together() -> None:
    names = ["Amount", "a__b", "_as_of", "_other_fields", "x" * 54, "", "é", "a b", "9x", "x_"]
    obj: dict[str, Any] = {"id": "ch_1", **{name: place for place, name in enumerate(names)}}
    known = Columns(CATALOGUE)
    (row,) = typed("charges", obj, known=known)
    assert row["_as_of"] == datetime.fromtimestamp(1_760_000_000, UTC)
    assert not set(names[:1] + names[4:]) & set(row)
    assert object_of("charges", row, known) == obj


# --- the object again

tables = st.sampled_from(
    ["charges", "prices", "coupons", "invoices", "v2_core_accounts", "payment_sources", "balances"]
)


@st.composite
def objects(draw: st.DrawFn, table: str) -> dict[str, Any]:
    names = st.one_of(
        st.sampled_from(sorted(fields_of(table))),
        st.sampled_from(["new_one", "newer_one", "deleted", "Amount", "_as_of", "_other_fields", "created__v_text"]),
        strings,
    )
    fields = draw(st.dictionaries(names, values, max_size=8))
    assume(len(set(map(escaped, fields))) == len(fields) and fields.get("deleted") is not True)
    return {**fields, **({"id": draw(st.sampled_from(["x_1", "x_2"]))} if TABLES[table].key else {})}


MANY_VALUES = settings(max_examples=40)
"""For batches: each example has up to four objects of nine fields."""


@st.composite
def batches(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    table = draw(tables)
    return table, draw(st.lists(objects(table), min_size=1, max_size=4))


def assert_same_object(table: str, rebuilt: Mapping[str, Any], original: Mapping[str, Any]) -> None:
    """The original less nulls; decimals, instants and integers in double columns equal by value, all else identical."""
    kinds = fields_of(table)
    expected = {escaped(k): v for k, v in original.items() if v is not None and not (k == "deleted" and v is False)}
    assert rebuilt.keys() == expected.keys()
    for name, value in expected.items():
        back = rebuilt[name]
        if identical(back, escaped(value)) or identical(back, in_digits(escaped(value))):
            continue
        kind = kinds.get(name)
        assert type(back) is float or type(value) is str, (name, value, back)
        if kind == "decimal":
            assert Decimal(back) == Decimal(value)
        elif kind == "timestamp":
            assert datetime.fromisoformat(back) == datetime.fromisoformat(value)
        else:
            assert (type(value), back) == (int, value), (name, value, back)


@MANY_VALUES
@given(batches())
def test_object_is_rebuilt_from_its_row(batch: tuple[str, list[dict[str, Any]]]) -> None:
    table, originals = batch
    known = Columns(CATALOGUE)
    rows = typed(table, *originals, known=known)
    for row, original in zip(rows, originals, strict=True):
        assert_same_object(table, object_of(table, row, known), original)


@MANY_VALUES
@given(batches())
def test_comparable_says_what_is_rebuilt(batch: tuple[str, list[dict[str, Any]]]) -> None:
    table, originals = batch
    known = Columns(CATALOGUE)
    rows = typed(table, *originals, known=known)
    for row, original in zip(rows, originals, strict=True):
        before = deepcopy(original)
        assert object_of(table, row, known) == comparable(table, original, known)
        assert identical(original, before)


@pytest.mark.parametrize(
    ("table", "field", "sent", "back"),
    [
        ("prices", "unit_amount_decimal", "-0.00", "0"),
        ("prices", "unit_amount_decimal", "1000", "1000"),
        ("prices", "unit_amount_decimal", "-10.50", "-10.5"),
        ("v2_core_accounts", "created", "2025-03-01T12:00:00Z", "2025-03-01T12:00:00.000Z"),
        ("v2_core_accounts", "created", "2025-03-01T12:00:00.0001Z", "2025-03-01T12:00:00.000100Z"),
        ("coupons", "name", "a\0", "a\\u0000"),
    ],
)
def test_values_with_several_spellings_come_back_in_one(table: str, field: str, sent: str, back: str) -> None:
    (row,) = typed(table, {"id": "x_1", field: sent})
    assert object_of(table, row, Columns(CATALOGUE)) == comparable(
        table, {"id": "x_1", field: sent}, Columns(CATALOGUE)
    )
    assert object_of(table, row, Columns(CATALOGUE))[field] == back


def test_comparable_leaves_out_embedded_lists() -> None:
    invoice = {"id": "in_1", "object": "invoice", "lines": listed({"id": "il_1"}), "footer": None, "deleted": False}
    assert comparable("invoices", invoice, Columns(CATALOGUE)) == {"id": "in_1", "object": "invoice"}


def test_embedded_entries_are_rebuilt_in_order() -> None:
    lines = [{"id": f"il_{n}", "object": "line_item", "amount": n, "period": {"end": n}} for n in range(5)]
    known = Columns(CATALOGUE)
    rows = explode("invoices", [{"id": "in_1", "object": "invoice", "lines": listed(*deepcopy(lines))}], STAMP)
    children = [
        row for row in typed_rows("invoice_line_items", rows["invoice_line_items"], known) if row["_source"] != "set"
    ]
    assert [object_of("invoice_line_items", row, known) for row in children] == lines


def test_deleted_row_is_rebuilt_as_deleted() -> None:
    (row,) = typed("customers", {"id": "cus_1", "object": "customer", "deleted": True})
    assert object_of("customers", row, Columns(CATALOGUE)) == {"id": "cus_1", "deleted": True}


def test_parsed_json_and_naive_times_are_taken_from_databases_too() -> None:
    row = {"id": "ch_1", "metadata": {"a": 1}, "created": datetime(2023, 11, 14, 22, 13, 20), "_other_fields": {"A": 1}}
    assert object_of("charges", row, Columns(CATALOGUE)) == {
        "id": "ch_1",
        "metadata": {"a": 1},
        "created": 1_700_000_000,
        "A": 1,
    }


# --- ids that are not unique ------------------------------------------------------------------------------------------


def old_line(id: str, own_id: str | None = None, amount: int = 5) -> dict[str, Any]:
    """A line as API versions before 2019-12-03 show it: `id` is that of its subscription."""
    return {"id": id, "object": "line_item", "amount": amount, **({"unique_id": own_id} if own_id else {})}


def test_line_of_an_old_version_gets_its_id_of_today() -> None:
    invoice = {"id": "in_1", "object": "invoice", "lines": listed(old_line("sub_1", "il_1"), old_line("sub_1", "il_2"))}
    lines = explode("invoices", [invoice], STAMP)["invoice_line_items"]
    assert [(row["id"], row["_parent_id"]) for row in lines[:-1]] == [("il_1", "in_1"), ("il_2", "in_1")]
    known = Columns(CATALOGUE)
    (row, _) = typed_rows("invoice_line_items", lines[:-1], known, clock=lambda: NOW)
    assert object_of("invoice_line_items", row, known) == old_line("sub_1", "il_1")


@pytest.mark.parametrize(
    ("table", "field", "entry"),
    [
        ("invoices", "lines", old_line("sub_1")),
        ("subscriptions", "items", {"id": "si_1", "object": "subscription_item"}),
    ],
)
def test_entries_whose_ids_repeat_stay_in_their_object(table: str, field: str, entry: dict[str, Any]) -> None:
    twice, other = listed(entry, {**entry, "quantity": 2}), {**entry, "id": "other_1"}
    shown = {**twice, "data": [twice["data"][0], other, twice["data"][1]]}
    counts = ConversionCounts()
    rows = explode(table, [{"id": "x_1", "object": table[:-1], field: deepcopy(shown)}], STAMP, counts=counts)
    assert rows.pop(table)[0][field] == twice
    ((children,),) = rows.values()  # and no marker that closes the set
    assert children["id"] == "other_1"
    (rejected,) = counts.rejected()
    assert (rejected.id, rejected.why) == ("x_1", f"2 entries of {table}.{field} have no key, or share it")


@pytest.mark.parametrize("entry", ["il_1", {"id": None}, {}])
def test_entries_of_which_none_has_a_key_are_noted(entry: Any) -> None:
    counts = ConversionCounts()
    rows = explode("invoices", [{"id": "in_1", "object": "invoice", "lines": listed(entry)}], STAMP, entries=counts)
    assert rows == {"invoices": [{"id": "in_1", "object": "invoice", "lines": listed(entry), **OWN}]}
    assert [entry.why for entry in counts.rejected()] == ["1 entries of invoices.lines have no key, or share it"]


def test_child_without_its_parent_is_no_row_where_the_parent_is_part_of_the_key() -> None:
    with pytest.raises(BrokenPage, match="does not name its parent"):
        explode("checkout_session_line_items", [{"id": "li_1", "object": "item"}], STAMP)
    (row,) = explode("invoice_line_items", [{"id": "il_1", "object": "line_item", "invoice": "in_1"}], STAMP).popitem()[
        1
    ]
    assert row["_parent_id"] == "in_1"
