"""The content of a simulated Orb account: an offer, customers with subscriptions, invoices and credit notes.

Every object has all fields of its table; nullable fields are null unless a line here fills them.
`tests/simulator/orb/test_orb.py` checks every object against the SDK's models.
"""

from __future__ import annotations

import random
from typing import Any

from simulator.orb.account import Account, Object, moment
from sources.orb_api.catalogue import CATALOGUE

DAY = 86_400
HISTORY = 720 * DAY
STATUSES = ("paid", "paid", "issued", "synced", "void", "draft")


class Business:
    """Fills an account; the same seed and moment give the same content."""

    def __init__(self, account: Account, seed: int) -> None:
        self.account, self._random = account, random.Random(f"orb/content/{seed}")
        self._now = account.clock.seconds()

    def fill(self, customers: int) -> None:
        """Adds the whole business with this number of customers."""
        items = [self._add("items", self._since(), name=name, external_connections=[]) for name in ("Seats", "Calls")]
        for item, status in zip(items, ("active", "archived"), strict=True):
            sql = "SELECT count(*) FROM events"
            metric = self._add("billable_metrics", None, name=item["name"], item=item, sql=sql, status=status)
            self._add("dimensional_price_groups", None, name=item["name"], billable_metric_id=metric["id"],
                      dimensions=["region"], price_count=0)  # fmt: skip
        plans = [self._plan(items, status) for status in ("active", "active", "archived", "draft")]
        self._add("prices", self._since(), **(self._price(items[0], "Add-on") | {"currency": "tokens"}))
        for number in range(4):
            archived = moment(self._now - DAY) if number % 2 else None
            discount = {"discount_type": "percentage", "percentage_discount": 0.15}
            self._add("coupons", None, discount=discount, redemption_code=f"CODE{number}", times_redeemed=number,
                      archived_at=archived)  # fmt: skip
        for name in ("Seat", "Agent"):
            self._add("license_types", None, name=name, grouping_key=f"{name.lower()}_id")
        self._add(
            "webhook_endpoints", self._since(), enabled=True, payload_style="expanded", url="https://example.com/"
        )
        for number in range(customers):
            self._customer(number, plans[number % 3])

    def _customer(self, number: int, plan: Object) -> None:
        began = self._since()
        customer = self._add(
            "customers", began, name=f"Customer {number}", email=f"billing{number}@example.com", additional_emails=[],
            auto_collection=True, balance="0.00", email_delivery=True, hierarchy={"children": [], "parent": None},
            timezone="Etc/UTC", currency="USD", external_customer_id=f"user-{number}",
        )  # fmt: skip
        status = ("active", "active", "ended", "upcoming")[number % 4]
        subscription = self._subscription(customer, plan, status, began)
        if number % 5 == 0:
            self._add("event_backfills", began, customer_id=customer["id"], events_ingested=number, status="reflected",
                      replace_existing_events=False, timeframe_start=moment(began),
                      timeframe_end=moment(began + DAY))  # fmt: skip
            change = ("pending", "applied", "cancelled")[number // 5 % 3]
            self._add("subscription_changes", None, subscription_id=subscription["id"], status=change,
                      expiration_time=moment(self._now + DAY))  # fmt: skip
        for month in range(min(6, (self._now - began) // (30 * DAY))):
            # A draft is dated at the end of its period, which is in the future.
            dated = began + month * 30 * DAY if STATUSES[month] != "draft" else self._now + (number % 30 + 1) * DAY
            invoice = self._invoice(customer, subscription, plan, month, dated)
            if month == 3:
                self._credit_note(customer, invoice)

    def _plan(self, items: list[Object], status: str) -> Object:
        began = self._since()
        prices = [self._whole("prices", began, **self._price(item, item["name"])) for item in items]
        product = {"id": self.account.new_id(), "created_at": moment(began), "name": "Product"}
        trial = {"trial_period": None, "trial_period_unit": "days"}
        return self._add("plans", began, name=f"Plan {status}", description="", currency="USD", status=status,
                         invoicing_currency="USD", version=1, prices=prices, product=product, trial_config=trial,
                         adjustments=[], net_terms=0)  # fmt: skip

    def _price(self, item: Object, name: str) -> Object:
        return {
            "billing_cycle_configuration": {"duration": 1, "duration_unit": "month"}, "billing_mode": "in_arrear",
            "cadence": "monthly", "currency": "USD", "item": {"id": item["id"], "name": item["name"]},
            "model_type": "unit", "name": name, "price_type": "usage_price", "unit_config": {"unit_amount": "0.50"},
        }  # fmt: skip

    def _subscription(self, customer: Object, plan: Object, status: str, began: int) -> Object:
        start = moment(began if status != "upcoming" else self._now + DAY)
        intervals = [
            self._whole(
                "subscription_price_intervals",
                None,
                billing_cycle_day=1,
                can_defer_billing=False,
                price=price,
                start_date=start,
            )
            for price in plan["prices"]
        ]
        adjustment = {"id": self.account.new_id(), "adjustment_type": "usage_discount", "usage_discount": 1.0,
                      "applies_to_price_ids": [], "filters": [], "is_invoice_level": False}  # fmt: skip
        adjusted = self._whole("subscription_adjustment_intervals", None, adjustment=adjustment, start_date=start,
                               applies_to_price_interval_ids=[interval["id"] for interval in intervals])  # fmt: skip
        return self._add(
            "subscriptions", began, customer=customer, plan=plan, status=status, name=plan["name"], start_date=start,
            end_date=moment(self._now - DAY) if status == "ended" else None, net_terms=0, billing_cycle_day=1,
            billing_cycle_anchor_configuration={"day": 1}, trial_info={"end_date": None}, price_intervals=intervals,
            adjustment_intervals=[adjusted], discount_intervals=[], maximum_intervals=[], minimum_intervals=[],
            fixed_fee_quantity_schedule=[],
        )  # fmt: skip

    def _invoice(self, customer: Object, subscription: Object, plan: Object, month: int, at: int) -> Object:
        amount = f"{self._random.randrange(100, 99_999) / 100:.2f}"
        line = self._whole(
            "invoice_line_items", None, name=plan["name"], amount=amount, subtotal=amount, adjusted_subtotal=amount,
            credits_applied="0.00", partially_invoiced_amount="0.00", quantity=3.0, price=plan["prices"][0],
            start_date=moment(at), end_date=moment(at + 30 * DAY), adjustments=[], sub_line_items=[], tax_amounts=[],
        )  # fmt: skip
        created = min(at, self._now)
        collection = {"enabled": True, "next_attempt_at": None, "num_attempts": 0, "previously_attempted_at": None}
        return self._add(
            "invoices", created, invoice_date=moment(at), status=STATUSES[month], amount_due=amount, subtotal=amount,
            total=amount, auto_collection=collection, currency="USD", invoice_source="subscription", line_items=[line],
            customer={"id": customer["id"], "external_customer_id": customer["external_customer_id"]},
            subscription={"id": subscription["id"]}, invoice_number=self.account.new_id(), hidden_line_item_count=0,
            will_auto_issue=False, credit_notes=[], customer_balance_transactions=[], discounts=[], payment_attempts=[],
        )  # fmt: skip

    def _credit_note(self, customer: Object, invoice: Object) -> None:
        (billed,) = invoice["line_items"]
        amount, item = billed["amount"], billed["price"]["item"]["id"]
        line = self._whole("credit_note_line_items", None, name=billed["name"], amount=amount, subtotal=amount,
                           item_id=item, tax_amounts=[])  # fmt: skip
        self._add("credit_notes", self._now - DAY, credit_note_number=self.account.new_id(), invoice_id=invoice["id"],
                  customer={"id": customer["id"], "external_customer_id": None}, line_items=[line], subtotal=amount,
                  total=amount, type="adjustment")  # fmt: skip

    def _add(self, table: str, created: int | None, **fields: Any) -> Object:
        return self.account.create(table, self._whole(table, created, **fields))

    def _whole(self, table: str, created: int | None, **fields: Any) -> Object:
        """An object with all fields of its table; fields of other price models are left out."""
        known = {name for name in CATALOGUE.fields(table) if not name.endswith("_config") or table != "prices"}
        whole: Object = dict.fromkeys(sorted(known), None) | {"id": self.account.new_id()}
        if "metadata" in known:
            whole["metadata"] = {}
        if created is not None:
            whole["created_at"] = moment(created)
        return whole | fields

    def _since(self) -> int:
        """A random second of the account's history."""
        return self._now - self._random.randrange(40 * DAY, HISTORY)
