"""Coupons that are given on subscriptions: the discount, what it takes off an invoice's lines, and its end.

discount = give(make, coupon, subscription, at)        # the object, with its event
off = discount.takes_off(lines, at, number)            # and each line says its part
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
    """A coupon on a subscription; `until` is the second in which a repeating one ends."""

    id: str
    coupon: Object
    subscription: str
    until: int | None

    def applies(self, at: int, number: int) -> bool:
        """Whether it lowers the subscription's invoice of this number, which is made at a second."""
        if self.coupon["duration"] == "once":
            return number == 1
        return self.until is None or at < self.until

    def takes_off(self, lines: Sequence[Object]) -> int:
        """What it takes off an invoice; each line gets its part of it."""
        parts = reductions({f"{place:04}": line["amount"] for place, line in enumerate(lines)}, [self.coupon])
        for line, (_, amount) in zip(lines, sorted(parts.items()), strict=True):
            line["discount_amounts"] = [{"amount": amount, "discount": self.id}]
        return sum(parts.values())

    def ends_by(self, start: int) -> int | None:
        """The second in which the subscription loses it: after its last month, or after the first invoice."""
        return start + HOUR if self.coupon["duration"] == "once" else self.until

    def end(self, make: Maker, at: int) -> None:
        """It has ended: the subscription has it no longer, and old invoices still name it."""
        make.account.update("subscriptions", self.subscription, {"discounts": []}, at=at)
        make.account.delete("discounts", self.id, at=at)


def given(coupon: Object, subscription: str, at: int) -> Discount:
    """The discount of a coupon that a subscription has from its start on. Its id is made from the subscription's."""
    months = coupon["duration_in_months"]
    until = months_later(at, months) if coupon["duration"] == "repeating" else None
    return Discount(subscription.replace("sub_", "di_", 1), coupon, subscription, until)


def tell(make: Maker, discount: Discount, customer: str, at: int) -> None:
    """Puts the discount into the account."""
    make.add(
        "discounts", "discount", at, id=discount.id, customer=customer, subscription=discount.subscription, start=at,
        end=discount.until, source={"coupon": discount.coupon["id"], "type": "coupon"},
    )  # fmt: skip
