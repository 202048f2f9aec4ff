"""Fills every table that the business left empty with a few plausible rows, so that no endpoint is empty.

Tables without parents are filled first. Rows of tables without a list (mandates, tax calculations…) can only be
retrieved.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable
from typing import Any

import orjson

from simulator.account.account import Account
from simulator.account.objects import Object
from simulator.content.shapes import Draw, Shapes
from sources.catalogue import Table
from sources.stripe_api.catalogue import CATALOGUE, RESOURCES, TABLES

DAY = 86400
# Objects that others refer to.
FIRST = (
    "customers",
    "products",
    "prices",
    "payment_methods",
    "files",
    "issuing_cardholders",
    "treasury_financial_accounts",
)
SINGLE = ("balances", "balance_settings", "tax_settings")
LISTED = frozenset(r.table for r in RESOURCES.values() if r.kind != "child" and r.not_loaded is None)
# Keys that are not usual ids: their possible values.
NAMED: dict[str, tuple[str, ...]] = {
    "country_specs": ("US", "DE", "JP", "GB", "FR"),
    "exchange_rates": ("usd", "eur", "jpy"),
    "reporting_report_types": ("balance.summary.1", "payouts.itemized.3", "activity.itemized.2"),
    "tax_codes": ("txcd_10000000", "txcd_10103001", "txcd_99999999"),
    "capabilities": ("card_payments", "transfers", "us_bank_account_ach_payments"),
    "coupons": ("WELCOME10", "vip-50%", "sommer 2026"),
    "products": ("prod_gold", "gold-special", "prod_3"),
}


def fill(account: Account, shapes: Shapes, seed: int, since: int, *, each: int = 5, but: Collection[str] = ()) -> None:
    """Adds `each` rows (fewer children) to every empty table, created between `since` and now."""
    chance = random.Random(f"filler/{seed}/{account.id}")
    names = [name for name in _order() if len(account.tables[name].shelf) == 0 and name not in ("events", *but)]
    for name in names:
        table = TABLES[name]
        if name in SINGLE:
            _add(account, shapes, chance, table, since, None, {})
        elif table.key == ("customer",):
            for row in list(account.tables["customers"])[:each]:
                _add(account, shapes, chance, table, since, None, {"customer": row.id})
        elif table.parent is None:
            values = NAMED.get(name, (None,) * each)
            for number, value in enumerate(values):
                given: Object = {} if value is None else {"id": value}
                if name == "financial_connections_accounts":
                    given = {"ownership": f"fcown_{number:016d}"}
                _add(account, shapes, chance, table, since, None, given)
        else:
            _children(account, shapes, chance, table, since)


def found_account(account: Account, shapes: Shapes, seed: int, at: int, own: Object | None = None) -> None:
    """Adds the account's own object (`own`, or a new one). Only /v1/account shows it, no list does."""
    draw = Draw(random.Random(f"account/{seed}"), account.ids, at, account.livemode, lambda name: None)
    bank = shapes.make("bank_account", draw, {"id": account.id.replace("acct_", "ba_"), "account": account.id})
    given = {"id": account.id, "external_accounts": [bank | {"customer": None}], "created": at}
    account.create("accounts", own or shapes.make("account", draw, given), at=at, hidden=True, event=False)
    owner = {"account": account.id, "application": None, "customer": None, "customer_account": None, "type": "self"}
    vat = shapes.make("tax_id", draw, {"type": "eu_vat", "value": "IE1234567WA", "owner": owner, "customer": None})
    account.create("tax_ids", vat, at=at, event=False)


def _order() -> Iterable[str]:
    """The tables, each after the tables of its parents."""
    done: list[str] = []
    waiting = sorted(TABLES, key=lambda name: (TABLES[name].key != ("id",), name not in FIRST, name))
    while waiting:
        ready = [name for name in waiting if (TABLES[name].parent or "") not in waiting]
        done += ready
        waiting = [name for name in waiting if name not in ready]
    return done


def _children(account: Account, shapes: Shapes, chance: random.Random, table: Table, since: int) -> None:
    """Adds children to the first few parents; the first parent gets twelve, so that its embedded list is cut."""
    assert table.parent is not None
    parents = list(account.tables[table.parent])[:4]
    for place, parent in enumerate(parents):
        given: dict[str, Any] = {table.parent_field: parent.id} if table.parent_field else {}
        values: Iterable[str | None] = NAMED.get(table.name, (None,) * (12 if place == 0 else 2))
        for number, value in enumerate(values):
            more = ({"id": value} if value else {}) | _particular(account, table.name, parent.id, number)
            _add(account, shapes, chance, table, max(since, parent.created), parent.id, given | more, parent.hidden)


def _particular(account: Account, table: str, parent: str, number: int) -> Object:
    """Fields of children that must agree with another object."""
    if table == "billing_meter_event_summaries":
        start = account.clock.seconds() // DAY * DAY - (number + 1) * DAY
        return {"meter": next(iter(account.tables["billing_meters"])).id, "start_time": start, "end_time": start + DAY}
    if table == "financial_connections_account_owners":
        above = account.get("financial_connections_accounts", parent) or {}
        return {"ownership": above["ownership"]}
    return {}


def _add(
    account: Account,
    shapes: Shapes,
    chance: random.Random,
    table: Table,
    since: int,
    parent: str | None,
    given: dict[str, Any],
    hidden: bool = False,
) -> None:
    now = account.clock.seconds()
    at = chance.randrange(since, now) if since < now else now

    def known(name: str) -> Object | None:
        of = CATALOGUE.table_of_object(name)
        rows = account.tables[of].shelf.rows() if of else []
        return orjson.loads(chance.choice(rows).own) if rows else None

    draw = Draw(chance, account.ids, at, account.livemode, known)
    object = shapes.make(chance.choice(table.objects), draw, given)
    for embedded in table.embedded:
        if "." not in embedded.field:
            object.pop(embedded.field, None)
    account.create(
        table.name,
        object,
        at=at,
        parent=parent,
        hidden=hidden or (parent is None and table.name not in LISTED),
    )
