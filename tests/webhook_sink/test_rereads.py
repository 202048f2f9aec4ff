"""What an event cannot settle is read from the API: ties, cut lists, thin events, other versions, on request."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from pipelines.loading.session import open_session
from simulator import Simulator
from sources.errors import BadConfiguration
from sources.stripe_api.provider import STRIPE, open_client
from tests.webhook_sink.account_equality import assert_equal
from tests.webhook_sink.conftest import NOW, Served, Stored, deliver, event, read_again, settings_for, sink_settings
from webhook_sink.owner import owner_of
from webhook_sink.sink import Sink

Serve = Callable[..., Served]
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def account() -> Iterator[Simulator]:
    with Simulator(seed=5, customers=3, now=NOW, running=False) as sim:
        yield sim


@pytest.fixture
def sim(account: Simulator) -> Iterator[Simulator]:
    yield account
    account.faults.clear()
    account.clock.advance(10)


def told(sim: Simulator, change: Callable[[], Any], *, thin: bool = False) -> list[dict[str, Any]]:
    """The snapshot (or thin) events of a change of the account."""
    bodies: list[bytes] = []
    sim.account.events.listeners.append(bodies.append)
    change()
    sim.account.events.listeners.remove(bodies.append)
    kind = "v2.core.event" if thin else "event"
    return [each for each in map(orjson.loads, bodies) if each["object"] == kind]


def rename(sim: Simulator, name: str) -> list[dict[str, Any]]:
    customer = sim.account.objects("customers")[0]["id"]
    return told(sim, lambda: sim.account.update("customers", customer, {"name": name}))


def requests(sim: Simulator, path: str) -> int:
    return sum(1 for request in sim.service.log if request.path.startswith(path))


def settle(served: Served, sim: Simulator) -> None:
    sim.clock.advance(5)
    served.read_again()


def test_two_states_of_one_second_are_decided_by_reading_again(serve: Serve, stored: Stored, sim: Simulator) -> None:
    first, second = [*rename(sim, f"a{next(NUMBERS)}"), *rename(sim, f"b{next(NUMBERS)}")]
    served = serve(sim)
    assert served.send(second, first) == [200, 200]
    assert stored.value("select reason from stripe.stripe_webhook_rereads") == "tie"
    settle(served, sim)
    row = stored.query("select name, _source from stripe.customers where id = %s", first["data"]["object"]["id"])
    assert row == [(second["data"]["object"]["name"], "retrieve")]
    assert "stripe_sink_ties_total 1.0" in served.get("/metrics").data.decode()


def test_same_state_twice_in_one_second_is_no_tie(serve: Serve, stored: Stored, sim: Simulator) -> None:
    (first,) = rename(sim, f"c{next(NUMBERS)}")
    served = serve(sim)
    assert served.send(first, first | {"id": "evt_other"}) == [200, 200]
    assert stored.value("select count(*) from stripe.stripe_webhook_rereads") == 0


def test_without_a_key_the_later_arrival_of_a_tie_is_kept_and_counted(serve: Serve, stored: Stored) -> None:
    served = serve()
    for number, name in enumerate("ab"):
        served.send(event("customer.updated", {"id": "cus_1", "object": "customer", "name": name}, id=f"evt_{number}"))
    assert stored.value("select name from stripe.customers") == "b"
    assert stored.value("select count(*) from stripe.stripe_webhook_rereads") == 0
    assert "stripe_sink_ties_total 1.0" in served.get("/metrics").data.decode()


def test_rest_of_a_cut_list_is_read(serve: Serve, stored: Stored, sim: Simulator) -> None:
    invoice = sim.account.objects("invoices")[0]["id"]
    line = next(row.object for row in sim.account.rows("invoice_line_items") if row.parent == invoice)
    lines = [{**line, "id": f"il_{invoice}_{i}"} for i in range(25)]
    listed = {"object": "list", "data": lines, "has_more": False, "url": "/"}
    (updated,) = told(sim, lambda: sim.account.update("invoices", invoice, {"lines": listed}))
    assert updated["data"]["object"]["lines"]["has_more"] is True
    served = serve(sim)
    assert served.send(updated) == [200]
    assert stored.value("select count(*) from stripe.invoice_line_items") == 10
    settle(served, sim)
    count = "select count(*) from stripe.invoice_line_items where _parent_id = %s and _deleted_at is null"
    assert stored.value(count, invoice) == 25


def test_event_of_another_api_version_is_read_again_instead_of_trusted(
    serve: Serve, stored: Stored, sim: Simulator
) -> None:
    (updated,) = rename(sim, f"d{next(NUMBERS)}")
    updated["api_version"] = "2019-01-01"
    updated["data"]["object"]["name"] = "another version's"
    served = serve(sim)
    assert served.send(updated) == [200]
    assert stored.ledger(updated["id"])[0] == "processing"
    settle(served, sim)
    assert stored.ledger(updated["id"])[0] == "processed"
    columns = "name, _source"
    (row,) = stored.query(f"select {columns} from stripe.customers")
    assert row == (sim.account.objects("customers")[0]["name"], "retrieve")


def test_revalidated_tables_are_never_trusted_and_the_others_are(serve: Serve, stored: Stored, sim: Simulator) -> None:
    (updated,) = rename(sim, f"e{next(NUMBERS)}")
    updated["data"]["object"]["name"] = "forged"
    product = sim.account.objects("products")[0]
    served = serve(sim, revalidate="customer, charges")
    assert served.send(updated, event("product.updated", product, id="evt_p")) == [200, 200]
    settle(served, sim)
    assert stored.value("select name from stripe.customers") != "forged"
    assert stored.value("select _source from stripe.products") == "event"


def test_revalidate_needs_a_key_and_known_tables(postgres_url: str) -> None:
    with pytest.raises(BadConfiguration, match="STRIPE_SECRET_KEY"):
        Sink(settings_for(postgres_url), sink_settings(revalidate="all"), provider=STRIPE)


def test_thin_event_is_read_back(serve: Serve, stored: Stored, sim: Simulator) -> None:
    customer = sim.account.objects("customers")[0]
    thin = {
        "id": "evt_thin",
        "object": "v2.core.event",
        "type": "v1.customer.updated",
        "created": "2027-01-15T08:00:00.000Z",
        "livemode": False,
        "related_object": {"id": customer["id"], "type": "customer", "url": f"/v1/customers/{customer['id']}"},
    }
    served = serve(sim)
    assert served.send(thin) == [200]
    settle(served, sim)
    assert stored.query("select id, name, _source from stripe.customers") == [
        (customer["id"], customer["name"], "retrieve")
    ]
    assert stored.ledger("evt_thin")[0] == "processed"


def test_thin_event_without_a_key_is_ignored_for_that_reason(serve: Serve, stored: Stored) -> None:
    related = {"id": "cus_1", "type": "customer", "url": "/v1/customers/cus_1"}
    thin = {"id": "evt_1", "object": "v2.core.event", "type": "v1.customer.updated", "related_object": related}
    assert serve().send(thin | {"created": "2027-01-15T08:00:00Z", "livemode": False}) == [200]
    status, _, error = stored.ledger()
    assert status == "ignored"
    assert "STRIPE_SECRET_KEY" in error


def test_events_of_the_other_mode_are_ignored_for_that_reason(serve: Serve, stored: Stored, sim: Simulator) -> None:
    before = requests(sim, "/v1/customers/")
    served = serve(sim)
    live = event("customer.updated", {"id": "cus_live", "object": "customer"}, livemode=True, account="acct_theirs")
    gone = event("customer.deleted", {"id": "cus_gone", "object": "customer"}, id="evt_2", livemode=True)
    related = {"id": "cus_live", "type": "customer", "url": "/v1/customers/cus_live"}
    thin = {"id": "evt_3", "object": "v2.core.event", "type": "v1.customer.updated", "related_object": related}
    assert served.send(live, gone, thin | {"created": "2027-01-15T08:00:00Z", "livemode": True}) == [200, 200, 200]
    for id in ("evt_1", "evt_2", "evt_3"):
        assert stored.ledger(id) == ("ignored", 1, "it belongs to the other mode")
    assert requests(sim, "/v1/customers/") == before
    assert stored.value("select to_regclass('stripe.customers')") is None


def test_thin_event_that_tells_no_mode_is_read_back(serve: Serve, stored: Stored, sim: Simulator) -> None:
    customer = sim.account.objects("customers")[0]["id"]
    related = {"id": customer, "type": "customer", "url": f"/v1/customers/{customer}"}
    thin = {"id": "evt_1", "object": "v2.core.event", "type": "v1.customer.updated", "related_object": related}
    served = serve(sim)
    assert served.send(thin | {"created": "2027-01-15T08:00:00Z"}) == [200]
    settle(served, sim)
    assert stored.query("select id from stripe.customers") == [(customer,)]


def test_without_a_key_the_mode_is_the_one_that_the_dataset_remembers(
    serve: Serve, stored: Stored, sim: Simulator, postgres_url: str
) -> None:
    live = event("customer.updated", {"id": "cus_live", "object": "customer"}, livemode=True)
    assert serve().send(live) == [200]
    assert stored.value("select id from stripe.customers") == "cus_live"
    with open_session(settings_for(postgres_url, sim), "stripe_sync", provider=STRIPE):
        pass
    served = serve()
    test = event("customer.updated", {"id": "cus_test", "object": "customer"}, id="evt_3")
    assert served.send(live | {"id": "evt_2"}, test) == [200, 200]
    assert stored.ledger("evt_2") == ("ignored", 1, "it belongs to the other mode")
    assert stored.ledger("evt_3")[0] == "processed"


def test_key_of_the_other_mode_than_the_dataset_s_is_refused(sim: Simulator, postgres_url: str) -> None:
    test = settings_for(postgres_url, sim)
    live = replace(test, stripe_secret_key="rk_live_x", account_id=sim.account.id)
    with open_session(test, "stripe_sync", provider=STRIPE):
        pass
    with pytest.raises(BadConfiguration, match="test-mode objects"):
        owner_of(live, postgres_url, STRIPE, lambda _: open_client(live))


def test_object_that_is_gone_when_it_is_read_again_becomes_a_tombstone(
    serve: Serve, stored: Stored, sim: Simulator
) -> None:
    product = sim.account.create("products", sim.make("products", name="brief"))
    shown = event("product.updated", product, created=sim.clock.seconds(), api_version="2019-01-01")
    sim.account.delete("products", product["id"])
    served = serve(sim)
    assert served.send(shown) == [200]
    settle(served, sim)
    assert stored.query("select id, _deleted_at is not null from stripe.products") == [(product["id"], True)]
    assert stored.ledger()[0] == "processed"


def test_list_that_no_event_shows_is_read(serve: Serve, stored: Stored, sim: Simulator) -> None:
    sessions = sim.account.objects("checkout_sessions")
    items = [row for row in sim.account.rows("checkout_session_line_items") if row.parent == sessions[0]["id"]]
    assert items
    served = serve(sim)
    shown = {name: value for name, value in sessions[0].items() if name != "line_items"}
    assert served.send(event("checkout.session.completed", shown)) == [200]
    settle(served, sim)
    assert stored.value("select count(*) from stripe.checkout_session_line_items") == len(items)


def test_passing_failure_is_tried_again_and_a_lasting_one_fails_its_events(
    serve: Serve, stored: Stored, sim: Simulator
) -> None:
    (updated,) = rename(sim, f"f{next(NUMBERS)}")
    updated["api_version"] = "2019-01-01"
    sim.faults.add(path_prefix="/v1/customers/", status=500, times=2)
    served = serve(sim, reread_attempts=1)
    assert served.send(updated) == [200]
    settle(served, sim)
    status, _, error = stored.ledger(updated["id"])
    assert status == "failed"
    assert "HTTP 500" in error
    sim.faults.clear()
    assert served.send(updated) == [200]
    settle(served, sim)
    assert stored.ledger(updated["id"])[:2] == ("processed", 2)


def test_what_waits_to_be_read_again_outlives_the_sink(
    with_sink: Callable[..., Any], stored: Stored, sim: Simulator
) -> None:
    (updated,) = rename(sim, f"g{next(NUMBERS)}")
    updated["api_version"] = "2019-01-01"

    async def killed(sink: Sink) -> None:
        sink.rereader.wake = lambda: None  # type: ignore[method-assign]
        await deliver(sink, updated)
        stored.query("update stripe.stripe_webhook_rereads set due_at = now() where true")

    with_sink(killed, sim)
    sim.clock.advance(5)
    with_sink(read_again, sim)
    assert stored.ledger(updated["id"])[0] == "processed"


def test_connected_accounts_rows_are_kept_under_their_account(serve: Serve, stored: Stored, sim: Simulator) -> None:
    served = serve(sim)
    customer = {"id": "cus_of_theirs", "object": "customer", "name": "theirs"}
    assert served.send(event("customer.created", customer, account="acct_theirs")) == [200]
    assert stored.query("select id, _account_id from stripe.customers") == [("cus_of_theirs", "acct_theirs")]
    assert stored.value("select account_id from stripe.stripe_webhook_events") == "acct_theirs"


def test_connected_account_itself_is_kept_for_it_and_for_the_platform(
    serve: Serve, stored: Stored, sim: Simulator
) -> None:
    shown = {"id": "acct_theirs", "object": "account", "email": "a@example.com"}
    assert serve(sim).send(event("account.updated", shown, account="acct_theirs")) == [200]
    rows = stored.query("select id, _account_id from stripe.accounts order by _account_id = id")
    assert rows == [("acct_theirs", sim.account.id), ("acct_theirs", "acct_theirs")]


def test_singleton_without_an_id_has_one_row_for_each_account(serve: Serve, stored: Stored, sim: Simulator) -> None:
    served = serve(sim)
    balance = {"object": "balance", "livemode": False, "available": [{"amount": 1, "currency": "eur"}]}
    newer = balance | {"available": [{"amount": 2, "currency": "eur"}]}
    sent = [
        event("balance.available", newer, id="evt_2", created=NOW + 1),
        event("balance.available", balance, id="evt_1"),
        event("balance.available", balance, id="evt_3", account="acct_theirs"),
    ]
    assert served.send(*sent) == [200, 200, 200]
    rows = stored.query("select _account_id, available->0->>'amount' from stripe.balances order by 2")
    assert rows == [("acct_theirs", "1"), (sim.account.id, "2")]


def test_every_kind_of_object_of_the_account_comes_through_events(serve: Serve, stored: Stored, sim: Simulator) -> None:
    """One event for every object of many tables, thin on nothing: the tables equal the account."""
    tables = ("customers", "products", "prices", "subscriptions", "subscription_items", "payment_methods", "refunds")
    types = {
        "customers": "customer.updated",
        "products": "product.updated",
        "prices": "price.updated",
        "subscriptions": "customer.subscription.updated",
        "payment_methods": "payment_method.updated",
        "refunds": "refund.updated",
    }
    shown: list[dict[str, Any]] = []
    for table, type in types.items():
        for obj in sim.account.objects(table):
            shown += told(sim, lambda table=table, each=obj, type=type: sim.account.tell(table, each["id"], type))  # type: ignore[misc]
    served = serve(sim)
    assert set(served.send(*shown)) == {200}
    settle(served, sim)
    assert_equal(stored.url, sim, tables)


def subscription(*items: str) -> dict[str, Any]:
    listed = {"object": "list", "data": [{"id": item, "object": "subscription_item"} for item in items]}
    return {"id": "sub_1", "object": "subscription", "items": listed | {"has_more": False, "url": "/"}}


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("first", "second"), [(("si_a", "si_b"), ("si_a",)), (("si_a",), ("si_a", "si_b")), (("si_a",), ("si_b",))]
)
def test_two_sets_of_children_of_one_second_are_a_tie(
    with_sink: Callable[..., Any], stored: Stored, first: tuple[str, ...], second: tuple[str, ...], together: bool
) -> None:
    """The subscription itself is the same in both: only its items tell."""
    events = [
        event("customer.subscription.updated", subscription(*items), id=f"evt_{number}")
        for number, items in enumerate((first, second))
    ]

    async def body(sink: Sink) -> str:
        for batch in [events] if together else [[each] for each in events]:
            assert set(await deliver(sink, *batch)) == {"committed"}
        return sink.metrics.text().decode()

    assert "stripe_sink_ties_total 1.0" in with_sink(body)


def test_object_that_ties_while_it_is_read_is_read_once_more(
    with_sink: Callable[..., Any], stored: Stored, sim: Simulator
) -> None:
    """The request was under way for ten minutes at the most: the newer one does not wait for that."""
    first, second = [*rename(sim, f"h{next(NUMBERS)}"), *rename(sim, f"i{next(NUMBERS)}")]

    async def body(sink: Sink) -> None:
        sink.rereader.wake = lambda: None  # type: ignore[method-assign]
        await deliver(sink, first)
        stored.query(
            "insert into stripe.stripe_webhook_rereads (table_name, key, account_id, at, reason, events, due_at)"
            " values ('customers', jsonb_build_array(%s::text), %s, %s, 'tie', '{}', now() + interval '10 minutes')",
            first["data"]["object"]["id"],
            sim.account.id,
            first["created"] - 1,
        )
        await deliver(sink, second)

    with_sink(body, sim, reread_delay=3.0)
    due = "select due_at < now() + interval '1 minute', generation from stripe.stripe_webhook_rereads"
    assert stored.query(due) == [(True, 2)]


def test_field_that_no_event_shows_is_kept_and_read_where_there_is_a_key(
    serve: Serve, stored: Stored, sim: Simulator
) -> None:
    tiered = next(obj for obj in sim.account.objects("prices") if obj["billing_scheme"] == "tiered")
    tiers = "select jsonb_array_length(tiers) from stripe.prices"
    (updated,) = told(sim, lambda: sim.account.update("prices", tiered["id"], {"nickname": f"v{next(NUMBERS)}"}))
    served = serve(sim)
    assert served.send(updated) == [200]
    settle(served, sim)
    assert stored.value(tiers) == 2
    shown = {**updated["data"]["object"], "nickname": "newer"}
    assert served.send(event("price.updated", shown, created=sim.clock.seconds() + 1, id="evt_2")) == [200]
    assert (stored.value("select nickname from stripe.prices"), stored.value(tiers)) == ("newer", 2)
