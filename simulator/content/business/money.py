"""Payments: payment intents, charges, refunds, disputes and payouts, each with its balance transaction."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.account.objects import Object
from simulator.content import words
from simulator.content.business.maker import DAY, HOUR, Maker


@dataclass(slots=True)
class Purse:
    """The balance transactions since the last payout."""

    net: int = 0
    since: list[tuple[int, int]] = field(default_factory=list)

    def move(self, at: int, cents: int) -> None:
        """Adds a balance transaction."""
        self.since.append((at, cents))


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment attempt: its intent, its charge, and whether it succeeded."""

    intent: Object
    charge: Object
    succeeded: bool


def pay(
    make: Maker, purse: Purse, customer: Object, method: Object, at: int, cents: int, what: str, *, fails: bool = False
) -> Paid:
    """Creates a card payment, which succeeds or is declined."""
    intent_id, charge_id = make.ids.of("payment_intent"), make.ids.of("charge")
    card = method["card"]
    shared = {"amount": cents, "currency": "usd", "customer": customer["id"], "description": what, "metadata": {}}
    transaction = None if fails else _transaction(make, purse, at, cents, charge_id, "charge", what)
    problem = {
        "code": "card_declined",
        "decline_code": "insufficient_funds",
        "message": "Your card has insufficient funds.",
    }
    charge = make.add(
        "charges", "charge", at, id=charge_id, **shared, amount_captured=0 if fails else cents, paid=not fails,
        captured=not fails, status="failed" if fails else "succeeded", payment_intent=intent_id,
        payment_method=method["id"],
        balance_transaction=transaction, billing_details=method["billing_details"], fraud_details={},
        calculated_statement_descriptor="EXAMPLE SAAS", receipt_email=customer["email"],
        receipt_url=None if fails else f"https://pay.stripe.com/receipts/payment/{charge_id}?s=ap",
        failure_code=problem["code"] if fails else None, failure_message=problem["message"] if fails else None,
        outcome=_outcome(make, fails),
        payment_method_details={"type": "card", "card": _used(card) | {"amount_authorized": cents,
        "authorization_code": "012345"}},
    )  # fmt: skip
    intent = make.add(
        "payment_intents", "payment_intent", at, id=intent_id, **shared, amount_received=0 if fails else cents,
        latest_charge=charge_id, payment_method=method["id"], payment_method_types=["card", "link"],
        amount_details={"tip": {}}, capture_method="automatic", confirmation_method="automatic",
        client_secret=f"{intent_id}_secret_{make.ids.new('', 20)}",
        status="requires_payment_method" if fails else "succeeded",
        last_payment_error=problem | {"type": "card_error", "charge": charge_id} if fails else None,
        payment_method_options={"card": {"request_three_d_secure": "automatic"}}, receipt_email=customer["email"],
    )  # fmt: skip
    make.tell(
        "payment_intents", intent_id, "payment_intent.payment_failed" if fails else "payment_intent.succeeded", at
    )
    return Paid(intent, charge, not fails)


def refund(make: Maker, purse: Purse, intent: Object, charge: Object, at: int, cents: int, reason: str) -> Object:
    """Refunds a payment, fully or in part."""
    id = make.ids.of("refund")
    transaction = _transaction(make, purse, at, -cents, id, "refund", "REFUND FOR CHARGE")
    made = make.add(
        "refunds", "refund", at, id=id, amount=cents, balance_transaction=transaction, charge=charge["id"],
        currency="usd", customer=charge["customer"], payment_intent=intent["id"], reason=reason,
        status="succeeded",
        payment_method=charge["payment_method"], metadata={"ticket": f"#{make.chance.randrange(9999)}"},
        destination_details={"card": {"reference_status": "pending", "type": "refund"}, "type": "card"},
    )  # fmt: skip
    whole = cents == charge["amount"]
    changes = {"amount_refunded": cents, "refunded": whole}
    make.account.update("charges", charge["id"], changes, at=at, event="charge.refunded")
    return made


def dispute(make: Maker, purse: Purse, paid: Paid, at: int) -> Object:
    """Disputes a payment; half of the disputes are lost, the newest are open."""
    cents, id = paid.charge["amount"], make.ids.of("dispute")
    make.add(
        "radar_early_fraud_warnings", "radar.early_fraud_warning", at - DAY, actionable=False, charge=paid.charge["id"],
        fraud_type="made_with_stolen_card", payment_intent=paid.intent["id"],
    )  # fmt: skip
    transaction = _transaction(make, purse, at, -cents, id, "adjustment", "Chargeback withdrawal", fee=1500)
    fresh = at > make.now - 10 * DAY
    status = "needs_response" if fresh else make.chance.choice(("lost", "won", "warning_closed"))
    evidence = {
        "customer_email_address": "a@example.com",
        "product_description": "SaaS\nmonthly",
        "uncategorized_text": "",
    }
    made = make.add(
        "disputes", "dispute", at, id=id, amount=cents, balance_transactions=[make.account.get("balance_transactions",
        transaction)],
        charge=paid.charge["id"], currency="usd", evidence=evidence, payment_intent=paid.intent["id"],
        reason="fraudulent",
        evidence_details={"due_by": at + 14 * DAY, "has_evidence": not fresh, "past_due": False, "submission_count": 0},
        is_charge_refundable=False, metadata={}, network_reason_code="10.4", status=status,
        payment_method_details={"card": {"brand": "visa", "case_type": "chargeback", "network_reason_code": "10.4"},
        "type": "card"},
    )  # fmt: skip
    make.account.update("charges", paid.charge["id"], {"disputed": True}, at=at)
    return made


