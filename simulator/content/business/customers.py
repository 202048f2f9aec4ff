"""The history of a customer: sign-up, trial, payments, growth, cancellation."""

from __future__ import annotations

from typing import Any

from simulator.account.objects import Object
from simulator.content import words
from simulator.content.business.discounts import Discount, given, tell
from simulator.content.business.invoices import bill, line
from simulator.content.business.maker import DAY, HOUR, Maker, months_later
from simulator.content.business.money import Paid, Purse, card_of, dispute, refund
from simulator.content.business.offer import Offer, Plan

FOUNDERS_SEATS = 250


def sign_up(make: Maker, at: int, *, hidden: bool = False, **more: Any) -> Object:
    """A new customer."""
    name = words.person(make.chance) if make.happens(0.6) else make.chance.choice(words.COMPANIES)
    mail = "".join(c for c in name.lower() if c.isascii() and c.isalnum()) or "user"
    address = {
        "city": make.chance.choice(words.CITIES), "country": make.chance.choice(words.COUNTRIES),
        "line1": "354 Oyster Point Blvd", "line2": "", "postal_code": "94080", "state": None,
    }  # fmt: skip
    settings = {"custom_fields": None, "default_payment_method": None, "footer": None, "rendering_options": None}
    return make.add(
        "customers", "customer", at, address=address, balance=0, currency="usd", delinquent=False, name=name,
        description=make.chance.choice((None, "", "met at the fair", "naïve “quoted” note\nsecond line")),
        email=f"{mail}{make.chance.randrange(1000)}@example.com", invoice_prefix=make.ids.new("", 8).upper(),
        invoice_settings=settings, metadata=words.metadata(make.chance), next_invoice_sequence=2,
        preferred_locales=["en"],
        tax_exempt="none", hidden=hidden, **more,
    )  # fmt: skip


def live(make: Maker, offer: Offer, purse: Purse, at: int, *, founder: bool = False) -> None:
    """Creates the history of a customer from sign-up until now. The `founder` is a large customer who stays."""
    customer = sign_up(make, at)
    if make.happens(0.08) and not founder:
        return
    method = card_of(make, customer, at)
    make.account.update(
        "customers", customer["id"],
        {"invoice_settings": customer["invoice_settings"] | {"default_payment_method": method["id"]}}, at=at + 60,
    )  # fmt: skip
    large = founder or make.happens(0.03)
    # Three out of four pay monthly.
    plan = offer.plans[4] if large else make.chance.choice((*offer.plans[::2] * 3, *offer.plans[1::2]))
    seats = make.chance.choice((20, 60, 120)) if large else make.chance.choice((0, 0, 0, 1, 3))
    seats = FOUNDERS_SEATS if founder else seats
    trial = 14 if make.happens(0.3) and not founder else 0
    start = at + 10 * 60
    leaves = None if founder else _leaving(make, start, trial)
    subscription, items, details, discount = _subscribe(
        make, offer, customer, method, plan, seats, start, trial, leaves
    )
    if trial and start + trial * DAY > make.now:
        return
    _pay_every_period(
        make, offer, purse, customer, method, subscription, items, plan, seats, start + trial * DAY, leaves, discount
    )
    if leaves:
        changes = {"status": "canceled", "canceled_at": leaves, "ended_at": leaves, "cancellation_details": details}
        make.account.update(
            "subscriptions", subscription["id"], changes, at=leaves, event="customer.subscription.deleted"
        )


def _leaving(make: Maker, start: int, trial: int) -> int | None:
    """When the customer cancels: one in thirty each month, and half of the trials at the trial's end."""
    if trial and make.happens(0.4):
        at = start + trial * DAY
        return at if at < make.now else None
    months = 1
    while not make.happens(1 / 30):
        months += 1
        if months > 40:
            return None
    at = months_later(start, months) + 5 * HOUR
    return at if at < make.now else None


