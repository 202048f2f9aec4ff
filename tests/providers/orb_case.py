"""Orb in the tests that hold for every provider."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from simulator.orb import OrbSimulator
from simulator.orb.account import moment
from simulator.orb.activity import Activity
from simulator.orb.deliveries import signed_headers
from sources.orb_api.provider import ORB
from tests.pipelines.account_mirror import AccountMirror, Object
from tests.pipelines.orb_mirror import OrbMirror
from tests.providers.provider_case import AccountLife, Damage, Events, Part, ProviderCase, State
from tests.webhook_sink.conftest import NOW
from tests.webhook_sink.orb_served import SECRET, orb_event, orb_servers, orb_settings

WHOLE = OrbSimulator(seed=2, customers=4, now=NOW - 100, running=False).account
CUSTOMER, INVOICE = WHOLE.objects("customers")[0], WHOLE.objects("invoices")[0]
INTERVAL = WHOLE.objects("subscriptions")[0]["price_intervals"][0]
EDITS = {
    "customers": "customer.edited",
    "subscriptions": "subscription.edited",
    "invoices": "invoice.edited",
    "plans": "plan.edited",
    "credit_notes": "credit_note.issued",
}
NUMBERS = itertools.count()


class OrbLife(AccountLife):
    """What happens in an Orb account."""

    mirror: OrbMirror

    def __init__(self, mirror: AccountMirror[Any]) -> None:
        super().__init__(mirror)
        self._account = self.mirror.sim.account
        self._activity = Activity(self._account, seed=11)
        self._account.listeners.append(self.told.append)

    def begin(self, *lists: str) -> None:
        """The first load. The log is known to reach behind it only where it shows an older event."""
        self._account.update("customers", self._account.objects("customers")[0]["id"], {}, "customer.edited")
        self.mirror.pass_time(3_600)
        self.mirror.load(*lists)

    def tell_in(self, style: str) -> None:
        """Expanded, standard or summary."""
        self._account.style = style  # type: ignore[assignment]

    def body(self, event: Object, style: str) -> bytes:
        """As an endpoint with a style gets it, or all endpoints of an account with summaries."""
        self.tell_in(style if style == "summary" else "expanded")
        return orjson.dumps(self._account.payload(event, style))  # type: ignore[arg-type]

    def tell_all(self) -> None:
        """Tells of every object of the stormy lists."""
        for table, type in EDITS.items():
            for obj in self._account.objects(table):
                self._account.update(table, obj["id"], {}, type)

    def add_customer(self) -> str:
        """A customer signs up; her id."""
        new = self._account.objects("customers")[0] | {"id": "new", "created_at": self._account.now()}
        return str(self._account.create("customers", new, "customer.created")["id"])

    def alter(self, table: str, changes: Mapping[str, Any]) -> str:
        """Changes the first object of a table without an event; its id."""
        id = str(self._account.objects(table)[0]["id"])
        self._account.update(table, id, changes)
        return id

    def step(self) -> None:
        """One of the changes that a business brings about; of three in ten, nobody is told."""
        self._activity.step()

    def vanish(self) -> None:
        """A customer with all that is hers. Orb tells nobody of deletions."""
        self._activity.delete()

    def hourly(self) -> None:
        """The scheduled run of an hour that is no night's."""
        self.mirror.sync("new")

    def nightly(self, night: int) -> None:
        """Reads what no event tells, in every other night everything, which finds what is gone."""
        if is_odd := bool(night % 2):
            self.vanish()
        self.mirror.sync("everything" if is_odd else "changes")

    def change(self, what: str, which: int) -> None:
        """A change of a storm, of the object in a place."""
        account, n = self._account, next(NUMBERS)

        def one_of(table: str) -> Object:
            found = account.objects(table)
            return found[which % len(found)]

        match what:
            case "rename":
                account.update("customers", one_of("customers")["id"], {"name": f"name {n}"}, "customer.edited")
            case "items":
                subscription = one_of("subscriptions")
                intervals = subscription["price_intervals"]
                left = intervals[1:] if which % 2 else [*intervals, {**(intervals or [INTERVAL])[0], "id": f"new {n}"}]
                account.update("subscriptions", subscription["id"], {"price_intervals": left}, "subscription.edited")
            case "create":
                new = one_of("customers") | {"id": f"customer{n}", "created_at": account.now()}
                account.create("customers", new, "customer.created")
            case "balance":
                balance = {"balance": f"{n}.00"}
                account.update("customers", one_of("customers")["id"], balance, "customer.balance_transaction_created")
            case "pay":
                account.update("invoices", one_of("invoices")["id"], {"memo": f"paid {n}"}, "invoice.payment_succeeded")
            case "credit":
                account.update("credit_notes", one_of("credit_notes")["id"], {"memo": f"{n}"}, "credit_note.issued")


