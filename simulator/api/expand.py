"""`expand[]`: which fields of an object may be expanded, and the object with them expanded.

According to the SDK's annotations: an ExpandableField becomes the object that its id names; a list or a value that is
"not included by default" is included (https://docs.stripe.com/expand). Everything else is refused, as by Stripe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from simulator.account.account import Account
from simulator.account.objects import Object, place
from simulator.account.store import StoredObject
from simulator.account.views import empty_list
from simulator.api import refusals
from sources.catalogue import Embedded
from sources.stripe_api.catalogue import CATALOGUE, TABLES
from sources.stripe_api.generate.sdk import Field, Ref, Sdk

DEEPEST = 4
LEFT_OUT = "not included by default"
# Fields that an object has only when expanded, although the SDK's texts do not say so.
INCLUDABLE: Mapping[str, frozenset[str]] = {
    "charge": frozenset({"refunds"}),
    "checkout.session": frozenset({"line_items"}),
    "coupon": frozenset({"applies_to", "currency_options"}),
    "customer": frozenset({"cash_balance", "invoice_credit_balance", "sources", "subscriptions", "tax", "tax_ids"}),
    "identity.verification_session": frozenset({"verified_outputs"}),
    "invoice": frozenset({"confirmation_secret", "payments"}),
    "issuing.card": frozenset({"cvc", "number"}),
    "payment_link": frozenset({"line_items"}),
    "plan": frozenset({"tiers"}),
    "price": frozenset({"currency_options", "tiers"}),
    "quote": frozenset({"line_items"}),
    "treasury.transaction": frozenset({"entries"}),
}
# Arrays of ids, which are empty in most objects.
IDS = frozenset({"discounts"})
# Lists that are included when expanded but are not read from there: the table, and the list's URL.
ELSEWHERE: Mapping[tuple[str, str], tuple[str, str]] = {
    ("charges", "refunds"): ("refunds", "/v1/charges/{id}/refunds"),
    ("customers", "subscriptions"): ("subscriptions", "/v1/customers/{id}/subscriptions"),
    ("invoices", "payments"): ("invoice_payments", "/v1/invoice_payments?invoice={id}"),
}


class Expansion:
    """The checked fields to expand: paths below the object, split at their dots."""

    def __init__(self, sdk: Sdk, table: str, objects: Sequence[str], paths: Sequence[str], *, listed: bool) -> None:
        classes = sdk.object_classes()
        self.sdk = sdk
        self.paths: list[list[str]] = []
        for path in paths:
            parts = path.split(".")
            if len(parts) > DEEPEST:
                raise refusals.too_deep(path)
            if listed:
                if parts[0] != "data" or len(parts) == 1:
                    raise refusals.not_expandable(path)
                parts = parts[1:]
            listable = any(embedded.expand and embedded.field == ".".join(parts) for embedded in TABLES[table].embedded)
            if not listable and not any(
                _allowed(sdk, classes[name], parts, name) for name in objects if name in classes
            ):
                raise refusals.not_expandable(path)
            self.paths.append(parts)
        names = {".".join(parts) for parts in self.paths}
        lists = [embedded for embedded in TABLES[table].embedded if embedded.expand and embedded.field in names]
        self._signs = [b'"%b":["' % path[-1].encode() for path in self.paths if path[-1] in IDS]
        if len(self._signs) < len(self.paths):
            self._signs = []
        self._splices = [Splice(embedded) for embedded in lists] if len(lists) == len(names) else []

    def apply(self, account: Account, table: str, row: StoredObject) -> bytes:
        """The JSON of a row with the fields expanded."""
        view = account.views.of(table, row)
        if self._signs and not any(sign in view for sign in self._signs):
            return view
        if self._splices:
            spliced = _spliced(account, view, row, self._splices)
            if spliced is not None:
                return spliced
        object: Object = orjson.loads(view)
        for parts in self.paths:
            listed = _list(account, table, row.id, ".".join(parts))
            if listed is not None:
                place(object, ".".join(parts), listed)
            else:
                _expand(account, object, parts)
        return orjson.dumps(object)


class Splice:
    """An embedded list as bytes to insert at an object's end; for a nested list, the bytes of its holder's name."""

    __slots__ = ("after", "before", "embedded", "field", "nested")

    def __init__(self, embedded: Embedded) -> None:
        holder, dot, _ = embedded.field.partition(".")
        self.embedded = embedded
        self.field = b',"%b":' % embedded.field.encode()
        self.nested = b'"%b":{' % holder.encode() if dot else None
        self.before, self.after = empty_list(embedded)


def _spliced(account: Account, view: bytes, row: StoredObject, lists: Sequence[Splice]) -> bytes | None:
    """The JSON with the lists inserted at its end, which takes a hundredth of the time of parsing it.

    None if a list belongs into a nested object that exists. A name in quotes can only be a field: inside a string the
    quotes would be escaped.
    """
    parts: list[bytes | memoryview] = [memoryview(view)[:-1]]
    id = row.id.encode()
    for embedded in lists:
        if embedded.nested is not None:
            if embedded.nested in view:
                return None
        elif account.tables[embedded.embedded.table].has(row.id):
            parts += (embedded.field, orjson.dumps(account.views.embedded(row, embedded.embedded)))
        else:
            parts += (embedded.field, embedded.before, id, embedded.after)
    if len(parts) == 1:
        return view
    parts.append(b"}")
    return b"".join(parts)


def left_out(field: Field, owner: str = "") -> bool:
    """Whether an object of kind `owner` has a field only when it is expanded."""
    return LEFT_OUT in field.doc or field.name in INCLUDABLE.get(owner, ())


def _allowed(sdk: Sdk, ref: Ref, parts: Sequence[str], owner: str = "") -> bool:
    field = sdk.fields(ref).get(parts[0])
    if field is None:
        return False
    if len(parts) == 1:
        return field.type.kind == "expandable" or left_out(field, owner) or "expand" in field.doc.lower()
    rest = parts[1:]
    if field.type.kind == "list":
        rest = rest[1:] if rest[0] == "data" else rest
    return bool(rest) and any(_allowed(sdk, inner, rest) for inner in field.type.refs)


def _expand(account: Account, holder: Any, parts: Sequence[str]) -> None:
    """Expands the field at `parts` below `holder`, an object or an array of objects."""
    if isinstance(holder, list):
        for obj in holder:
            _expand(account, obj, parts)
        return
    if not isinstance(holder, dict):
        return
    name, rest = parts[0], parts[1:]
    value = holder.get(name)
    if isinstance(value, list) and not rest:
        holder[name] = [_object(account, entry, "") if isinstance(entry, str) else entry for entry in value]
    elif isinstance(value, str):
        value = holder[name] = _object(account, value, name)
    elif value is None and not rest:
        table = CATALOGUE.table_of_object(str(holder.get("object")))
        value = holder[name] = _included(account, table, str(holder.get("id")), name) if table else None
    if rest:
        _expand(account, value, rest)


def _object(account: Account, id: str, field: str) -> Any:
    """The object that an id names, as a retrieve would show it; the id itself if the object is deleted."""
    for table, collection in account.tables.items():
        row = None if collection.scoped else collection.get(id)
        if row is not None and table != field:
            return orjson.loads(account.views.of(table, row))
        gone = account.deleted[table].get(id)
        if gone is not None and table == "discounts":  # objects that refer to an ended object still show all of it
            return {**orjson.loads(gone.last), "deleted": True}
        if gone is not None:
            return {"id": gone.id, "object": gone.object, "deleted": True}
    return id


def _included(account: Account, table: str, id: str, field: str) -> Any:
    """The list or the value that an object has only when its field is expanded."""
    row = account.tables[table].get(id)
    if row is not None and field in TABLES[table].shown_on_request:
        return orjson.loads(row.own).get(field)
    return _list(account, table, id, field)


def _list(account: Account, table: str, id: str, field: str) -> Object | None:
    """The list that an object has only when its field is expanded; None if the field is not such a list."""
    listed = None
    for embedded in TABLES[table].embedded:
        row = account.tables[table].get(id)
        if embedded.expand and embedded.field == field and row is not None:
            listed = account.views.embedded(row, embedded)
    if (table, field) in ELSEWHERE:
        below, url = ELSEWHERE[table, field]
        listed = account.views.listed(below, id, url.format(id=id))
    return None if listed is None else dict(orjson.loads(orjson.dumps(listed)))