def _subscribe(
    make: Maker,
    offer: Offer,
    customer: Object,
    method: Object,
    plan: Plan,
    seats: int,
    at: int,
    trial: int,
    leaves: int | None,
) -> tuple[Object, list[Object], Object, Discount | None]:
    """A subscription with an item for the plan and an item for seats, its cancellation details and its discount."""
    id = make.ids.of("subscription")
    end = at + trial * DAY
    period = plan.months
    months = 0
    while months_later(at + trial * DAY, months + period) <= (leaves or make.now):
        months += period
    begin, end = months_later(at + trial * DAY, months), months_later(at + trial * DAY, months + period)
    trialing = trial > 0 and at + trial * DAY > make.now
    if trialing:
        begin, end = at, at + trial * DAY
    items = [
        make.plain(
            "subscription_item", at, subscription=id, plan=price.plan, price=price.price, quantity=quantity,
            metadata={}, current_period_start=begin, current_period_end=end, tax_rates=[], discounts=[],
        )
        for price, quantity in ((plan, 1), (offer.seat, seats))
        if quantity
    ]  # fmt: skip
    reason = make.chance.choice(("cancellation_requested", "payment_failed")) if leaves else None
    feedback = make.chance.choice(("too_expensive", "unused", "switched_service", None)) if leaves else None
    coupon = make.chance.choice(offer.coupons) if not trialing and make.happens(0.15) else None
    discount = given(coupon, id, at) if coupon is not None else None
    if discount is not None:
        tell(make, discount, customer["id"], at)
    subscription = make.add(
        "subscriptions", "subscription", at, id=id, items=items, customer=customer["id"], currency="usd", start_date=at,
        automatic_tax={"disabled_reason": None, "enabled": False, "liability": None},
        billing_cycle_anchor=at + trial * DAY,
        billing_mode={"flexible": None, "type": "classic"}, cancel_at_period_end=False,
        cancellation_details={"comment": None, "feedback": None, "reason": None},
        default_payment_method=method["id"],
        collection_method="charge_automatically", default_tax_rates=[], metadata={"source": "web", "ünïcode": "✓"},
        discounts=[discount.id] if discount is not None else [],
        invoice_settings={"account_tax_ids": None, "issuer": {"type": "self"}},
        trial_end=at + trial * DAY if trial else None,
        payment_settings={"payment_method_options": None, "save_default_payment_method": "off",
        "payment_method_types": None},
        status="trialing" if trialing else "active", trial_start=at if trial else None,
        trial_settings={"end_behavior": {"missing_payment_method": "create_invoice"}},
    )  # fmt: skip
    return subscription, items, {"comment": None, "feedback": feedback, "reason": reason}, discount


def _pay_every_period(
    make: Maker, offer: Offer, purse: Purse, customer: Object, method: Object, subscription: Object,
    items: list[Object],
    plan: Plan, seats: int, since: int, leaves: int | None, discount: Discount | None,
) -> None:  # fmt: skip
    """Creates an invoice for every period, sometimes with a decline, a refund or a dispute."""
    number, months, latest = 0, 0, None
    until = leaves or make.now
    while (at := months_later(since, months)) < until:
        end, number = months_later(since, months + plan.months), number + 1
        lines = [line(make, at, plan, subscription, items[0]["id"], 1, end)]
        if seats:
            lines += _seats(make, offer, subscription, items[1]["id"], seats, at, end, number)
        lowered_by = discount if discount is not None and discount.applies(at, number) else None
        fails = make.chance.choice((1, 1, 2, 4)) if make.happens(0.05) else 0
        invoice, _, paid = bill(
            make, purse, offer, customer, method, subscription, lines, at, discount=lowered_by, number=number,
            fails=fails,
            reason="subscription_create" if number == 1 else "subscription_cycle",
        )  # fmt: skip
        latest = invoice
        if paid is not None:
            _regret(make, purse, paid)
        months += plan.months
    if discount is not None and (ended := discount.ends_by(since)) is not None and ended < until:
        discount.end(make, ended)
    if latest is not None:
        at = latest["created"]
        make.account.update("subscriptions", subscription["id"], {"latest_invoice": latest["id"]}, at=at)
        make.account.update("customers", customer["id"], {"next_invoice_sequence": number + 1}, at=at)


def _seats(
    make: Maker, offer: Offer, subscription: Object, item: str, seats: int, at: int, end: int, number: int
) -> list[Object]:
    """One line for the seats; large customers have up to 249 lines, which add up to the seats."""
    if seats < 20 or (number > 4 and not make.happens(0.2)):
        return [line(make, at, offer.seat, subscription, item, seats, end)]
    count = min((11, 249, seats, 9)[(number - 1) % 4], seats, 249)
    first = seats - (count - 1)
    return [line(make, at, offer.seat, subscription, item, first if place == 0 else 1, end) for place in range(count)]


def _regret(make: Maker, purse: Purse, paid: Paid) -> None:
    """Refunds or disputes some payments."""
    at = paid.charge["created"] + make.chance.randrange(DAY, 9 * DAY)
    if at > make.now:
        return
    if make.happens(0.02):
        cents = paid.charge["amount"] if make.happens(0.7) else paid.charge["amount"] // 2
        reason = make.chance.choice(("requested_by_customer", "duplicate"))
        refund(make, purse, paid.intent, paid.charge, at, cents, reason)
    elif make.happens(0.006):
        dispute(make, purse, paid, at)
