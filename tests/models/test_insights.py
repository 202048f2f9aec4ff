"""Each insight appears above its threshold in `settings`, and not below it: rows are put where the rule looks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.databases import Database
from tests.models.loaded import build, fill, set_options

(CASE,) = (Path(__file__).with_name("metrics_cases")).glob("05*.json")
COLUMNS = {
    "_subscriptions": "subscription, customer, currency, status, mrr, trial_ends, pays_by",
    "dunning": "invoice, customer, currency, amount, first_failed_at, outcome",
    "subscription_events": "moment, subscription, customer, currency, kind, mrr",
}


@pytest.fixture
def built(destination: Database) -> Database:
    """Metrics of an account with one subscription."""
    fill(destination, json.loads(CASE.read_text("utf-8"))["tables"])
    build(destination)
    return destination


def put(database: Database, table: str, *rows: str) -> None:
    """Adds rows to a table of the metrics; values are SQL, and `now` is the moment of the build."""
    for row in rows:
        database.query(
            f"insert into stripe_metrics.{table} (_account_id, {COLUMNS[table]})"
            f" select _account_id, {row.replace('now', 'as_of')} from stripe_metrics._builds"
        )


def kinds(database: Database, **options: Any) -> set[str]:
    """The insights with these options, which are changed back afterwards."""
    before = database.query(f"select {', '.join(options)} from stripe_metrics.settings") if options else []
    set_options(database, **options)
    found = database.query("select kind from stripe_metrics.insights")
    if before:
        set_options(database, **dict(zip(options, before[0], strict=True)))
    return {kind for (kind,) in found}


def cases() -> Iterator[tuple[str, str, list[str], dict[str, Any], dict[str, Any]]]:
    """The kind, the table and its rows, options with which the insight is there, and with which it is not."""
    trial = "'sub_t', 'cus_t', 'usd', 'trialing', 0, now + interval '5 days', null"
    yield "trial_without_method", "_subscriptions", [trial], {}, {"trial_days": 4}
    late = "'sub_p', 'cus_p', 'usd', 'past_due', 100, null, 'card'"
    yield "past_due", "_subscriptions", [late], {}, {"least_share": 1}
    left = "now - interval '100 days', 'sub_t', 'cus_t', 'usd', 'canceled', -500"
    yield "churn_reason", "subscription_events", [left], {"churn_days": 101}, {}
    paid = [f"'in_{n}', 'cus_t', 'usd', 100, now - interval '6 months', 'recovered'" for n in range(10)]
    lost = [f"'in_1{n}', 'cus_t', 'usd', 100, now - interval '2 months', 'recovered'" for n in range(9)]
    lost.append("'in_20', 'cus_t', 'usd', 100, now - interval '2 months', 'lost'")
    yield "recovery_falling", "dunning", paid + lost, {}, {"falling_share": 0.2}


@pytest.mark.long
@pytest.mark.parametrize(("kind", "table", "rows", "shown", "hidden"), list(cases()), ids=lambda each: str(each)[:20])
def test_an_insight_has_its_threshold_among_the_options(
    built: Database, kind: str, table: str, rows: list[str], shown: dict[str, Any], hidden: dict[str, Any]
) -> None:
    assert kind not in kinds(built)
    if kind == "churn_reason":
        put(built, "_subscriptions", "'sub_t', 'cus_t', 'usd', 'canceled', 0, null, null")
    put(built, table, *rows)
    assert kind in kinds(built, **shown)
    assert kind not in kinds(built, **hidden)
