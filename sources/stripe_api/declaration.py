"""How an object of Stripe's API is declared, and what is derived from its declaration. Declares no object itself.

One declaration contains everything about an object: its lists, its table, its event types and the prefixes of its ids.

    declare("review", listed("/v1/reviews", created="unix"), ids="prv_", events="closed opened")

Everything else is derived:

- The table has the plural of the object's name in snake case: `billing.meter` fills `billing_meters`.
- A list has the name of the table that it fills. A singleton has the name of its object.
- A single object is read below its first list: "/v1/reviews/{id}". If that list has a parent in its path, so does the
  object: "/v1/transfers/{_parent_id}/reversals/{id}". A singleton is read at its own path and has no key.
- Objects whose first list needs a parent belong to that parent (to the second of two). The field in which they show the
  parent's id has the name of the list's parameter for it.
- The rest of an embedded list is read from the list of its table that needs a parent, which is then the embedding
  object. If the table has no such list, it is read from the table's first list, filtered by the field that shows the
  parent.
- Event types begin with the object's name: "review.closed". The word "deleted" means that the object is deleted.

Several words in one string are separated by blanks. `functools.partial` binds what a family of objects shares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from sources.catalogue import (
    Catalogue,
    ColumnType,
    Created,
    Descriptions,
    Embedded,
    EventType,
    Expanded,
    Gate,
    Pagination,
    Params,
    Parent,
    Resource,
    Table,
)

DERIVED = "(derived)"
"""Marks a value that is derived from the rest of the declaration. None means that there is no value."""

BELOW_PARENT = "id _parent_id"
"""The key of objects whose ids are unique only below their parent."""

EVENTS_KEPT = 30 * 86_400
"""How long Stripe shows events, in seconds (https://docs.stripe.com/api/events)."""

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Declaration:
    """The content of one declaration, derived values included, as pairs for the mappings of `Catalogue`.

    The paths of embedded lists are still missing, because they come from other declarations. `prefixes` are pairs of an
    `object` value and a prefix. `table` is None for objects that no table holds.
    """

    table: Table | None
    lists: tuple[Resource, ...] = ()
    types: tuple[tuple[str, EventType], ...] = ()
    prefixes: tuple[tuple[str, str], ...] = ()
    not_embedded: tuple[tuple[tuple[str, str], str], ...] = ()
    carried_by: tuple[tuple[str, str], ...] = ()
    no_table: tuple[tuple[str, str], ...] = ()


def for_each(
    table: str,
    param: str,
    *,
    prefix: str = "",
    also: tuple[tuple[str, str], ...] = (),
    when: str = "",
    fills: str = "",
) -> Parent:
    """The parent of a list that takes one request or more for each parent, see `Parent`. `param` may be a placeholder
    in the list's path.
    """
    return Parent(table, param, "query", prefix, also, when, fills)


def listed(
    path: str,
    *parents: Parent,
    name: str = DERIVED,
    created: Created = "none",
    created_field: str | None = "created",
    newest_first: bool = True,
    one_page: bool = False,
    passes: tuple[str, ...] = ("",),
    range_params: tuple[str, str] | None = None,
    core: bool = False,
    gate: Gate | None = None,
    rate: float | None = None,
    deprecated: bool = False,
    not_loaded: str | None = None,
    shown_for: int | None = None,
) -> Resource:
    """A list of the declared objects, see `Resource`. `passes` are queries as in a URL: "status=all".

    Pages have 100 objects, in API v2 20 (Stripe may return fewer); with `one_page`, the list has a single page.
    """
    pagination: Pagination = "v2" if path.startswith("/v2/") else "single" if one_page else "cursor"
    return Resource(
        name=name,
        path=path,
        table=DERIVED,
        objects=(),
        kind="child" if parents else "root",
        created=created,
        pagination=pagination,
        limit={"cursor": 100, "v2": 20, "single": None}[pagination],
        passes=tuple(_params(query) for query in passes),
        parents=tuple(replace(parent, where="path") if f"{{{parent.param}}}" in path else parent for parent in parents),
        range_params=range_params,
        newest_first=newest_first and created_field is not None and pagination != "v2",
        created_field=created_field,
        groups=() if parents else _groups(core),
        gate=gate.product if gate else None,
        denied=gate.denied if gate else (),
        rate=rate,
        deprecated=deprecated,
        not_loaded=not_loaded,
        shown_for=shown_for,
    )


def singleton(path: str, *, core: bool = False) -> Resource:
    """An object of which an account has exactly one. Its path returns the object, not a list."""
    return Resource(DERIVED, path, DERIVED, (), "singleton", pagination="single", limit=None, groups=_groups(core))


def declare(
    objects: str,
    *lists: Resource,
    table: str = DERIVED,
    key: str = "id",
    parent: str | None = DERIVED,
    parent_field: str | None = DERIVED,
    retrieve: str | None = DERIVED,
    embeds: Mapping[str, str] = NOTHING,
    expands: Mapping[str, str] = NOTHING,
    expands_ids: Mapping[str, str] = NOTHING,
    not_embedded: Mapping[str, str] = NOTHING,
    shown_on_request: str = "",
    hidden: str = "",
    kept: Mapping[str, str] = NOTHING,
    unique_id: str | None = None,
    chosen_id: bool = False,
    ids: str | Mapping[str, str] = "",
    events: str | Mapping[str, str] = "",
    created_by: str = "created",
    deleted_by: str = "deleted",
    ignored: Mapping[str, str] = NOTHING,
    carried_by: Mapping[str, str] = NOTHING,
) -> Declaration:
    """Declares an object, or several that share a table. Parameters not described here are those of `Table`.

    `embeds` are the lists that it always shows, `expands` those that it shows on request: field -> table. `expands_ids`
    are arrays of ids that become objects on request: field -> table of the objects. `not_embedded` are lists inside the
    object that fill no table: field -> reason. `ids` are the prefixes of the first object's ids, or of each object's
    ids: object -> prefixes. `events` are the last words of the event types; if a type does not begin with the first
    object's name: beginning -> last words. The words in `created_by` mean that the object is new, those in `deleted_by`
    that it is deleted; types in `ignored` show no state of it: word -> reason. `carried_by` are objects that only
    events have, and that contain this one in a field: object -> field.
    """
    names = tuple(objects.split())
    first = lists[0] if lists else None
    name = _plural(_snake(names[0])) if table == DERIVED else table
    owner = first.parents[-1] if first and first.parents else None
    words = {names[0]: events} if isinstance(events, str) else events
    prefixes = {names[0]: ids} if isinstance(ids, str) else ids
    own_table = Table(
        name=name,
        objects=names,
        key=() if first and first.kind == "singleton" else tuple(key.split()),
        parent=parent if parent != DERIVED else owner.table if owner else None,
        parent_field=parent_field if parent_field != DERIVED else owner.param if owner else None,
        embedded=(
            *(Embedded(field, embedded, DERIVED) for field, embedded in embeds.items()),
            *(Embedded(field, embedded, DERIVED, expand=True) for field, embedded in expands.items()),
        ),
        expanded=tuple(Expanded(field, filled) for field, filled in expands_ids.items()),
        retrieve=retrieve if retrieve != DERIVED else _single(first) if first else None,
        shown_on_request=tuple(shown_on_request.split()),
        hidden=tuple(hidden.split()),
        kept=tuple(kept.items()),
        unique_id=unique_id,
        chosen_id=chosen_id,
        moments="iso" if all(name.startswith("v2.") for name in names) else "unix",
    )
    types = tuple(
        (f"{beginning}.{word}", EventType(name, word in deleted_by.split(), ignored.get(word)))
        for beginning, last_words in words.items()
        for word in last_words.split()
    )
    told = {type.rpartition(".")[2] for type, _ in types}
    is_covered = "updated" in told and not told.isdisjoint(created_by.split())
    return Declaration(
        own_table,
        tuple(_named(line, own_table, is_covered) for line in lists),
        types=types,
        prefixes=tuple(_pairs(prefixes)),
        not_embedded=tuple(((names[0], field), reason) for field, reason in not_embedded.items()),
        carried_by=tuple(carried_by.items()),
    )


def line_items(
    object_name: str, path: str, parent: Parent, *lists: Resource, table: str = DERIVED, ids: str = ""
) -> Declaration:
    """Objects that only their parent's list shows. They show neither the parent nor when they were created."""
    first = listed(path, parent, created_field=None)
    return declare(object_name, first, *lists, table=table, key=BELOW_PARENT, parent_field=None, retrieve=None, ids=ids)


def without_table(name: str, reason: str, *, ids: str = "", not_embedded: Mapping[str, str] = NOTHING) -> Declaration:
    """An object that no table holds, and why. `not_embedded` are the lists inside it: field -> reason."""
    return Declaration(
        None,
        prefixes=tuple(_pairs({name: ids})),
        not_embedded=tuple(((name, field), why) for field, why in not_embedded.items()),
        no_table=((name, reason),),
    )


def assemble(
    declarations: Iterable[Declaration],
    fields: Callable[[str], Mapping[str, ColumnType]] = lambda table: {},
    references: Callable[[str], Mapping[str, tuple[str, ...]]] = lambda table: {},
    descriptions: Path | None = None,
    shape_of: Callable[[str], Mapping[str, Any]] = lambda table: {},
) -> Catalogue:
    """The catalogue of all declarations; the other parameters are those of `Catalogue`.

    Raises ValueError if two declarations share a name. Lists are sorted by kind, then API version (v1 first), then
    name; tables by name, those with a parent last.
    """
    declared = tuple(declarations)
    lists = [line for declaration in declared for line in declaration.lists]
    parent_fields = {each.table.name: each.table.parent_field for each in declared if each.table}
    tables = [_completed(each.table, lists, parent_fields) for each in declared if each.table]
    kinds = ("singleton", "root", "child")
    lists.sort(key=lambda line: (kinds.index(line.kind), line.pagination == "v2", line.name))
    tables.sort(key=lambda table: (table.parent is not None, table.name))
    return Catalogue(
        resources=_once((line.name, line) for line in lists),
        tables=_once((table.name, table) for table in tables),
        fields=fields,
        references=references,
        descriptions=Descriptions(descriptions),
        shape_of=shape_of,
        types=_once(pair for declaration in declared for pair in declaration.types),
        objects_by_prefix=_objects_by_prefix([pair for declaration in declared for pair in declaration.prefixes]),
        not_embedded=_once(pair for declaration in declared for pair in declaration.not_embedded),
        carried_by=_once(pair for declaration in declared for pair in declaration.carried_by),
        no_table=_once(pair for declaration in declared for pair in declaration.no_table),
    )


def _snake(object_name: str) -> str:
    return object_name.replace(".", "_")


def _plural(name: str) -> str:
    if re.search(r"[^aeiou]y$", name):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "x", "ch")) else f"{name}s"


