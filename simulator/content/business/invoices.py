"""Invoices with their lines and payments: paid at once, after a decline, or never."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from simulator.account.objects import Object
from simulator.content.business.discounts import Discount
from simulator.content.business.maker import DAY, HOUR, Maker
from simulator.content.business.money import Paid, Purse, pay
from simulator.content.business.offer import Offer, Plan

Outcome = Literal["paid", "open", "uncollectible", "draft", "void"]


def line(
    make: Maker, at: int, plan: Plan, subscription: Object | None, item: str | None, quantity: int, end: int
) -> Object:
    """A line for a plan, from `at` to `end`."""
    cents = plan.cents * quantity
    details: Object = {"invoice_item": None, "proration": False, "proration_details": {"credited_items": None}}
    parent = None
    if subscription is not None:
        details |= {"subscription": subscription["id"], "subscription_item": item}
        parent = {
            "invoice_item_details": None,
            "subscription_item_details": details,
            "type": "subscription_item_details",
        }
    pricing = {
        "price_details": {"price": plan.price["id"], "product": plan.price["product"]},
        "type": "price_details",
        "unit_amount_decimal": str(plan.cents),
    }
    return make.plain(
        "line_item", at, amount=cents, currency="usd", description=f"{quantity} × {plan.price['nickname']} (at $"
        f"{plan.cents / 100:.2f} / {'month' if plan.months == 1 else 'year'})", discountable=True, metadata={},
        parent=parent,
        period={"end": end, "start": at}, pricing=pricing, quantity=quantity, quantity_decimal=str(quantity),
        subtotal=cents,
        subscription=subscription["id"] if subscription else None,
    )  # fmt: skip


def bill(
    make: Maker,
    purse: Purse,
    offer: Offer,
    customer: Object,
    method: Object,
    subscription: Object | None,
    lines: Sequence[Object],
    at: int,
    *,
    reason: str,
    discount: Discount | None = None,
    number: int = 1,
    fails: int = 0,
) -> tuple[Object, Outcome, Paid | None]:
    """Creates an invoice at a second. Its first `fails` payment attempts are declined; after four it is given up."""
    id = make.ids.of("invoice")
    subtotal = sum(part["amount"] for part in lines)
    off = discount.takes_off(lines) if discount is not None else 0
    taxed = customer["address"]["country"] == "DE"
    tax = round((subtotal - off) * 0.19) if taxed else 0
    total = subtotal - off + tax
    for part in lines:
        part["invoice"] = id
    outcome, tried, paid = _collect(make, purse, customer, method, at, total, f"Invoice {id}", fails)
    for attempt in tried:
        _link(make, id, attempt, total, at)
    done = at + HOUR if outcome == "paid" else None
    taxes = [
        {"amount": tax, "tax_behavior": "exclusive", "tax_rate_details": {"tax_rate": offer.tax_rate["id"]},
         "taxability_reason": "standard_rated", "taxable_amount": subtotal - off, "type": "tax_rate_details"}
    ]  # fmt: skip
    parent = None
    if subscription is not None:
        details = {
            "metadata": subscription["metadata"],
            "subscription": subscription["id"],
            "subscription_proration_date": None,
        }
        parent = {"quote_details": None, "subscription_details": details, "type": "subscription_details"}
    settled = outcome == "paid"
    invoice = make.add(
        "invoices", "invoice", at, id=id, lines=list(lines), account_country="US", account_name="Example SaaS, Inc.",
        amount_due=total, amount_paid=total if settled else 0, amount_remaining=0 if settled else total, currency="usd",
        attempt_count=len(tried), attempted=bool(tried), auto_advance=outcome == "open", billing_reason=reason,
        parent=parent,
        automatic_tax={"disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None},
        collection_method="charge_automatically", customer=customer["id"], customer_address=customer["address"],
        customer_email=customer["email"], customer_name=customer["name"], customer_tax_exempt="none",
        customer_tax_ids=[],
        default_tax_rates=[], description=None if number % 5 else "Danke für Ihre Treue — see you next month 🎉",
        effective_at=None if outcome == "draft" else at, issuer={"type": "self"}, metadata={},
        hosted_invoice_url=None if outcome == "draft" else f"https://invoice.stripe.com/i/{make.account.id}/{id}",
        invoice_pdf=None if outcome == "draft" else f"https://pay.stripe.com/invoice/{make.account.id}/{id}/pdf",
        next_payment_attempt=at + 5 * DAY if outcome == "open" else None,
        number=None if outcome == "draft" else f"{customer['invoice_prefix']}-{number:04d}",
        payment_settings={"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        period_end=at, period_start=at, rendering=None, starting_balance=0, ending_balance=0, status=outcome,
        status_transitions={"finalized_at": None if outcome == "draft" else at + HOUR, "marked_uncollectible_at":
                            at + 14 * DAY if outcome == "uncollectible" else None, "paid_at": done, "voided_at": None},
        subtotal=subtotal, subtotal_excluding_tax=subtotal, total=total, total_excluding_tax=subtotal - off,
        discounts=[discount.id] if discount is not None else [],
        total_discount_amounts=[{"amount": off, "discount": discount.id}] if discount is not None else [],
        total_taxes=taxes if tax else [],
        webhooks_delivered_at=at,
    )  # fmt: skip
    if outcome != "draft":
        make.tell("invoices", id, "invoice.finalized", at + HOUR)
        make.tell(
            "invoices",
            id,
            {"paid": "invoice.paid", "open": "invoice.payment_failed"}.get(outcome, "invoice.updated"),
            at + HOUR,
        )
    return invoice, outcome, paid


def _collect(
    make: Maker, purse: Purse, customer: Object, method: Object, at: int, total: int, what: str, fails: int
) -> tuple[Outcome, list[Paid], Paid | None]:
    """The payment attempts: an hour after the invoice was created, then on the third, eighth and thirteenth day."""
    if at + HOUR > make.now:
        return "draft", [], None
    if total < 50:
        return "paid", [], None
    tried: list[Paid] = []
    for attempt, days in enumerate((0, 3, 8, 13)):
        moment = at + HOUR + days * DAY
        if moment > make.now:
            return "open", tried, None
        tried.append(pay(make, purse, customer, method, moment, total, what, fails=attempt < fails))
        if tried[-1].succeeded:
            return "paid", tried, tried[-1]
    return "uncollectible", tried, None


def _link(make: Maker, invoice: str, attempt: Paid, total: int, at: int) -> None:
    """Adds the invoice payment that links an attempt to its invoice."""
    moment = attempt.intent["created"]
    made = make.add(
        "invoice_payments", "invoice_payment", moment, amount_requested=total, currency="usd", invoice=invoice,
        amount_paid=total if attempt.succeeded else None, is_default=True,
        status="paid" if attempt.succeeded else "open",
        payment={"payment_intent": attempt.intent["id"], "type": "payment_intent"}, event=False,
        status_transitions={"canceled_at": None, "paid_at": moment if attempt.succeeded else None},
    )  # fmt: skip
    if attempt.succeeded:
        make.tell("invoice_payments", made["id"], "invoice_payment.paid", moment)
