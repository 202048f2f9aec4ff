"""Which payout paid a balance transaction out: told by the payout's own list alone, and kept by everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.content.business.money import was_paid_out
from tests.pipelines.mirror import Mirror

LISTS = ("payouts", "balance_transactions", "payout_balance_transactions")
EACH = "GET /v1/balance_transactions"


def links(mirror: Mirror) -> dict[str, Any]:
    return {row["id"]: row["payout"] for row in mirror.rows("balance_transactions")}


def truth(mirror: Mirror) -> dict[str, str | None]:
    account = mirror.sim.account
    payouts = [obj for obj in account.objects("payouts") if obj["automatic"]]
    return {
        obj["id"]: next((payout["id"] for payout in payouts if was_paid_out(obj, payout)), None)
        for obj in account.objects("balance_transactions")
    }


def test_transactions_are_linked_to_their_payout_and_stay_so(mirrored: Callable[..., Mirror]) -> None:
    mirror = mirrored()
    account = mirror.sim.account
    manual = account.create("payouts", mirror.sim.make("payouts", automatic=False, amount=1, currency="usd"))
    mirror.load(*LISTS)  # the manual one is not asked for: Stripe would refuse it
    payouts = account.objects("payouts")
    assert links(mirror) == truth(mirror)
    assert {*links(mirror).values()} - {None} == {payout["id"] for payout in payouts} - {manual["id"]}
    assert mirror.differences(LISTS) == []

    mirror.pass_time(3600)
    mirror.forget_requests()
    mirror.load("payout_balance_transactions")
    assert mirror.sim.service.requests[EACH] == 0  # no payout is new

    account.update("balance_transactions", next(iter(links(mirror))), {"description": "changed"})
    changed = {obj["id"] for obj in account.objects("balance_transactions") if obj["description"] == "changed"}
    assert mirror.check("balance_transactions").has_drift
    assert {row["id"] for row in mirror.rows("balance_transactions") if row["description"] == "changed"} == changed
    assert links(mirror) == truth(mirror)  # a list without payouts came later
    mirror.pass_time(120)

    newest = payouts[-1] if payouts[-1]["id"] != manual["id"] else payouts[-2]
    account.update("payouts", newest["id"], {"reconciliation_status": "completed", "metadata": {"read": "again"}})
    mirror.pass_time(120)
    mirror.forget_requests()
    mirror.sync(*LISTS)
    assert mirror.sim.service.requests[EACH] <= 2  # what changed, and the new transactions
    mirror.destination.query("update stripe.balance_transactions set payout = null where payout = ?", [newest["id"]])
    assert links(mirror) != truth(mirror)
    assert mirror.check(*LISTS).has_drift
    assert links(mirror) == truth(mirror)