def rename(id: str, customer: str, name: str, at: int) -> Object:
    """An event that tells of a customer."""
    return orb_event("customer.edited", id=id, at=moment(at), customer=CUSTOMER | {"id": customer, "name": name})


def history(invoice: str, states: Sequence[State]) -> Events:
    """The events of an invoice, a second apart; none tells of its deletion."""
    line = INVOICE["line_items"][0]

    def shown(state: State) -> Object:
        lines = [{**line, "id": f"{invoice}_{each}"} for each in sorted(state.lines)]
        return {**INVOICE, "id": invoice, "memo": state.memo, "line_items": lines}

    return [
        orb_event("invoice.edited", id=f"evt_{invoice}_{second}", at=moment(NOW + second), invoice=shown(state))
        for second, state in enumerate(states)
    ]


def sign(body: bytes, second: int) -> dict[str, str]:
    """The headers of a webhook that is sent at a second."""
    return signed_headers(body, [SECRET], second)


CASE = ProviderCase(
    provider=ORB,
    simulate=OrbSimulator,
    mirror=OrbMirror,
    live=OrbLife,
    lived=("core", "dimensional_price_groups"),
    stormy=(*EDITS, "invoice_drafts"),
    untold=(),
    interrupted=("default", "credit_ledger_entries", "licenses"),
    broken="subscriptions",
    log="webhook_events",
    request_id="",
    storm=("rename", "rename", "items", "create", "balance", "pay", "credit"),
    styles=("expanded", "expanded", "standard", "summary"),
    tells_all=False,
    unseen={
        "customers": {"name": "Renamed", "brand_new": 7},
        "subscriptions": {"price_intervals": [], "adjustment_intervals": []},
    },
    parts=(
        Part("standard", ("--reads", "new"), 120, kills=(1, 4, 12)),
        Part("expanded", ("--reads", "changes"), 120, kills=(3, 9, 40), finds="changes"),
        Part("expanded", ("--reads", "everything"), 120, kills=(4, 14, 30, 60), finds="deletions"),
    ),
    damages=(
        Damage("customers", "update {table} set name = 'Wrong', balance = 7, metadata = null where id = ?", "stale"),
        Damage("customers", "delete from {table} where id = ?", "missing"),
        Damage("customers", "update {table} set _deleted_at = _as_of where id = ?", "stale"),
        Damage("invoice_line_items", "update {table} set amount = 1234567 where id = ?", "stale"),
        Damage("subscription_price_intervals", "delete from {table} where id = ?", "missing"),
        Damage(
            "customers", "update {table} set _deleted_at = null where id = ?", "vanished", "_deleted_at is not null"
        ),
    ),
    faults=("status", "throttle", "drop", "cut", "half_json", "not_json"),
    serve=orb_servers,
    sink_settings=orb_settings,
    path="/webhooks/orb",
    secret=SECRET,
    secret_variable="ORB_WEBHOOK_SECRET",
    sign=sign,
    rename=rename,
    history=history,
    memo="memo",
    tells_deletions=False,
)
