"""The shapes of a catalogue: list operation (Resource), table, event type, and how lists hang together. No data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Params = tuple[tuple[str, str], ...]
"""Query parameters as they go into the URL, in order: (("status", "all"),), (("scope[type]", "account"),)."""

Created = Literal["none", "unix", "iso", "iso_flat"]
"""How a list filters by creation: not at all, `created[gte]=<unix seconds>`, `created[gte]=<RFC 3339>`, or
`created_gte=<RFC 3339>`. The other bounds are gt, lt and lte."""

Pagination = Literal["cursor", "single", "v2"]
"""`starting_after` and `has_more`; one page that is all; `next_page_url`."""


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
class Parent:
    """What a child list needs one request (or more) for each of.

    `param` is the placeholder in the path, or the query parameter, that takes the parent's id. Only ids that begin with
    `prefix` have such a list. `also` are further query parameters with the column of the parent's row that each takes;
    parents where such a column is null have no such list.
    """

    table: str
    param: str
    where: Literal["path", "query"]
    prefix: str = ""
    also: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Resource:
    """One list operation, or a singleton.

    `name` is unique, and the table's name but for further lists that fill the same table. `objects` are the `object`
    values in it. `limit` is the page size to ask for, None where the parameter must not be sent. `passes` are the
    parameters of each pass over the list, several where one pass would hide rows; a pass shows no row of another.
    Two `parents` mean every pair of them. `range_params` are required bounds in unix seconds, [from, to).
    `newest_first` says that the objects come in descending order of `created_field`, the field that the list's order
    and its `created` filter go by ("created", "date" for invoice items; None where the object does not show it).
    `groups` are what `select` knows it by besides its name and "all". `gate` names the product that the account may
    lack, `denied` are texts in Stripe's refusal then. `rate` is the endpoint's own limit in requests a second.
    `not_loaded` is the reason why an operation is known but never loaded.
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
    range_params: tuple[str, str] | None = None
    newest_first: bool = False
    created_field: str | None = None
    groups: tuple[str, ...] = ()
    gate: str | None = None
    denied: tuple[str, ...] = ()
    rate: float | None = None
    deprecated: bool = False
    not_loaded: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table: what is in it, its key, and where else its rows come from.

    `key` are the columns that identify a row within an account (`_account_id` comes on top, and is all of the key
    of a singleton): the id where Stripe's API names the object by it alone, else with the parent's. `unique_id` is
    the field that has the object's present id in old API versions, where `id` was that of another object. `parent`
    is the table of the objects that own these (the table then has a column `_parent_id`), and `parent_field` the
    field of a row that names its parent, where Stripe shows one. `retrieve` is the path of a single object with its
    columns as placeholders ("/v1/customers/{id}", "/v1/accounts/{_parent_id}/persons/{id}"), None where Stripe has
    none. `shown_on_request` are fields that only arrive when expanded, which every read asks for and no event
    shows; `hidden` those that are never asked for. `chosen_id` says that people can choose the ids, and so can make an
    object again under the id of a deleted one.
    """

    name: str
    objects: tuple[str, ...]
    key: tuple[str, ...] = ("id",)
    parent: str | None = None
    parent_field: str | None = None
    embedded: tuple[Embedded, ...] = ()
    retrieve: str | None = None
    shown_on_request: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    unique_id: str | None = None
    chosen_id: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """A product that an account may lack, with texts that Stripe is known to refuse its endpoints with."""

    product: str
    denied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EventType:
    """What a type means: the table of its object, whether the object is gone, why it is ignored (None: it is not)."""

    table: str
    deletes: bool
    ignored: str | None
