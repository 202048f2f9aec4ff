"""The monthly value of a subscription in exact fractions, which tests compare the metrics with.

Follows the definitions of docs/metrics.md with the default settings. Independent of SQL and of any table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from simulator.account.objects import Object

A_YEAR = {"year": 1, "month": 12, "week": 52, "day": 365}


def half_up(value: Fraction) -> int:
    """The nearest whole number; halves are rounded away from zero."""
    whole = int(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole


def cost(price: Object, quantity: int) -> int:
    """The price of a quantity for one period, in whole smallest units."""
    if price["billing_scheme"] == "tiered":
        return half_up(sum((Fraction(amount) for amount, _ in tier_parts(price, quantity)), Fraction(0)))
    units = quantity
    if pack := price["transform_quantity"]:
        units = -(-quantity // pack["divide_by"]) if pack["round"] == "up" else quantity // pack["divide_by"]
    return half_up(units * Fraction(price["unit_amount_decimal"]))


def tier_parts(price: Object, quantity: int) -> list[tuple[Fraction, int]]:
    """Amounts and quantities of the tiers that a quantity falls into; a flat fee has a quantity of 0."""
    parts: list[tuple[Fraction, int]] = []
    above = 0
    for tier in price["tiers"]:
        top = tier["up_to"] if tier["up_to"] is not None else max(quantity, above)
        inside = min(quantity, top) - above
        is_last = quantity <= top
        if price["tiers_mode"] == "volume":
            if is_last:
                return _priced(tier, quantity)
        elif inside > 0 or (quantity == 0 and above == 0):
            parts += _priced(tier, max(inside, 0))
        above = top
        if is_last:
            break
    return parts


def _priced(tier: Object, quantity: int) -> list[tuple[Fraction, int]]:
    flat = Fraction(tier["flat_amount_decimal"] or 0)
    return [(quantity * Fraction(tier["unit_amount_decimal"] or 0), quantity), *([(flat, 0)] if flat else [])]


def monthly(price: Object, amount: int) -> int:
    """Converts an amount for one period of a price into an amount for a month."""
    every = price["recurring"]
    return half_up(Fraction(amount * A_YEAR[every["interval"]], 12 * every["interval_count"]))


def reductions(costs: Mapping[str, int], coupons: Sequence[Object]) -> dict[str, int]:
    """The discount of each item of an invoice: percentages one after the other, then amounts, spread over the items."""
    left = dict(costs)
    for coupon in coupons:
        if coupon["percent_off"] is not None:
            left = {item: c - half_up(c * Fraction(str(coupon["percent_off"])) / 100) for item, c in left.items()}
    for coupon in coupons:
        if coupon["amount_off"] is not None:
            total, so_far = sum(left.values()), 0
            off = min(coupon["amount_off"], total)
            spread = dict(left)
            for item in sorted(left):
                before = half_up(Fraction(off * so_far, total)) if total else 0
                so_far += spread[item]
                left[item] -= (half_up(Fraction(off * so_far, total)) if total else 0) - before
    return {item: costs[item] - left[item] for item in costs}
