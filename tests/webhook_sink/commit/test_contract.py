"""dlt's schema contract in the sink: what a new field, type or table of an event does to tables that exist."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sources.errors import BadConfiguration
from tests.pipelines.warehouse.test_contract import SETTING
from tests.webhook_sink.commit.test_evolution import columns_of, customer, load
from tests.webhook_sink.conftest import NOW, Served, Stored, deliver, event
from webhook_sink.sink import Sink

Serve = Callable[..., Served]
Under = Callable[..., Served]


@pytest.fixture
def under(serve: Serve, stored: Stored, monkeypatch: pytest.MonkeyPatch) -> Under:
    """`under(contract)`: a sink with that contract, over a table of customers that is there already."""
    assert serve().send(event("customer.created", customer(name="first", balance=5), id="evt_0")) == [200]

    def start(contract: str | dict[str, str]) -> Served:
        monkeypatch.setenv(SETTING, contract if isinstance(contract, str) else json.dumps(contract))
        return serve()

    return start


def changed(number: int = 1, **fields: Any) -> dict[str, Any]:
    return event("customer.updated", customer(**fields), id=f"evt_{number}", created=NOW + number)


def test_evolve_adds_the_column_and_the_one_beside(under: Under, stored: Stored) -> None:
    assert under("evolve").send(changed(brand_new="value", balance="12 euro")) == [200]
    assert stored.query("select brand_new, balance, balance__v_text from stripe.customers") == [
        ("value", None, "12 euro")
    ]


def test_frozen_columns_fail_the_event_which_names_the_field_and_can_come_again(
    under: Under, serve: Serve, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = columns_of(stored, "customers")
    one = changed(brand_new="value", name="second")
    answer = under({"columns": "freeze"}).send(one)
    status, _, error = stored.ledger()
    assert (answer, status, columns_of(stored, "customers")) == ([500], "failed", before)
    assert "'brand_new' that the table customers" in error
    assert stored.value("select name from stripe.customers") == "first"
    monkeypatch.delenv(SETTING)
    assert serve().send(one) == [200]
    assert stored.query("select name, brand_new from stripe.customers") == [("second", "value")]
    assert stored.ledger() == ("processed", 2, None)


def test_frozen_columns_let_values_of_another_type_evolve(under: Under, stored: Stored) -> None:
    assert under({"columns": "freeze"}).send(changed(balance="12 euro")) == [200]
    assert stored.query("select balance, balance__v_text from stripe.customers") == [(None, "12 euro")]


def test_frozen_types_fail_the_event(under: Under, stored: Stored) -> None:
    served = under({"data_type": "freeze"})
    assert served.send(changed(balance="12 euro"), changed(2, brand_new=1)) == [500, 200]
    assert "customers.balance" in stored.ledger()[2]
    assert stored.query("select balance, brand_new from stripe.customers") == [(None, 1)]


def test_discarded_values_leave_the_rest_of_the_row(under: Under, stored: Stored) -> None:
    before = columns_of(stored, "customers")
    assert under("discard_value").send(changed(brand_new="value", balance="12 euro", name="second")) == [200]
    assert columns_of(stored, "customers") == before
    assert stored.query("select name, balance from stripe.customers") == [("second", None)]


@pytest.mark.parametrize(("mode", "answer"), [("freeze", 500), ("discard_value", 200)])
def test_new_table_is_refused_or_left_out(under: Under, stored: Stored, mode: str, answer: int) -> None:
    order = event("climate.order.created", {"id": "climorder_1", "object": "climate.order"})
    assert under({"tables": mode}).send(order) == [answer]
    assert stored.value("select to_regclass('stripe.climate_orders')") is None
    assert stored.ledger()[0] == ("failed" if mode == "freeze" else "processed")


def test_frozen_event_does_not_fail_its_neighbours(under: Under, with_sink: Callable[..., Any], stored: Stored) -> None:
    under("freeze")

    async def body(sink: Sink) -> list[str]:
        events = [
            event(
                "customer.created",
                {"id": f"cus_{n}", "object": "customer"} | ({"odd": 1} if n % 3 == 0 else {}),
                id=f"evt_{n}",
            )
            for n in range(1, 10)
        ]
        return await deliver(sink, *events)

    assert with_sink(body) == (["committed"] * 2 + ["failed"]) * 3
    assert stored.value("select count(*) from stripe.customers") == 6


def test_column_that_a_load_has_added_meanwhile_is_no_new_one(under: Under, stored: Stored) -> None:
    served = under("freeze")
    load(stored.url, customer(added_by_a_load="x"), NOW + 1)
    assert served.send(changed(2, added_by_a_load="y")) == [200]
    assert stored.value("select added_by_a_load from stripe.customers") == "y"


def test_what_is_no_contract_keeps_the_sink_from_starting(
    with_sink: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SETTING, "discard_row")
    with pytest.raises(BadConfiguration, match="schema_contract"):
        with_sink(None)
