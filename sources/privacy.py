"""Hashes or drops people's data before it is stored, and keeps the data of forgotten persons out. Pure.

Every writer converts its rows through `Columns`, and `Columns` holds the `Privacy` of the run: loads, syncs, checks,
single objects, the sink, replay and `stripe_source()` therefore store the same. Knows no provider and no database.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from sources.catalogue import Catalogue
from sources.rows import Row

Treatment = Literal["hash", "drop", "keep"]
TREATMENTS: tuple[Treatment, ...] = ("hash", "drop", "keep")
Path = tuple[str, ...]
"""The path of a field in a table's objects: ("billing_details", "email"). It has no element for an array."""

Rules = Mapping[str, Mapping[Path, Treatment]]
"""table -> path -> treatment. `keep` exempts a field from the preset."""

PERSONAL, ANY_KEY, OBJECT = 1, "*", "@"
"""Marks in `Catalogue.shape_of`: a person's data; any key of a map; a whole object (if the field is expanded)."""

EVENT = "event"
HASH = "hash:"
HASHED = re.compile(r"hash:[0-9a-f]{32}", re.ASCII)
FREE_TEXT = ("description", "metadata")
"""Free texts that a forgotten person's rows lose besides a person's fields, because they can contain names."""


class Forgotten:
    """The persons that are to be forgotten: digests of their ids and of the ids of their objects.

    `digests` are values of `digest_of`, `prefixes` those of `prefix_of` for the same ids.
    """

    def __init__(self, digests: Collection[str] = (), prefixes: Collection[str] = ()) -> None:
        self._digests, self._prefixes = frozenset(digests), frozenset(prefixes)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def has(self, value: Any) -> bool:
        """Whether a value is the id of a forgotten person, or of an object that belongs to one."""
        if type(value) is dict:
            value = value.get("id")
        return type(value) is str and prefix_of(value) in self._prefixes and digest_of(value) in self._digests

    def is_about(self, obj: Mapping[str, Any]) -> bool:
        """Whether an object belongs to a forgotten person: by its own id, its customer's id, or another id that it
        shows.
        """
        if self.has(obj.get("id")):
            return True
        if obj.get("customer") is not None:
            return self.has(obj["customer"])
        return any(map(self.has, obj.values()))


def digest_of(id: str) -> str:
    """The digest by which an id is remembered. Ids are long and random, so an id cannot be found from its digest."""
    return hashlib.sha256(id.encode("utf-8", "replace")).hexdigest()


def prefix_of(id: str) -> str:
    """The part of an id before the first underscore, which shows its type: "cus" of "cus_…"."""
    return id.partition("_")[0]


