"""Objects besides subscriptions: checkouts, credit notes, pending items, test clocks, reviews."""

from __future__ import annotations

from simulator.account.objects import Object
from simulator.content.business.customers import sign_up
from simulator.content.business.maker import DAY, HOUR, Maker
from simulator.content.business.money import Purse, card_of, pay
from simulator.content.business.offer import Offer


def sidelines(make: Maker, offer: Offer, purse: Purse) -> None:
    """Creates some objects of each kind, in proportion to the number of customers."""
    customers = [held.object for held in make.account.rows("customers")]
    for place, customer in enumerate(customers[::4]):
        _checkout(make, offer, purse, customer, 12 if place % 10 == 0 else 1)
    for invoice in [held.object for held in make.account.rows("invoices")][::25]:
        if invoice["status"] == "paid":
            _credit(make, invoice)
    for customer in customers[::6]:
        _pending_item(make, offer, customer)
        _tax_id(make, customer)
    for charge in [held.object for held in make.account.rows("charges")][::90]:
        _review(make, charge)
    _test_clock(make, offer)
    _custom_method(make, customers[0])


def _checkout(make: Maker, offer: Offer, purse: Purse, customer: Object, count: int) -> None:
    """Creates a checkout session with a one-off payment, or an abandoned one."""
    at = min(customer["created"] + make.chance.randrange(HOUR, 90 * DAY), make.now - HOUR)
    left = make.happens(0.3)
    paid = None if left else pay(make, purse, customer, card_of(make, customer, at - 60), at, 25000, "Setup")
    items = [
        make.plain(
            "item", at, amount_subtotal=25000 if place == 0 else 0, amount_total=25000 if place == 0 else 0,
            currency="usd",
            description="Onboarding" if place == 0 else f"Extra no. {place}", price=offer.setup, quantity=1,
            metadata={},
        )
        for place in range(count)
    ]  # fmt: skip
    session = make.add(
        "checkout_sessions", "checkout.session", at, amount_subtotal=25000, amount_total=25000, currency="usd",
        mode="payment",
        automatic_tax={"enabled": False, "liability": None, "provider": None, "status": None}, customer=customer["id"],
        custom_text={"after_submit": None, "shipping_address": None, "submit": None}, expires_at=at + DAY,
        line_items=items,
        metadata={"cart": "42"}, payment_intent=paid.intent["id"] if paid else None, payment_method_types=["card"],
        payment_status="paid" if paid else "unpaid", status="complete" if paid else "expired", ui_mode="hosted_page",
        success_url="https://example.com/danke?session={CHECKOUT_SESSION_ID}", shipping_options=[], custom_fields=[],
        total_details={"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}, event=False,
    )  # fmt: skip
    type = "checkout.session.completed" if paid else "checkout.session.expired"
    make.tell("checkout_sessions", session["id"], type, at if paid else min(at + DAY, make.now))


def _credit(make: Maker, invoice: Object) -> None:
    """Creates a credit note for the first line of a paid invoice."""
    at = min(invoice["created"] + 3 * DAY, make.now)
    cents = max(invoice["total"] // 3, 1)
    lines = [
        make.plain(
            "credit_note_line_item", at, amount=cents, description="Goodwill — “sorry”", quantity=1,
            type="custom_line_item",
            unit_amount=cents, unit_amount_decimal=str(cents), metadata={},
        )
    ]  # fmt: skip
    make.add(
        "credit_notes", "credit_note", at, amount=cents, currency="usd", customer=invoice["customer"],
        invoice=invoice["id"],
        lines=lines, memo="", metadata={}, number=f"{invoice['number']}-CN-01",
        pdf="https://pay.stripe.com/credit_notes/x/pdf",
        post_payment_amount=cents, reason="product_unsatisfactory", status="issued", subtotal=cents, total=cents,
        subtotal_excluding_tax=cents, total_excluding_tax=cents, type="post_payment", discount_amounts=[],
        total_taxes=[],
    )  # fmt: skip


def _pending_item(make: Maker, offer: Offer, customer: Object) -> None:
    """Creates an invoice item that is pending until the customer's next invoice."""
    at = make.now - make.chance.randrange(DAY, 25 * DAY)
    details = {"price": offer.setup["id"], "product": offer.setup["product"]}
    make.add(
        "invoiceitems", "invoiceitem", at, amount=1250, currency="usd", customer=customer["id"], date=at, quantity=1,
        description="0.5 h support", discountable=True, discounts=[], metadata={}, period={"end": at, "start": at},
        pricing={"price_details": details, "type": "price_details", "unit_amount_decimal": "1250.5"}, proration=False,
        quantity_decimal="1.25", tax_rates=[], net_amount=1250,
    )  # fmt: skip


def _tax_id(make: Maker, customer: Object) -> None:
    owner = {
        "account": None,
        "application": None,
        "customer": customer["id"],
        "customer_account": None,
        "type": "customer",
    }
    make.add(
        "tax_ids", "tax_id", customer["created"] + HOUR, country="DE", customer=customer["id"], owner=owner,
        type="eu_vat",
        value="DE123456789", verification={"status": "pending", "verified_address": None, "verified_name": None},
    )  # fmt: skip


def _review(make: Maker, charge: Object) -> None:
    """Creates a review of a payment. Old reviews are closed, and no list shows them."""
    closed = charge["created"] < make.now - 60 * DAY
    make.add(
        "reviews", "review", charge["created"], billing_zip="94080", charge=charge["id"], open=not closed,
        hidden=closed,
        closed_reason="approved" if closed else None, ip_address="203.0.113.7", opened_reason="rule",
        payment_intent=charge["payment_intent"], reason="approved" if closed else "rule",
    )  # fmt: skip


def _test_clock(make: Maker, offer: Offer) -> None:
    """Creates a customer on a test clock, whom lists only show with the clock's parameter. Live accounts have none."""
    if make.account.livemode:
        return
    at = make.now - 5 * DAY
    clock = make.add(
        "test_helpers_test_clocks", "test_helpers.test_clock", at, deletes_after=at + 30 * DAY,
        frozen_time=at + 40 * DAY,
        name="Year's end", status="ready", status_details={},
    )  # fmt: skip
    sign_up(make, at, hidden=True, test_clock=clock["id"])


def _custom_method(make: Maker, customer: Object) -> None:
    """Creates a payment method of type `custom`, which the list shows only with this type as parameter."""
    make.add(
        "payment_methods", "payment_method", make.now - 9 * DAY, type="custom", customer=customer["id"], metadata={},
        custom={"display_name": "Gift card", "logo": None, "type": "cpmt_1Simulated"},
        billing_details={"address": customer["address"], "email": None, "name": None, "phone": None, "tax_id": None},
    )  # fmt: skip
