"""Creates many plain objects fast, for benchmarks. Each kind has several byte templates with placeholders.

The templates are objects of a small business (2 to 4 KB, 16 to 76 fields): some fields are null in one and set in
another, and metadata has from none to 44 keys. 250,000 objects take seconds, 1,000,000 fit in 4 GB: rows are rendered
once and only their bytes are kept. They have no events.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from simulator.account.account import LINKS, Account
from simulator.account.store import StoredObject
from simulator.content import words

Object = dict[str, Any]
Render = Callable[[Mapping[str, Any]], bytes]
# Objects of each table among a hundred objects.
MIX: Mapping[str, int] = {
    "customers": 25, "charges": 20, "payment_intents": 15, "invoices": 15, "balance_transactions": 10,
    "payment_methods": 5, "refunds": 5, "subscriptions": 5,
}  # fmt: skip
PREFIX: Mapping[str, str] = {
    "customers": "cus_", "charges": "ch_", "payment_intents": "pi_", "invoices": "in_", "balance_transactions": "txn_",
    "payment_methods": "pm_", "refunds": "re_", "subscriptions": "sub_",
}  # fmt: skip
# Tables with embedded children -> the field of the children, their table, and their number per object.
CHILDREN: Mapping[str, tuple[str, str, str, Sequence[int]]] = {
    "invoices": ("lines", "invoice_line_items", "il_", (1, 2, 2, 3)),
    "subscriptions": ("items", "subscription_items", "si_", (1,)),
}
# table -> the field that names another object, and that object's table.
REFERENCES: Mapping[str, tuple[str, str]] = {
    "balance_transactions": ("source", "charges"), "charges": ("customer", "customers"),
    "invoices": ("customer", "customers"), "payment_intents": ("customer", "customers"),
    "payment_methods": ("customer", "customers"), "refunds": ("charge", "charges"),
    "subscriptions": ("customer", "customers"),
}  # fmt: skip
TEMPLATES = 8  # of each table
METADATA_KEYS = (0, 1, 2, 3, 4, 8, 12, 44)  # of customers, by template
HOLE = "⟨{0}⟩"
NUMBER = 918_273_645_000


def add_bulk(account: Account, samples: Account, count: int, seed: int, since: int) -> None:
    """Adds `count` objects to an account, created between `since` and now, shaped like those of `samples`.

    Lines of invoices and items of subscriptions are not counted.
    """
    chance = random.Random(f"bulk/{seed}")
    now = account.clock.seconds()
    gc.disable()
    try:
        for table, share in MIX.items():
            moments = _moments(chance, count * share // 100, since, now)
            _fill(account, samples, table, moments, chance)
    finally:
        gc.enable()
        gc.freeze()


def _fill(account: Account, samples: Account, table: str, moments: Sequence[int], chance: random.Random) -> None:
    there = samples.tables[table].shelf.rows()
    children = CHILDREN.get(table)
    if children:
        there = [row for row in there if samples.tables[children[1]].of(row.id).rows()]
    templates: list[tuple[Render, Render | None]] = []
    for number, sample in enumerate(there[:: max(1, len(there) // TEMPLATES)][:TEMPLATES]):
        own = orjson.loads(sample.own)
        if table == "customers":
            wide = [(f"{name} {n}", value * 3) for n in range(4) for name, value in words.METADATA]
            own |= {"metadata": dict(wide[: METADATA_KEYS[number % len(METADATA_KEYS)]])}
        if "discounts" in own:
            own |= {"discounts": []}
        if table == "payment_intents":
            own["amount_details"] = None
        below = None
        if children:
            child = orjson.loads(samples.tables[children[1]].of(sample.id).rows()[0].own)
            below = _template(_holes(children[1], child))
        templates.append((_template(_holes(table, own)), below))
    collection, reference = account.tables[table], REFERENCES.get(table)
    others = [row.id for row in account.tables[reference[1]].shelf.rows()] if reference else []
    linked = reference is not None and LINKS.get(table) == reference[0]
    for place, at in enumerate(moments):
        id = _id(PREFIX[table], chance)
        other = chance.choice(others) if others else ""
        values = {
            "id": id,
            "other": other,
            "name": chance.choice(words.COMPANIES),
            "at": at,
            "cents": place % 50_000 + 100,
        }
        render, below = chance.choice(templates)
        row = StoredObject(id, at, account.next_place(), render(values), other if linked else None)
        collection.add(row)
        if children and below:
            row.view = _with_children(account, row, children, below, values, chance)
        else:
            row.view = row.own


def _with_children(
    account: Account,
    row: StoredObject,
    children: tuple[str, str, str, Sequence[int]],
    render: Render,
    values: Mapping[str, Any],
    chance: random.Random,
) -> bytes:
    """Adds a row's children and returns the row's JSON with the children embedded."""
    field, table, prefix, counts = children
    made, count = [], chance.choice(counts)
    for _ in range(count):
        child = StoredObject("", row.created, account.next_place(), b"", row.id)
        child.id = _id(prefix, chance)
        child.own = child.view = render({**values, "id": child.id, "other": row.id})
        account.tables[table].add(child)
        made.append(child.own)
    url = (
        f"/v1/invoices/{row.id}/lines"
        if table == "invoice_line_items"
        else f"/v1/subscription_items?subscription={row.id}"
    )
    listed = b",".join(reversed(made))
    head = b'{"%s":{"object":"list","data":[' % field.encode()
    tail = b'],"has_more":false,"total_count":%d,"url":"%s"},' % (count, url.encode())
    return head + listed + tail + row.own[1:]


def _holes(table: str, object: Object) -> Object:
    """The object with placeholders for the values that differ between objects."""
    holes: Object = {"id": HOLE.format("id")}
    for name in ("created", "date"):
        if name in object:
            holes[name] = NUMBER
    for name in ("amount", "amount_due", "total", "subtotal", "net"):
        if name in object:
            holes[name] = NUMBER + 1
    for name in ("name", "description"):
        if object.get(name) is not None:
            holes[name] = HOLE.format("name")
    if object.get("email") is not None:
        holes["email"] = HOLE.format("id") + "@example.com"
    link = REFERENCES.get(
        table, ({"invoice_line_items": "invoice", "subscription_items": "subscription"}.get(table, ""), "")
    )[0]
    if link:
        holes[link] = HOLE.format("other")
    return object | holes


def _template(object: Object) -> Render:
    """A function that renders an object with the values of its placeholders."""
    text = orjson.dumps(object).replace(b"%", b"%%")
    for name in ("id", "other", "name"):
        text = text.replace(HOLE.format(name).encode(), b"%%(%s)b" % name.encode())
    text = text.replace(str(NUMBER).encode(), b"%(at)d").replace(str(NUMBER + 1).encode(), b"%(cents)d")

    def render(values: Mapping[str, Any]) -> bytes:
        escaped = orjson.dumps(values["name"])[1:-1]
        id, other = values["id"].encode(), values["other"].encode()
        return text % {b"id": id, b"other": other, b"name": escaped, b"at": values["at"], b"cents": values["cents"]}

    return render


def _moments(chance: random.Random, count: int, since: int, now: int) -> Sequence[int]:
    """Seconds of creation, oldest first, with increasing density; every thousandth is a burst of 150 objects in one
    second.
    """
    moments = sorted(since + int((now - since) * chance.random() ** 0.5) for _ in range(count))
    for start in range(0, count, 1000):
        stop = min(start + 150, count)
        moments[start:stop] = [moments[stop - 1]] * (stop - start)
    return moments


def _id(prefix: str, chance: random.Random) -> str:
    return f"{prefix}{chance.getrandbits(96):024x}"