class Privacy:
    """The treatment of each table's fields. `preset` is that of all fields that hold a person's data; `rules` override
    it for single fields.

    Rows of `forgotten` persons lose all of a person's data. By default, nothing changes. `salt` is the key of the hash:
    equal values have equal hashes in every table, and another salt gives other hashes.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        rules: Rules | None = None,
        preset: Treatment = "keep",
        salt: str = "",
        forgotten: Forgotten | None = None,
    ) -> None:
        self._catalogue, self._rules, self._preset = catalogue, rules or {}, preset
        self._salt = salt.encode()
        self._forgotten = forgotten or Forgotten()
        self._has_rules = bool(rules) or preset != "keep"
        self._by_table: dict[tuple[str, bool], Mapping[str, Any]] = {}

    @property
    def is_on(self) -> bool:
        """Whether anything is changed at all."""
        return self._has_rules or bool(self._forgotten)

    def summary(self) -> str:
        """A sentence about the settings, for people."""
        single = sum(map(len, self._rules.values()))
        if self._preset == "keep":
            return f"{single} fields have settings of their own" if single else "no field is hashed or dropped"
        return f"people's data: {self._preset}; {single} fields have settings of their own"

    def with_forgotten(self, forgotten: Forgotten) -> Privacy:
        """The same settings, with other forgotten persons."""
        return Privacy(self._catalogue, self._rules, self._preset, self._salt.decode(), forgotten)

    def rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """The rows of a table as they are to be stored. Changed rows are copies. A second treatment changes nothing."""
        if not self.is_on:
            return rows
        return [self.event(row) if row.get("object") == EVENT else self._object(table, row) for row in rows]

    def event(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """An event as it is to be stored: its object is treated like the object's row.

        Objects without a table, and values that are no objects, are left out, because no rule says which of their
        fields are a person's.
        """
        if not self.is_on:
            return event
        if self._catalogue.subject_of is not None:
            return self._payload(event, *self._catalogue.subject_of(str(event.get("type"))))
        event = self._any_object(event, is_forgotten=False)
        if _is_event(event):
            return self._event(event)
        return {**event, "data": None} if self._has_rules and event.get("object") == EVENT else event

    def erased(self, table: str, row: Mapping[str, Any]) -> Row:
        """A row of a forgotten person: without a person's data and without free text."""
        return dict(self._treated(row, self._tree(table, is_forgotten=True)))

    def erased_columns(self, table: str) -> Collection[str]:
        """The columns that `erased` may change."""
        return self._tree(table, is_forgotten=True).keys()

    # --- objects ------------------------------------------------------------------------------------------------------

    def _object(self, table: str, obj: Mapping[str, Any], is_forgotten: bool = False) -> Mapping[str, Any]:
        is_forgotten = is_forgotten or (bool(self._forgotten) and self._forgotten.is_about(obj))
        if not is_forgotten and not self._has_rules:
            return obj
        treated = self._treated(obj, self._tree(table, is_forgotten=is_forgotten))
        for embedded in self._catalogue.tables[table].embedded:
            treated = self._embedded(treated, embedded.field.split("."), embedded.table, is_forgotten)
        mapping: Mapping[str, Any] = treated
        return mapping

    def _embedded(self, obj: Any, path: Sequence[str], table: str, is_forgotten: bool) -> Any:
        """The object with the entries of an embedded list treated as rows of their own table."""
        if type(obj) is not dict or (inner := obj.get(path[0])) is None:
            return obj
        if len(path) > 1:
            return {**obj, path[0]: self._embedded(inner, path[1:], table, is_forgotten)}
        listed = inner.get("data") if type(inner) is dict else inner
        if type(listed) is not list:
            return obj
        entries = [self._object(table, entry, is_forgotten) if type(entry) is dict else entry for entry in listed]
        return {**obj, path[0]: {**inner, "data": entries} if type(inner) is dict else entries}

    def _payload(self, event: Mapping[str, Any], field: str, table: str) -> Mapping[str, Any]:
        """An event whose field `field` has an object of `table`: both are treated like rows of their tables."""
        if not table:
            return {name: event[name] for name in ("id", "type", "created_at") if name in event}
        kept = self._object(self._catalogue.log, {"payload": event})["payload"]
        treated = {field: self._object(table, obj)} if type(obj := kept.get(field)) is dict else {}
        properties = kept.get("properties")
        if type(properties) is dict and type(before := properties.get("previous_attributes")) is dict:
            treated["properties"] = {**properties, "previous_attributes": self._object(table, before)}
        return {**kept, **treated}

    def _event(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        data: dict[str, Any] = event["data"]
        obj: dict[str, Any] = data["object"]
        is_forgotten = bool(self._forgotten) and self._forgotten.is_about(obj)
        if not is_forgotten and not self._has_rules:
            return event
        name = str(obj["object"])
        carried = self._catalogue.carried_by.get(name, "")
        if type(inner := obj.get(carried)) is dict:
            shown: dict[str, Any] = {"object": {"object": name, carried: self._any_object(inner, is_forgotten)}}
        elif self._catalogue.tables_of_object(name):
            shown = {"object": self._any_object(obj, is_forgotten)}
            if type(before := data.get("previous_attributes")) is dict:
                shown["previous_attributes"] = self._any_object(before, is_forgotten, name)
        else:
            shown = {"object": {field: obj[field] for field in ("id", "object") if field in obj}}
        return {**event, "data": shown}

    def _any_object(self, obj: Mapping[str, Any], is_forgotten: bool, name: str = "") -> Mapping[str, Any]:
        """An object whose table is known only by its `object` value."""
        for table in self._catalogue.tables_of_object(name or str(obj.get("object"))):
            obj = self._object(table, obj, is_forgotten)
        return obj

    # --- values -------------------------------------------------------------------------------------------------------

    def _treated(self, value: Any, tree: Any) -> Any:
        if value is None or tree == "drop":
            return None
        if type(value) is list:
            return [self._treated(each, tree) for each in value]
        if tree == "hash":
            return self._hashed(value)
        if type(value) is not dict:
            return value
        if type(tree) is str:  # a whole object if it is expanded
            return self._any_object(value, is_forgotten=False, name=_object_in(value, tree))
        changed = {name: self._treated(value[name], below) for name, below in tree.items() if name in value}
        if (everywhere := tree.get(ANY_KEY)) is not None:
            changed |= {name: self._treated(each, everywhere) for name, each in value.items() if name not in tree}
        return {**value, **changed} if changed else value

    def _hashed(self, value: Any) -> Any:
        """The hash of a text or a number; in an object or a list, every leaf is hashed."""
        if isinstance(value, dict):
            return {name: None if each is None else self._hashed(each) for name, each in value.items()}
        if isinstance(value, list):
            return [None if each is None else self._hashed(each) for each in value]
        text = str(value)
        if HASHED.fullmatch(text):
            return text
        digest = hmac.new(self._salt, text.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return HASH + digest.hexdigest()[:32]

    # --- rules --------------------------------------------------------------------------------------------------------

    def _tree(self, table: str, *, is_forgotten: bool) -> Mapping[str, Any]:
        """The rules of a table as a tree of its fields, built once."""
        found = self._by_table.get((table, is_forgotten))
        if found is None:
            shape = {**dict.fromkeys(self._catalogue.fields(table), 0), **self._catalogue.shape_of(table)}
            tree = _preset_tree(shape, "drop" if is_forgotten else self._preset)
            for path, treatment in sorted(self._rules.get(table, {}).items()):
                if not is_forgotten:
                    _put(tree, path, treatment)
                elif treatment != "keep":
                    # dropped even if the settings say hash: the hash of an address identifies a person
                    _put(tree, path, "drop")
            if is_forgotten:
                tree |= dict.fromkeys((name for name in FREE_TEXT if name in shape), "drop")
            found = self._by_table[table, is_forgotten] = tree
        return found


def _object_in(value: Mapping[str, Any], names: str) -> str:
    """The name of an expanded object: its own `object` value, otherwise the only name in `names`."""
    return str(value.get("object") or names.removeprefix(OBJECT).partition(" ")[0])


def _preset_tree(shape: Mapping[str, Any], preset: Treatment) -> dict[str, Any]:
    """The fields of a shape that hold a person's data, and those that can hold whole objects, which have rules of their
    own.
    """
    tree: dict[str, Any] = {}
    for name, field in shape.items():
        if isinstance(field, Mapping):
            if below := _preset_tree(field, preset):
                tree[name] = below
        elif isinstance(field, str):
            tree[name] = field
        elif field == PERSONAL and preset != "keep":
            tree[name] = preset
    return tree


def _put(tree: dict[str, Any], path: Path, treatment: Treatment) -> None:
    """Sets the treatment of a path. `keep` removes the path, and everything below it, from the tree."""
    *above, last = path
    for name in above:
        tree = tree.setdefault(name, {})
        if isinstance(tree, str):
            return  # all of it is treated already
    if treatment == "keep":
        tree.pop(last, None)
    else:
        tree[last] = treatment


def _is_event(row: Mapping[str, Any]) -> bool:
    """Whether a row or a payload is an event that shows an object."""
    data = row.get("data")
    return type(data) is dict and type(data.get("object")) is dict and type(data["object"].get("object")) is str
