"""Random changes of an Orb account, with and without events: Orb sends no event for some changes.

activity.step()          # one change, in most cases with an event
activity.delete()        # deletes a customer and all of its objects; Orb sends no event
"""

from __future__ import annotations

import random

from simulator.orb.account import Account, Object, moment

DAY = 86_400


class Activity:
    """Changes an account step by step. The same seed makes the same changes."""

    def __init__(self, account: Account, seed: int = 0) -> None:
        self._account, self._random, self._number = account, random.Random(f"orb/activity/{seed}"), 0
        self._told = (
            self._rename,
            self._spend,
            self._amend,
            self._reprice,
            self._issue,
            self._pay,
            self._sign_up,
            self._credit,
            self._alert,
        )
        self._silent = (self._recount, self._drop_draft, self._renew, self._add_item)

    def step(self, *, silent: float = 0.3) -> None:
        """One change; `silent` is the probability that it has no event."""
        self._number += 1
        changes = self._silent if self._random.random() < silent else self._told
        self._random.choice(changes)()

    def delete(self) -> None:
        """Deletes a customer with its subscriptions, invoices and credit notes."""
        customer = self._one("customers")
        for table in ("credit_notes", "invoices", "subscriptions"):
            for obj in self._account.objects(table):
                if obj["customer"]["id"] == customer["id"]:
                    self._account.delete(table, obj["id"])
        self._account.delete("customers", customer["id"])

    # --- what events tell of ------------------------------------------------------------------------------------------

    def _rename(self) -> None:
        self._update("customers", self._one("customers"), "customer.edited", name=f"Customer {self._number}")

    def _spend(self) -> None:
        """Several events in one second, with different balances."""
        customer = self._one("customers")
        for part in range(self._random.randint(2, 3)):
            balance = f"{self._number}.{part}0"
            self._update("customers", customer, "customer.balance_transaction_created", balance=balance)

    def _amend(self) -> None:
        subscription = self._one("subscriptions")
        intervals = subscription["price_intervals"]
        more = [{**interval, "id": self._account.new_id()} for interval in intervals[:1]]
        kept = intervals[1:] if len(intervals) > 1 and self._random.random() < 0.5 else [*intervals, *more]
        self._update("subscriptions", subscription, "subscription.edited", price_intervals=kept)

    def _reprice(self) -> None:
        plan = self._one("plans")
        prices = [{**price, "name": f"Price {self._number}"} for price in plan["prices"]]
        self._update("plans", plan, "plan.edited", prices=prices)

    def _issue(self) -> None:
        if drafts := self._invoices("draft"):
            now = self._account.now()
            self._update(
                "invoices",
                self._random.choice(drafts),
                "invoice.issued",
                status="issued",
                invoice_date=now,
                issued_at=now,
            )

    def _pay(self) -> None:
        if issued := self._invoices("issued"):
            paid = {"status": "paid", "paid_at": self._account.now()}
            self._update("invoices", self._random.choice(issued), "invoice.payment_succeeded", **paid)

    def _sign_up(self) -> None:
        now = {"created_at": self._account.now()}
        customer = {**self._one("customers"), **now, "id": self._account.new_id(), "name": f"New {self._number}"}
        self._account.create("customers", customer, "customer.created")
        subscription = {**self._one("subscriptions"), **now, "id": self._account.new_id(), "customer": customer}
        self._account.create("subscriptions", subscription, "subscription.created")
        draft: Object = {**self._one("invoices"), **now, "id": self._account.new_id(), "status": "draft"}
        draft["invoice_date"] = moment(self._account.clock.seconds() + 30 * DAY)
        draft["customer"] = {"id": customer["id"], "external_customer_id": None}
        self._account.create("invoices", draft)

    def _credit(self) -> None:
        note = {**self._one("credit_notes"), "id": self._account.new_id(), "created_at": self._account.now()}
        self._account.create("credit_notes", note, "credit_note.issued")

    def _alert(self) -> None:
        self._update("subscriptions", self._one("subscriptions"), "subscription.usage_exceeded")

    # --- what nobody tells of -----------------------------------------------------------------------------------------

    def _recount(self) -> None:
        if drafts := self._invoices("draft"):
            self._update("invoices", self._random.choice(drafts), None, amount_due=f"{self._number}.50")

    def _drop_draft(self) -> None:
        if len(drafts := self._invoices("draft")) > 1:
            self._account.delete("invoices", self._random.choice(drafts)["id"])

    def _renew(self) -> None:
        start = self._account.clock.seconds()
        period = {"current_billing_period_start_date": moment(start)}
        period["current_billing_period_end_date"] = moment(start + 30 * DAY)
        active = [obj for obj in self._account.objects("subscriptions") if obj["status"] == "active"]
        self._update("subscriptions", self._random.choice(active), None, **period)

    def _add_item(self) -> None:
        self._account.create("items", {**self._one("items"), "id": self._account.new_id(), "name": f"I{self._number}"})

    # --- what they work on --------------------------------------------------------------------------------------------

    def _one(self, table: str) -> Object:
        return self._random.choice(self._account.objects(table))

    def _invoices(self, status: str) -> list[Object]:
        return [obj for obj in self._account.objects("invoices") if obj["status"] == status]

    def _update(self, table: str, obj: Object, event: str | None, **changes: object) -> None:
        self._account.update(table, obj["id"], changes, event)
