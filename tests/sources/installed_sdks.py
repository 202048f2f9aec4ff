"""The installed SDKs, asked the same questions, so that one test holds each provider's catalogue against its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import sources.orb_api.generate.snapshot as orb_snapshot
import sources.stripe_api.generate.snapshot as stripe_snapshot
from sources.catalogue import Catalogue, Resource
from sources.orb_api.catalogue import CATALOGUE as ORBS
from sources.orb_api.generate import sdk as orb_sdk
from sources.stripe_api.catalogue import CATALOGUE as STRIPES
from sources.stripe_api.generate.sdk import Ref, Sdk
from sources.stripe_api.generate.sdk_operations import Operation, operations, parameters
from sources.stripe_api.paging.conventions import created_params

Params = Mapping[str, bool]
"""The parameters of a request, spelled out (`created[gte]`, but `status` for `status[]`), and which are required."""


@dataclass(frozen=True)
class InstalledSdk:
    """What an SDK says of its API, and what is known beside it.

    `lists` gives the paths of list operations with their parameters, `singles` those of single objects, both with their
    placeholders; `values` the values that a parameter of a list can have, None where that is not known; `whole` the
    fields that every object of a table has; `filter` the parameters that ask a list for a window of time. `documented`
    are the paths and tables that only the provider's documentation knows, `spelled` other names of event types. No list
    fills the tables `unlisted`; those that are `ours` have no objects of the provider's.
    """

    name: str
    modules: Collection[str]
    """What the SDK imports, which no run may."""
    catalogue: Catalogue
    snapshot: Path
    current: Callable[[], str]
    generate: Callable[[list[str], Path], int]
    command: str
    count: int
    """Lists of the catalogue."""
    lists: Callable[[], Mapping[str, Params]]
    singles: Callable[[], Collection[str]]
    values: Callable[[Resource, str], Collection[str] | None]
    whole: Callable[[str], Collection[str]]
    filter: Callable[[Resource], Collection[str]]
    event_types: Callable[[], Collection[str]]
    documented: Collection[str] = ()
    spelled: Collection[str] = ()
    unlisted: Collection[str] = ()
    ours: Collection[str] = ()


def blank(path: str) -> str:
    """A path with its placeholders blanked."""
    return re.sub(r"{\w+}", "{}", path)


# --- Stripe -----------------------------------------------------------------------------------------------------------

stripe = cache(Sdk)


@cache
def _operations() -> Mapping[str, Operation]:
    return {each.path: each for each in operations(stripe()) if each.page == "list"}


@cache
def _singles() -> Collection[str]:
    return {each.path for each in operations(stripe()) if each.http == "get" and each.page == "none"}


@cache
def _lists() -> Mapping[str, Params]:
    found: dict[str, dict[str, bool]] = {}
    for path, operation in _operations().items():
        known = found[path] = {}
        for name, field in parameters(stripe(), operation).items():
            known[name] = field.required
            for ref in field.type.refs:
                known |= dict.fromkeys((f"{name}[{below}]" for below in stripe().fields(ref)), False)
    return found


def _values(resource: Resource, name: str) -> Collection[str] | None:
    first, _, rest = name.rstrip("]").partition("[")
    field = parameters(stripe(), _operations()[resource.path])[first].type
    if rest and not rest.isdigit():
        field = stripe().fields(field.refs[0])[rest].type
    if field.kind == "boolean":
        return {"true", "false"}
    return (field.item.literals if field.item else ()) or field.literals


def _whole(table: str) -> set[str]:
    classes = stripe().object_classes()
    return set.intersection(*(set(stripe().fields(classes[name])) for name in STRIPES.tables[table].objects))


def _event_types() -> set[str]:
    return set(stripe().fields(Ref("stripe._event", "Event"))["type"].type.literals)


# --- Orb --------------------------------------------------------------------------------------------------------------

gets = cache(orb_sdk.operations)
SUMS = "/v1/events/volume"  # a page of objects, which the SDK does not call a list


def _orbs_values(resource: Resource, name: str) -> Collection[str] | None:
    """The SDK types no other parameter's values than those of a status, which are its objects' own."""
    shapes = orb_sdk.shapes(orb_snapshot.model_of(resource.table))
    if name != "status" or name not in shapes:
        return None
    return {value for each in shapes[name].annotations for value in each.__args__} | {"all"}


def _orbs_whole(table: str) -> Collection[str]:
    if (by_hand := orb_snapshot.DOCUMENTED.get(table) or orb_snapshot.OURS.get(table)) is not None:
        return by_hand
    return {name for name, shape in orb_sdk.shapes(orb_snapshot.model_of(table)).items() if shape.is_required}


def _orbs_filter(resource: Resource) -> Collection[str]:
    bounds = ("gte", "gt", "lte", "lt") if resource.created != "none" else ()
    return [f"{resource.created_field}[{bound}]" for bound in bounds]


SDKS = (
    InstalledSdk(
        name="stripe",
        modules={"stripe"},
        catalogue=STRIPES,
        snapshot=stripe_snapshot.SNAPSHOT,
        current=lambda: stripe_snapshot.snapshot(stripe()),
        generate=stripe_snapshot.main,
        command=stripe_snapshot.COMMAND,
        count=138,
        lists=_lists,
        singles=_singles,
        values=_values,
        whole=_whole,
        filter=lambda resource: [name for name, _ in created_params(resource.created, 1, 2)],
        event_types=_event_types,
        unlisted={
            "applications",
            "billing_portal_sessions",
            "cash_balances",
            "entitlements_active_entitlement_summaries",
            "financial_connections_authorizations",
            "mandates",
            "reserve_holds",
            "reserve_plans",
            "reserve_releases",
            "tax_calculations",
            "tax_transactions",
        },
    ),
    InstalledSdk(
        name="orb",
        modules={"orb", "httpx", "pydantic"},
        catalogue=ORBS,
        snapshot=orb_snapshot.SNAPSHOT,
        current=orb_snapshot.snapshot,
        generate=orb_snapshot.main,
        command=orb_snapshot.COMMAND,
        count=31,
        lists=lambda: {
            each.path: {name.removesuffix("[]"): name in each.required for name in each.parameters}
            for each in gets()
            if each.is_list or each.path == SUMS
        },
        singles=lambda: {each.path for each in gets() if not each.is_list and each.path != SUMS},
        values=_orbs_values,
        whole=_orbs_whole,
        filter=_orbs_filter,
        event_types=lambda: set(orb_sdk.event_models()),
        documented={"/v1/webhook_events", "webhook_events"},
        spelled={"invoice.sync_succeded"},
        unlisted={"payment_methods", "transactions", "alert_events"},
        ours={"alert_events"},
    ),
)
