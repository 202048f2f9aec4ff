"""The cases of tests/models/metrics_cases: small tables, and answers that were worked out by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.databases import Database, Query
from tests.models.loaded import beside, build, fill, set_options

CASES = sorted(Path(__file__).with_name("metrics_cases").glob("*.json"))
MOVEMENTS = "select day, customer, currency, movement, mrr from stripe_metrics.movements order by 1, 2, 3"


def test_the_answers_of_the_cases_are_right(destination: Database) -> None:
    """All cases are one load, each in an account of its own: once as they are, and once for each variant's options."""
    cases = {f"acct_{path.stem[:2]}": json.loads(path.read_text("utf-8")) for path in CASES}
    fill(destination, beside({account: case["tables"] for account, case in cases.items()}))
    build(destination)
    for account, case in cases.items():
        check(destination, account, case["expect"], {})
    variants = [(account, each) for account, case in cases.items() for each in case["variants"]]
    for options in {json.dumps(each["options"]): each["options"] for _, each in variants}.values():
        build(destination, **options)
        for account, each in variants:
            if each["options"] == options:
                check(destination, account, each["expect"], options)
        set_options(destination, **{name: value for name, value in DEFAULT.items() if name in options})
    assert len(cases) == 15
    assert len(variants) == 7


DEFAULT = {
    "discounts": "forever", "metered": "none", "churn_at": "end", "past_due_days": None, "reporting_currency": None,
}  # fmt: skip