EVERY = 7 * DAY
"""Seconds between two payouts."""


def was_paid_out(transaction: Object, payout: Object) -> bool:
    """Whether a balance transaction belongs to an automatic payout: those since the payout before, and its own."""
    if transaction["type"] == "payout":
        return bool(transaction["source"] == payout["id"])
    return bool(payout["created"] - EVERY <= transaction["created"] < payout["created"])


def pay_out(make: Maker, purse: Purse, since: int) -> None:
    """Creates weekly payouts of the balance."""
    movements = sorted(purse.since)
    place = 0
    for at in range(since + EVERY, make.now, EVERY):
        cents = 0
        while place < len(movements) and movements[place][0] < at:
            cents += movements[place][1]
            place += 1
        if cents <= 0:
            continue
        id = make.ids.of("payout")
        transaction = _transaction(make, Purse(), at, -cents, id, "payout", "STRIPE PAYOUT", fee=0)
        on_its_way = at + 2 * DAY > make.now
        make.add(
            "payouts", "payout", at, id=id, amount=cents, arrival_date=at + 2 * DAY, automatic=True, currency="usd",
            balance_transaction=transaction, description="STRIPE PAYOUT", metadata={}, method="standard",
            type="bank_account",
            source_type="card", status="in_transit" if on_its_way else "paid",
            destination=make.account.id.replace("acct_", "ba_"),
            reconciliation_status="in_progress" if on_its_way else "completed",
            trace_id={"status": "pending" if on_its_way else "supported",
            "value": None if on_its_way else id[3:19].lower()},
        )  # fmt: skip
        if not on_its_way:
            make.tell("payouts", id, "payout.paid", at + 2 * DAY)


def _transaction(
    make: Maker, purse: Purse, at: int, cents: int, source: str, type: str, what: str, fee: int | None = None
) -> str:
    """Creates a balance transaction and returns its id. Charges cost 2.9 % and 30 cents."""
    if fee is None:
        fee = round(cents * 0.029) + 30 if type == "charge" else 0
    details = [
        {
            "amount": fee,
            "application": None,
            "currency": "usd",
            "description": "Stripe processing fees",
            "type": "stripe_fee",
        }
    ]
    made = make.add(
        "balance_transactions", "balance_transaction", at, amount=cents, available_on=at + 2 * DAY, currency="usd",
        balance_type="payments", description=what, fee=fee, fee_details=details if fee else [], net=cents - fee,
        source=source,
        reporting_category={"adjustment": "dispute"}.get(type, type), type=type,
        status="pending" if at + 2 * DAY > make.now else "available",
    )  # fmt: skip
    purse.move(at, cents - fee)
    id: str = made["id"]
    return id


def _used(card: Object) -> Object:
    """The card details of a charge."""
    return {
        name: card[name] for name in ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "last4")
    }


def _outcome(make: Maker, fails: bool) -> Object:
    return {
        "advice_code": "try_again_later" if fails else None,
        "network_status": "declined_by_network" if fails else "approved_by_network",
        "reason": "insufficient_funds" if fails else None,
        "risk_level": "normal",
        "risk_score": make.chance.randrange(1, 60),
        "seller_message": "The bank did not approve." if fails else "Payment complete.",
        "type": "issuer_declined" if fails else "authorized",
    }


def card_of(make: Maker, customer: Object, at: int) -> Object:
    """A card that a customer pays with."""
    card = {
        "brand": make.chance.choice(("visa", "mastercard", "amex")),
        "checks": {"address_line1_check": None, "address_postal_code_check": "pass", "cvc_check": "pass"},
        "country": make.chance.choice(words.COUNTRIES),
        "exp_month": 1 + make.chance.randrange(12),
        "exp_year": 2027 + make.chance.randrange(5),
        "fingerprint": make.ids.new("", 16),
        "funding": make.chance.choice(("credit", "debit", "prepaid")),
        "last4": f"{make.chance.randrange(10_000):04d}",
        "networks": {"available": ["visa"], "preferred": None},
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }
    billing = {
        "address": customer["address"],
        "email": customer["email"],
        "name": customer["name"],
        "phone": None,
        "tax_id": None,
    }
    return make.add(
        "payment_methods", "payment_method", at + HOUR // 60, type="card", card=card, billing_details=billing,
        metadata={},
        customer=customer["id"], allow_redisplay="always",
    )  # fmt: skip
