"""One bad thing stops itself: an event, an object, a field or a row that cannot be used is named and left out.

Its neighbours are loaded, the run says so (exit code 1), and the next run is not held up. On both databases.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import orjson
import psycopg
import pyarrow as pa
import pytest

from pipelines.check.check import Check, CheckOrder
from pipelines.check.unlisted import Unlisted
from pipelines.loading.isolation import load_isolated
from pipelines.loading.run import Order, Outcome, run
from pipelines.loading.session import open_session
from pipelines.sync.stripe_api.gap import vanished_since
from pipelines.sync.stripe_api.objects import load_objects
from pipelines.sync.stripe_api.report import report
from pipelines.warehouse.problems import DatabaseProblem
from pipelines.warehouse.stored_rows import StoredRows
from pipelines.warehouse.verdict import refusal_of
from simulator.account.objects import Object
from sources.columns.arrow import arrow_tables
from sources.columns.columns import MORE_COLUMNS, Columns
from sources.columns.conversion_counts import ConversionCounts, left_out
from sources.errors import BrokenPage
from sources.fetch.event_log import Piece
from sources.rows import Stamp
from sources.stripe_api.catalogue import CATALOGUE, RESOURCES, select
from sources.stripe_api.events.reading import pieces
from sources.stripe_api.objects.rows import explode
from tests.databases import Database
from tests.pipelines.beginnings import Beginnings
from tests.pipelines.mirror import START, Mirror

if TYPE_CHECKING:
    from simulator import Simulator


@pytest.fixture
def postgres_mirror(simulator: Callable[..., Simulator], postgres_url: str, beginnings: Beginnings) -> Mirror:
    sim = simulator(seed=1, customers=4, now=START, running=False)
    return Mirror(sim, Database("postgres", postgres_url), beginnings=beginnings)


def load(mirror: Mirror, *names: str, **order: Any) -> Outcome:
    return run(mirror.settings, Order("stripe_full", select(names), **order), mirror.provider)


def rejected(mirror: Mirror) -> set[tuple[str, str]]:
    return set(mirror.destination.query("select table_name, object_id from stripe.sync_rejected"))


def events_status(mirror: Mirror) -> tuple[str, str]:
    ((found, error),) = mirror.destination.query(
        "select events_status, coalesce(events_error, '') from stripe.sync_accounts"
    )
    return found, error


def status(mirror: Mirror, name: str) -> tuple[str, str]:
    ((found, error),) = mirror.destination.query(
        "select status, coalesce(error, '') from stripe.sync_status where resource = ?", [name]
    )
    return found, error


def customers(mirror: Mirror, count: int = 3) -> list[str]:
    sim = mirror.sim
    made = [str(sim.account.create("customers", sim.make("customers"))["id"]) for _ in range(count)]
    mirror.pass_time(3_600)
    return made


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


# --- events -----------------------------------------------------------------------------------------------------------


def malformed_events(mirror: Mirror) -> list[str]:
    """Events whose object is none, in the ways in which that can be; their ids."""
    sim, bodies = mirror.sim, [b"null", b'"cus_1"', b"[]", b"7"]
    told: list[Object] = [sim.account.events.tell("customer.updated", body, sim.clock.seconds()) for body in bodies]
    return [str(each["id"]) for each in told]


def test_events_that_show_no_object_are_named_and_passed_by(mirror: Mirror) -> None:
    mirror.begin("customers", "events")
    before = customers(mirror, 2)
    bad = malformed_events(mirror)
    after = customers(mirror, 2)
    outcome = mirror.sync()
    assert outcome.failed == ["events_pass"]
    assert report(outcome, strict=False) == 1
    assert rejected(mirror) == {("events", id) for id in bad}
    assert events_status(mirror)[0] == "error"
    assert bad[0] in events_status(mirror)[1]
    assert {row["id"] for row in mirror.rows("customers")} >= {*before, *after}
    assert {row["id"] for row in mirror.rows("events")} >= set(bad)  # kept as Stripe shows them
    customers(mirror, 1)
    again = mirror.sync()
    assert (again.failed, events_status(mirror)) == ([], ("complete", ""))
    assert mirror.differences(["customers"]) == []


NO_EVENTS: list[dict[str, object]] = [
    {"id": None},
    {"id": {"a": 1}},
    {"created": "soon"},
    {"created": -5},
    {"created": 1e30},
    {"type": 3},
]


def test_events_that_are_none_are_passed_by(mirror: Mirror) -> None:
    mirror.begin("customers")
    before = customers(mirror, 1)
    sim = mirror.sim
    entries: dict[str, bytes] = {}
    for field in NO_EVENTS:
        shown = b'{"id":"cus_none","object":"customer"}'
        event = sim.account.events.tell("customer.updated", shown, sim.clock.seconds())
        entries[event["id"]] = orjson.dumps(event | field)
    sim.faults.add("replace", path="/v1/events", entries=entries)
    after = customers(mirror, 1)
    outcome = mirror.sync()
    assert outcome.failed == ["events_pass"]
    assert {table for table, _ in rejected(mirror)} == {"events"}
    assert {row["id"] for row in mirror.rows("customers")} >= {*before, *after}
    assert "cus_none" not in {row["id"] for row in mirror.rows("customers")}
    customers(mirror, 1)
    assert mirror.sync().failed == []


@pytest.mark.parametrize("field", [{"created": "soon"}, {"id": None}])
def test_page_without_an_event_loses_no_page_before_it(mirror: Mirror, field: dict[str, object]) -> None:
    mirror.begin("customers")
    sim, begin = mirror.sim, mirror.sim.clock.seconds()
    told: list[Object] = []
    for _ in range(250):
        mirror.pass_time(2)
        shown = b'{"id":"cus_1","object":"customer"}'
        told.append(sim.account.events.tell("customer.updated", shown, sim.clock.seconds()))
    mirror.pass_time(60)
    entries = {str(each["id"]): orjson.dumps(each | field) for each in told[50:150]}  # the second page
    sim.faults.add("replace", path="/v1/events", entries=entries)
    read: list[Piece] = []
    with mirror.session("stripe_sync") as session, suppress(BrokenPage):
        read.extend(pieces(session.client, begin, None, 0, lambda now: None))
        assert field != {"id": None}
    good = {str(each["id"]) for each in told} - entries.keys()
    if field == {"id": None}:  # nothing to go on from: what is below that page is left to the next pass
        good = {str(each["id"]) for each in told[150:]}
    assert {str(event["id"]) for piece in read for event in piece.events} == good
    assert sum(len(piece.unusable) for piece in read) == 100
    assert [piece.done.gte for piece in read if piece.done] == [told[150]["created"] + 1 if len(good) == 100 else begin]


# --- lists ------------------------------------------------------------------------------------------------------------


NO_OBJECTS = {
    b"null": "",
    b'"cus_x"': "",
    b"17": "",
    b'{"object":"customer"}': "",
    b'{"id":17,"object":"customer","created":1}': "",
    b'{"id":"%s","object":"customer"}' % (b"k" * 5_000): "k" * 60 + "… (5,000 characters)",
    b'{"id":"cus_deep","object":"customer","metadata":%s}' % nested(1_010): "cus_deep",
    b'{"metadata":%s,"id":"cus_deeper","object":"customer"}' % nested(50_000): "cus_deeper",
    b'{"id":"cus_large","object":"customer","balance":%s}' % (b"9" * 5_000): "cus_large",
}


def test_objects_of_a_list_that_are_none_are_left_out(mirror: Mirror) -> None:
    good, bad = customers(mirror, 2), customers(mirror, len(NO_OBJECTS))
    mirror.sim.faults.add("replace", path="/v1/customers", entries=dict(zip(bad, NO_OBJECTS, strict=True)))
    outcome = load(mirror, "customers", "products")
    assert (outcome.failed, outcome.error) == (["customers"], None)
    assert status(mirror, "customers")[0] == "error"
    assert "Left out" in status(mirror, "customers")[1]
    assert status(mirror, "products")[0] == "complete"
    assert rejected(mirror) == {("customers", named) for named in NO_OBJECTS.values()}
    stored = {row["id"] for row in mirror.rows("customers")}
    assert stored >= set(good)
    assert not stored & set(bad)
    mirror.sim.faults.clear()
    mirror.pass_time(60)
    assert load(mirror, "customers", "products").failed == []  # what was left out holds nothing up
    assert load(mirror, "customers", full_refresh=True).failed == []
    assert mirror.differences(["customers"]) == []


@pytest.mark.parametrize("created", [b"-5", b"99999999999999"])
def test_a_second_that_is_none_ends_no_list(
    simulator: Callable[..., Simulator], duckdb_path: Path, created: bytes
) -> None:
    sim = simulator(seed=1, customers=4, now=START, running=False)
    mirror = Mirror(sim, Database("duckdb", str(duckdb_path)))
    for place in range(130):
        sim.account.create("customers", sim.make("customers"), at=sim.clock.seconds() - 10 * place, event=False)
    mirror.pass_time(60)
    last = list(sim.account.tables["customers"].shelf.rows())[-100]  # the last object of the first page
    sim.faults.add("replace", path="/v1/customers", old=b'"created":%d,' % last.created, new=b'"created":%s,' % created)
    assert load(mirror, "customers").failed == []
    assert len(mirror.rows("customers")) == len(sim.account.tables["customers"].shelf.rows())


def test_embedded_children_without_a_key_stay_in_their_parent(mirror: Mirror) -> None:
    mirror.begin("subscriptions")
    sim = mirror.sim
    child = list(sim.account.tables["subscription_items"])[-1]
    shown = sim.account.views.of("subscription_items", child)
    sim.faults.add("replace", path="/v1/subscriptions", old=shown, new=b"%s,null" % shown)
    outcome = load(mirror, "subscriptions", full_refresh=True)
    assert outcome.failed == ["subscriptions"]
    assert mirror.differences(["subscriptions"])[0].endswith("differs in items")
    assert {row["id"] for row in mirror.rows("subscription_items", live=True)} >= {child.id}


def test_embedded_child_without_a_key_in_an_event_is_named(mirror: Mirror) -> None:
    mirror.begin("subscriptions")
    sim = mirror.sim
    child = list(sim.account.tables["subscription_items"])[-1]
    sim.account.update("subscriptions", child.parent, {"metadata": {"a": "b"}})
    mirror.pass_time(120)
    shown = sim.account.views.of("subscription_items", child)
    sim.faults.add("replace", path="/v1/events", old=shown, new=b"%s,null" % shown)
    assert mirror.sync("subscriptions").failed == ["events_pass"]
    assert rejected(mirror) == {("subscription_items", child.parent)}
    assert mirror.row("subscription_items", child.id)["_source"] == "event"


def test_value_nested_six_hundred_deep_is_stored(mirror: Mirror) -> None:
    (id,) = customers(mirror, 1)
    mirror.sim.account.update("customers", id, {"metadata": {"deep": "here"}})
    mirror.sim.faults.add("replace", old=b'"metadata":{"deep":"here"}', new=b'"metadata":' + nested(600))
    outcome = load(mirror, "customers")
    assert (outcome.failed, outcome.error) == ([], None)
    stored = str(mirror.row("customers", id)["metadata"])
    assert stored.replace(" ", "") == nested(600).decode()


# --- columns ----------------------------------------------------------------------------------------------------------

SYSTEM = ("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "rowid")


def test_fields_named_like_columns_of_the_database_are_kept_beside(mirror: Mirror) -> None:
    odd = {**{name: name.upper() for name in SYSTEM}, "oid": 7, "CTID": 1, "": 2, 'a"b': 3, "x" * 70: 4, "é" * 40: 5}
    (id,) = customers(mirror, 1)
    mirror.sim.account.update("customers", id, odd)
    outcome = load(mirror, "customers", "products")
    assert (outcome.failed, outcome.error) == ([], None)
    assert outcome.counts.aside()["customers"][:7] == list(SYSTEM)
    row = mirror.row("customers", id)
    kept = json.loads(row["_other_fields"])
    assert ({name: kept.get(name, row.get(name)) for name in odd}, row["oid"]) == (odd, 7)
    assert mirror.differences(["customers", "products"]) == []


def test_flood_of_new_fields_neither_breaks_nor_slows(mirror: Mirror) -> None:
    mirror.begin("customers", "products")
    first, second = customers(mirror, 2)
    flood = {f"flood_{place}": place for place in range(2_000)}
    mirror.sim.account.update("customers", first, flood)
    mirror.sim.account.update("customers", second, {"flood_1999": "x", "later": 1})
    mirror.pass_time(3_600)
    assert mirror.sync().failed == []
    row = mirror.row("customers", first)
    assert sum(name.startswith("flood_") for name in row) <= MORE_COLUMNS
    assert {**{name: row[name] for name in row if name in flood}, **json.loads(row["_other_fields"])}.keys() >= (
        flood.keys()
    )
    assert mirror.differences(["customers"]) == []
    mirror.sim.account.update("customers", second, {"flood_0": "of another type", "name": 1})
    mirror.pass_time(3_600)
    assert mirror.sync().failed == []
    assert mirror.row("customers", second)["flood_0__v_json"] == '"of another type"'
    assert mirror.differences(["customers"]) == []


# --- what the database refuses ----------------------------------------------------------------------------------------

REFUSING = """
create function refuse() returns trigger language plpgsql as $$
begin if new.id = '{id}' then raise exception 'no' using errcode = '{code}'; end if; return new; end $$;
create trigger refuse before insert on stripe.customers for each row execute function refuse()
"""


@pytest.mark.parametrize("code", ["23514", "42P01", "P0001"])
def test_row_that_postgres_refuses_is_left_out_and_tried_again(
    postgres_mirror: Mirror, postgres_url: str, code: str
) -> None:
    mirror = postgres_mirror
    mirror.begin("customers", "products")
    made = customers(mirror, 4)
    mirror.sim.account.update("products", next(iter(mirror.sim.account.tables["products"])).id, {"name": "New"})
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(REFUSING.format(id=made[1], code=code))  # type: ignore[arg-type]
    outcome = load(mirror, "customers", "products", full_refresh=True)
    assert (outcome.failed, outcome.error) == (["customers"], None)
    assert rejected(mirror) == {("customers", made[1])}
    assert code in status(mirror, "customers")[1]
    assert status(mirror, "products") == ("complete", "")
    assert {row["id"] for row in mirror.rows("customers")} >= {made[0], *made[2:]}
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("drop trigger refuse on stripe.customers")
    assert load(mirror, "customers").failed == []
    assert mirror.differences(["customers", "products"]) == []


def test_tables_leave_memory_while_they_load_and_are_there_again_where_they_are_refused(mirror: Mirror) -> None:
    def tables(id: str, **fields: Any) -> dict[str, pa.Table]:
        rows = explode(
            "customers", [{"id": id, "object": "customer", **fields}], Stamp("acct_1", 1_760_000_000, "list")
        )
        return arrow_tables(rows, session.columns)

    with open_session(mirror.settings, "stripe_full", provider=mirror.provider) as session:
        taken = tables("cus_1", name="Same")
        session.loader.load(taken)
        assert taken == {}
        session.database.execute("CREATE UNIQUE INDEX own ON stripe.customers (name)")
        refused = tables("cus_2", name="Same", metadata={"a": '\n,"'}, email="", phone=None, balance=-7)
        before = refused["customers"].drop_columns("_synced_at")
        with pytest.raises(DatabaseProblem) as problem:
            session.loader.load(refused)
        assert problem.value.refusal is not None
        assert refused["customers"].drop_columns("_synced_at").equals(before)


def test_table_that_takes_no_more_columns_stops_itself_only(postgres_mirror: Mirror, postgres_url: str) -> None:
    mirror = postgres_mirror
    mirror.begin("customers", "products")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        (had,) = connection.execute(
            "select count(*) from information_schema.columns where table_schema = 'stripe' and table_name = 'customers'"
        ).fetchone() or (0,)
        added = ", ".join(f"add column own_{place} int" for place in range(1_600 - had))
        connection.execute(f"alter table stripe.customers {added}")  # type: ignore[arg-type]
    mirror.sim.account.update("customers", customers(mirror, 1)[0], {"brand_new": 1})
    outcome = load(mirror, "customers", "products", full_refresh=True)
    assert (outcome.failed, outcome.error) == (["customers"], None)
    assert status(mirror, "products")[0] == "complete"
    assert "54011" in status(mirror, "customers")[1]


def test_everything_refused_takes_a_bounded_number_of_tries(postgres_mirror: Mirror, postgres_url: str) -> None:
    mirror = postgres_mirror
    mirror.begin("customers", "products")
    customers(mirror, 40)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("alter table stripe.customers add constraint never check (object = 'none') not valid")
    outcome = load(mirror, "customers", "products")
    assert (outcome.failed, outcome.error) == (["customers"], None)
    assert "more rows were not tried" in str(mirror.destination.query("select reason from stripe.sync_rejected"))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("alter table stripe.customers drop constraint never")
    assert load(mirror, "customers").failed == []
    assert mirror.differences(["customers"]) == []


REFUSALS = ("22003", "23514", "54000", "P0001", "0A000", "21000", "428C9", "42701", "42703", "42804", "42883", "42P01")
NO_REFUSALS = ("08006", "25006", "25P02", "40001", "42501", "42P05", "53100", "55P03", "57014", "58030")


def test_what_comes_again_with_the_same_rows_is_a_refusal() -> None:
    refused = [code for code in (*REFUSALS, *NO_REFUSALS) if refusal_of(psycopg.errors.lookup(code)())]
    assert tuple(refused) == REFUSALS
    assert refusal_of(psycopg.DataError("no answer of the server's")) is None
    assert refusal_of(ValueError("no database's")) is None
    assert refusal_of(duckdb.ConstraintException("no")) == "ConstraintException"
    assert refusal_of(duckdb.IOException("no")) is None


def load_without(bad: set[str], most: float) -> tuple[set[str], dict[str, int], ConversionCounts, int]:
    """Loads forty rows where `bad` ones are refused: those that are loaded, and what else came of it."""
    loaded: set[str] = set()
    counts, tries = ConversionCounts(), 0

    def load(tables: Mapping[str, pa.Table]) -> None:
        nonlocal tries
        tries += 1
        ids = set(tables["customers"]["id"].to_pylist())
        if ids & bad:
            raise DatabaseProblem("no", refusal="CheckViolation 23514")
        loaded.update(ids)

    rows = {"id": [f"cus_{place:02}" for place in range(40)], "_source": ["event"] * 40}
    return (
        loaded,
        load_isolated(load, {"customers": pa.table(rows)}, Columns(CATALOGUE), counts, {}, most),
        counts,
        tries,
    )


@pytest.mark.parametrize("places", [range(12), range(0, 40, 3), range(40), [39]])
def test_every_row_is_tried_where_nobody_comes_back_to_it(places: Sequence[int]) -> None:
    bad = {f"cus_{place:02}" for place in places}
    loaded, refused, counts, tries = load_without(bad, inf)
    assert loaded == {f"cus_{place:02}" for place in range(40)} - bad
    assert refused == {"customers": len(bad)}
    assert {entry.id for entry in counts.rejected()} == bad
    assert tries <= 2 * len(bad) * 6 + 2


def test_rows_behind_many_refusals_are_left_to_whoever_comes_back() -> None:
    loaded, refused, counts, tries = load_without({f"cus_{place:02}" for place in range(12)}, 10)
    assert (loaded, refused) == (set(), {"customers": 40})
    assert "and 35 more of customers" in left_out(counts.rejected(), is_load=True)
    assert tries < 25


def test_rows_of_events_behind_many_refusals_are_stored(
    postgres_mirror: Mirror, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.loading.session.MOST_REFUSED", 1)
    mirror = postgres_mirror
    mirror.begin("customers")
    made = sorted(customers(mirror, 4))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        bad = ", ".join(f"'{id}'" for id in made[:2])
        connection.execute(f"alter table stripe.customers add check (id not in ({bad}))")  # type: ignore[arg-type]
    outcome = mirror.sync()
    assert outcome.failed == ["events_pass"]
    assert rejected(mirror) == {("customers", id) for id in made[:2]}
    assert {row["id"] for row in mirror.rows("customers")} >= set(made[2:])
    assert outcome.rows == outcome.events.rows == 2  # those that were stored, and no others


# --- objects that are read again --------------------------------------------------------------------------------------


def keyless(mirror: Mirror) -> str:
    """A stored customer that Stripe shows without its key from now on; its id."""
    mirror.begin("customers")
    id = min(str(customer.id) for customer in mirror.sim.account.tables["customers"])
    old = b'"id":"%s"' % id.encode()
    mirror.sim.faults.add("replace", path=f"/v1/customers/{id}", old=old, new=b'"id":17')
    return id


def unanswered(mirror: Mirror) -> str:
    """A stored customer that Stripe fails to show from now on; its id."""
    mirror.begin("customers")
    id = min(str(customer.id) for customer in mirror.sim.account.tables["customers"])
    mirror.sim.faults.add("status", path=f"/v1/customers/{id}", status=500)
    return id


def test_objects_beside_one_that_came_without_its_key_are_stored(mirror: Mirror) -> None:
    id = keyless(mirror)
    other = max(str(customer.id) for customer in mirror.sim.account.tables["customers"])
    with mirror.session("stripe_object", scope="object") as session:
        assert [obj.id for obj in load_objects(session, [id, other])] == [other]
        assert [(entry.table, entry.id) for entry in session.counts.rejected()] == [("customers", id)]


def test_objects_beside_one_that_the_database_refuses_are_stored(
    simulator: Callable[..., Simulator], postgres_url: str
) -> None:
    mirror = Mirror(simulator(seed=1, customers=4, now=START, running=False), Database("postgres", postgres_url))
    bad, other, *_ = sorted(str(customer.id) for customer in mirror.sim.account.tables["customers"])
    mirror.load("products")
    mirror.read(other)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"alter table stripe.customers add check (id <> '{bad}')")  # type: ignore[arg-type]
    with mirror.session("stripe_object", scope="object") as session:
        assert [obj.id for obj in load_objects(session, [bad, other])] == [other]
        assert [(entry.table, entry.id) for entry in session.counts.rejected()] == [("customers", bad)]


@pytest.mark.parametrize("reads", [keyless, unanswered])
def test_unseen_row_whose_object_cannot_be_read_is_named(mirror: Mirror, reads: Callable[[Mirror], str]) -> None:
    id = reads(mirror)
    with mirror.session("stripe_sync") as session:
        assert vanished_since(session, [RESOURCES["customers"]], session.clock() + 600) == 0
        assert [(entry.table, entry.id) for entry in session.counts.rejected()] == [("customers", id)]


@pytest.mark.parametrize("reads", [keyless, unanswered])
def test_unlisted_row_whose_object_cannot_be_read_is_named(mirror: Mirror, reads: Callable[[Mirror], str]) -> None:
    id = reads(mirror)
    with mirror.session("stripe_check") as session:
        stored = StoredRows(session.database, "stripe", session.account_id, session.columns)
        unlisted = Unlisted(session, stored, stored.now(), session.clock())
        judged = list(unlisted.judge(RESOURCES["customers"], set(), 0, session.clock()))
        assert len(judged) == len(mirror.sim.account.tables["customers"].shelf.rows())
        assert [(entry.table, entry.id) for entry in session.counts.rejected("customers")] == [("customers", id)]


def test_check_names_all_that_it_left_out_and_claims_no_load(mirror: Mirror) -> None:
    mirror.begin("products")
    with mirror.session("stripe_check") as session:
        for table, id in (("prices", "a"), ("prices", "b"), ("plans", "c")):
            session.counts.reject(table, id, "why")
        found = Check(session, CheckOrder(select(["products"]), dry_run=True)).run().incomplete
    assert found.keys() == {"prices", "plans"}
    assert "prices a (why); prices b (why)" in found["prices"]
    assert "loaded" not in "".join(found.values())


# --- parents ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["half_json", "status"])
def test_list_of_one_parent_that_cannot_be_read_is_passed_by(
    simulator: Callable[..., Simulator], duckdb_path: Path, kind: str
) -> None:
    mirror = Mirror(simulator(seed=1, customers=6, now=START, running=False), Database("duckdb", str(duckdb_path)))
    bad, *_, last = sorted(str(customer.id) for customer in mirror.sim.account.tables["customers"])
    mirror.sim.account.create("tax_ids", mirror.sim.make("tax_ids", customer=last), parent=last)
    mirror.sim.faults.add(kind, path=f"/v1/customers/{bad}/tax_ids")
    mirror.pass_time(900)
    outcome = load(mirror, "customers", "customer_tax_ids")
    assert (outcome.failed, outcome.error) == (["customer_tax_ids"], None)
    assert f"of {bad}" in status(mirror, "customer_tax_ids")[1]
    assert last in {row["_parent_id"] for row in mirror.rows("tax_ids")}


def test_parents_of_which_none_can_be_read_are_an_error_of_the_list(
    simulator: Callable[..., Simulator], duckdb_path: Path
) -> None:
    mirror = Mirror(simulator(seed=1, customers=8, now=START, running=False), Database("duckdb", str(duckdb_path)))
    for customer in mirror.sim.account.tables["customers"]:
        mirror.sim.faults.add("status", path=f"/v1/customers/{customer.id}/tax_ids")
    mirror.pass_time(900)
    assert load(mirror, "customers", "customer_tax_ids").failed == ["customer_tax_ids"]
    mirror.sim.faults.clear()
    mirror.pass_time(900)
    assert load(mirror, "customer_tax_ids").failed == []  # the parents are asked about again
    assert mirror.differences(["customer_tax_ids"]) == []


def test_a_column_whose_type_somebody_has_altered_is_named_with_both_types(
    mirror: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    mirror.begin("customers", "products")
    made = customers(mirror, 2)
    mirror.destination.query("drop schema stripe_current cascade")  # whose view would forbid it
    mirror.destination.query("alter table stripe.customers alter column balance type smallint")
    mirror.sim.account.update("customers", made[0], {"balance": 100_000})
    mirror.sim.account.update("customers", made[1], {"balance": 100})
    outcome = load(mirror, "customers", "products", full_refresh=True)
    assert (outcome.failed, rejected(mirror)) == (["customers"], {("customers", made[0])})
    told = [record.getMessage() for record in caplog.records if "has the type" in record.getMessage()]
    stored, ours = ("smallint", "bigint") if mirror.destination.kind == "postgres" else ("SMALLINT", "BIGINT")
    assert told == [
        f"The column balance of the table stripe.customers has the type {stored} instead of {ours}, so the database"
        " refuses rows whose value does not fit. Change it back:"
        f" ALTER TABLE stripe.customers ALTER COLUMN balance TYPE {ours};"
    ]
