"""The objects: shaped as the SDK describes them, agreeing with each other, and odd where programs break."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from simulator.account.accounts import model
from simulator.api.expand import left_out
from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.generate.sdk import Ref, Type
from tests.simulator.conftest import NOON, Reader

KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,), "decimal": (str,), "integer": (int,), "boolean": (bool,), "number": (int, float), 
    "array": (list,), "object": (dict,), "map": (dict,), "list": (dict,), "expandable": (str,), "any": (object,),
}  # fmt: skip
# What the SDK's annotation calls a webhook's own field, and a field that its class has no annotation for.
OTHERWISE = {"file.object", "object.related_object"}
# What the platform's own events do not carry.
LEFT_OUT = {"events": {"account", "context"}}
REFERENCE = re.compile(r"(cus|ch|pi|in|sub|price|prod|txn|pm|re|si|il|ich|cn|po|ba)_[A-Za-z0-9]{14,}")


def faults_of(value: Any, type: Type, path: str) -> Iterator[str]:
    """What in a value is not as its annotation says."""
    if value is None:
        if not type.nullable:
            yield f"{path} is null"
    elif not isinstance(value, KINDS[type.kind]) or (type.kind == "integer" and isinstance(value, bool)):
        yield f"{path} is no {type.kind}: {value!r}"
    elif type.literals and value not in type.literals and path.rpartition(".")[2] != "object":
        yield f"{path} is none of the choices: {value!r}"
    elif type.kind == "array" and type.item is not None:
        for each in value:
            yield from faults_of(each, type.item, f"{path}[]")
    elif type.kind == "object" and type.refs:
        yield from faults_of_object(value, type.refs, path)


def faults_of_object(object: dict[str, Any], refs: tuple[Ref, ...], path: str) -> Iterator[str]:
    shapes = [model().shapes.fields(ref) for ref in refs]
    fields = max(shapes, key=lambda shape: len(shape.keys() & object.keys()))
    for name, value in object.items():
        if name in fields:
            yield from faults_of(value, fields[name].type, f"{path}.{name}")
        elif f"object.{name}" not in OTHERWISE:
            yield f"{path}.{name} is unknown"


@pytest.mark.parametrize("table", list(TABLES))
def test_objects_are_as_the_sdk_describes_them(get: Reader, table: str) -> None:
    held = get.sim.account.objects(table, hidden=True)
    assert held
    apart = {embedded.field for embedded in TABLES[table].embedded}
    for object in held:
        ref = model().shapes.classes[object["object"]]
        assert list(faults_of_object(object, (ref,), table)) == []
        fields = model().shapes.fields(ref)
        usual = {n for n, f in fields.items() if n != "deleted" and not left_out(f, object["object"])}
        assert usual - object.keys() <= apart | LEFT_OUT.get(table, set())


def test_ids_name_objects_that_are_there(get: Reader) -> None:
    account = get.sim.account
    known = {obj.get("id") for table in TABLES for obj in account.objects(table, hidden=True)}
    known |= {id for gone in account.deleted.values() for id in gone}
    missing: Counter[str] = Counter()

    def look(value: Any, path: str) -> None:
        if isinstance(value, str) and REFERENCE.fullmatch(value) and value not in known:
            missing[path] += 1
        for name, inner in value.items() if isinstance(value, dict) else ():
            look(inner, f"{path}.{name}")
        for inner in value if isinstance(value, list) else ():
            look(inner, path)

    for table in TABLES.keys() - {"events", "v2_core_events"}:
        for object in account.objects(table, hidden=True):
            look(object, table)
    assert missing == Counter()


def test_money_adds_up(get: Reader) -> None:
    account = get.sim.account
    lines: Counter[str | None] = Counter()
    for held in account.rows("invoice_line_items"):
        lines[held.parent] += held.object["amount"]
    for invoice in account.objects("invoices"):
        assert invoice["subtotal"] == lines[invoice["id"]]
        assert invoice["amount_due"] == invoice["amount_paid"] + invoice["amount_remaining"]
    for transaction in account.objects("balance_transactions"):
        assert transaction["net"] == transaction["amount"] - transaction["fee"]
    paid = {obj["id"] for obj in account.objects("charges") if obj["paid"]}
    sources = {obj["source"] for obj in account.objects("balance_transactions") if obj["type"] == "charge"}
    assert paid == sources


def test_history_is_three_years_that_end_now_and_grow(get: Reader) -> None:
    created = [obj["created"] for obj in get.sim.account.objects("customers")]
    assert NOON - 3 * 365 * 86400 <= min(created) < NOON - 2 * 365 * 86400
    assert max(created) <= NOON
    middle = (min(created) + NOON) // 2
    assert sum(at > middle for at in created) > sum(at <= middle for at in created)
    for table in TABLES:
        assert all(row.created <= NOON for row in get.sim.account.tables[table])


def test_the_odd_is_there(get: Reader) -> None:
    account = get.sim.account
    texts = {str(v) for table in TABLES for obj in account.objects(table) for v in obj.values() if isinstance(v, str)}
    assert "" in texts
    assert any("\n" in text for text in texts)
    assert any("🚀" in text for text in texts)
    assert any('"' in text for text in texts)
    seconds = Counter(obj["created"] for obj in account.objects("promotion_codes"))
    assert max(seconds.values()) > 100
    lines = Counter(held.parent for held in account.rows("invoice_line_items"))
    assert max(lines.values()) == 250
    assert any("e" not in v and len(v) > 10 for obj in account.objects("prices") if (v := obj["unit_amount_decimal"]))
    statuses = {obj["status"] for obj in account.objects("subscriptions")}
    assert {"active", "canceled"} <= statuses


def test_a_business_without_customers_has_rows_all_the_same(simulate: Callable[..., Reader]) -> None:
    account = simulate(customers=0).sim.account
    assert all(account.objects(table, hidden=True) for table in TABLES.keys() - {"events"})


def test_bulk_objects_are_like_the_others(simulate: Callable[..., Reader]) -> None:
    get = simulate(customers=0, bulk=2000)
    account = get.sim.account
    assert sum(len(account.tables[t]) for t in ("customers", "charges", "payment_intents", "invoices")) * 4 / 3 >= 2000
    for table in ("customers", "charges", "invoices", "subscriptions", "refunds"):
        row = account.tables[table].shelf.rows()[50]
        shown = account.views.of(table, row)
        assert get(f"/v1/{table}/{row.id}").data == shown
        object = account.show(table, row.id)
        assert object["id"] == row.id
        assert object["created"] == row.created
        row.view = None
        assert account.show(table, row.id) == object
    ids = [page["id"] for page in get.pages("/v1/invoices", ("limit", 100))]
    assert len(ids) == len(set(ids)) == len(account.tables["invoices"])
    assert account.truth()["invoice_line_items"]
