"""The catalogue of a provider as a value: its lists (Resource), its tables, the types of its events. Holds no data.

Knows no provider. Whoever needs to know a table is given the catalogue, most often with the columns (`Columns`).
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
"""Query parameters as they go into the URL, in order: (("status", "all"),), (("scope[type]", "account"),)."""

Created = Literal["none", "unix", "iso", "iso_flat"]
"""How a list filters by creation: not at all, `created[gte]=<unix seconds>`, `created[gte]=<RFC 3339>`, or
`created_gte=<RFC 3339>`. The other bounds are gt, lt and lte."""

Pagination = Literal["cursor", "single", "v2"]
"""`starting_after` and `has_more`; one page that is all; `next_page_url`."""

Moments = Literal["unix", "iso"]
"""How objects show moments: as whole unix seconds, or as RFC 3339 strings."""

FIRST_SECOND = int(datetime(1, 1, 2, tzinfo=UTC).timestamp())
LAST_SECOND = int(datetime(9999, 12, 30, 23, 59, 59, tzinfo=UTC).timestamp())
"""Bounds of moments: a day inside what `datetime` holds, so that every session's time zone can show them."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A list inside an object whose items fill a table of their own.

    `field` is its place in the object, dotted where it is nested ("computed.upfront.line_items"). `path` and `params`
    complete it where its `has_more` says so: "{id}" in either stands for the parent's id, which is the parent object's
    `id`, or its first key column where it has no id. With `expand` the list comes only when `expand[]=data.<field>`
    (on lists) or `expand[]=<field>` (on a single object) asks for it.
    """

    field: str
    table: str
    path: str
    expand: bool = False
    params: Params = ()


@dataclass(frozen=True, slots=True)
class Expanded:
    """An array of ids in an object's `field` that every read asks to have expanded: the objects fill `table`.

    The ids stay in the object, as an event, which is never expanded, shows them.
    """

    field: str
    table: str


@dataclass(frozen=True, slots=True)
class Parent:
    """What a child list needs one request (or more) for each of.

    `param` is the placeholder in the path, or the query parameter, that takes the parent's id. Only ids that begin with
    `prefix` have such a list. `also` are further query parameters with the column of the parent's row that each takes;
    parents where such a column is null have no such list. `when` is a column of the parent's row that must be true.
    `fills` is the table and column ("balance_transactions.payout") of the listed rows that gets the parent's id, which
    the objects do not show: only parents that are new or have changed since their list was read are asked for.
    Without a table, `values` stand for ids: those that columns show, "prices.currency" or, inside JSON,
    "alert_events.properties.pricing_unit", and `always`.
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

    `name` is unique, and the table's name but for further lists that fill the same table. `objects` are the `object`
    values in it. `limit` is the page size to ask for, None where the parameter must not be sent. `passes` are the
    parameters of each pass over the list, several where one pass would hide rows; a pass shows no row of another.
    With `each`, every pass is repeated with each of its values. Two `parents` mean every pair of them. `range_params`
    are required bounds in unix seconds, [from, to). `newest_first` says that the objects come in descending order of
    `created_field`, the field that the list's order and its `created` filter go by ("created", "date" for invoice
    items; None where the object does not show it). `groups` are what `select` knows it by besides its name and "all".
    `gate` names the product that the account may lack, `denied` are texts in the provider's refusal then. `rate` is
    the endpoint's own limit in requests a second. `not_loaded` is the reason why an operation is known but never
    loaded. `shown_for` are the seconds for which a list shows an object: None as long as it exists, 0 where nobody
    knows. `statuses` are the only values of `status` in a list, where other lists fill the same table.
    `covered_by_events` says that events tell of both creations and updates of the objects, so that a list need not be
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
    """A table: what is in it, its key, and where else its rows come from.

    `key` are the columns that identify a row within an account (`_account_id` comes on top, and is all of the key
    of a singleton): the id where the API names the object by it alone, else with the parent's. `unique_id` is
    the field that has the object's present id in old API versions, where `id` was that of another object. `parent`
    is the table of the objects that own these (the table then has a column `_parent_id`), and `parent_field` the
    field of a row that names its parent, where the object shows one. `expanded` are the arrays of ids whose objects
    come along with every read and have a table of their own. `retrieve` is the path of a single object with its
    columns as placeholders ("/v1/customers/{id}", "/v1/accounts/{_parent_id}/persons/{id}"), None where there is
    none. `shown_on_request` are fields that only arrive when expanded, which every read asks for and no event
    shows; `hidden` those that are never asked for. `kept` are columns that the provider's objects do not show, with a
    sentence on each: only a list that `fills` them tells them, and any other state of the row leaves them as they are.
    `chosen_id` says that people can choose the ids, and so can make an object again under the id of a deleted one.
    `witness` is the field that every whole object shows and no tombstone, `moments` says how its timestamps come.
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
    """A product that an account may lack, with texts with which the provider refuses its endpoints."""

    product: str
    denied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EventType:
    """What a type means: the table of its object, whether the object is gone, why it is ignored (None: it is not)."""

    table: str
    deletes: bool = False
    ignored: str | None = None


ColumnType = Literal["text", "bigint", "double", "bool", "timestamp", "decimal", "json"]
"""`timestamp` is a moment: unix seconds, or an RFC 3339 string. `decimal` comes as a string. `json` is anything
nested."""

GROUPS = ("core", "default", "all")
"""What matters most; every list that needs no parent, with the singletons; all that can be loaded."""


class Descriptions:
    """A sentence on each table and each of its columns, in a JSON file: table -> column -> sentence.

    The sentence on the table has the empty name. Without a `path` there are none.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    @cached_property
    def mark(self) -> str:
        """Eight characters that are others when a sentence is another one."""
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

    `resources`, in the order in which they are loaded, `tables` and event `types` go by name. `fields` gives the
    provider's fields of a table with their types, and raises KeyError for a table that it does not know. `references`
    gives the columns of a table that hold another object's id, and the tables that this object can be in.
    `subject_of` gives, for a type of event, the field of the event that has its object, and the object's table, both ""
    where it has none; without it, events show what object theirs is. `log` is then the table of events, whose rows have
    them in the field `payload`. `descriptions` are sentences on tables and columns. `shape_of` gives the nested fields
    of a table, as `sources.stripe_api.generate.shapes` describes them.
    `objects_by_prefix` has the `object` values whose ids can begin with a prefix, in the order of their declarations.
    `not_embedded` are the lists inside objects, by `object` and field, that fill no table from there, and why.
    `carried_by` are objects of events that are no objects of the API but carry one, with the field that has it.
    `no_table` are the objects that no table holds, and why. `page` of the documentation has the resources.
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

        Nothing selects the default group. Raises UnknownResource, with the nearest name, for one that the catalogue
        does not have or never loads.
        """
        chosen = {name for given in names or ("default",) for name in self._expanded(given.strip())}
        return [line for name, line in self.resources.items() if name in chosen]

    def gives_sets(self, resource: Resource) -> bool:
        """Whether a list, paged to its end for one parent, gives the whole set of that parent's rows in its table.

        Only then may rows that it does not show be taken for deleted. It is not so where the table's rows belong to no
        parent (a customer's payment methods: detached, they live on) or where the list shows a part (two parents, a
        range).
        """
        return (
            len(resource.parents) == 1
            and resource.range_params is None
            and self.tables[resource.table].parent == resource.parents[0].table
        )

    def filled_with(self, table: str) -> tuple[str, ...]:
        """The tables that the objects of a table fill when they are read: its own, and those of what comes in them."""
        found = dict.fromkeys((table, *(embedded.table for embedded in self.tables[table].embedded)))
        found |= dict.fromkeys(expanded.table for name in found for expanded in self.tables[name].expanded)
        return tuple(found)

    def shown_by(self, table: str) -> list[Resource]:
        """The lists that show rows of a table and need no parent: its own, and those whose objects bring some along."""
        lists = [
            resource for resource in self.resources.values() if resource.kind == "root" and resource.not_loaded is None
        ]
        return [resource for resource in lists if table in self.filled_with(resource.table)]

    def tables_of_object(self, object_name: str) -> tuple[str, ...]:
        """Tables that can hold objects with this `object` value: none, one, or several (cards, items)."""
        return tuple(name for name, table in self.tables.items() if object_name in table.objects)

    def table_of_object(self, object_name: str) -> str | None:
        """The table of objects with this `object` value; None where there is none, or where the name does not tell."""
        tables = self.tables_of_object(object_name)
        return tables[0] if len(tables) == 1 else None

    def table_of(self, obj: Mapping[str, object]) -> str | None:
        """The table of an object that came without its list (by event or by id); None where it belongs to none.

        Where several tables can hold it, it belongs to the one whose parent it names: a card names its account or its
        customer. Line items do not name their parent.
        """
        tables = self.tables_of_object(str(obj.get("object")))
        owned = [name for name in tables if obj.get(self.tables[name].parent_field or "") is not None]
        return tables[0] if len(tables) == 1 else owned[0] if len(owned) == 1 else None

    def resource_named(self, name: str) -> str | None:
        """The name of the resource that somebody means: by its own name, or by the one of its objects.

        `customer`, `checkout.session`, `checkout_session` and `early_fraud_warning` are known; None for a name that is
        not, or that several tables share.
        """
        normal = _normal(name)
        named = normal if normal in self.resources else self.table_named(name)
        return named if named in self.resources else None

    def table_named(self, name: str) -> str:
        """The table that somebody means: by its own name, or by the one of its objects. An unknown name is kept."""
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