def _groups(core: bool) -> tuple[str, ...]:
    return ("core", "default") if core else ("default",)


def _params(query: str) -> Params:
    """The pairs of a query: "a=1&b=2" gives (("a", "1"), ("b", "2"))."""
    return tuple((name, value) for name, _, value in (pair.partition("=") for pair in query.split("&")) if name)


def _pairs(words: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((name, word) for name, text in words.items() for word in text.split())


def _named(line: Resource, table: Table, is_covered: bool) -> Resource:
    derived = _snake(table.objects[0]) if line.kind == "singleton" else table.name
    return replace(
        line,
        name=derived if line.name == DERIVED else line.name,
        table=table.name,
        objects=table.objects,
        covered_by_events=is_covered and line.kind == "root",
    )


def _single(first: Resource) -> str:
    """The path of a single object, derived from its first list."""
    return first.path if first.kind == "singleton" else f"{_filled(first, '{_parent_id}')}/{{id}}"


def _filled(line: Resource, id: str) -> str:
    """A list's path, with `id` in place of its parents' placeholders."""
    path = line.path
    for parent in line.parents:
        path = path.replace(f"{{{parent.param}}}", id)
    return path


def _completed(table: Table, lists: list[Resource], fields: Mapping[str, str | None]) -> Table:
    """A table whose embedded lists have the path and the parameters from which the rest of each is read."""
    embedded = []
    for each in table.embedded:
        of_table = [line for line in lists if line.table == each.table]
        line = next((line for line in of_table if line.parents), of_table[0] if of_table else None)
        if line is None:
            raise ValueError(f"{table.name} embeds {each.field}, but no list of {each.table} is declared.")
        param = line.parents[0].param if line.parents else fields[each.table] or ""
        in_path = f"{{{param}}}" in line.path
        embedded.append(replace(each, path=_filled(line, "{id}"), params=() if in_path else ((param, "{id}"),)))
    return replace(table, embedded=tuple(embedded))


def _objects_by_prefix(declared: list[tuple[str, str]]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, prefix in sorted(_once((pair, None) for pair in declared), key=lambda pair: pair[1]):
        found[prefix] = (*found.get(prefix, ()), name)
    return MappingProxyType(found)


_Name = TypeVar("_Name")
_Value = TypeVar("_Value")


def _once(pairs: Iterable[tuple[_Name, _Value]]) -> Mapping[_Name, _Value]:
    """The pairs as a mapping. Raises ValueError for a name that occurs twice."""
    found: dict[_Name, _Value] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} is declared twice.")
        found[name] = value
    return MappingProxyType(found)
