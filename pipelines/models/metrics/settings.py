"""The options of the metrics: one row in the table `settings` of their schema, which users change with an UPDATE."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sources.errors import BadConfiguration

DEFAULTS: Mapping[str, Any] = {
    "timezone": "UTC",
    "discounts": "forever",
    "metered": "none",
    "churn_at": "end",
    "past_due_days": None,
    "pause": "count",
    "margin": 1,
    "reporting_currency": None,
    "soon_days": 30,
    "trial_days": 7,
    "churn_days": 90,
    "largest_share": 0.2,
    "falling_share": 0.05,
    "least_share": 0,
}
"""The defaults of the options, see docs/metrics.md."""

CHOICES: Mapping[str, Sequence[str]] = {
    "discounts": ("forever", "all", "none"),
    "metered": ("none", "trailing"),
    "churn_at": ("end", "request"),
    "pause": ("count", "exclude"),
}


def check_settings(rows: Sequence[Mapping[str, Any]], zones: Collection[str]) -> None:
    """Raises BadConfiguration for a value that cannot work; the message names the option and its possible values.
    `zones`: known time zones.
    """
    if len(rows) != 1:
        raise BadConfiguration(f"The table settings of the metrics must have one row, and it has {len(rows)}.")
    row = rows[0]
    for name, choices in CHOICES.items():
        if row[name] not in choices:
            raise _wrong(name, row[name], f"one of {', '.join(choices)}")
    currency = row["reporting_currency"]
    if currency is not None and not re.fullmatch("[a-z]{3}", currency.lower()):
        raise _wrong("reporting_currency", currency, "a code of three letters, such as eur, or null")
    if row["timezone"] not in zones:
        raise _wrong("timezone", row["timezone"], "the name of a time zone, such as Europe/Berlin")
    if row["past_due_days"] is not None and row["past_due_days"] < 0:
        raise _wrong("past_due_days", row["past_due_days"], "0 or more days, or null")
    for name in ("soon_days", "trial_days", "churn_days"):
        if row[name] is None or row[name] < 1:
            raise _wrong(name, row[name], "1 or more days")
    if row["largest_share"] is None or not 0 < row["largest_share"] <= 1:
        raise _wrong("largest_share", row["largest_share"], "a share of MRR, above 0 and at most 1")
    for name in ("falling_share", "least_share"):
        if row[name] is None or not 0 <= row[name] <= 1:
            raise _wrong(name, row[name], "a share, from 0 to 1")
    if row["margin"] is None or not 0 < row["margin"] <= 1:
        raise _wrong("margin", row["margin"], "a share of revenue, above 0 and at most 1")


def check_rates(rows: Sequence[Sequence[Any]]) -> None:
    """Raises BadConfiguration for a rate that cannot work. `rows`: currency and rate."""
    known: set[str] = set()
    for currency, rate in rows:
        if currency is None or not re.fullmatch("[a-z]{3}", currency.lower()):
            raise BadConfiguration(
                f"A row of the table exchange_rates of the metrics has the currency {currency!r}: it must be a code of"
                " three letters, such as eur."
            )
        if rate is None or rate <= 0:
            raise BadConfiguration(
                f"The rate of {currency} in the table exchange_rates of the metrics is {rate}: it must be above 0."
            )
        if currency.lower() in known:
            raise BadConfiguration(
                f"The table exchange_rates of the metrics has several rates of {currency.lower()}: it must have one."
            )
        known.add(currency.lower())


def _wrong(name: str, value: object, wanted: str) -> BadConfiguration:
    return BadConfiguration(
        f"The option {name} in the table settings of the metrics is {value!r}: it must be {wanted}."
    )
