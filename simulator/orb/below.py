"""The child objects of a simulated Orb account: those that lists show for one customer, subscription or plan.

They are derived from the account's other content, which is the same with and without them.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from simulator.orb.account import PRICES_OF_GROUPS, Account, Object, moment

HOUR, DAY = 3_600, 86_400
UNITS = ("credits", "USD", "tokens")
"""Currencies and pricing units of credits: the one that lists show by default, and two that must be requested."""


def fill_below(account: Account) -> None:
    """Adds the children of an account's customers, subscriptions, plans and groups, and its event volumes."""
    below = _Below(account)
    for number, customer in enumerate(account.objects("customers")):
        below.add_to_customer(number, customer)
    subscriptions = account.objects("subscriptions")
    for number, subscription in enumerate(subscriptions):
        below.add_to_subscription(number, subscription)
    if subscriptions:
        below.add_to_offer(account.objects("plans")[0])


class _Below:
    def __init__(self, account: Account) -> None:
        self._account, self._now = account, account.clock.seconds()
        self._numbers = count(1)

    def add_to_customer(self, number: int, customer: Object) -> None:
        """Balance transactions, blocks and entries of credits, top-ups, alerts."""
        owner, minified = {"customer_id": customer["id"]}, _minified(customer)
        for place in range(number % 3):
            self._add("customer_balance_transactions", self._at(number, place), owner, action="manual_adjustment",
                      amount="5.00", starting_balance=f"{5 * place}.00", ending_balance=f"{5 * place + 5}.00",
                      type="increment", credit_note=None, invoice=None, description="A gift")  # fmt: skip
        for unit in UNITS[: number % 4]:
            self._credits(number, owner | {"currency": unit}, minified)
        if number % 4 == 1:
            settings = {"auto_collection": True, "net_terms": 0, "memo": None, "require_successful_payment": False}
            self._add("credit_top_ups", None, owner, amount="100.00", currency="USD", threshold="10.00",
                      per_unit_cost_basis="1.00", invoice_settings=settings, expires_after=None,
                      expires_after_unit=None)  # fmt: skip
        if number % 2:
            self._alert(number, "credit_balance_dropped", customer=minified, currency="credits")

    def _credits(self, number: int, owner: dict[str, str], customer: Object) -> None:
        for place, balance in enumerate((12.5, 0.0)):
            began, is_over = self._at(number, place), place == 1
            block = self._add("credit_blocks", None, owner, balance=balance, credit_block_source="manual", filters=[],
                              effective_date=moment(began), metadata={}, status="active", maximum_initial_balance=12.5,
                              expiry_date=moment(self._now - DAY) if is_over else None, per_unit_cost_basis="1.00",
                              credit_allocation=None, credit_commitment=None)  # fmt: skip
            affected = {"id": block["id"], "expiry_date": block["expiry_date"], "filters": [],
                        "per_unit_cost_basis": "1.00"}  # fmt: skip
            about: dict[str, Any] = {"customer": customer, "credit_block": affected, "currency": owner["currency"]}
            about |= {"metadata": {}, "description": None}
            self._add("credit_ledger_entries", began, owner, amount=12.5, starting_balance=0.0, ending_balance=12.5,
                      entry_status="committed", entry_type="increment", ledger_sequence_number=2 * place,
                      created_invoices=[], **about)  # fmt: skip
            self._add("credit_ledger_entries", began + HOUR, owner, amount=-2.5, starting_balance=12.5,
                      ending_balance=10.0, entry_status="pending" if number % 2 else "committed",
                      entry_type="decrement", ledger_sequence_number=2 * place + 1, event_id=None, invoice_id=None,
                      price_id=None, **about)  # fmt: skip

    def add_to_subscription(self, number: int, subscription: Object) -> None:
        """Licenses, the schedule, alerts."""
        owner = {"subscription_id": subscription["id"], "customer_id": subscription["customer"]["id"]}
        (license_type, *_) = self._account.objects("license_types")
        for status in ("active", "inactive")[: number % 3]:
            self._add("licenses", None, owner, external_license_id=f"seat-{number}", status=status,
                      license_type_id=license_type["id"], subscription_id=subscription["id"],
                      start_date=subscription["start_date"], end_date=None)  # fmt: skip
        plan = {name: subscription["plan"][name] for name in ("id", "name", "external_plan_id")}
        for place in range(1 + number % 2):
            start = self._at(number, -place)
            phase = {"created_at": moment(start), "start_date": moment(start), "end_date": None, "plan": plan}
            self._account.create("subscription_schedules", phase, **owner)
        if number % 4 == 0:
            self._alert(number, "usage_exceeded", subscription={"id": subscription["id"]}, metric=None)

    def add_to_offer(self, plan: Object) -> None:
        """Migrations and alerts of a plan, prices of a group, sums of events."""
        of_plan = {name: plan[name] for name in ("id", "name", "external_plan_id")} | {"plan_version": "1"}
        self._alert(0, "cost_exceeded", plan=of_plan)
        for status in ("completed", "not_started"):
            self._add("plan_migrations", None, {"plan_id": plan["id"]}, plan_id=plan["id"], status=status,
                      effective_time="end_of_term")  # fmt: skip
        (group, *_), (price, *_) = (self._account.objects(name) for name in ("dimensional_price_groups", "prices"))
        for status in ("active", "archived"):
            self._account.create(
                PRICES_OF_GROUPS,
                price | {"id": self._id(), "name": f"By region, {status}"},
                dimensional_price_group_id=group["id"],
                status=status,
            )
        hour = self._now // HOUR * HOUR
        for ago in (*range(60), 24 * 44):
            start = hour - ago * HOUR
            self._account.create(
                "event_volumes",
                {"count": 10 + ago, "timeframe_start": moment(start), "timeframe_end": moment(start + HOUR)},
            )

    def _alert(self, number: int, type: str, **about: Any) -> None:
        whole = dict.fromkeys(("currency", "customer", "metric", "plan", "subscription")) | about
        self._add("alerts", self._at(number, 0), {}, enabled=True, type=type, thresholds=[{"value": 10.0}],
                  balance_alert_status=None, grouping_keys=None, license_type=None, price_filters=None,
                  threshold_overrides=None, **whole)  # fmt: skip

    def _add(self, table: str, created: int | None, owner: dict[str, str], **fields: Any) -> Object:
        at = {"created_at": moment(created)} if created is not None else {}
        return self._account.create(table, {"id": self._id(), **at, **fields}, **owner)

    def _id(self) -> str:
        """Ids from a separate stream, so that the ids of the other content do not change."""
        return f"below{next(self._numbers):011d}"

    def _at(self, number: int, place: int) -> int:
        return self._now - (number % 30 + 2) * DAY + place * DAY


def _minified(customer: Object) -> Object:
    return {name: customer[name] for name in ("id", "external_customer_id")}