def check(database: Database, account: str, expect: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    with database.asked() as ask:

        def query(sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
            own = rf"(select * from stripe_metrics.\1 where _account_id = '{account}')"
            return ask(re.sub(r"stripe_metrics\.(?!currencies)(\w+)", own, sql), parameters)

        for name, wanted in expect.items():
            if name == "now":
                now(query, wanted, options.get("reporting_currency"))
            else:
                CHECKS[name](query, wanted)


def movements(query: Query, wanted: Any) -> None:
    assert [[str(day), *rest] for day, *rest in query(MOVEMENTS)] == wanted


def monthly(query: Query, wanted: Any) -> None:
    names = list(wanted[0])
    rows = query(f"select {', '.join(names)} from stripe_metrics.mrr_monthly order by currency, month")
    found = [dict(zip(names, row, strict=True)) for row in rows]
    assert [each | {"month": str(each["month"])[:7]} for each in found] == sorted(
        wanted, key=lambda each: (each["currency"], each["month"])
    )


def now(query: Query, wanted: Any, converted: str | None) -> None:
    if converted is None:
        rows = query("select currency, sum(mrr), sum(arr), count(*) from stripe_metrics.customers_now group by 1")
    else:
        rows = query(
            "select ?, sum(mrr_converted), sum(arr_converted), count(distinct customer) from"
            " stripe_metrics.customers_now",
            [converted],
        )
    assert {c: {"mrr": mrr, "arr": arr, "customers": many} for c, mrr, arr, many in rows} == wanted
    last = query(
        "select currency, closing, arr, closing_customers from stripe_metrics.mrr_monthly where closing <> 0"
        " and month = (select max(month) from stripe_metrics.mrr_monthly)"
    )
    if converted is None:
        assert {c: {"mrr": mrr, "arr": arr, "customers": many} for c, mrr, arr, many in last} == wanted


def near(found: Any, exact: str | None) -> bool:
    return found is None if exact is None else abs(Fraction(str(found)) - fraction(exact)) < Fraction(1, 10**9)


def fraction(text: str) -> Fraction:
    """`29000/40000`, or `49000/4 / (1/5)`."""
    whole, _, divisor = text.partition(" / ")
    return Fraction(whole) / Fraction(divisor.strip("()") or 1)


def retention(query: Query, wanted: Any) -> None:
    ((nrr, grr, logos),) = query(
        "select nrr, grr, logo_retention from stripe_metrics.rates_monthly where currency = ? and cast(month as"
        " text) like ?",
        [wanted["currency"], wanted["month"] + "%"],
    )
    assert near(nrr, wanted["nrr"])
    assert near(grr, wanted["grr"])
    assert near(logos, wanted["customers"])


def rates(query: Query, wanted: Any) -> None:
    at = [wanted["currency"], wanted["month"] + "%"]
    names = ("customer_churn", "gross_mrr_churn", "net_mrr_churn", "arpa")
    sql = "select {} from stripe_metrics.{} where currency = ? and cast(month as text) like ?"
    (found,) = query(sql.format(", ".join((*names, "ltv")), "rates_monthly"), at)
    for name, value in zip(names, found, strict=False):
        assert near(value, wanted[name]), name
    assert abs(Fraction(str(found[-1])) - fraction(wanted["ltv_without_margin"])) < Fraction(1, 10**3)
    (found,) = query(sql.format("opening_customers, churn_customers, closing, closing_customers", "mrr_monthly"), at)
    assert list(found) == [
        wanted[name] for name in ("opening_customers", "churned_customers", "closing_mrr", "closing_customers")
    ]


def cohorts(query: Query, wanted: Any) -> None:
    for each in wanted:
        rows = query(
            "select mrr, customers from stripe_metrics.cohorts where currency = ? and months = ? and cast(cohort as"
            " text) like ?",
            [each["currency"], each["month"], each["cohort"] + "%"],
        )
        assert rows == [(each["mrr"], each["customers"])]


def trials(query: Query, wanted: Any) -> None:
    rows = query(
        "select cast(month as text), started, ended, converted, conversion_rate from stripe_metrics.trials_monthly"
        " order by 1"
    )
    assert [(month[:7], *rest) for month, *rest, _ in rows] == [
        (each["month"], each["started"], each["ended"], each["converted"]) for each in wanted
    ]
    assert all(near(row[-1], each["conversion_rate"]) for row, each in zip(rows, wanted, strict=True))


def dunning(query: Query, wanted: Any) -> None:
    names = [name for name in wanted[0] if name != "month"]
    rows = query(
        f"select cast(month as text), {', '.join(names)} from stripe_metrics.dunning_monthly order by 1, currency"
    )
    assert [{"month": month[:7]} | dict(zip(names, rest, strict=True)) for month, *rest in rows] == wanted


def revenue(query: Query, wanted: Any) -> None:
    rows = query(
        "select cast(r.month as text), r.currency, collected, refunded, disputed, fees, net from"
        " stripe_metrics.revenue_monthly r"
        " join stripe_metrics.balance_monthly b on b._account_id = r._account_id and b.month = r.month"
        " and b.currency = r.currency order by 1, 2"
    )
    assert [(month[:7], *rest) for month, *rest in rows] == [tuple(each.values()) for each in wanted]


def scheduled(query: Query, wanted: Any) -> None:
    names = list(wanted[0])
    rows = query(f"select {', '.join(names)} from stripe_metrics.scheduled_changes order by 1, 2")
    assert [dict(zip(names, [str(row[0]), *row[1:]], strict=True)) for row in rows] == wanted


def trialing_now(query: Query, wanted: Any) -> None:
    assert query("select count(*) from stripe_metrics.trials where ended_at is null") == [(wanted,)]


def display(query: Query, wanted: Any) -> None:
    for currency, shown in wanted.items():
        ((decimals,),) = query(
            "select coalesce(max(decimals), 2) from stripe_metrics.currencies where currency = ?", [currency]
        )
        ((mrr,),) = query("select sum(mrr) from stripe_metrics.customers_now where currency = ?", [currency])
        assert f"{mrr / 10**decimals:.{decimals}f}" == shown["mrr"]


CHECKS: Mapping[str, Any] = {
    "movements": movements, "monthly": monthly, "retention": retention, "rates": rates, "cohorts": cohorts,
    "trials": trials, "dunning": dunning, "revenue": revenue, "scheduled": scheduled, "trialing_now": trialing_now,
    "display": display,
}  # fmt: skip
