"""The scheduled run, on both databases: what changed arrives, at the price that the docs name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.loading.session import open_session
from pipelines.sync.stripe_api.settings import SyncSettings
from pipelines.sync.stripe_api.sync import Sync
from pipelines.warehouse.problems import AlreadyRunning
from sources.stripe_api.catalogue import select
from tests import processes
from tests.pipelines.mirror import Mirror

LISTS = ("customers", "invoices", "subscriptions", "coupons", "prices", "events")
HOUR, DAY = 3_600, 86_400


@pytest.fixture
def synced(mirror: Mirror) -> Mirror:
    """Loaded, and synced once, so that the lists are not due for a day."""
    mirror.begin(*LISTS, synced=True)
    mirror.pass_time(HOUR)
    mirror.forget_requests()
    return mirror


def some(mirror: Mirror, table: str, count: int = 1) -> list[str]:
    return [row.id for row in mirror.sim.account.tables[table].shelf.rows()[-count:]]


def run_sync(mirror: Mirror, root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return processes.run("pipelines/stripe_sync.py", *options, cwd=root, env=mirror.environment)


def test_an_idle_account_costs_one_request(synced: Mirror) -> None:
    outcome = synced.sync()
    assert synced.requests() == outcome.requests == 1
    assert outcome.rows == 0
    assert synced.said == []


def test_changes_arrive_from_their_events(synced: Mirror) -> None:
    account = synced.sim.account
    (customer,) = some(synced, "customers")
    (coupon,) = some(synced, "coupons")
    new = synced.sim.make("customers", name="Nova", email="nova@example.com")
    account.create("customers", new)
    account.update("customers", customer, {"name": "Changed"})
    synced.pass_time(5)
    account.update("customers", customer, {"name": "Changed again"})
    account.delete("coupons", coupon)
    synced.pass_time(HOUR)
    outcome = synced.sync()
    assert outcome.events.events == 4
    assert outcome.events.believed == 3
    assert outcome.rows == 4 + 3  # the events, and the objects
    assert synced.destination.value("select max(rows) from stripe.sync_runs where command = 'stripe_sync'") == 7
    assert synced.requests() == 1
    assert synced.row("customers", customer)["name"] == "Changed again"
    assert synced.row("customers", new["id"])["_source"] == "event"
    assert synced.row("coupons", coupon)["_deleted_at"] is not None
    assert synced.row("coupons", coupon)["object"] == "coupon"
    assert synced.differences(LISTS) == []


def test_events_of_the_last_minute_wait_for_the_next_run(synced: Mirror) -> None:
    (customer,) = some(synced, "customers")
    synced.sim.account.update("customers", customer, {"name": "Just now"})
    synced.pass_time(30)
    assert synced.sync().events.applied == 0
    synced.pass_time(60)
    assert synced.sync().events.applied == 1
    assert synced.row("customers", customer)["name"] == "Just now"


def test_a_payload_of_another_version_is_read_back(synced: Mirror) -> None:
    (customer,) = some(synced, "customers")
    events = synced.sim.account.events
    events.api_version = "2020-08-27"
    synced.sim.account.update("customers", customer, {"name": "Old shape"})
    synced.pass_time(HOUR)
    outcome = synced.sync()
    assert dict(outcome.events.doubts) == {"version": 1}
    row = synced.row("customers", customer)
    assert (row["name"], row["_source"]) == ("Old shape", "retrieve")
    assert synced.differences(LISTS) == []


def test_a_deletion_of_another_version_keeps_the_stored_row(synced: Mirror) -> None:
    (coupon,) = some(synced, "coupons")
    before = synced.row("coupons", coupon)
    synced.sim.account.events.api_version = "2020-08-27"
    synced.sim.account.delete("coupons", coupon)
    synced.pass_time(HOUR)
    synced.sync()
    after = synced.row("coupons", coupon)
    assert after["_deleted_at"] is not None
    assert (after["percent_off"], after["name"]) == (before["percent_off"], before["name"])
    assert synced.requests() == 1


def test_an_invoice_with_250_lines_is_read_back_whole(synced: Mirror) -> None:
    (invoice,) = some(synced, "invoices")
    shown = synced.sim.account.show("invoices", invoice)["lines"]["data"][0]
    lines = [{**shown, "id": f"il_{number:020d}", "amount": number} for number in range(250)]
    synced.sim.account.update("invoices", invoice, {"lines": lines})
    synced.pass_time(HOUR)
    outcome = synced.sync()
    assert dict(outcome.events.doubts) == {"cut list": 1}
    stored = [row for row in synced.rows("invoice_line_items", live=True) if row["_parent_id"] == invoice]
    assert len(stored) == 250
    assert synced.requests() == 1 + 1 + 3  # events; the invoice; its other lines
    assert synced.differences(LISTS) == []


def test_two_states_of_one_second_are_read_back(synced: Mirror) -> None:
    (customer,) = some(synced, "customers")
    for name in ("First", "Second", "Third"):
        synced.sim.account.update("customers", customer, {"name": name})
    synced.pass_time(HOUR)
    outcome = synced.sync()
    assert dict(outcome.events.doubts) == {"tie": 1}
    assert synced.row("customers", customer)["name"] == "Third"


def test_many_objects_are_read_back_by_their_list(synced: Mirror) -> None:
    account = synced.sim.account
    account.events.api_version = "2020-08-27"
    for number in range(150):
        account.create("customers", synced.sim.make("customers", name=f"Bulk {number}"))
        synced.pass_time(1)
    synced.pass_time(HOUR)
    outcome = synced.sync()
    assert outcome.events.retrieved == 150
    assert synced.requests() == 2 + 2  # two pages of events, two of customers
    assert synced.differences(LISTS) == []


def test_an_object_deleted_before_it_is_read_back_is_marked_deleted(synced: Mirror) -> None:
    account = synced.sim.account
    account.events.api_version = "2020-08-27"
    new = synced.sim.make("customers", name="Short life")
    account.create("customers", new)
    account.delete("customers", new["id"], event=False)
    synced.pass_time(HOUR)
    synced.sync()
    assert synced.row("customers", new["id"])["_deleted_at"] is not None
    assert synced.differences(LISTS) == []


def test_children_go_with_a_deleted_parent(synced: Mirror) -> None:
    row = synced.rows("invoices")[0]
    synced.sim.account.delete("invoices", row["id"])
    synced.pass_time(HOUR)
    synced.sync()
    assert [each for each in synced.rows("invoice_line_items", live=True) if each["_parent_id"] == row["id"]] == []
    assert synced.differences(LISTS) == []


def test_a_spent_budget_stops_cleanly_and_the_rest_goes_on(synced: Mirror) -> None:
    customers = some(synced, "customers", 3)
    synced.sim.account.events.api_version = "2020-08-27"
    for number in range(80):
        for id in customers:
            synced.sim.account.update("customers", id, {"name": f"Name {number}"})
        synced.pass_time(1)
    synced.pass_time(HOUR)
    runs = 1
    while synced.sync(budget=2).stopped:
        assert synced.requests() <= 2
        synced.forget_requests()
        runs += 1
        assert runs < 10
    assert runs > 1
    assert synced.differences(LISTS) == []


def test_a_sync_of_some_resources_loses_no_change_of_the_others(synced: Mirror) -> None:
    """The position of the events is one for all tables."""
    (customer,) = some(synced, "customers")
    synced.sim.account.update("customers", customer, {"name": "Changed"})
    synced.pass_time(HOUR)
    synced.sync("invoices")
    assert synced.row("customers", customer)["name"] == "Changed"


def test_events_fill_no_table_that_was_not_asked_for(mirror: Mirror) -> None:
    mirror.begin("customers", synced=True)
    (customer, coupon) = (*some(mirror, "customers"), *some(mirror, "coupons"))
    mirror.sim.account.update("customers", customer, {"name": "Changed"})
    mirror.sim.account.update("coupons", coupon, {"name": "Changed"})
    mirror.pass_time(HOUR)
    assert mirror.sync().events.applied == 1
    assert mirror.rows("coupons") == []


def test_lists_without_events_are_read_when_their_day_has_come_round(mirror: Mirror) -> None:
    lists = ("shipping_rates", "webhook_endpoints", "quotes", "events")
    mirror.begin(*lists, synced=True)
    (quote,) = some(mirror, "quotes")
    rate = mirror.sim.make("shipping_rates", display_name="Express")
    mirror.sim.account.create("shipping_rates", rate)
    mirror.sim.account.update("quotes", quote, {"description": "changed without an event"}, event=False)
    mirror.pass_time(2 * HOUR)
    mirror.sync()
    assert [row for row in mirror.rows("shipping_rates") if row["id"] == rate["id"]] == []
    mirror.pass_time(DAY)
    mirror.sync()
    assert mirror.row("shipping_rates", rate["id"])["display_name"] == "Express"
    assert mirror.row("quotes", quote)["description"] == "changed without an event"
    assert mirror.differences(lists) == []


def test_a_lookback_reads_young_objects_again(mirror: Mirror) -> None:
    mirror.begin("balance_transactions")
    mirror.sync_settings = SyncSettings(lookbacks="balance_transactions=240")
    mirror.sync()
    mirror.pass_time(DAY)
    old, *_, young = mirror.sim.account.tables["balance_transactions"].shelf.rows()
    for row in (young, old):
        mirror.sim.account.update("balance_transactions", row.id, {"status": "changed"}, event=False)
    mirror.pass_time(HOUR)
    mirror.sync()
    is_young = young.created > mirror.sim.clock.seconds() - 9 * DAY
    assert (mirror.row("balance_transactions", young.id)["status"] == "changed") is is_young
    assert mirror.row("balance_transactions", old.id)["status"] != "changed"


def test_after_a_gap_everything_is_listed_again_and_deletions_are_found(synced: Mirror) -> None:
    account = synced.sim.account
    changed, gone = some(synced, "customers", 2)
    account.update("customers", changed, {"name": "Changed in the gap"})
    account.delete("customers", gone)
    synced.pass_time(40 * DAY)
    outcome = synced.sync()
    assert outcome.resynced
    assert "thirty days" in synced.said[0]
    assert outcome.deleted_in_gap == 1
    assert synced.row("customers", changed)["name"] == "Changed in the gap"
    assert synced.differences(LISTS) == []
    synced.pass_time(HOUR)
    assert not synced.sync().resynced


def test_a_gap_is_closed_for_all_tables_whatever_the_run_is_about(mirror: Mirror) -> None:
    mirror.begin("customers", "coupons", synced=True)
    (customer,) = some(mirror, "customers")
    mirror.sim.account.update("customers", customer, {"name": "Changed in the gap"})
    mirror.pass_time(40 * DAY)
    assert mirror.sync("coupons").resynced
    assert mirror.row("customers", customer)["name"] == "Changed in the gap"


def test_without_a_load_everything_is_listed(mirror: Mirror) -> None:
    mirror.pass_time(HOUR)
    outcome = mirror.sync(*LISTS)
    assert outcome.resynced
    assert mirror.said
    mirror.pass_time(HOUR)
    assert mirror.differences(LISTS) == []
    assert not mirror.sync(*LISTS).resynced


def test_a_relist_survives_its_budget(mirror: Mirror) -> None:
    lists = ("customers", "coupons", "prices", "plans")
    mirror.begin(*lists, synced=True)
    mirror.pass_time(40 * DAY)
    (gone,) = some(mirror, "customers")
    mirror.sim.account.delete("customers", gone, event=False)
    runs = 1
    while mirror.sync(budget=4).stopped:
        runs += 1
        assert runs < 10
    assert runs > 1
    assert mirror.differences(lists) == []


def test_a_relist_that_goes_on_ends_with_the_events_since_it_began(mirror: Mirror) -> None:
    lists = ("customers", "coupons", "prices", "plans")
    mirror.begin(*lists, synced=True)
    mirror.pass_time(40 * DAY)
    assert mirror.sync(budget=4).stopped
    (customer,) = some(mirror, "customers")
    mirror.sim.account.update("customers", customer, {"name": "Since it began"})
    mirror.pass_time(HOUR)
    outcome = mirror.sync()
    assert (outcome.resynced, outcome.stopped) == (True, None)
    assert mirror.row("customers", customer)["name"] == "Since it began"
    assert mirror.differences(lists) == []


def test_changes_during_the_load_are_in_the_events_after_it(mirror: Mirror) -> None:
    """The order that loses nothing: the endpoint first, then the load, then the events pass."""
    mirror.load("customers")
    (customer,) = some(mirror, "customers")
    mirror.sim.account.update("customers", customer, {"name": "While invoices load"})
    mirror.load("invoices")
    mirror.sync()
    assert mirror.row("customers", customer)["name"] == "While invoices load"


def test_what_was_deleted_before_the_load_and_told_by_a_lost_webhook_is_deleted(mirror: Mirror) -> None:
    """The sink has got the creation and not the deletion; the load cannot list what is gone."""
    made = mirror.sim.account.create("products", mirror.sim.make("products", name="Short-lived"))["id"]
    mirror.read(str(made))
    mirror.destination.query("update stripe.products set _source = 'event' where id = ?", [made])
    mirror.pass_time(60)
    mirror.sim.account.delete("products", str(made))
    mirror.load("products")
    assert mirror.row("products", str(made))["_deleted_at"] is None
    mirror.sync()
    assert mirror.row("products", str(made))["_deleted_at"] is not None
    assert mirror.differences(["products"]) == []


def test_a_second_run_of_the_same_dataset_is_refused_at_once(synced: Mirror) -> None:
    with (
        open_session(synced.settings, "stripe_sync", provider=synced.provider),
        pytest.raises(AlreadyRunning),
        open_session(synced.settings, "stripe_sync", provider=synced.provider),
    ):
        pass


def test_an_overlapping_run_ends_at_once_with_exit_code_0(mirror: Mirror, root: Path) -> None:
    mirror.begin("customers")
    with open_session(mirror.settings, "stripe_sync", provider=mirror.provider):
        result = run_sync(mirror, root)
    assert result.returncode == 0, result.stderr
    assert "Another run" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_another_program_holds_is_an_error(mirror: Mirror, root: Path) -> None:
    if mirror.destination.kind == "postgres":
        pytest.skip("a server has many clients")
    mirror.begin("customers")
    with holding(mirror.destination.address):
        result = run_sync(mirror, root)
    assert result.returncode == 2
    assert "open in another process" in " ".join(result.stderr.split())


@contextmanager
def holding(path: str) -> Iterator[None]:
    """Another program, which is none of ours, has the DuckDB file open."""
    hold = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.communicate()


def test_parts_of_a_sync_can_run_apart_and_at_once(mirror: Mirror) -> None:
    """What a scheduler does with workers: the events once, the lists in groups, each staged apart."""
    groups = (("quotes", "shipping_rates"), ("webhook_endpoints",))
    mirror.begin("customers", *groups[0], *groups[1], synced=True)
    (customer,) = some(mirror, "customers")
    rate = mirror.sim.make("shipping_rates", display_name="Express")
    mirror.sim.account.create("shipping_rates", rate)
    mirror.sim.account.update("customers", customer, {"name": "Changed"})
    mirror.pass_time(2 * DAY)
    with open_session(mirror.settings, "stripe_sync", provider=mirror.provider, scope="events") as session:
        events = Sync(session, SyncSettings(), part="events").run()
        assert (events.lists, events.events.applied) == ([], 1)
        for names in groups:  # within the session of another scope, as on another worker
            opened = session.database if mirror.destination.kind == "duckdb" else None
            with open_session(
                mirror.settings, "stripe_sync", provider=mirror.provider, scope=names[0], opened=opened
            ) as other:
                outcome = Sync(other, SyncSettings(), names, part="lists", touched=events.events.touched).run()
                assert {line.resource for line in outcome.lists[0].board.statuses()} == set(names)
    assert mirror.row("customers", customer)["name"] == "Changed"
    assert mirror.row("shipping_rates", rate["id"])["display_name"] == "Express"
    mirror.pass_time(HOUR)
    mirror.forget_requests()
    mirror.sync()
    assert mirror.requests() == 1


def test_strict_makes_a_product_that_the_account_lacks_an_error(mirrored: Callable[..., Mirror], root: Path) -> None:
    mirror = mirrored(lacks=("issuing_cards",))
    resources = ("--resources", "issuing_cards", "coupons")
    relaxed = run_sync(mirror, root, *resources)
    assert relaxed.returncode == 0, relaxed.stderr
    mirror.pass_time(8 * DAY)
    strict = run_sync(mirror, root, *resources, "--strict")
    assert strict.returncode == 1, strict.stdout
    assert "issuing_cards" in strict.stderr


def test_every_loadable_list_is_told_by_events_or_listed() -> None:
    """No resource falls between: what events do not tell whole comes round with its cadence."""
    from pipelines.sync.lists import Last
    from pipelines.sync.stripe_api.cadence import due_lists

    resources = [resource for resource in select(["all"]) if resource.name != "events"]
    last = {resource.name: Last(0, "complete") for resource in resources}
    due = {resource.resource.name for resource in due_lists(resources, last, 30 * DAY, SyncSettings(), set())}
    told = {resource.name for resource in resources} - due
    assert "balance_transactions" in due
    assert "payment_intents" in due
    assert {"customers", "charges", "invoices", "subscriptions"} <= told


def test_fields_that_no_event_shows_outlive_events(synced: Mirror) -> None:
    account = synced.sim.account
    tiered = next(obj["id"] for obj in account.objects("prices") if obj["billing_scheme"] == "tiered")
    account.update("prices", tiered, {"nickname": "by volume"})
    account.update("coupons", "10off", {"name": "Ten", "currency_options": {"eur": {"amount_off": 850}}})
    synced.pass_time(120)
    assert synced.sync().failed == []
    assert "up_to" in synced.row("prices", tiered)["tiers"]
    assert "850" in synced.row("coupons", "10off")["currency_options"]
    assert synced.differences(["prices", "coupons"]) == []
