"""Building the metrics: what changed alone, all or nothing, bad input, rights that lack."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.models.build import Build
from pipelines.models.statements import statements
from pipelines.warehouse.problems import DatabaseProblem
from sources.errors import BadConfiguration
from tests.databases import Database
from tests.models.loaded import build, built, connected, fill, set_options, store

CASES = Path(__file__).with_name("metrics_cases")
Built = Mapping[str, Counter[tuple[Any, ...]]]
Tables = dict[str, list[dict[str, Any]]]
MONTHLY = "select month, opening, closing from stripe_metrics.mrr_monthly order by month"


def case(name: str) -> Tables:
    (path,) = CASES.glob(f"{name}*.json")
    tables: Tables = json.loads(path.read_text("utf-8"))["tables"]
    return tables


def accounts() -> Tables:
    """Several cases as one load, each in an account of its own."""
    merged: Tables = {}
    for number, name in enumerate(("03", "05", "07", "10", "12", "13")):
        for table, rows in case(name).items():
            for row in rows:
                merged.setdefault(table, []).append(row | {"_account_id": f"acct_{number}"})
    return merged


@settings(max_examples=4, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**6))
def test_builds_after_parts_of_the_rows_are_a_full_one(seed: int, empty: Callable[[], Database]) -> None:
    chance, database, tables = random.Random(seed), empty(), accounts()
    parts: list[Tables] = [{table: [] for table in tables} for _ in range(3)]
    for table, rows in tables.items():
        for row in rows:
            parts[chance.randrange(3)][table].append(row)
    fill(database, {table: [] for table in tables}, like=tables)
    for part in parts:
        store(database, part)
        build(database)
    step_by_step = built(database)
    assert sum(len(rows) for rows in step_by_step.values()) > 50
    assert build(database, full=True).full
    assert different(built(database), step_by_step) == {}


def different(these: Built, those: Built) -> Mapping[str, Any]:
    """Table -> the rows that only one of two builds has."""
    return {
        name: (these[name] - those[name], those[name] - these[name]) for name in these if these[name] != those[name]
    }


@pytest.fixture
def empty(tmp_path: Path) -> Callable[[], Database]:
    """Makes empty DuckDB files: which rows a build takes is the same text for both databases."""
    numbers = iter(range(1000))
    return lambda: Database("duckdb", str(tmp_path / f"file_{next(numbers)}.duckdb"))


def test_a_build_takes_only_what_changed(destination: Database) -> None:
    tables = case("12")
    fill(database := destination, tables)
    assert build(database).full
    before = built(database)
    assert build(database).subscriptions == 0
    database.query("update stripe.customers set _synced_at = now() where id = ?", [tables["customers"][0]["id"]])
    assert build(database).subscriptions == 2  # those of the customer that was stored last
    row = tables["subscriptions"][-1] | {"status": "canceled"}
    row |= {"ended_at": "2026-03-20T00:00:00Z", "canceled_at": "2026-03-20T00:00:00Z"}
    database.query("delete from stripe.subscriptions where id = ?", [row["id"]])
    store(database, {"subscriptions": [row]})
    assert build(database).subscriptions <= 3
    after = built(database)
    assert after["movements"] != before["movements"]
    build(database, full=True)
    assert built(database) == after


def test_another_price_builds_all_again(destination: Database) -> None:
    tables = case("02")
    fill(destination, tables)
    build(destination)
    destination.query("update stripe.prices set unit_amount_decimal = 5000, product = 'prod_new'")
    build(destination)
    assert destination.value("select max(product) from stripe_metrics.item_spans") == "prod_new"


@pytest.mark.parametrize("place", ["40_spans.sql", "60_movements.sql", "70_months.sql"])
def test_a_build_that_ends_early_leaves_the_last_good_tables(
    place: str, destination: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(destination, case("11"))
    build(destination)
    before, months = built(destination), destination.query(MONTHLY)
    destination.query("delete from stripe.subscriptions")

    class Ended(Exception):
        pass

    with connected(destination) as connection:
        broken = Build(connection, "stripe")
        run = broken._do.run

        def end(file: str) -> None:
            if file == place:
                raise Ended
            run(file)

        broken._do.run = end  # type: ignore[method-assign]
        with pytest.raises(Ended):
            broken.run(full=True)
    assert built(destination) == before
    assert destination.query(MONTHLY) == months
    build(destination, full=True)
    assert destination.query(MONTHLY) == []


def test_readers_see_the_last_tables_until_a_build_is_done(postgres_url: str) -> None:
    database = Database("postgres", postgres_url)
    fill(database, case("11"))
    build(database)
    database.query("update stripe.subscriptions set ended_at = start_date")
    seen: list[Any] = []
    with connected(database) as connection:
        slow = Build(connection, "stripe")
        run = slow._do.run

        def look(file: str) -> None:
            run(file)
            seen.append(database.query(MONTHLY))

        slow._do.run = look  # type: ignore[method-assign]
        slow.run(full=True)
    assert all(rows == seen[0] != [] for rows in seen)
    assert database.query(MONTHLY) == []


def test_the_files_are_portable() -> None:
    """What one of the databases does not have, or understands in another way, stands in the files of helpers alone."""
    folder = Path(__file__).resolve().parents[2] / "pipelines/models/metrics"
    names = sorted(path.name for path in folder.glob("[0-9]*.sql"))
    text = "\n".join(statement for name in names for statement in statements(name))
    assert len(names) > 10
    for word in ("::", "lateral", "ignore nulls", "jsonb", "unnest", "qualify", "arg_max", "distinct on", "filter ("):
        assert word not in text.lower(), word


def test_no_rows_and_no_tables_are_no_error(destination: Database) -> None:
    destination.query("create schema stripe")
    build(destination)
    assert destination.query(MONTHLY) == []
    fill(destination, {"subscriptions": []}, like=case("11"))
    build(destination)
    assert destination.query("select count(*) from stripe_metrics.customers_now") == [(0,)]


def test_a_table_that_was_not_loaded_is_named(destination: Database) -> None:
    tables = case("11")
    del tables["prices"], tables["invoice_line_items"]
    fill(destination, tables)
    build(destination)
    kinds = [kind for (kind,) in destination.query("select kind from stripe_metrics.quality order by kind")]
    assert "table not loaded: prices" in kinds
    assert "table not loaded: invoice_line_items" in kinds
    assert destination.value("select sum(mrr) from stripe_metrics.customers_now") == 8000  # items show their prices


def odd(changes: Mapping[str, Mapping[str, Any]]) -> Tables:
    """Case 11 with other fields: table -> field -> value, in the table's first row."""
    tables = copy.deepcopy(case("11"))
    for table, fields in changes.items():
        tables[table][0] |= fields
    return tables


