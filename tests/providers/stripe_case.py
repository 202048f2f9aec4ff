"""Stripe in the tests that hold for every provider."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from simulator import Simulator
from simulator.account.deliveries import signature
from simulator.account.old_versions import in_version
from sources.stripe_api.catalogue.fields import api_version
from sources.stripe_api.provider import STRIPE
from tests.pipelines.account_mirror import AccountMirror, Object
from tests.pipelines.mirror import Mirror
from tests.providers.provider_case import DELETED, AccountLife, Damage, Events, Part, ProviderCase, State
from tests.webhook_sink.conftest import NOW, SECRET, event, servers, settings_for

DAY = 86_400
OLD_VERSION = "2019-11-05"
"""Of the API: in it, the lines of an invoice have other ids."""
EDITS = {
    "customers": "customer.updated",
    "subscriptions": "customer.subscription.updated",
    "invoices": "invoice.updated",
    "products": "product.updated",
    "prices": "price.updated",
}
NUMBERS = itertools.count()


class StripeLife(AccountLife):
    """What happens in a Stripe account."""

    def __init__(self, mirror: AccountMirror[Any]) -> None:
        super().__init__(mirror)
        self._sim: Simulator = mirror.sim
        self._activity = self._sim.activity(seed=11)
        self._sim.account.events.listeners.append(self._listen)

    def _listen(self, body: bytes) -> None:
        told = orjson.loads(body)
        if told["object"] == "event":
            self.told.append(told)

    def begin(self, *lists: str) -> None:
        """The first load; a coupon after it is gone before anybody looks."""
        self.mirror.load(*lists)
        self._sim.account.create("coupons", self._sim.make("coupons", id="gone"))
        self._sim.account.delete("coupons", "gone")

    def tell_in(self, style: str) -> None:
        """In a version of the API."""
        self._sim.account.events.api_version = style

    def body(self, event: Object, style: str) -> bytes:
        """As an endpoint of a version of the API gets it."""
        if style >= event["api_version"]:
            return orjson.dumps(event)
        shown = orjson.loads(in_version(orjson.dumps(event["data"]["object"]), style))
        return orjson.dumps(event | {"api_version": style, "data": event["data"] | {"object": shown}})

    def tell_all(self) -> None:
        """Tells of every object of the stormy lists."""
        for table, type in EDITS.items():
            for obj in self._sim.account.objects(table):
                self._sim.account.tell(table, obj["id"], type)

    def add_customer(self) -> str:
        """A customer signs up; her id."""
        return str(self._sim.account.create("customers", self._sim.make("customers", name="New"))["id"])

    def alter(self, table: str, changes: Mapping[str, Any]) -> str:
        """Changes the first object of a table without an event; its id."""
        id = str(self._sim.account.objects(table)[0]["id"])
        self._sim.account.update(table, id, changes, event=False)
        return id

    def step(self) -> None:
        """One of the changes that a business brings about, each with its event."""
        self._activity.step()

    def vanish(self) -> None:
        """A customer of whose deletion no event tells."""
        account = self._sim.account
        account.delete("customers", account.objects("customers")[-1]["id"], event=False)

    def hourly(self) -> None:
        """The scheduled run of an hour."""
        self.mirror.sync()

    def change(self, what: str, which: int) -> None:
        """A change of a storm, of the object in a place."""
        change(self._sim, what, which)

    def nightly(self, night: int) -> None:
        """Events tell of everything."""


def change(sim: Simulator, what: str, which: int) -> None:
    """A change of a storm, of the object in a place, which an event tells."""
    account, n = sim.account, next(NUMBERS)
    customers, subscriptions, invoices = map(account.objects, ("customers", "subscriptions", "invoices"))
    match what:
        case "rename" if customers:
            account.update("customers", customers[which % len(customers)]["id"], {"name": f"name {n}"})
        case "items" if subscriptions:
            subscription = subscriptions[which % len(subscriptions)]
            items = [row.object for row in account.rows("subscription_items") if row.parent == subscription["id"]]
            fresh = [{**items[0], "id": f"si_new{n}"}] if items else []
            left = [*(items[1:] if which % 2 else items), *fresh]
            listed = {"object": "list", "data": left, "has_more": False, "url": "/v1/subscription_items"}
            account.update("subscriptions", subscription["id"], {"items": listed})
        case "create":
            account.create("products", sim.make("products", id=f"prod_new{n}", name=f"product {n}"))
        case "delete":
            if made := [obj for obj in account.objects("products") if obj["id"].startswith("prod_new")]:
                account.delete("products", made[which % len(made)]["id"])
        case "pay":
            account.update("invoices", invoices[which % len(invoices)]["id"], {"description": f"paid {n}"})


def rename(id: str, customer: str, name: str, at: int) -> Object:
    """An event that tells of a customer."""
    shown = {"id": customer, "object": "customer", "created": 50, "name": name}
    return event("customer.updated", shown, id=id, created=at)


def history(invoice: str, states: Sequence[State]) -> Events:
    """The events of an invoice, a second apart."""

    def shown(state: State) -> Object:
        lines = [{"id": f"{invoice}_{line}", "object": "line_item", "invoice": invoice} for line in sorted(state.lines)]
        listed = {"object": "list", "data": lines, "has_more": False, "url": "/v1/invoices"}
        rest = {"currency": "eur", "total": len(lines), "status": "draft", "livemode": False}
        return {"id": invoice, "object": "invoice", "description": state.memo, "lines": listed, **rest}

    types = ["invoice.deleted" if state.deleted else "invoice.updated" for state in states]
    return [
        event(types[second], shown(state), id=f"evt_{invoice}_{second}", created=NOW + second)
        for second, state in enumerate(states)
    ]


def sign(body: bytes, second: int) -> dict[str, str]:
    """The header of a webhook that is sent at a second."""
    return {"Stripe-Signature": signature(body, [SECRET], second)}


LISTS = ("customers", "coupons", "products", "prices", "subscriptions", "invoices", "events")
MONEY = ("invoice_payments", "charges", "refunds", "payment_intents", "payment_methods", "balance_transactions")
CASE = ProviderCase(
    provider=STRIPE,
    simulate=Simulator,
    mirror=Mirror,
    live=StripeLife,
    lived=(*LISTS, *MONEY, "checkout_sessions"),
    stormy=tuple(EDITS),
    untold=("discounts", "payment_sources", "tax_ids"),
    interrupted=(*LISTS, "shipping_rates", "quotes", "webhook_endpoints", "payment_links", "tax_rates"),
    broken="charges",
    log="events",
    request_id="req_",
    storm=("rename", "rename", "items", "create", "delete", "pay"),
    styles=(api_version(), api_version(), api_version(), OLD_VERSION),
    tells_all=True,
    unseen={"customers": {"name": "Renamed", "brand_new": 7}, "subscriptions": {"items": []}},
    parts=(
        Part(style=OLD_VERSION, options=(), seconds=3_600, kills=(1, 4, 9)),
        Part(style=api_version(), options=(), seconds=8 * DAY, kills=(2, 6, 14)),
        Part(style=api_version(), options=(), seconds=40 * DAY, kills=(2, 6, 14, 30), finds="deletions"),
    ),
    damages=(
        Damage("customers", "update {table} set email = 'nobody@example.com', metadata = null where id = ?", "stale"),
        Damage("customers", "delete from {table} where id = ?", "missing"),
        Damage("customers", "update {table} set _deleted_at = _as_of where id = ?", "stale"),
        Damage("invoice_line_items", "update {table} set amount = -1 where id = ?", "stale"),
        Damage("subscription_items", "delete from {table} where id = ?", "missing"),
        Damage("coupons", "update {table} set _deleted_at = null where id = ?", "vanished", DELETED),
    ),
    faults=("status", "throttle", "drop", "cut", "half_json", "not_json", "error_200"),
    serve=servers,
    sink_settings=settings_for,
    path="/webhooks",
    secret=SECRET,
    secret_variable="STRIPE_WEBHOOK_SECRET",
    sign=sign,
    rename=rename,
    history=history,
    memo="description",
    tells_deletions=True,
)
