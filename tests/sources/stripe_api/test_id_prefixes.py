"""Id prefixes: against the list that they were collected in, and which of several is meant."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.account.ids import PREFIXES
from sources.stripe_api.catalogue import CATALOGUE, TABLES
from sources.stripe_api.catalogue.prefixes import OBJECTS_BY_PREFIX, prefix_of, tables_named, tables_of_id

COLLECTED = Path(__file__).with_name("id_prefixes.csv")


def test_every_collected_prefix_stands_for_its_object() -> None:
    with COLLECTED.open() as file:
        missing = [
            (line["prefix"], line["object"])
            for line in csv.DictReader(file)
            if line["object"] not in OBJECTS_BY_PREFIX.get(line["prefix"], ())
        ]
    assert missing == []


def test_ids_of_the_simulator_are_found_in_their_tables() -> None:
    known = [(name, prefix) for name, prefix in PREFIXES.items() if prefix in OBJECTS_BY_PREFIX]
    assert len(known) > 100
    for name, prefix in known:
        assert set(CATALOGUE.tables_of_object(name)) <= set(tables_of_id(f"{prefix}1Abc") or ())


@pytest.mark.parametrize(
    ("id", "tables"),
    [
        ("sub_1Abc", ("subscriptions",)),
        ("sub_sched_1Abc", ("subscription_schedules",)),
        ("il_tmp_1Abc", ("invoice_line_items",)),
        ("card_1Abc", ("external_accounts", "payment_sources")),
        ("tok_1Abc", ()),
        ("SPRING25", None),
        ("cus_", None),
    ],
)
def test_the_longest_prefix_decides(id: str, tables: tuple[str, ...] | None) -> None:
    assert tables_of_id(id) == tables


@given(prefix=st.sampled_from(sorted(OBJECTS_BY_PREFIX)), rest=st.text("0123456789", min_size=1))
def test_no_longer_prefix_fits(prefix: str, rest: str) -> None:
    found = prefix_of(prefix + rest)
    assert found is not None
    assert len(found) >= len(prefix)


def test_a_type_is_a_table_or_an_object() -> None:
    assert tables_named("coupons") == tables_named("coupon") == ("coupons",)
    assert tables_named("nonsense") == ()
    assert all(tables_named(name) == (name,) for name in TABLES)
