"""How pages of Stripe's lists are requested and continued: parameters, cursors, order. Pure.

Lists of v1: https://docs.stripe.com/api/pagination; of v2: https://docs.stripe.com/api-v2-overview.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from sources.catalogue import Created, Params, Resource, Table
from sources.columns.coerce import MAX_KEY
from sources.errors import BrokenPage
from sources.fetch.values import Page

STRIPE_BEGAN = 1_293_840_000  # 2011-01-01: no object is older. It only decides what is read first
_GRAINS = {"day": 86_400, "hour": 3_600}  # seconds; bounds of a range are multiples of these, or whole minutes


def list_params(resource: Resource, tables: Mapping[str, Table], chosen: Params) -> Params:
    """The parameters of every request of one pass: the page size, those of the pass, and the fields to expand."""
    size: Params = (("limit", str(resource.limit)),) if resource.limit is not None else ()
    return (*size, *chosen, *expansions(resource.table, tables))


def expansions(name: str, tables: Mapping[str, Table]) -> Params:
    """The `expand[]` parameters for the fields of a table's objects that a list shows only on request.

    Ids are expanded in the objects and in those that are always embedded in them, which is as deep as Stripe allows:
    "data.items.data.discounts" has the four levels that it allows.
    """
    table = tables.get(name)
    if table is None:
        return ()
    fields = [*(embedded.field for embedded in table.embedded if embedded.expand), *table.shown_on_request]
    fields += [expanded.field for expanded in table.expanded]
    for embedded in table.embedded:
        below = tables.get(embedded.table)
        if below is not None and not embedded.expand:
            fields += [f"{embedded.field}.data.{expanded.field}" for expanded in below.expanded]
    return tuple(("expand[]", f"data.{field}") for field in fields)


def created_params(created: Created, gte: int, lt: int) -> Params:
    """The filter for a window, unix seconds. A `gte` of 0 is no bound."""
    bounds = ((("gte", gte),) if gte > 0 else ()) + (("lt", lt),)
    if created == "unix":
        return tuple((f"created[{name}]", str(second)) for name, second in bounds)
    if created == "iso":
        return tuple((f"created[{name}]", _iso(second)) for name, second in bounds)
    if created == "iso_flat":
        return tuple((f"created_{name}", _iso(second)) for name, second in bounds)
    return ()


def range_params(resource: Resource, passes: tuple[Params, ...], since: int, until: int) -> Params:
    """The bounds that a list requires: whole days, hours or minutes within `[since, until)`; empty if there are none.

    https://docs.stripe.com/api/billing/meter-event-summary/list: bounds must align with the requested granularity. A
    day that is not over is left to a later run.
    """
    if resource.range_params is None:
        return ()
    grouping = next((value for params in passes for name, value in params if name == "value_grouping_window"), "")
    grain = _GRAINS.get(grouping, 60)
    start = -(-max(since, STRIPE_BEGAN) // grain) * grain
    end = until // grain * grain
    first, last = resource.range_params
    return ((first, str(start)), (last, str(end))) if start < end else ()


def cursor_after(page: Page, previous: str | None, *, first: bool = False) -> str:
    """The id after which the next page begins: that of the last object with an id. With `first`, the id before which it
    begins: that of the first one.

    Raises BrokenPage if no object has an id, or if the list does not advance.
    """
    ids = [id for obj in page.objects if isinstance(id := obj.get("id"), str) and id and len(id) <= MAX_KEY]
    if not ids:
        raise BrokenPage(
            "A list says that there are more pages, but no object on its page has an id from which to continue.",
            request_id=page.request_id,
        )
    id = ids[0 if first else -1]
    if id == previous or (previous is not None and any(obj.get("id") == previous for obj in page.objects)):
        raise BrokenPage(
            f"A list does not advance: the page after {previous} contains that object again. Check"
            " SOURCES__STRIPE__API_BASE.",
            request_id=page.request_id,
        )
    return id


def next_page_path(page: Page, path: str) -> str:
    """Path and query of a v2 list's next page. Raises BrokenPage if they lead to another list.

    A host in the answer is ignored: the key is sent to `api_base` only.
    """
    url = page.next_page or ""
    rest = url[url.index("/", url.index("://") + 3) :] if "://" in url and "/" in url.split("://", 1)[1] else url
    if rest.partition("?")[0] != path.partition("?")[0]:
        raise BrokenPage(
            "The link to a list's next page leads to another list, so it was not followed.", request_id=page.request_id
        )
    return rest


def _iso(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
