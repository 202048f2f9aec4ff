"""What counts as drift, row by row. Pure: no request, no database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pipelines.check.compare import differing, drift_of, is_fresh, vanished
from sources.columns.columns import Columns
from sources.stripe_api.catalogue import CATALOGUE

COLUMNS = Columns(CATALOGUE)


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


BEGAN = at(1_000)


def row(**fields: Any) -> dict[str, Any]:
    """A customer as stored long before the check, or as listed at second 1,010."""
    own = {"_account_id": "acct_1", "_as_of": at(10), "_source": "list", "_synced_at": at(20), "_deleted_at": None}
    return (
        {"id": "cus_1", "object": "customer", "name": "Ada", "balance": 0, "metadata": '{"a":"1","b":"2"}'}
        | own
        | fields
    )


def listed(**fields: Any) -> dict[str, Any]:
    return row(_as_of=at(1_010), **fields)


def test_an_equal_row_is_no_drift_however_its_json_is_written() -> None:
    stored = row(metadata='{"b": "2", "a": "1"}')
    assert drift_of("customers", listed(), stored, BEGAN, COLUMNS) is None


def test_a_row_that_is_not_there_is_missing() -> None:
    found = drift_of("customers", listed(), None, BEGAN, COLUMNS)
    assert found is not None
    assert (found.drift, found.key) == ("missing", ("cus_1",))


@pytest.mark.parametrize(
    ("stored", "fields"),
    [
        (row(name="Grace"), ("name",)),
        (row(name=None, balance=1), ("balance", "name")),
        (row(metadata="{}"), ("metadata",)),
        (row(phone="1"), ("phone",)),
        (row(balance=None, balance__v_text="0"), ("balance",)),
        (row(_deleted_at=at(30)), ("_deleted_at",)),
    ],
)
def test_a_stale_row_names_the_fields_that_differ(stored: dict[str, Any], fields: tuple[str, ...]) -> None:
    found = drift_of("customers", listed(), stored, BEGAN, COLUMNS)
    assert found is not None
    assert (found.drift, found.fields) == ("stale", fields)


@pytest.mark.parametrize("written", [{"_synced_at": at(1_005)}, {"_synced_at": at(1_000)}, {"_as_of": at(1_011)}])
def test_a_row_that_was_written_during_the_check_is_no_drift(written: dict[str, Any]) -> None:
    stored = row(name="From the sink", **written)
    assert is_fresh(stored, at(1_010), BEGAN)
    assert drift_of("customers", listed(), stored, BEGAN, COLUMNS) is None


def test_a_child_below_another_parent_is_stale() -> None:
    child = {
        "id": "il_1",
        "object": "line_item",
        "amount": 1,
        "_as_of": at(10),
        "_synced_at": at(20),
        "_deleted_at": None,
    }
    assert differing(
        "invoice_line_items", {**child, "_parent_id": "in_1"}, {**child, "_parent_id": "in_2"}, COLUMNS
    ) == ("_parent_id",)


def test_children_that_their_parents_list_lacks_have_vanished() -> None:
    stored = [row(id="a"), row(id="b"), row(id="c", _synced_at=at(1_005))]
    found = vanished(CATALOGUE.tables["customers"], [("a",)], stored, at(1_010), BEGAN)
    assert [(each.key, each.drift) for each in found] == [(("b",), "vanished")]
