"""The offer of the business: products, prices and their plans, coupons, promotion codes, a tax rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.account.objects import Object
from simulator.content.business.maker import DAY, Maker

CODES_AT_ONCE = 130


@dataclass(frozen=True, slots=True)
class Plan:
    """A recurring price: the objects, months in its period, cents for one period."""

    price: Object
    plan: Object
    months: int
    cents: int


@dataclass(frozen=True, slots=True)
class Offer:
    """The whole offer. `plans` are ordered from small to large, monthly before yearly; `seat` is priced per seat."""

    plans: tuple[Plan, ...]
    seat: Plan
    setup: Object
    coupons: Sequence[Object]
    tax_rate: Object


def open_shop(make: Maker, at: int) -> Offer:
    """Creates the products of the business at its founding."""
    plans: list[Plan] = []
    for place, (name, cents) in enumerate((("Starter", 1900), ("Growth", 4900), ("Scale", 19900))):
        product = _product(make, name, at + place)
        old = _price(make, product, at + place, cents - 400, 1, active=False)
        plans += [_price(make, product, at + place, cents, 1), _price(make, product, at + place, cents * 10, 12)]
        make.account.update(
            "products", product["id"], {"default_price": plans[-2].price["id"]}, at=at + place, event=False
        )
        make.account.update(
            "prices", old.price["id"], {"metadata": {"replaced_by": plans[-2].price["id"]}}, event=False
        )
    seats = _product(make, "Seat", at + 10)
    support = _product(make, "Onboarding & Support — “white glove”", at + 11)
    setup = make.add("prices", "price", at + 11, **_price_fields(support, 25000), type="one_time", nickname="Setup fee")
    inline = _price_fields(support, 12345) | {"unit_amount_decimal": "12345.678901234567"[:18]}
    make.add("prices", "price", at + 12, **inline, type="one_time", hidden=True)
    _tiered(make, seats, at + 13)
    coupons = _coupons(make, at + 20, [*dict.fromkeys(sold.price["product"] for sold in plans), seats["id"]])
    rate = make.add(
        "tax_rates", "tax_rate", at + 30, active=True, country="DE", display_name="MwSt.", inclusive=False,
        jurisdiction="DE", percentage=19.0, effective_percentage=19.0, tax_type="vat", metadata={},
    )  # fmt: skip
    return Offer(tuple(plans), _price(make, seats, at + 14, 900, 1), setup, coupons, rate)


def _product(make: Maker, name: str, at: int) -> Object:
    return make.add(
        "products", "product", at, name=name, active=True, type="service", updated=at,
        description=f"{name} of the service",
        metadata={"tier": name.lower()}, images=[], marketing_features=[{"name": f"{name} features"}],
        tax_code="txcd_10103001",
    )  # fmt: skip


def _price_fields(product: Object, cents: int) -> Object:
    return {
        "active": True,
        "billing_scheme": "per_unit",
        "currency": "usd",
        "metadata": {},
        "product": product["id"],
        "tax_behavior": "exclusive",
        "unit_amount": cents,
        "unit_amount_decimal": str(cents),
    }


def _price(make: Maker, product: Object, at: int, cents: int, months: int, *, active: bool = True) -> Plan:
    """Creates a recurring price and its plan, which has the same id."""
    every: Object = {"interval": "month" if months == 1 else "year", "interval_count": 1, "usage_type": "licensed"}
    fields = _price_fields(product, cents) | {"active": active}
    recurring = every | {"meter": None, "trial_period_days": None}
    name = f"{product['name']} {every['interval']}ly"
    price = make.add("prices", "price", at, **fields, type="recurring", recurring=recurring, nickname=name)
    plan = make.add(
        "plans", "plan", at, id=price["id"], active=active, amount=cents, amount_decimal=str(cents), nickname=name,
        billing_scheme="per_unit", currency="usd", product=product["id"], metadata={}, **every,
    )  # fmt: skip
    return Plan(price, plan, months, cents)


def _tiered(make: Maker, product: Object, at: int) -> None:
    """Creates a volume price with its plan, and a price in fractions of a cent in two currencies.

    Tiers and currencies are only shown when expanded.
    """
    every: Object = {"interval": "month", "interval_count": 1, "usage_type": "metered"}
    recurring = every | {"meter": None, "trial_period_days": None}
    tiered: Object = {"billing_scheme": "tiered", "tiers_mode": "volume", "tiers": [_tier(3, 1000), _tier(2, None)]}
    fields = _price_fields(product, 0) | {"unit_amount": None, "unit_amount_decimal": None} | tiered
    price = make.add("prices", "price", at, **fields, type="recurring", recurring=recurring)
    make.add(
        "plans", "plan", at, id=price["id"], active=True, amount=None, amount_decimal=None, currency="usd",
        product=product["id"], metadata={}, **every, **tiered,
    )  # fmt: skip
    amount: Object = {"unit_amount": None, "unit_amount_decimal": "0.000123456789"}
    options = {code: amount | {"custom_unit_amount": None, "tax_behavior": "exclusive"} for code in ("eur", "usd")}
    cheap = _price_fields(product, 0) | amount | {"currency_options": options}
    make.add("prices", "price", at, **cheap, type="recurring", recurring=recurring, lookup_key="api_calls")


def _tier(cents: int, up_to: int | None) -> Object:
    return {
        "flat_amount": None,
        "flat_amount_decimal": None,
        "unit_amount": cents,
        "unit_amount_decimal": str(cents),
        "up_to": up_to,
    }


def _coupons(make: Maker, at: int, products: Sequence[str]) -> Sequence[Object]:
    """Creates three coupons with chosen ids, and promotion codes that were all created in one second.

    The first coupon is limited to these products, which are all products that have subscriptions.
    """
    made = [
        make.add("coupons", "coupon", at, id="LAUNCH25", name="Launch", percent_off=25.0, duration="repeating",
                 duration_in_months=3, valid=True, metadata={}, applies_to={"products": products}),
        make.add("coupons", "coupon", at, id="friends & family", name="Friends 💛", percent_off=33.33,
        duration="forever",
                 valid=True, metadata={"approved by": "o'neill"}),
        make.add("coupons", "coupon", at, id="10off", amount_off=1000, currency="usd", duration="once", valid=False,
                 max_redemptions=5, times_redeemed=5, metadata={}, currency_options={"eur": {"amount_off": 900}}),
    ]  # fmt: skip
    batch = make.now - 20 * DAY
    for number in range(CODES_AT_ONCE):
        make.add(
            "promotion_codes", "promotion_code", batch, active=number % 7 != 0, code=f"FAIR-{number:04d}",
            promotion={"coupon": "LAUNCH25", "type": "coupon"}, max_redemptions=1, metadata={"batch": "fair"},
        )  # fmt: skip
    return made
