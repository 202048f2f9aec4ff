"""Adds many plain objects to a simulated Orb account, for benchmarks. They have no events."""

from __future__ import annotations

from collections.abc import Mapping

from simulator.orb.account import Account, moment
from simulator.orb.content import HISTORY
from sources.orb_api.catalogue import CATALOGUE

DAY = 86_400
MIX: Mapping[str, int] = {
    "customers": 40, "invoices": 20, "subscriptions": 15, "credit_notes": 13, "prices": 4, "items": 4, "coupons": 2,
    "plans": 2,
}  # fmt: skip
"""Objects of each table among a hundred objects."""


def add_bulk(account: Account, count: int) -> None:
    """Adds `count` copies of existing objects, spread over the account's past.

    Child rows, such as line items, are not counted. Nothing is added to an empty table.
    """
    for table, share in MIX.items():
        _fill(account, table, count * share // 100)


def _fill(account: Account, table: str, count: int) -> None:
    samples, now = account.objects(table)[:8], account.clock.seconds()
    for number in range(count if samples else 0):
        like, at = samples[number % len(samples)], moment(now - DAY - number * HISTORY // count)
        dated = {name: at for name in ("created_at", CATALOGUE.resources[table].created_field) if name in like}
        account.create(table, like | dated | {"id": f"{table.replace('_', '')}{number:012d}"})
