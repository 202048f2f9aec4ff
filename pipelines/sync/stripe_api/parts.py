"""A scheduled sync in parts that a scheduler can spread over workers: events first, then the due lists by area.

Each part has a lock and a staging dataset of its own, so that parts run at once, and each can be repeated. What one
part tells the next is a map of strings, for a scheduler to keep and to put into an environment. Knows no scheduler.
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
"""What a scheduler hands to a part: ACCOUNT (empty: the key's own), and for lists AREA, RESOURCES and TOUCHED (the
tables that the events changed; both with commas between), BUDGET (requests, empty: any number)."""

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
"""The area of a resource, by the first word of its path after the version; `OTHER_AREA` where none is named here.

Children lie in the area of their parents, so that one part reads the parents first.
"""
OTHER_AREA = "payments"


def area_of(resource: Resource) -> str:
    """The area of a resource, see `AREAS`."""
    return AREAS.get(resource.path.split("/")[2], OTHER_AREA)


def list_parts(account: str, due: Iterable[Resource], touched: Collection[str], budget: int | None) -> list[Task]:
    """The due lists by area, in the catalogue's order; each part gets an equal share of the budget, at least one.

    Parts for which there is no request left are left to the next run.
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
    """Applies the events, or reads everything after a gap. Returns the parts that are left to run.

    `full_refresh` is the name of a refresh, see `forget_progress`; empty for none. Raises what stops a run; what was
    done until then is saved.
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
    """Forgets what has been read of each list, so that all of them are due from their beginning, and the rows stay.

    In one transaction it notes the refresh by its name, and it does nothing for a name that is noted: a part that is
    repeated, or its neighbours, go on instead of beginning again. Raises AlreadyRunning while a part reads lists of the
    account, whose progress would count as read again.
    """
    if session.state.read_account().full_refresh == refresh:
        return
    for area in sorted({*AREAS.values(), OTHER_AREA}):
        session.database.lock_run(lock_name(session.settings.dataset, scope_of(area, account)))
    session.save(*(ResourceStatus(name) for name in loaded_names(session)), account={"full_refresh": refresh})


def run_lists(
    session: Session, settings: SyncSettings, names: Collection[str], touched: Collection[str]
) -> SyncOutcome:
    """Reads the named lists as far as they are due: those that an earlier attempt has read are not."""
    return Sync(session, settings, list(names), part="lists", touched=touched).run()
