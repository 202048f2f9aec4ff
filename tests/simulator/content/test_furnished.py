"""An account that is like an earlier one of the process is a copy of it: equal to a new one, and independent."""

from __future__ import annotations

from typing import Any

import orjson

from simulator import Simulator
from simulator.account.account import Account
from simulator.account.accounts import FURNISHED
from tests.simulator.conftest import NOON

OPTIONS: dict[str, Any] = {"seed": 21, "customers": 1, "now": NOON, "running": False}


def content(account: Account) -> bytes:
    """All that an account holds, and what it would do next."""
    with account.lock:
        tables = {}
        for name, rows in account.tables.items():
            parents = sorted({row.parent for row in rows if row.parent})
            tables[name] = [
                [(row.id, row.created, row.seq, row.own.decode(), row.parent, row.hidden) for row in rows],
                [(parent, [row.id for row in rows.of(parent).rows()]) for parent in parents],
                [account.views.of(name, row).decode() for row in rows],
                [rows.get(row.id, row.parent) is row for row in rows],
            ]
        return orjson.dumps([tables, account.deleted, account.next_place(), account.ids.of("customer")])


def accounts(sim: Simulator) -> list[Account]:
    """The platform's account and one that is connected to it."""
    ids = [row.id for row in sim.account.tables["accounts"].shelf.rows()]
    return [sim.account, sim.connected(next(id for id in ids if id != sim.account.id))]


def made(*, anew: bool = False, **changed: Any) -> Simulator:
    """A simulator; `anew` one whose accounts are no copies."""
    if anew:
        FURNISHED.clear()
    return Simulator(**OPTIONS | changed)


def contents(sim: Simulator) -> list[bytes]:
    return [content(account) for account in accounts(sim)]


def live(sim: Simulator) -> None:
    """What a business does, and one change of each kind by hand."""
    activity = sim.activity(seed=3)
    for _ in range(60):
        activity.step()
        sim.clock.advance(5)
    for account in accounts(sim):
        account.create("products", sim.make("products", name="New"))
        coupon, *_, invoice = (account.objects(name)[-1]["id"] for name in ("coupons", "customers", "invoices"))
        account.update("invoices", invoice, {"lines": [], "description": "changed"})
        account.delete("coupons", coupon)


def test_a_copy_is_equal_to_a_new_account() -> None:
    assert contents(made()) == contents(made(anew=True)) == contents(made()) == contents(made(anew=True))


def test_a_copy_lives_on_as_a_new_account_does() -> None:
    new, copy = made(anew=True), made()
    for sim in (new, copy):
        live(sim)
    assert contents(copy) == contents(new) != contents(made())


def test_accounts_that_are_alike_are_independent() -> None:
    untouched = contents(made(anew=True))
    first, second = made(anew=True), made()
    live(first)  # the one that the others are copies of
    assert contents(second) == contents(made()) == untouched
    live(second)
    assert contents(made()) == untouched


def test_what_decides_the_content_makes_another() -> None:
    known = content(made(anew=True).account)
    for changed in ({"seed": 22}, {"customers": 2}, {"now": NOON + 1}, {"mode": "live"}):
        another = content(made(**changed).account)
        assert another != known, changed
        assert another == content(made(anew=True, **changed).account), changed
    assert content(made().account) == known
