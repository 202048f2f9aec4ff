"""A scheduled sync in parts that a scheduler can spread over workers: events first, then the due lists by area.

Each part has a lock and a staging dataset of its own, so that parts can run at once, and can be repeated. A part passes
a map of strings to the next one: the scheduler stores it, and puts it into the environment. Knows no scheduler.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from pipelines.loading.session import Session
from pipelines.sync.lists import SyncState, loaded_names, loaded_resources
from pipelines.sync.stripe_api.cadence import due_lists
from pipelines.sync.stripe_api.settings import SyncSettings
from pipelines.sync.stripe_api.sync import Sync, SyncOutcome
from pipelines.warehouse.staging import lock_name, scope_of
from sources.catalogue import Resource
from sources.fetch.values import ResourceStatus

Task = dict[str, str]
"""What a scheduler passes to a part: ACCOUNT (empty: the key's own), and for lists AREA, RESOURCES and TOUCHED (the
tables that the events changed; both separated by commas), BUDGET (requests, empty: any number)."""

AREAS: Mapping[str, str] = {
    **dict.fromkeys(("account", "balance", "balance_settings", "balance_transactions", "exchange_rates"), "money"),
    **dict.fromkeys(("payouts", "reporting", "sigma"), "money"),
    **dict.fromkeys(("billing", "billing_portal", "coupons", "credit_notes", "customers", "entitlements"), "billing"),
    **dict.fromkeys(("invoice_payments", "invoice_rendering_templates", "invoiceitems", "invoices"), "billing"),
    **dict.fromkeys(("plans", "prices", "product_catalog", "products", "promotion_codes", "quotes"), "billing"),
    **dict.fromkeys(("sources", "subscription_items", "subscription_schedules", "subscriptions"), "billing"),
    **dict.fromkeys(("tax", "tax_codes", "tax_ids", "tax_rates"), "billing"),
    **dict.fromkeys(("accounts", "application_fees", "apps", "country_specs", "topups", "transfers"), "connect"),
    **dict.fromkeys(("financial_connections", "issuing", "treasury"), "issuing"),
    **dict.fromkeys(("commerce", "core", "money_management"), "v2"),
}
"""The first word of a resource's path after the version -> its area; `OTHER_AREA` for any other word.

Children are in the area of their parents, so that one part reads the parents first.
"""
OTHER_AREA = "payments"


def area_of(resource: Resource) -> str:
    """The area of a resource, see `AREAS`."""
    return AREAS.get(resource.path.split("/")[2], OTHER_AREA)


def list_parts(account: str, due: Iterable[Resource], touched: Collection[str], budget: int | None) -> list[Task]:
    """The due lists by area, in the catalogue's order; each part gets an equal share of the budget, at least one.

    Parts without a request are left to the next run.
    """
    areas: dict[str, list[str]] = {}
    for listing in due:
        areas.setdefault(area_of(listing), []).append(listing.name)
    names = list(areas) if budget is None else list(areas)[:budget]
    common = {
        "ACCOUNT": account,
        "TOUCHED": ",".join(sorted(touched)),
        "BUDGET": "" if budget is None else str(budget // max(1, len(names))),
    }
    return [{"AREA": area, "RESOURCES": ",".join(areas[area]), **common} for area in names]


def run_events(
    session: Session, settings: SyncSettings, account: str, *, full_refresh: str = ""
) -> tuple[SyncOutcome, list[Task]]:
    """Applies the events, or reads everything after a gap. Returns the outcome, and the parts that are left to run.

    `full_refresh` is the name of a refresh, see `forget_progress`; empty for none. Raises errors that stop a run;
    progress until then is saved.
    """
    if full_refresh:
        forget_progress(session, account, full_refresh)
    outcome = Sync(session, settings, part="events").run()
    if outcome.stopped or outcome.now is None:
        return outcome, []
    state, touched = SyncState(session), outcome.events.touched
    due = due_lists(
        loaded_resources(session), state.last(), outcome.now, settings, touched, has_events=outcome.has_events
    )
    return outcome, list_parts(account, (listing.resource for listing in due), touched, session.spending.left)


def forget_progress(session: Session, account: str, refresh: str) -> None:
    """Deletes the progress of each list, so that all lists are due from their beginning. The rows stay.

    The name of the refresh is saved in the same transaction, and nothing is done for a name that is saved already: so a
    repeated part continues instead of starting again. Raises AlreadyRunning while a part reads lists of the account,
    because it would save its progress again.
    """
    if session.state.read_account().full_refresh == refresh:
        return
    for area in sorted({*AREAS.values(), OTHER_AREA}):
        session.database.lock_run(lock_name(session.settings.dataset, scope_of(area, account)))
    session.save(*(ResourceStatus(name) for name in loaded_names(session)), account={"full_refresh": refresh})


def run_lists(
    session: Session, settings: SyncSettings, names: Collection[str], touched: Collection[str]
) -> SyncOutcome:
    """Reads the named lists that are due: lists that an earlier attempt has read are not."""
    return Sync(session, settings, list(names), part="lists", touched=touched).run()
