"""The sink's own way from rows to JSON gives what `typed_rows`, which is the definition, gives."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from sources.columns.contract import Contract, ContractedColumns
from sources.columns.typed import typed_rows
from sources.orb_api.catalogue import CATALOGUE as ORBS_CATALOGUE
from sources.orb_api.objects.rows import explode as orb_explode
from sources.rows import Stamp
from sources.stripe_api.catalogue import CATALOGUE
from sources.stripe_api.objects.rows import explode
from webhook_sink.commit.rows import json_rows

NOW = datetime(2027, 1, 1, tzinfo=UTC)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
FIELDS = ("name", "balance", "created", "livemode", "metadata", "unit_amount_decimal", "invented", "Odd Name", "_as_of")


@given(fields=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6))
def test_rows_as_json_equal_the_definition(fields: dict[str, Any]) -> None:
    (row,) = explode("prices", [{"id": "price_1", "object": "price", **fields}], Stamp("acct_1", 7, "event"))["prices"]
    ours, theirs = (ContractedColumns(CATALOGUE, {}, Contract()) for _ in range(2))
    (made,) = json_rows("prices", [dict(row)], ours)
    (typed,) = typed_rows("prices", [dict(row)], theirs, clock=lambda: NOW)
    kinds = theirs.of("prices")
    expected = defined(typed, kinds)
    assert orjson.loads(made.json) == orjson.loads(orjson.dumps(expected, default=_text))
    assert set(made.columns) == set(expected)
    assert ours.of("prices") == kinds


MOMENTS = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))])).map(lambda at: at.isoformat())
AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, places=2).map(str)
ORBS = (
    "name",
    "balance",
    "created_at",
    "auto_collection",
    "metadata",
    "plan_version",
    "invented",
    "Odd Name",
    "_as_of",
)


@given(fields=st.dictionaries(st.sampled_from(ORBS), VALUES | MOMENTS | AMOUNTS, max_size=6))
def test_rows_of_orb_as_json_equal_the_definition(fields: dict[str, Any]) -> None:
    """Moments are RFC 3339 strings there, and amounts decimals."""
    for table in ("customers", "credit_notes"):
        (row,) = orb_explode(table, [{"id": "a", **fields}], Stamp("orb", 7, "event"))[table]
        ours, theirs = (ContractedColumns(ORBS_CATALOGUE, {}, Contract()) for _ in range(2))
        (made,) = json_rows(table, [dict(row)], ours)
        (part,) = json_rows(table, [dict(row)], ours, are_parts=True)
        (typed,) = typed_rows(table, [dict(row)], theirs, clock=lambda: NOW)
        kinds = theirs.of(table)
        expected = defined(typed, kinds)
        assert orjson.loads(made.json) == orjson.loads(orjson.dumps(expected, default=_text))
        assert set(made.columns) == set(expected)
        assert orjson.loads(part.json) == orjson.loads(made.json)
        assert part.shown == typed.keys() - {"_synced_at"}
        assert ours.of(table) == kinds


def defined(typed: dict[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    """What a row of the batch path says, with its JSON parsed."""
    return {
        name: value if kinds.get(name) != "json" else orjson.loads(value)
        for name, value in typed.items()
        if value is not None and name != "_synced_at"
    }


def _text(value: object) -> str:
    assert isinstance(value, Decimal)
    return str(value)


def test_a_childs_row_has_what_the_deletion_of_absent_children_looks_at() -> None:
    """By either way: the shorter one, and that for values that do not fit."""
    for amount in ("1.00", "many"):
        line = {"id": "line", "name": "Seats", "amount": amount}
        rows = orb_explode("invoices", [{"id": "a", "line_items": [line]}], Stamp("orb", 7, "event"))
        ours = ContractedColumns(ORBS_CATALOGUE, {}, Contract())
        own = {"id": "line", "_parent_id": "a", "_account_id": "orb", "_source": "event"}
        child, marker = json_rows("invoice_line_items", rows["invoice_line_items"], ours)
        assert orjson.loads(child.key) == own | {"_as_of": orjson.loads(child.json)["_as_of"]}
        assert orjson.loads(marker.key) == orjson.loads(marker.json)
        assert json_rows("invoices", rows["invoices"], ours)[0].key == b""
