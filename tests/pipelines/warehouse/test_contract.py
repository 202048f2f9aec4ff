"""The schema contract, on both databases: what a new field, type or table does to tables that exist."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sources.columns.contract import Contract, SchemaFrozen, contract_of
from sources.errors import BadConfiguration
from tests.pipelines.mirror import Mirror

SETTING = "SOURCES__STRIPE__SCHEMA_CONTRACT"


@pytest.fixture
def loaded(mirror: Mirror) -> Mirror:
    mirror.begin("customers", "coupons", synced=True)
    return mirror


def change(mirror: Mirror, **fields: Any) -> str:
    """Updates a customer, waits, and gives its id."""
    id: str = mirror.sim.account.tables["customers"].shelf.rows()[-1].id
    mirror.sim.account.update("customers", id, fields)
    mirror.pass_time(3_600)
    return id


def columns(mirror: Mirror) -> set[str]:
    return set(mirror.rows("customers")[0])


def test_without_one_tables_evolve(loaded: Mirror) -> None:
    id = change(loaded, brand_new="value", balance="12 euro")
    loaded.sync()
    assert loaded.row("customers", id)["brand_new"] == "value"
    assert loaded.row("customers", id)["balance__v_text"] == "12 euro"


def test_frozen_columns_stop_the_run_and_name_the_field(loaded: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, json.dumps({"columns": "freeze"}))
    before = columns(loaded)
    id = change(loaded, brand_new="value", name="New")
    with pytest.raises(SchemaFrozen, match="'brand_new' that the table customers"):
        loaded.sync()
    assert columns(loaded) == before
    monkeypatch.delenv(SETTING)
    loaded.sync()
    assert loaded.row("customers", id)["brand_new"] == "value"


def test_discarded_values_leave_the_rest_of_the_row(loaded: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, "discard_value")
    before = columns(loaded)
    id = change(loaded, brand_new="value", balance="12 euro", name="New")
    with loaded.session("stripe_sync"):
        pass
    loaded.sync()
    row = loaded.row("customers", id)
    assert columns(loaded) == before
    assert (row["name"], row["balance"]) == ("New", None)


def test_frozen_types_stop_the_run(loaded: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, json.dumps({"data_type": "freeze"}))
    change(loaded, balance="12 euro")
    with pytest.raises(SchemaFrozen, match=r"customers\.balance"):
        loaded.sync()


@pytest.mark.parametrize("mode", ["freeze", "discard_value"])
def test_a_new_table_is_refused_or_left_out(loaded: Mirror, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv(SETTING, json.dumps({"tables": mode}))
    invoice = loaded.sim.account.tables["invoices"].shelf.rows()[-1].id
    if mode == "freeze":
        with pytest.raises(SchemaFrozen, match="no table invoice"):
            loaded.read(invoice)
    else:
        loaded.read(invoice)
    assert loaded.rows("invoices") == []


@pytest.mark.parametrize("given", ["discard_row", {"column": "freeze"}, {"columns": "thaw"}, 3])
def test_what_is_no_contract_is_refused(given: object) -> None:
    with pytest.raises(BadConfiguration, match="schema_contract"):
        contract_of(given)


def test_a_word_stands_for_all_and_a_table_for_some() -> None:
    assert contract_of("freeze") == Contract("freeze", "freeze", "freeze")
    assert contract_of({"columns": "discard_value"}) == Contract("evolve", "discard_value", "evolve")
    assert contract_of(None) == Contract()
