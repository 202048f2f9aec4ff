"""The types that describe a provider's API: its lists (Resource), its tables, the types of its events. No data is here.

Knows no provider. Each provider declares one Catalogue; functions take it as a parameter, often inside `Columns`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from sources.errors import UnknownResource, shown

Params = tuple[tuple[str, str], ...]
"""Query parameters in the order in which the URL has them: (("status", "all"),), (("scope[type]", "account"),)."""

Created = Literal["none", "unix", "iso", "iso_flat"]
"""How a list filters by creation: not at all, `created[gte]=<unix seconds>`, `created[gte]=<RFC 3339>`, or
`created_gte=<RFC 3339>`. The other bounds are gt, lt and lte."""

Pagination = Literal["cursor", "single", "v2"]
"""How a list is paged: by `starting_after` and `has_more`, not at all (one page holds everything), or by
`next_page_url`."""

Moments = Literal["unix", "iso"]
"""How objects show timestamps: as whole unix seconds, or as RFC 3339 strings."""

FIRST_SECOND = int(datetime(1, 1, 2, tzinfo=UTC).timestamp())
LAST_SECOND = int(datetime(9999, 12, 30, 23, 59, 59, tzinfo=UTC).timestamp())
"""Earliest and latest timestamp: one day inside the range of `datetime`, so that every session's time zone can show
them."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A list inside an object whose items fill a table of their own.

    `field` is its place in the object, dotted if it is nested ("computed.upfront.line_items"). If its `has_more` is
    true, the rest is read from `path` with `params`: "{id}" in either stands for the parent's id, which is the parent
    object's `id`, or its first key column if it has no id. With `expand`, the API returns the list only if the request
    has `expand[]=data.<field>` (for lists) or `expand[]=<field>` (for a single object).
    """

    field: str
    table: str
    path: str
    expand: bool = False
    params: Params = ()


@dataclass(frozen=True, slots=True)
class Expanded:
    """An array of ids in an object's `field`. Every read requests it expanded, and the objects fill `table`.

    The object's row keeps the ids alone, because events show them so: they are never expanded.
    """

    field: str
    table: str


@dataclass(frozen=True, slots=True)
class Parent:
    """What a child list has to be read for: each parent has a list of its own, which takes one request or more.

    `param` is the placeholder in the path, or the query parameter, that takes the parent's id. Only ids that begin with
    `prefix` have such a list. `also` are further query parameters, each with the column of the parent's row that gives
    its value; parents where such a column is null have no such list. `when` is a column of the parent's row that must
    be true. `fills` is the table and column ("balance_transactions.payout") of the listed rows that gets the parent's
    id, which the objects do not show; the lists of only those parents are read that are new or have changed since.
    Without a table, values take the place of ids: those in the columns that `values` names ("prices.currency" or,
    inside JSON, "alert_events.properties.pricing_unit"), and those in `always`.
    """

    table: str
    param: str
    where: Literal["path", "query"]
    prefix: str = ""
    also: tuple[tuple[str, str], ...] = ()
    when: str = ""
    fills: str = ""
    values: tuple[str, ...] = ()
    always: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resource:
    """One list operation, or a singleton.

    `name` is unique. It is the table's name, except for further lists that fill the same table. `objects` are the
    `object` values in it. `limit` is the page size to request; if it is None, the parameter must not be sent. `passes`
    are the parameters of each pass over the list: several if one pass would hide rows. No two passes show the same row.
    With `each`, every pass is repeated with each of its values. Two `parents` mean every pair of them. `range_params`
    are required bounds in unix seconds, [from, to). `newest_first` says that the objects come in descending order of
    `created_field`, the field that the list's order and its `created` filter go by ("created", "date" for invoice
    items; None if the object does not show it). `groups` are the groups that it belongs to, besides "all" (see
    `select`). `gate` names the product that the account may lack, `denied` are texts in the provider's refusal in that
    case. `rate` is the endpoint's own limit in requests a second. `not_loaded` is the reason why an operation is known
    but never loaded. `shown_for` is how many seconds a list shows an object: None as long as the object exists, 0 if
    that is unknown. `statuses` are the only values of `status` in a list, if other lists fill the same table.
    `covered_by_events` says that events report both creations and updates of the objects, so that the list need not be
    read again.
    """

    name: str
    path: str
    table: str
    objects: tuple[str, ...]
    kind: Literal["root", "child", "singleton"]
    created: Created = "none"
    pagination: Pagination = "cursor"
    limit: int | None = 100
    passes: tuple[Params, ...] = ((),)
    parents: tuple[Parent, ...] = ()
    each: Parent | None = None
    range_params: tuple[str, str] | None = None
    newest_first: bool = False
    created_field: str | None = None
    groups: tuple[str, ...] = ()
    gate: str | None = None
    denied: tuple[str, ...] = ()
    rate: float | None = None
    deprecated: bool = False
    not_loaded: str | None = None
    shown_for: int | None = None
    statuses: tuple[str, ...] = ()
    covered_by_events: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table: which objects it holds, its key, and the ways besides lists in which its rows arrive.

    `key` are the columns that identify a row within an account: the id, together with the parent's id if the API needs
    both to name the object. The table's primary key has `_account_id` as well; a singleton's has nothing else.
    `unique_id` is the field that shows the object's present id in old API versions, where `id` was that of another
    object. `parent` is the table of the objects that own these (the table then has a column `_parent_id`), and
    `parent_field` the field of a row that names its parent, if the object shows one. `expanded` are the arrays of ids
    whose objects every read returns as well, for a table of their own. `retrieve` is the path of a single object with
    its columns as placeholders ("/v1/customers/{id}", "/v1/accounts/{_parent_id}/persons/{id}"), None if there is none.
    `shown_on_request` are fields that the API returns only if they are expanded: every read requests them, and no event
    shows them. `hidden` are such fields that are never requested. `kept` are columns that the provider's objects do not
    show, with a sentence on each: only a list that `fills` them sets them, and any other state of the row leaves them
    as they are. `chosen_id` says that people choose the ids, so that an object can be created again under the id of a
    deleted one. `witness` is a field that every whole object shows and a tombstone does not. `moments` says how
    timestamps are written.
    """

    name: str
    objects: tuple[str, ...]
    key: tuple[str, ...] = ("id",)
    parent: str | None = None
    parent_field: str | None = None
    embedded: tuple[Embedded, ...] = ()
    expanded: tuple[Expanded, ...] = ()
    retrieve: str | None = None
    shown_on_request: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    unique_id: str | None = None
    chosen_id: bool = False
    witness: str = "object"
    moments: Moments = "unix"


