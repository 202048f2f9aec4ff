"""Reads the report's content from the views: one `Answers` for each account and currency.

Amounts are integers in the smallest unit, rates are shares (0.1 is 10 %). Reads only the schema of the metrics. Formats
nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.warehouse.database import Database, has_column, has_table
from sources.errors import BadConfiguration, shown

Row = Mapping[str, Any]
MONTHS = 24
"""How many months the charts show."""

LARGEST = 10
PLANS = 6
SEVERITIES = ("high", "medium", "low")


@dataclass(frozen=True, slots=True)
class Answers:
    """One account's answers in one currency. `month` is the first day of the headline's month.

    `rows` have the charts' data. `headline` has the values at the end of the month; keys that end in `_before` are
    those of the month before, in `_year_before` those of the same month of the previous year.
    """

    account: str
    currency: str
    decimals: int
    month: str
    as_of: str
    headline: Row
    movements: Row
    past_due: Row
    trials: Row
    insights: Sequence[Row]
    rows: Mapping[str, Sequence[Row]]
    settings: Row
    fresh: Sequence[Row]
    quality: Sequence[Row]

    def to_json(self) -> dict[str, Any]:
        """The answers as JSON values."""
        return asdict(self)


class Reader:
    """Reads answers of one dataset."""

    def __init__(self, database: Database, dataset: str) -> None:
        self._database, self._dataset, self._schema = database, dataset, f'"{dataset}_metrics"'

    def read(
        self, *, month: str | None = None, currency: str | None = None, account: str | None = None, names: bool = False
    ) -> list[Answers]:
        """The answers for every account and currency, or for the given ones.

        `names`: customers' names are shown with their ids. Raises BadConfiguration for a currency or a month that the
        metrics do not have.
        """
        found = self._rows(
            "select distinct _account_id, currency from (select _account_id, currency from {s}.movements union all"
            " select _account_id, currency from {s}._revenue union all select _account_id, currency from"
            " {s}._subscriptions)"
            " as known where currency is not null order by 1, 2"
        )
        wanted = [row for row in found if account in (None, row["_account_id"])]
        if currency is not None:
            known = sorted({row["currency"] for row in wanted})
            wanted = [row for row in wanted if row["currency"] == currency.lower()]
            if not wanted:
                if not known:
                    raise BadConfiguration("The tables have no amount in any currency yet.")
                there = f"choose one of {', '.join(known)}"
                raise BadConfiguration(f"The tables have no amount in the currency {shown(currency)}: {there}.")
        return [self._answers(row["_account_id"], row["currency"], month, names) for row in wanted]

    def _answers(self, account: str, currency: str, month: str | None, names: bool) -> Answers:
        def rows(sql: str, *more: Any) -> list[Row]:
            return self._rows(sql, account, currency, *more)

        monthly = rows("select * from {s}.mrr_monthly where _account_id = %s and currency = %s order by month")
        rates = rows("select * from {s}.rates_monthly where _account_id = %s and currency = %s order by month")
        (as_of,) = (row["as_of"] for row in self._rows("select as_of from {s}._builds where _account_id = %s", account))
        last = monthly[-1]["month"] if monthly else f"{as_of[:7]}-01"
        chosen = month or last
        if month is not None and monthly and not monthly[0]["month"] <= month <= last:
            raise BadConfiguration(
                f"The metrics have no month {month[:7]} of {account}: they go from {monthly[0]['month'][:7]} to"
                f" {last[:7]}."
            )
        by_month = {row["month"]: {**row, **rate} for row, rate in zip(monthly, rates, strict=True)}
        shown = [row for row in monthly if row["month"] <= chosen][-MONTHS:]
        first = _earlier(chosen, MONTHS - 1)
        customers = {}
        if names and has_column(self._database, self._dataset, "customers", "name"):
            sql = f'select id, name from "{self._dataset}".customers where _account_id = %s and name is not null'
            customers = dict(self._database.execute(sql, (account,)))

        def named(found: Sequence[Row]) -> list[Row]:
            return [{**row, "name": customers.get(row["customer"])} for row in found]

        between = (
            "where _account_id = %s and currency = %s and month >= cast(%s as date) and month <= cast(%s as date)"
            " order by month"
        )
        (decimals,) = (
            row["decimals"]
            for row in self._rows(
                "select coalesce(max(decimals), 2) as decimals from {s}.currencies where currency = %s", currency
            )
        )
        trials = self._rows(
            "select * from {s}.trials_monthly where _account_id = %s and month <= cast(%s as date) order by month",
            account,
            chosen,
        )
        trying = self._rows(
            "select count(*) as trying from {s}.trials where _account_id = %s and ended_at is null", account
        )
        return Answers(
            account, currency, int(decimals), chosen, as_of,
            headline=_headline(by_month, chosen),
            movements=by_month.get(chosen, {}),
            past_due=self._past_due(account, currency),
            trials={**(trials[-1] if trials and trials[-1]["month"] == chosen else {}), **trying[0]},
            insights=sorted(
                rows("select * from {s}.insights where _account_id = %s and currency = %s order by kind"),
                key=lambda row: (SEVERITIES.index(row["severity"]), -(row["amount"] or 0)),
            ),
            rows={
                "mrr": shown,
                "plans": self._plans(account, currency, first, chosen),
                "rates": [rate for rate in rates if first <= rate["month"] <= chosen],
                "cohorts": self._cohorts(account, currency, chosen),
                "trials": trials[-MONTHS:],
                "payments": rows(f"select * from {{s}}.dunning_monthly {between}", first, chosen),
                "revenue": rows(f"select * from {{s}}.revenue_monthly {between}", first, chosen),
                "balance": rows(f"select * from {{s}}.balance_monthly {between}", first, chosen),
                "largest": named(rows(
                    "select customer, mrr, arr, since, status from {s}.customers_now where _account_id = %s and"
                    " currency = %s"
                    f" order by mrr desc, customer limit {LARGEST}")),
                "scheduled": named(rows(
                    "select date, customer, reason, mrr from {s}.scheduled_changes where _account_id = %s and"
                    " currency = %s"
                    f" order by date, customer limit {LARGEST}")),
            },
            settings=self._rows("select * from {s}.settings")[0],
            fresh=self._fresh(account),
            quality=rows(
                "select * from {s}.quality where _account_id = %s and (currency = %s or currency is null) order by kind"
            ),
        )  # fmt: skip

    def _past_due(self, account: str, currency: str) -> Row:
        (late,) = self._rows(
            "select cast(coalesce(sum(mrr), 0) as bigint) as mrr, count(*) as subscriptions from {s}._subscriptions"
            " where _account_id = %s and currency = %s and status = 'past_due'", account, currency,
        )  # fmt: skip
        (open_,) = self._rows(
            "select cast(coalesce(sum(amount), 0) as bigint) as recoverable, count(*) as invoices from {s}.dunning"
            " where _account_id = %s and currency = %s and outcome = 'open'", account, currency,
        )  # fmt: skip
        return {**late, **open_}

    def _plans(self, account: str, currency: str, first: str, last: str) -> list[Row]:
        """MRR by month and price: the largest prices by name, the others as one sum."""
        found = self._rows(
            "select p.month, coalesce(n.name, p.price) as plan, cast(sum(p.mrr) as bigint) as mrr"
            " from {s}.mrr_by_price_monthly as p"
            " left join {s}._names as n on n._account_id = p._account_id and n.id = p.price"
            " where p._account_id = %s and p.currency = %s and p.month >= cast(%s as date) and p.month <= cast(%s as"
            " date)"
            " group by p.month, coalesce(n.name, p.price) order by 1, 2",
            account, currency, first, last,
        )  # fmt: skip
        totals: dict[str, int] = {}
        for row in found:
            totals[row["plan"]] = totals.get(row["plan"], 0) + row["mrr"]
        large = sorted(totals, key=lambda plan: -totals[plan])[:PLANS]
        summed: dict[tuple[str, str], int] = {}
        for row in found:
            key = (row["month"], row["plan"] if row["plan"] in large else "others")
            summed[key] = summed.get(key, 0) + row["mrr"]
        return [{"month": month, "plan": plan, "mrr": mrr} for (month, plan), mrr in summed.items()]

    def _cohorts(self, account: str, currency: str, last: str) -> list[Row]:
        """The last cohorts, with the share of customers and MRR that each has kept."""
        found = self._rows(
            "select cohort, months, customers, mrr from {s}.cohorts where _account_id = %s and currency = %s and"
            " cohort <= cast(%s as date)"
            " order by cohort, months", account, currency, last,
        )  # fmt: skip
        cohorts = sorted({row["cohort"] for row in found})[-MONTHS // 2 :]
        first = {row["cohort"]: row for row in found if row["months"] == 0}
        return [
            {**row, "kept": _share(row["customers"], first[row["cohort"]]["customers"]),
             "mrr_kept": _share(row["mrr"], first[row["cohort"]]["mrr"])}
            for row in found if row["cohort"] in cohorts and row["cohort"] in first
        ]  # fmt: skip

    def _fresh(self, account: str) -> list[Row]:
        if not has_table(self._database, self._dataset, "sync_status"):
            return []
        sql = (
            'select resource, status, updated_at from "{}".sync_status where _account_id = %s and resource in'
            " ('subscriptions', 'invoices', 'prices', 'charges', 'balance_transactions') order by resource"
        )
        return self._rows(sql.format(self._dataset), account)

    def _rows(self, sql: str, *parameters: Any) -> list[Row]:
        """Rows by column name, as JSON shows them on both databases: dates as text, rates as numbers."""
        rows = self._database.execute(
            f"select cast(to_json(answer) as text) from ({sql.replace('{s}', self._schema)}) as answer", parameters
        )
        return [json.loads(text) for (text,) in rows]


def _headline(by_month: Mapping[str, Row], month: str) -> Row:
    names = {
        "mrr": "closing", "arr": "arr", "customers": "closing_customers", "arpa": "arpa", "ltv": "ltv", "nrr": "nrr",
        "grr": "grr", "customer_churn": "customer_churn", "gross_mrr_churn": "gross_mrr_churn",
        "net_mrr_churn": "net_mrr_churn", "quick_ratio": "quick_ratio", "logo_retention": "logo_retention",
    }  # fmt: skip
    found: dict[str, Any] = {}
    for end, at in (("", month), ("_before", _earlier(month, 1)), ("_year_before", _earlier(month, 12))):
        row = by_month.get(at, {})
        found |= {name + end: row.get(column) for name, column in names.items()}
    return found


def _earlier(month: str, months: int) -> str:
    years, place = divmod(int(month[:4]) * 12 + int(month[5:7]) - 1 - months, 12)
    return f"{years:04d}-{place + 1:02d}-01"


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
