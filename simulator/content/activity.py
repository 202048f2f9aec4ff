"""Random changes of an account, one a step, for tests of syncs and of the sink.

activity = sim.activity(seed=5)
for _ in range(1000):
    activity.step()                 # creates, updates, deletes; several steps may share a second
    sim.clock.advance(7)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from simulator.account.account import Account
from simulator.account.objects import Object
from simulator.content import words
from simulator.content.business.customers import sign_up
from simulator.content.business.maker import DAY, HOUR, Maker
from simulator.content.business.money import Purse, card_of, pay, refund


class Activity:
    """Changes an account at the present moment of its clock. The same seed and account give the same changes."""

    def __init__(self, account: Account, make: Maker, seed: int) -> None:
        self._account, self._make = account, make
        self._chance = make.chance = random.Random(f"activity/{seed}")
        self._purse = Purse()
        self._steps: Sequence[tuple[int, Callable[[], str | None]]] = (
            (6, self._sign_up),
            (8, self._change_customer),
            (2, self._delete_customer),
            (5, self._subscribe),
            (5, self._change_items),
            (2, self._cancel),
            (6, self._invoice),
            (6, self._settle),
            (2, self._delete_draft),
            (4, self._refund),
            (2, self._rename_product),
            (2, self._coupon),
            (2, self._session),
        )

    def step(self) -> str:
        """Makes one change and returns its name ("invoice"). If the account has no object for a change, creates a
        customer.
        """
        weights = [weight for weight, _ in self._steps]
        ((_, action),) = self._chance.choices(self._steps, weights)
        with self._account.lock:
            self._make.now = self._account.clock.seconds()
            return action() or self._sign_up()

    def _any(self, table: str, test: Callable[[Object], bool] = lambda object: True) -> Object | None:
        """A random object of a table that passes a test; None if none of a few tries does."""
        rows = self._account.tables[table].shelf.rows()
        for row in self._chance.sample(rows, min(len(rows), 20)):
            object = self._account.get(table, row.id)
            if object is not None and test(object):
                return object
        return None

    def _sign_up(self) -> str:
        customer = sign_up(self._make, self._make.now)
        card_of(self._make, customer, self._make.now - 60)
        return "sign up"

    def _change_customer(self) -> str | None:
        customer = self._any("customers")
        if customer is None:
            return None
        changes = {"name": words.person(self._chance), "metadata": words.metadata(self._chance)}
        self._account.update("customers", customer["id"], changes | {"balance": self._chance.randrange(-500, 500)})
        return "change customer"

    def _delete_customer(self) -> str | None:
        customer = self._any("customers")
        if customer is None:
            return None
        self._account.delete("customers", customer["id"])
        return "delete customer"

    def _items(self, subscription: str, count: int) -> list[Object]:
        price = self._any("prices", lambda row: row["recurring"] is not None) or {}
        now = self._make.now
        return [
            self._make.plain(
                "subscription_item", now, subscription=subscription, price=price, plan={}, quantity=number + 1,
                metadata={}, current_period_start=now, current_period_end=now + 30 * DAY,
            )
            for number in range(count)
        ]  # fmt: skip

    def _subscribe(self) -> str | None:
        customer = self._any("customers")
        if customer is None:
            return None
        id = self._make.ids.of("subscription")
        self._make.add(
            "subscriptions", "subscription", self._make.now, id=id, customer=customer["id"], currency="usd",
            items=self._items(id, self._chance.choice((1, 2, 14))), status="active", metadata={},
        )  # fmt: skip
        return "subscribe"

    def _change_items(self) -> str | None:
        subscription = self._any("subscriptions", lambda row: row["status"] == "active")
        if subscription is None:
            return None
        id = subscription["id"]
        there = [row.id for row in self._account.tables["subscription_items"].of(id).newest()]
        kept = [self._account.get("subscription_items", item) or {} for item in there[: self._chance.randrange(3)]]
        changed = [item | {"quantity": self._chance.randrange(1, 99)} for item in kept]
        self._account.update("subscriptions", id, {"items": changed + self._items(id, self._chance.choice((1, 1, 11)))})
        return "change items"

    def _cancel(self) -> str | None:
        subscription = self._any("subscriptions", lambda row: row["status"] == "active")
        if subscription is None:
            return None
        now = self._make.now
        changes = {"status": "canceled", "canceled_at": now, "ended_at": now}
        self._account.update("subscriptions", subscription["id"], changes)
        return "cancel"

    def _invoice(self) -> str | None:
        customer = self._any("customers")
        if customer is None:
            return None
        id, now = self._make.ids.of("invoice"), self._make.now
        count = self._chance.choice((1, 2, 3, 12, 250))
        lines = [
            self._make.plain("line_item", now, invoice=id, amount=100 + n, currency="usd", description=f"№ {n}")
            for n in range(count)
        ]
        total = sum(line["amount"] for line in lines)
        self._make.add(
            "invoices", "invoice", now, id=id, lines=lines, customer=customer["id"], currency="usd", status="draft",
            amount_due=total, amount_remaining=total, subtotal=total, total=total, metadata={},
        )  # fmt: skip
        return "invoice"

    def _settle(self) -> str | None:
        invoice = self._any("invoices", lambda row: row["status"] in ("draft", "open"))
        customer = self._account.get("customers", invoice["customer"]) if invoice else None
        if invoice is None or customer is None:
            return None
        method = card_of(self._make, customer, self._make.now - 60)
        declined = self._chance.random() < 0.3
        pay(self._make, self._purse, customer, method, self._make.now, invoice["total"], "Invoice", fails=declined)
        due = 0 if not declined else invoice["total"]
        changes = {"amount_remaining": due, "amount_paid": invoice["total"] - due, "attempted": True}
        changes["status"] = "open" if declined else "paid"
        type = "invoice.payment_failed" if declined else "invoice.paid"
        self._account.update("invoices", invoice["id"], changes, event=type)
        return "settle"

    def _delete_draft(self) -> str | None:
        invoice = self._any("invoices", lambda row: row["status"] == "draft")
        if invoice is None:
            return None
        self._account.delete("invoices", invoice["id"])
        return "delete draft"

    def _refund(self) -> str | None:
        charge = self._any("charges", lambda row: row["paid"] and not row["refunded"])
        intent = self._account.get("payment_intents", charge["payment_intent"]) if charge else None
        if charge is None or intent is None:
            return None
        refund(self._make, self._purse, intent, charge, self._make.now, charge["amount"], "requested_by_customer")
        return "refund"

    def _rename_product(self) -> str | None:
        product = self._any("products")
        if product is None:
            return None
        name = self._chance.choice(words.COMPANIES)
        self._account.update("products", product["id"], {"name": name, "updated": self._make.now})
        return "rename product"

    def _coupon(self) -> str:
        coupon = self._any("coupons", lambda row: row["id"].startswith("temporary"))
        if coupon is not None:
            self._account.delete("coupons", coupon["id"])
            return "delete coupon"
        name = f"temporary {self._chance.randrange(10**9)}"
        self._make.add("coupons", "coupon", self._make.now, id=name, percent_off=5.5, valid=True, metadata={})
        return "coupon"

    def _session(self) -> str:
        now = self._make.now
        session = self._make.add(
            "checkout_sessions", "checkout.session", now, status="complete", mode="payment", expires_at=now + HOUR,
            line_items=[self._make.plain("item", now, amount_total=5, currency="usd") for _ in range(12)],
        )  # fmt: skip
        self._make.tell("checkout_sessions", session["id"], "checkout.session.completed", now)
        return "session"
