"""Subscriptions as Stripe runs them: they are billed period by period, change within a period, and end.

    contract = Contract.begin(make, customer, [(price, 3)], at=…)
    contract.bill()                       # all periods that have begun by `make.now`
    contract.change(item, price, 5)       # with a proration, or without
    contract.end()

The account gets everything that Stripe would show: subscription and items, invoices with their lines, prorations as
invoice items for the next invoice, discounts, events. `mrr_at` is the exact MRR at any second.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from simulator.account.objects import Object
from simulator.content.business.maker import DAY, Maker, months_later
from simulator.content.business.worth import cost, half_up, monthly, reductions, tier_parts

STEPS = {"day": DAY, "week": 7 * DAY}


@dataclass
class Item:
    """The present state of an item."""

    id: str
    price: Object
    quantity: int
    since: int


@dataclass
class Contract:
    """One subscription. `start` and `end` bound the billed period; `told` is the history of its MRR by second.

    `told_otherwise` is the same for the settings `metered` = trailing (usage counts from when it is billed) and `pause`
    = exclude. `used` is the last billed usage of metered items.
    """

    make: Maker
    id: str
    customer: str
    currency: str
    anchor: int
    items: dict[str, Item]
    coupons: dict[str, Object]
    trial_end: int | None = None
    periods: int = 0
    start: int = 0
    end: int = 0
    ends_at: int | None = None
    status: str = "active"
    paused: str | None = None
    waiting: list[str] = field(default_factory=list)
    invoiced: list[str] = field(default_factory=list)
    told: list[tuple[int, int]] = field(default_factory=list)
    used: dict[str, int] = field(default_factory=dict)
    told_otherwise: list[tuple[int, int]] = field(default_factory=list)
    next_prices: list[tuple[str, Object, int]] = field(default_factory=list)

    # --- its life -----------------------------------------------------------------------------------------------------

    @classmethod
    def begin(
        cls,
        make: Maker,
        customer: Object,
        sold: Sequence[tuple[Object, int]],
        *,
        coupon: Object | None = None,
        trial_days: int = 0,
    ) -> Contract:
        """Creates the subscription now, and bills its first period, or its trial."""
        now, id = make.now, make.ids.of("subscription")
        items = [Item(make.ids.of("subscription_item"), price, quantity, now) for price, quantity in sold]
        trial_end = now + trial_days * DAY if trial_days else None
        own = cls(
            make,
            id,
            customer["id"],
            sold[0][0]["currency"],
            trial_end or now,
            {item.id: item for item in items},
            {},
            trial_end,
        )
        if coupon is not None:
            own.coupons[make.ids.of("discount")] = coupon
        own.status = "trialing" if trial_end else "active"
        own.start, own.end = (now, trial_end) if trial_end else (now, own._boundary(1))
        make.add(
            "subscriptions", "subscription", now, id=id, customer=customer["id"], currency=own.currency, start_date=now,
            status=own.status, trial_start=now if trial_end else None, trial_end=trial_end, items=own._shown(),
            discounts=list(own.coupons), cancel_at_period_end=False, billing_cycle_anchor=own.anchor, metadata={},
            collection_method="charge_automatically",
        )  # fmt: skip
        for discount, given in own.coupons.items():
            make.add(
                "discounts", "discount", now, id=discount, customer=own.customer, subscription=id, start=now,
                source={"type": "coupon", "coupon": given["id"]}, event="customer.discount.created",
            )  # fmt: skip
        own._invoice("subscription_create")
        own._tell()
        return own

    def bill(self) -> None:
        """Bills the periods that have begun by now. Ends the subscription at a period's end if that was requested."""
        while self.status != "canceled" and self.end <= self.make.now:
            at = self.end
            if self.ends_at is not None and self.ends_at <= at:
                self._end(at)
                return
            was_trial, self.status = self.status == "trialing", "active"
            for item, held in self.items.items():
                if not _licensed(held.price):
                    self.used[item] = 0 if was_trial else self.make.chance.randrange(500)
            ended = {"start": self.start, "end": self.end}
            self.periods += 0 if was_trial else 1
            self.start, self.end = at, self._boundary(self.periods + 1)
            for item, price, quantity in self.next_prices:  # a phase of a schedule has no proration
                if item in self.items:
                    self.items[item] = Item(item, price, quantity, at)
            self.next_prices = []
            self._update(at, {"status": self.status, "items": self._shown()})
            self._invoice("subscription_cycle", at, ended)
            self._tell(at)

    def change(self, item: str, price: Object, quantity: int, *, prorate: bool = True) -> None:
        """Changes an item to another price of the same interval, or another quantity, from now on."""
        old = self.items[item]
        self.items[item] = Item(item, price, quantity, self.make.now)
        self._prorate((old, -1), (self.items[item], 1), when=prorate)
        self._changed()

    def add(self, price: Object, quantity: int, *, prorate: bool = True) -> None:
        """Adds an item from now on."""
        new = Item(self.make.ids.of("subscription_item"), price, quantity, self.make.now)
        self.items[new.id] = new
        self._prorate((new, 1), when=prorate)
        self._changed()

    def remove(self, item: str, *, prorate: bool = True) -> None:
        """Removes an item from now on."""
        old = self.items.pop(item)
        self._prorate((old, -1), when=prorate)
        self._changed()

    def switch(self, price: Object, quantity: int) -> None:
        """Changes the only item to a price of another interval. Unused time is credited; a new period begins now."""
        (item,) = self.items
        old, now = self.items[item], self.make.now
        self._prorate((old, -1), when=True)
        self.items[item] = Item(item, price, quantity, now)
        self.anchor, self.periods, self.start = now, 0, now
        self.end = self._boundary(1)
        self._update(now, {"items": self._shown(), "billing_cycle_anchor": now})
        self._invoice("subscription_update")
        self._tell()

    def plan(self, item: str, price: Object, quantity: int) -> None:
        """Lets a schedule change an item at the end of the period."""
        self.next_prices.append((item, price, quantity))

    def ask_to_end(self) -> None:
        """Requests the end of the subscription at the end of its period."""
        self.ends_at = self.end
        changes = {"cancel_at_period_end": True, "cancel_at": self.end, "canceled_at": self.make.now}
        self._update(self.make.now, changes)

    def end_now(self, *, prorate: bool = False) -> None:
        """It ends at once."""
        for item in list(self.items.values()):
            self._prorate((item, -1), when=prorate)
        self._end(self.make.now)

    def pause(self, behavior: str | None) -> None:
        """Pauses the collection of payments with a behavior of Stripe's, or resumes it (None). The subscription stays
        active.
        """
        self.paused = behavior
        self._update(self.make.now, {"pause_collection": behavior and {"behavior": behavior, "resumes_at": None}})
        self._tell()

    # --- the truth ----------------------------------------------------------------------------------------------------

    def mrr_at(self, second: int, *, otherwise: bool = False) -> int:
        """The MRR at a second, from `told` or `told_otherwise`; 0 before the start and after the end."""
        told = self.told_otherwise if otherwise else self.told
        place = bisect_right(told, (second, 1 << 62))
        return int(told[place - 1][1]) if place else 0

    def _tell(self, at: int | None = None) -> None:
        moment = self.make.now if at is None else at
        counts = self.status not in ("trialing", "canceled")
        costs = {id: cost(item.price, item.quantity) for id, item in self.items.items() if _licensed(item.price)}
        off = reductions(costs, [coupon for coupon in self.coupons.values() if coupon["duration"] == "forever"])
        worth = sum(monthly(self.items[id].price, amount - off[id]) for id, amount in costs.items())
        self.told.append((moment, worth if counts else 0))
        used = {id: amount for id, amount in self.used.items() if id in self.items}
        off = reductions(used, [coupon for coupon in self.coupons.values() if coupon["duration"] == "forever"])
        usage = sum(monthly(self.items[id].price, amount - off[id]) for id, amount in used.items())
        is_out = self.paused in ("void", "mark_uncollectible")
        self.told_otherwise.append((moment, worth + usage if counts and not is_out else 0))

    # --- what Stripe shows --------------------------------------------------------------------------------------------

    def _boundary(self, periods: int) -> int:
        """The end of the period with this number, counted from the anchor."""
        every = next(iter(self.items.values())).price["recurring"]
        many = periods * every["interval_count"]
        if every["interval"] in STEPS:
            return self.anchor + int(many * STEPS[every["interval"]])
        return months_later(self.anchor, many * (12 if every["interval"] == "year" else 1))

    def _shown(self) -> list[Object]:
        return [
            self.make.plain(
                "subscription_item", item.since, id=item.id, subscription=self.id, price=item.price, metadata={},
                quantity=item.quantity if _licensed(item.price) else None, current_period_start=self.start,
                current_period_end=self.end, discounts=[],
            )
            for item in self.items.values()
        ]  # fmt: skip

    def _update(self, at: int, changes: Object) -> None:
        self.make.account.update("subscriptions", self.id, changes, at=at)

    def _changed(self) -> None:
        self._update(self.make.now, {"items": self._shown()})
        self._tell()

    def _end(self, at: int) -> None:
        self.status = "canceled"
        shown = self.make.account.get("subscriptions", self.id) or {}
        changes = {"status": "canceled", "ended_at": at, "canceled_at": shown["canceled_at"] or at}
        self.make.account.update("subscriptions", self.id, changes, at=at, event="customer.subscription.deleted")
        self._tell(at)

    def _prorate(self, *parts: tuple[Item, int], when: bool) -> None:
        """Adds pending credits (-1) and debits (1), net of discounts, for the rest of the period."""
        now = self.make.now
        if not when or self.status == "trialing" or now >= self.end:
            return
        rest = Fraction(self.end - now, self.end - self.start)
        for item, sign in parts:
            if not _licensed(item.price):
                continue
            full = cost(item.price, item.quantity)
            percents = [each for each in self.coupons.values() if each["percent_off"] is not None]
            amount = sign * half_up((full - reductions({item.id: full}, percents)[item.id]) * rest)
            made = self.make.add(
                "invoiceitems", "invoiceitem", now, date=now, customer=self.customer, currency=self.currency,
                amount=amount, quantity=item.quantity, proration=True, period={"start": now, "end": self.end},
                pricing=_pricing(item.price), metadata={}, invoice=None,
                parent={"type": "subscription_details",
                        "subscription_details": {"subscription": self.id, "subscription_item": item.id}},
            )  # fmt: skip
            self.waiting.append(made["id"])

    def _invoice(self, reason: str, at: int | None = None, ended: Object | None = None) -> None:
        """Creates an invoice for pending items, for usage in the period that `ended`, and for the period that begins.

        It is paid at once, unless collection is paused.
        """
        at = self.make.now if at is None else at
        make, id = self.make, self.make.ids.of("invoice")
        lines = [self._waiting_line(item, id) for item in self.waiting]
        self.waiting = []
        full = {
            item.id: cost(item.price, item.quantity) if _licensed(item.price) else self.used.get(item.id, 0)
            for item in self.items.values()
        }
        off = {each: reductions(full, [coupon]) for each, coupon in self.coupons.items()}
        for item in self.items.values():
            amounts = [{"discount": each, "amount": taken[item.id]} for each, taken in off.items()]
            if self.status == "trialing":
                lines.append(self._line(id, at, item, 0, item.quantity, []))
            elif not _licensed(item.price):
                lines.append(self._line(id, at, item, full[item.id], full[item.id], amounts, ended))
            else:
                parts = (
                    tier_parts(item.price, item.quantity)
                    if item.price["tiers"]
                    else [(Fraction(full[item.id]), item.quantity)]
                )
                for place, (amount, quantity) in enumerate(parts):
                    lines.append(self._line(id, at, item, half_up(amount), quantity, [] if place else amounts))
        status = {"void": "void", "mark_uncollectible": "uncollectible"}.get(self.paused or "", "paid")
        paid_at, voided_at = (at if status == each else None for each in ("paid", "void"))
        total = sum(line["amount"] - sum(part["amount"] for part in line["discount_amounts"]) for line in lines)
        make.add(
            "invoices", "invoice", at, id=id, lines=lines, customer=self.customer, currency=self.currency,
            status=status, billing_reason=reason, subtotal=sum(line["amount"] for line in lines), total=total,
            amount_due=max(total, 0), amount_paid=max(total, 0) if status == "paid" else 0, amount_remaining=0,
            attempted=status == "paid", attempt_count=int(status == "paid"),
            discounts=list(self.coupons), metadata={},
            status_transitions={"finalized_at": at, "paid_at": paid_at, "voided_at": voided_at,
                                "marked_uncollectible_at": at if status == "uncollectible" else None},
            parent={"type": "subscription_details", "quote_details": None, "subscription_details": {
                "subscription": self.id, "metadata": {}, "subscription_proration_date": None}},
        )  # fmt: skip
        self.invoiced.append(id)

    def _line(
        self,
        invoice: str,
        at: int,
        item: Item,
        amount: int,
        quantity: int,
        amounts: list[Object],
        period: Object | None = None,
    ) -> Object:
        details = {
            "subscription": self.id, "subscription_item": item.id, "invoice_item": None, "proration": False,
            "proration_details": {"credited_items": None},
        }  # fmt: skip
        return self._made_line(
            invoice, at, item.price, amount, quantity, period or {"start": self.start, "end": self.end}, amounts,
            {"type": "subscription_item_details", "subscription_item_details": details, "invoice_item_details": None},
        )  # fmt: skip

    def _waiting_line(self, item: str, invoice: str) -> Object:
        """The invoice line of a pending invoice item. Credits name the items that they credit."""
        waited = self.make.account.update("invoiceitems", item, {"invoice": invoice}, at=self.make.now, event=False)
        is_credit = waited["amount"] < 0
        credited = {"invoice": self.invoiced[-1], "invoice_line_items": ["il_earlier"]} if is_credit else None
        details = {
            "subscription": self.id, "invoice_item": item, "proration": True,
            "proration_details": {"credited_items": credited},
        }  # fmt: skip
        price = {
            "id": waited["pricing"]["price_details"]["price"],
            "product": waited["pricing"]["price_details"]["product"],
        }
        return self._made_line(
            invoice, waited["date"], price, waited["amount"], waited["quantity"], waited["period"], [],
            {"type": "invoice_item_details", "invoice_item_details": details, "subscription_item_details": None},
        )  # fmt: skip

    def _made_line(
        self,
        invoice: str,
        at: int,
        price: Object,
        amount: int,
        quantity: int,
        period: Object,
        amounts: Any,
        parent: Object,
    ) -> Object:
        return self.make.plain(
            "line_item", at, invoice=invoice, amount=amount, subtotal=amount, currency=self.currency, quantity=quantity,
            period=period, pricing=_pricing(price), parent=parent, discount_amounts=amounts, subscription=self.id,
            metadata={}, discountable=True,
        )  # fmt: skip


def _licensed(price: Object) -> bool:
    return bool(price["recurring"]["usage_type"] == "licensed")


def _pricing(price: Object) -> Object:
    return {
        "type": "price_details",
        "price_details": {"price": price["id"], "product": price["product"]},
        "unit_amount_decimal": None,
    }