@dataclass(frozen=True, slots=True)
class Gate:
    """A product that an account may lack, and the texts that identify the provider's refusal of its endpoints."""

    product: str
    denied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EventType:
    """What an event type means: the table of its object, whether the object is deleted, and why the type is ignored, if
    it is.
    """

    table: str
    deletes: bool = False
    ignored: str | None = None


ColumnType = Literal["text", "bigint", "double", "bool", "timestamp", "decimal", "json"]
"""`timestamp` is a moment: unix seconds, or an RFC 3339 string. `decimal` comes as a string. `json` is anything
nested."""

GROUPS = ("core", "default", "all")
"""What matters most; every list without a parent, and the singletons; everything that can be loaded."""


class Descriptions:
    """A sentence on each table and each of its columns, from a JSON file: table -> column -> sentence.

    The empty column name has the sentence on the table. Without a `path` there are no sentences.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    @cached_property
    def mark(self) -> str:
        """A checksum of eight characters: it changes when any sentence changes."""
        return sha256(self._path.read_bytes()).hexdigest()[:8] if self._path else ""

    def of(self, table: str) -> Mapping[str, str]:
        """The sentences on a table and its columns."""
        return self._all.get(table, {})

    @cached_property
    def _all(self) -> Mapping[str, Mapping[str, str]]:
        found: dict[str, dict[str, str]] = json.loads(self._path.read_text("utf-8")) if self._path else {}
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """All that a provider's API has.

    The keys of `resources` (in the order in which they are loaded), `tables` and event `types` are their names.
    `fields` gives the provider's fields of a table with their types, and raises KeyError for an unknown table.
    `references` gives the columns of a table that hold another object's id, and the tables that this object can be in.
    `subject_of` is for providers whose events do not show the type of their object: for an event type, it gives the
    field of the event that has the object, and the object's table, both "" if the event has none. `log` is then the
    table of events, whose rows have these events in the field `payload`. `descriptions` are sentences on tables and
    columns. `shape_of` gives the nested fields of a table, as `sources.stripe_api.generate.shapes` describes them.
    `objects_by_prefix` has the `object` values whose ids can begin with a prefix, in the order of their declarations.
    `not_embedded` are the lists inside objects, by `object` and field, that fill no table from there, and why.
    `carried_by` are `object` values that only events have: each contains an object of the API, in the field given here.
    `no_table` are the objects that no table holds, and why. `page` is the page of the documentation with the resources.
    """

    resources: Mapping[str, Resource]
    tables: Mapping[str, Table]
    fields: Callable[[str], Mapping[str, ColumnType]]
    types: Mapping[str, EventType] = field(default_factory=dict)
    subject_of: Callable[[str], tuple[str, str]] | None = None
    log: str = ""
    objects_by_prefix: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    not_embedded: Mapping[tuple[str, str], str] = field(default_factory=dict)
    carried_by: Mapping[str, str] = field(default_factory=dict)
    no_table: Mapping[str, str] = field(default_factory=dict)
    references: Callable[[str], Mapping[str, tuple[str, ...]]] = lambda table: {}
    descriptions: Descriptions = field(default_factory=Descriptions)
    shape_of: Callable[[str], Mapping[str, Any]] = lambda table: {}
    page: str = "docs/reference/resources.md"

    def select(self, names: Sequence[str] = ()) -> list[Resource]:
        """Resources by name, group or `object` value ("customer"), each once, parents before children.

        Without names, it returns the group "default". Raises UnknownResource for a name that the catalogue does not
        have (the message suggests the nearest) or that is never loaded.
        """
        chosen = {name for given in names or ("default",) for name in self._expanded(given.strip())}
        return [line for name, line in self.resources.items() if name in chosen]

    def gives_sets(self, resource: Resource) -> bool:
        """Whether a list, paged to its end for one parent, gives the whole set of that parent's rows in its table.

        Only then do rows that it does not show count as deleted. The answer is no if the table's rows belong to no
        parent (a customer's payment methods exist on once they are detached), and if the list shows only a part (two
        parents, a range).
        """
        return (
            len(resource.parents) == 1
            and resource.range_params is None
            and self.tables[resource.table].parent == resource.parents[0].table
        )

    def filled_with(self, table: str) -> tuple[str, ...]:
        """The tables that a read of a table's objects fills: the table itself, and those of embedded and expanded
        objects.
        """
        found = dict.fromkeys((table, *(embedded.table for embedded in self.tables[table].embedded)))
        found |= dict.fromkeys(expanded.table for name in found for expanded in self.tables[name].expanded)
        return tuple(found)

    def shown_by(self, table: str) -> list[Resource]:
        """The lists without a parent that show rows of a table: its own, and those whose objects contain such rows."""
        lists = [
            resource for resource in self.resources.values() if resource.kind == "root" and resource.not_loaded is None
        ]
        return [resource for resource in lists if table in self.filled_with(resource.table)]

    def tables_of_object(self, object_name: str) -> tuple[str, ...]:
        """Tables that can hold objects with this `object` value: none, one, or several (cards, items)."""
        return tuple(name for name, table in self.tables.items() if object_name in table.objects)

    def table_of_object(self, object_name: str) -> str | None:
        """The table of objects with this `object` value; None if there is no such table, or more than one."""
        tables = self.tables_of_object(object_name)
        return tables[0] if len(tables) == 1 else None

    def table_of(self, obj: Mapping[str, object]) -> str | None:
        """The table of an object from an event or a retrieve, without a list that names it; None if no table holds it.

        If several tables can hold it, it belongs to the one whose parent it names: a card names its account or its
        customer. Line items do not name their parent.
        """
        tables = self.tables_of_object(str(obj.get("object")))
        owned = [name for name in tables if obj.get(self.tables[name].parent_field or "") is not None]
        return tables[0] if len(tables) == 1 else owned[0] if len(owned) == 1 else None

    def resource_named(self, name: str) -> str | None:
        """The name of the resource that a user's word means: its own name, or the name of its objects.

        `customer`, `checkout.session`, `checkout_session` and `early_fraud_warning` are known. None for an unknown
        name, or one that several tables share.
        """
        normal = _normal(name)
        named = normal if normal in self.resources else self.table_named(name)
        return named if named in self.resources else None

    def table_named(self, name: str) -> str:
        """The table that a user's word means: its own name, or the name of its objects. An unknown name is returned as
        it is.
        """
        normal = _normal(name)
        if normal in self.tables:
            return normal
        for spelled in (
            lambda object_type: object_type.replace(".", "_"),
            lambda object_type: object_type.rpartition(".")[2],
        ):
            tables = {name for name, table in self.tables.items() if normal in map(spelled, table.objects)}
            if tables:
                return tables.pop() if len(tables) == 1 else name
        return name

    def _expanded(self, name: str) -> list[str]:
        """Names of the resources that one name or group stands for."""
        loadable = [line.name for line in self.resources.values() if line.not_loaded is None]
        if name in GROUPS:
            return [each for each in loadable if name == "all" or name in self.resources[each].groups]
        name = self.resource_named(name) or name
        if name not in self.resources:
            near = difflib.get_close_matches(_normal(name), [*loadable, *GROUPS], n=1, cutoff=0.6)
            meant = f"; did you mean {near[0]!r}?" if near else "."
            known = f"Choose from the groups {', '.join(GROUPS)} and the names in {self.page}."
            raise UnknownResource(f"There is no resource {shown(name, [*loadable, *GROUPS])}{meant} {known}")
        if reason := self.resources[name].not_loaded:
            raise UnknownResource(f"The resource {name!r} is never loaded: {reason}.")
        return [name]


def _normal(name: str) -> str:
    """A name of a resource or an object as the catalogue spells it."""
    return re.sub(r"[-. ]", "_", name.lower())
