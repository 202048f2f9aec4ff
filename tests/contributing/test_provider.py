"""A second provider moves in: its list is loaded by the same run, session, loader and merge, into its own dataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.loading.run import Order, Outcome, run
from pipelines.settings import Settings
from tests.contributing.toy import CATALOGUE, TOY
from tests.contributing.toy_api import KEY, toy_api
from tests.databases import Database

Plans = list[dict[str, Any]]


@pytest.fixture
def plans() -> Plans:
    return [{"plan_id": f"p{number}", "status": "active", "seats": number} for number in range(5)]


@pytest.fixture
def settings(destination: Database, plans: Plans) -> Iterator[Settings]:
    with toy_api(plans) as address:
        where = {"database_url" if destination.kind == "postgres" else "duckdb_path": destination.address}
        yield Settings(stripe_secret_key=KEY, api_base=address, destination=destination.kind, dataset="toy", **where)  # type: ignore[arg-type]


def load(settings: Settings) -> Outcome:
    return run(settings, Order("toy_full", CATALOGUE.select()), TOY)


def stored(destination: Database) -> list[tuple[Any, ...]]:
    return destination.query("select plan_id, status, seats, _account_id from toy.plans order by 1")


def test_its_list_is_loaded_and_loaded_again(settings: Settings, destination: Database, plans: Plans) -> None:
    assert load(settings).failed == []
    assert stored(destination) == [(f"p{number}", "active", number, "toy_account") for number in range(5)]
    plans[3] |= {"status": "ended", "colour": "red"}
    assert load(settings).failed == []
    assert stored(destination)[3][:3] == ("p3", "ended", 3)
    assert destination.query("select plan_id, colour from toy.plans where colour is not null") == [("p3", "red")]


def test_its_progress_and_its_schema_go_by_its_own_name(settings: Settings, destination: Database) -> None:
    load(settings)
    assert destination.query("select resource, status, rows from toy.sync_status") == [("plans", "complete", 5)]
    assert {name for (name,) in destination.query("select schema_name from toy._dlt_version")} == {"toy"}
    assert destination.tables("stripe") == set()