@pytest.mark.parametrize(
    ("changes", "mrr", "kind"),
    [
        ({"subscriptions": {"ended_at": "2025-01-01T00:00:00Z"}}, 8000, "ends before it starts"),
        ({"prices": {"recurring": None}, "subscription_items": {"price": {"id": "p"}}}, 8000, None),
        ({"subscriptions": {"_as_of": "2026-06-09T00:00:00Z"}}, 8000, None),
    ],
)
def test_odd_rows_make_no_wrong_sum(
    changes: Mapping[str, Mapping[str, Any]], mrr: int, kind: str | None, destination: Database
) -> None:
    fill(destination, odd(changes))
    build(destination)
    assert destination.value("select sum(mrr) from stripe_metrics.customers_now") == mrr
    assert kind is None or destination.query("select 1 from stripe_metrics.quality where kind = ?", [kind])
    last = destination.value("select max(month) from stripe_metrics.mrr_monthly")
    assert str(last) == "2026-06-01"


def test_a_negative_price_and_many_subscriptions_add_up(destination: Database) -> None:
    tables = {table: rows[:1] for table, rows in case("14").items()}
    tables["prices"][0] |= {"unit_amount": -700, "unit_amount_decimal": "-700"}
    (subscription,), (item,) = tables["subscriptions"], tables["subscription_items"]
    item["price"] |= {"unit_amount": -700, "unit_amount_decimal": "-700"}
    count = 500
    tables["subscriptions"] = [subscription | {"id": f"sub_{n}"} for n in range(count)]
    tables["subscription_items"] = [item | {"id": f"si_{n}", "_parent_id": f"sub_{n}"} for n in range(count)]
    tables["invoices"] = tables["invoice_line_items"] = []
    fill(destination, tables, like=case("14"))
    build(destination)
    assert destination.value("select sum(mrr) from stripe_metrics.customers_now") == count * -3033
    assert destination.value("select min(closing) from stripe_metrics.mrr_monthly") == count * -3033


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("discounts", "some", "one of forever, all, none"),
        ("timezone", "Mars/Olympus", "the name of a time zone"),
        ("past_due_days", -1, "0 or more days, or null"),
        ("margin", 0, "above 0 and at most 1"),
        ("soon_days", 0, "1 or more days"),
        ("largest_share", 2, "above 0 and at most 1"),
    ],
)
def test_an_option_that_cannot_work_is_named(
    option: str, value: Any, words: str, empty: Callable[[], Database]
) -> None:
    database = empty()
    fill(database, case("02"))
    build(database)
    set_options(database, **{option: value})
    with pytest.raises(BadConfiguration, match=f"The option {option} .*{words}"):
        build(database)


def test_a_role_that_may_not_make_the_schema_is_told_the_statement(postgres_url: str) -> None:
    database = Database("postgres", postgres_url)
    fill(database, case("02"))
    role = f"reader_{random.randrange(10**9)}"
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute(f"create role {role} login password 'x'")
        owner.execute(f"grant usage on schema stripe to {role}")
        owner.execute(f"grant select on all tables in schema stripe to {role}")
    try:
        words = psycopg.conninfo.conninfo_to_dict(postgres_url) | {"user": role, "password": "x"}
        with pytest.raises(DatabaseProblem, match="CREATE SCHEMA"):
            build(Database("postgres", psycopg.conninfo.make_conninfo(**words)))
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as owner:
            owner.execute(f"drop owned by {role}")
            owner.execute(f"drop role {role}")


def test_months_follow_the_time_zone(destination: Database) -> None:
    """A subscription that begins on the first of a month in UTC begins in the month before in America."""
    fill(destination, case("02"))
    build(destination)
    set_options(destination, timezone="America/Los_Angeles")
    build(destination)
    assert str(destination.value("select min(day) from stripe_metrics.movements")) == "2026-01-04"
