"""Many plain objects in a simulated Orb account, for benchmarks. No events are told of them."""

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
"""Of a hundred objects, how many are of each table."""


def add_bulk(account: Account, count: int) -> None:
    """Adds `count` objects like those that are there, spread over the account's past.

    Their rows below, such as line items, come on top. Nothing is added to a table that is empty.
    """
    for table, share in MIX.items():
        _fill(account, table, count * share // 100)


def _fill(account: Account, table: str, count: int) -> None:
    samples, now = account.objects(table)[:8], account.clock.seconds()
    for number in range(count if samples else 0):
        like, at = samples[number % len(samples)], moment(now - DAY - number * HISTORY // count)
        dated = {name: at for name in ("created_at", CATALOGUE.resources[table].created_field) if name in like}
        account.create(table, like | dated | {"id": f"{table.replace('_', '')}{number:012d}"})
