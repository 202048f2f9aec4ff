"""Discounts on subscriptions: created from a coupon, applied to the lines of invoices, and ended.

discount = give(make, coupon, subscription, at)        # the object, with its event
off = discount.takes_off(lines, at, number)            # and sets its part in each line
discount.end(make, at)                                 # the subscription no longer has it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.account.objects import Object
from simulator.content.business.maker import HOUR, Maker, months_later
from simulator.content.business.worth import reductions


@dataclass(frozen=True, slots=True)
class Discount:
    """A coupon on a subscription; `until` is the second in which a repeating discount ends."""

    id: str
    coupon: Object
    subscription: str
    until: int | None

    def applies(self, at: int, number: int) -> bool:
        """Whether the discount applies to the subscription's invoice with this number, created at a second."""
        if self.coupon["duration"] == "once":
            return number == 1
        return self.until is None or at < self.until

    def takes_off(self, lines: Sequence[Object]) -> int:
        """The amount that the discount takes off an invoice; each line gets its part."""
        parts = reductions({f"{place:04}": line["amount"] for place, line in enumerate(lines)}, [self.coupon])
        for line, (_, amount) in zip(lines, sorted(parts.items()), strict=True):
            line["discount_amounts"] = [{"amount": amount, "discount": self.id}]
        return sum(parts.values())

    def ends_by(self, start: int) -> int | None:
        """The second in which the discount ends: after its last month, or after the first invoice."""
        return start + HOUR if self.coupon["duration"] == "once" else self.until

    def end(self, make: Maker, at: int) -> None:
        """Ends the discount: it is removed from the subscription, but old invoices still name it."""
        make.account.update("subscriptions", self.subscription, {"discounts": []}, at=at)
        make.account.delete("discounts", self.id, at=at)


def given(coupon: Object, subscription: str, at: int) -> Discount:
    """Creates the discount of a coupon from the subscription's start. Its id is derived from the subscription's id."""
    months = coupon["duration_in_months"]
    until = months_later(at, months) if coupon["duration"] == "repeating" else None
    return Discount(subscription.replace("sub_", "di_", 1), coupon, subscription, until)


def tell(make: Maker, discount: Discount, customer: str, at: int) -> None:
    """Adds the discount to the account."""
    make.add(
        "discounts", "discount", at, id=discount.id, customer=customer, subscription=discount.subscription, start=at,
        end=discount.until, source={"coupon": discount.coupon["id"], "type": "coupon"},
    )  # fmt: skip
