"""Generates plausible objects of every kind from the SDK's annotations, with all top-level fields, and nested content.

    shapes.make("issuing.card", draw, {"cardholder": "ich_1"}) -> dict

Values depend only on the seed of `draw`. Knows no list and no account: ids of other objects come from `draw.known`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from simulator.account.ids import Ids
from simulator.account.objects import Object, iso
from simulator.api.expand import left_out
from simulator.content import words
from sources.stripe_api.generate.sdk import Field, Ref, Sdk, Type

DEEPEST = 4
NOTHING: Mapping[str, Any] = {
    "array": [], "boolean": False, "decimal": "0", "integer": 0, "list": [], "map": {}, "number": 0.0, "object": {},
    "string": "",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Draw:
    """The source of values: random numbers, ids, the moment of creation, and existing objects."""

    random: random.Random
    ids: Ids
    at: int
    livemode: bool
    known: Callable[[str], Object | None]

    def reference(self, name: str) -> str | None:
        """The id of an existing object of a kind."""
        found = self.known(name)
        return found.get("id") if found else None


class Shapes:
    """Generates objects as the installed SDK describes them."""

    def __init__(self, sdk: Sdk) -> None:
        self.sdk = sdk
        self.classes = sdk.object_classes()
        self._names = {ref: name for name, ref in self.classes.items()}
        self._fields: dict[Ref, Mapping[str, Field]] = {}
        self._plain: dict[str, bytes] = {}

    def make(self, name: str, draw: Draw, given: Mapping[str, Any] | None = None) -> Object:
        """An object whose `object` is `name`, with the given fields."""
        given = given or {}
        ref = self.classes[name]
        made: Object = {}
        for field in self.fields(ref).values():
            if field.name in given:
                made[field.name] = given[field.name]
            elif field.name == "object":
                made["object"] = name
            elif field.name == "id":
                made["id"] = draw.ids.of(name)
            elif field.name != "deleted" and not left_out(field, name):
                made[field.name] = self._value(field, draw, 0, name)
        return made | {key: value for key, value in given.items() if key not in made}

    def plain(self, name: str) -> Object:
        """An object of a kind with empty fields: null if they may be null, else 0, "", false, [] or {}."""
        if name not in self._plain:
            self._plain[name] = orjson.dumps(self._empty(self.classes[name], name, 0) | {"object": name})
        made: Object = orjson.loads(self._plain[name])
        return made

    def _empty(self, ref: Ref, owner: str, depth: int) -> Object:
        if depth > DEEPEST:
            return {}
        return {
            field.name: self._nothing(field.type, depth)
            for field in self.fields(ref).values()
            if not left_out(field, owner) and field.name != "deleted"
        }

    def _nothing(self, type: Type, depth: int) -> Any:
        if type.nullable:
            return None
        if type.literals:
            return type.literals[0]
        if type.kind == "object" and type.refs:
            return self._empty(type.refs[0], "", depth + 1)
        return NOTHING.get(type.kind)

    def fields(self, ref: Ref) -> Mapping[str, Field]:
        """The fields of a class, cached."""
        if ref not in self._fields:
            self._fields[ref] = self.sdk.fields(ref)
        return self._fields[ref]

    def _value(self, field: Field, draw: Draw, depth: int, owner: str) -> Any:
        type, chance = field.type, draw.random
        always = depth == 0 and field.name in ("created", "date")
        if type.nullable and not always and chance.random() < (0.2 if depth == 0 else 0.4):
            return None
        match type.kind:
            case "object":
                return self._nested(type.refs[0], draw, depth + 1, owner) if type.refs else {}
            case "array":
                count = chance.randrange(0, 3)
                return [self._item(field, type.item or Type("string"), draw, depth + 1, owner) for _ in range(count)]
            case "map":
                return words.metadata(chance) if "metadata" in field.name else self._map(type, draw, depth, owner)
            case "list":
                return {"object": "list", "data": [], "has_more": False, "url": f"/v1/{field.name}"}
            case "expandable":
                return self._reference(type, draw)
        return self._scalar(field, type, draw, owner)

    def _nested(self, ref: Ref, draw: Draw, depth: int, owner: str) -> Any:
        if ref in self._names and "id" in self.fields(ref):
            name = self._names[ref]
            found = draw.known(name) if depth == 1 else None
            if found is not None:
                return found
            return (
                {"id": draw.reference(name) or draw.ids.of(name), "object": name}
                if depth > 1
                else self.make(name, draw)
            )
        if depth > DEEPEST:
            return {}
        return {
            field.name: self._value(field, draw, depth, owner)
            for field in self.fields(ref).values()
            if not left_out(field) and field.name != "deleted"
        }

    def _item(self, field: Field, item: Type, draw: Draw, depth: int, owner: str) -> Any:
        return self._value(Field(field.name.rstrip("s"), item, field.doc), draw, depth, owner)

    def _map(self, type: Type, draw: Draw, depth: int, owner: str) -> Object:
        if type.item is None or type.item.kind != "object" or depth > 2:
            return {}
        return {key: self._item(Field(key, type.item, ""), type.item, draw, depth + 1, owner) for key in ("eur", "usd")}

    def _reference(self, type: Type, draw: Draw) -> str | None:
        names = [self._names[ref] for ref in type.refs if ref in self._names]
        if not names:
            return draw.ids.new("id_")
        for name in names:
            found = draw.reference(name)
            if found is not None:
                return found
        return None if type.nullable else draw.ids.of(names[0])

    def _scalar(self, field: Field, type: Type, draw: Draw, owner: str) -> Any:
        chance, name, doc = draw.random, field.name, field.doc.lower()
        if type.literals:
            return chance.choice(type.literals)
        match type.kind:
            case "boolean":
                return draw.livemode if name == "livemode" else chance.random() < 0.5
            case "integer":
                return _whole(name, doc, draw)
            case "decimal":
                return chance.choice(["0.5", "12.345678901234", "1999", "0.000000000001", "41.25"])
            case "number":
                return chance.choice([0.25, 1.5, 19.99, 100.0, 0.1])
            case "any":
                return chance.choice([None, "any"])
        return _text(name, doc, draw, owner)


def _whole(name: str, doc: str, draw: Draw) -> int:
    chance = draw.random
    if name == "created" or name == "date":
        return draw.at
    if name.endswith("_at") or "unix epoch" in doc or "timestamp" in doc or "time at which" in doc:
        return draw.at + chance.randrange(0, 30 * 86400)
    if "year" in name:
        return 2027 + chance.randrange(6)
    if "month" in name or "day" in name:
        return 1 + chance.randrange(12)
    if "amount" in name or "balance" in name or "fee" in name:
        return chance.choice([0, 500, 1999, 4999, 25000, 9_007_199_254])
    return chance.randrange(1, 100)


def _text(name: str, doc: str, draw: Draw, owner: str) -> str:
    chance = draw.random
    if name == "id":
        return draw.ids.new("sub_el_")
    if "rfc 3339" in doc or "iso 8601 date & time" in doc:
        return iso(draw.at)
    if name in ("created", "updated") or (owner.startswith("v2.") and name.endswith("_at")):
        return iso(draw.at)
    for part, values in words.BY_NAME:
        if part in name:
            return chance.choice(values)
    if name.endswith("_date") or name == "date":
        return datetime.fromtimestamp(draw.at, UTC).strftime("%Y-%m-%d")
    return chance.choice(words.TEXTS)
