"""A forgotten customer's data is nowhere any more, and no later run, event or replay brings it back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.privacy.forget import Outcome, forget
from pipelines.warehouse.problems import AlreadyRunning
from simulator import Simulator
from sources.errors import BadConfiguration
from sources.stripe_api.provider import STRIPE
from stripe_elt.commands import forget as command
from tests.pipelines.mirror import Mirror
from tests.pipelines.warehouse.test_staging import TABLES_OF_ALL
from tests.webhook_sink.conftest import event, settings_for, sink_settings
from webhook_sink.replay import Selection, replay
from webhook_sink.sink import Sink

on_postgres = pytest.mark.parametrize("destination", ["postgres"], indirect=True)
PERSON = {
    "email": "grace.hopper@example.com",
    "name": "Grace Brewster Hopper",
    "phone": "+1 555 010 7007",
    "description": "Likes to be called Amazing Grace",
    "metadata": {"nickname": "Amazing Grace"},
}
OF_HER = ("grace.hopper", "Brewster", "010 7007", "Amazing Grace")


def places(mirror: Mirror) -> dict[str, int]:
    """How many rows of which tables hold anything of hers."""
    pattern = "|".join(OF_HER)
    matches = "cast(t as text) ~ ?" if mirror.destination.kind == "postgres" else "regexp_matches(cast(t as text), ?)"
    with mirror.destination.asked() as query:
        counts = {
            f"{schema}.{table}": query(f'select count(*) from "{schema}"."{table}" as t where {matches}', [pattern])[0][
                0
            ]
            for schema, table in query(TABLES_OF_ALL)
        }
    return {table: count for table, count in counts.items() if count}


NAMES = ("customers", "charges", "invoices", "disputes", "events")


STILL_SEEN = """
select count(*) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_xmin is not null"""
"""How many other transactions still see old states of rows, which `VACUUM FULL` keeps for them."""


def her(mirror: Mirror) -> str:
    """Gives an account's customer with the most invoices a name that can be looked for, wherever Stripe repeats it."""
    account = mirror.sim.account
    invoices = account.objects("invoices")
    id = max(account.objects("customers"), key=lambda obj: sum(each["customer"] == obj["id"] for each in invoices))[
        "id"
    ]
    account.update("customers", id, PERSON)
    for invoice in invoices:
        if invoice["customer"] == id:
            account.update(
                "invoices", invoice["id"], {"customer_email": PERSON["email"], "customer_name": PERSON["name"]}
            )
    for charge in account.objects("charges"):
        if charge["customer"] == id:
            details = {"email": PERSON["email"], "name": PERSON["name"], "phone": None, "address": None, "tax_id": None}
            account.update("charges", charge["id"], {"billing_details": details, "receipt_email": PERSON["email"]})
    return str(id)


def things(mirror: Mirror) -> list[list[tuple[Any, ...]]]:
    """All that a DuckDB file has beside rows; nothing in Postgres, where no table is made anew."""
    if mirror.destination.kind == "postgres":
        return []
    asked = (
        "select schema_name, view_name, sql, comment from duckdb_views() where not internal order by 1, 2",
        "select schema_name, table_name, constraint_text from duckdb_constraints() order by all",
        "select schema_name, table_name, column_name, data_type, comment from duckdb_columns() order by all",
    )
    return [[row for row in mirror.destination.query(sql) if row[1] != "sync_forgotten"] for sql in asked]


def erase(mirror: Mirror, *ids: str, **options: Any) -> Outcome:
    return forget(mirror.settings, STRIPE, ids, **options)


def dispute(mirror: Mirror, charge: str, intent: str | None) -> None:
    """A dispute over a charge, with evidence that names her."""
    shown = mirror.sim.make(
        "disputes", charge=charge, payment_intent=intent, evidence={"customer_email_address": PERSON["email"]}
    )
    mirror.sim.account.create("disputes", shown)


def test_nothing_of_a_forgotten_customer_is_left_or_comes_back(mirrored: Callable[..., Mirror]) -> None:
    mirror = mirrored(customers=4)
    mirror.begin(*NAMES, synced=True)
    id = her(mirror)
    mirror.pass_time(120)
    mirror.sync(*NAMES)
    before = places(mirror)
    assert {"stripe.customers", "stripe.invoices", "stripe.charges", "stripe.events"} <= before.keys()
    others = {row["id"]: row for row in mirror.rows("customers") if row["id"] != id}

    planned = erase(mirror, id, is_dry_run=True)
    assert places(mirror) == before
    made = things(mirror)
    outcome = erase(mirror, id)
    assert things(mirror) == made, "keys, views and comments are what they were"
    assert [(table.table, table.rows) for table in planned.tables] == [
        (table.table, table.rows) for table in outcome.tables
    ]
    changed = {table.table: table.changed for table in outcome.tables}
    assert changed["customers"] == 1
    assert changed["invoices"] >= before["stripe.invoices"]
    assert changed["events"] >= before["stripe.events"]
    assert places(mirror) == {}
    if mirror.destination.kind == "duckdb":
        content = Path(mirror.destination.address).read_bytes()
        assert not any(word.encode() in content for word in OF_HER)
        assert sorted(Path(mirror.destination.address).parent.glob("*.new*")) == []
    assert {row["id"]: row for row in mirror.rows("customers") if row["id"] != id} == others
    row = mirror.row("customers", id)
    assert (row["email"], row["name"], row["metadata"]) == (None, None, None)
    assert row["currency"] is not None
    assert all(table.changed == 0 for table in erase(mirror, id).tables), "a second time there is nothing to overwrite"

    account = mirror.sim.account
    account.update("customers", id, {"phone": PERSON["phone"], "balance": 7})
    charge = next(obj for obj in account.objects("charges") if obj["customer"] == id)
    account.update("charges", charge["id"], {"description": PERSON["name"]})
    mirror.pass_time(120)
    mirror.sync(*NAMES)
    assert mirror.row("customers", id)["balance"] == 7
    mirror.read(id, charge["id"])
    assert mirror.check("customers", "charges").findings == []
    assert places(mirror) == {}
    dispute(mirror, charge["id"], charge["payment_intent"])  # it names no customer, but what was the person's then
    mirror.pass_time(120)
    mirror.sync(*NAMES)
    assert any(row["charge"] == charge["id"] for row in mirror.rows("disputes"))
    assert places(mirror) == {}

    new = mirror.sim.make("charges", customer=id, receipt_email=PERSON["email"], payment_intent=None)
    account.create("charges", new)
    dispute(mirror, new["id"], None)  # only the charge says whose it is, and nobody knew of the charge then
    mirror.pass_time(120)
    mirror.sync(*NAMES)
    assert places(mirror).keys() == {"stripe.disputes", "stripe.events"}
    assert erase(mirror).persons == [id], "without an id, all that were forgotten before"
    assert places(mirror) == {}
    account.update("disputes", next(row["id"] for row in mirror.rows("disputes") if row["charge"] == new["id"]), {})
    mirror.pass_time(120)
    mirror.sync(*NAMES)
    assert places(mirror) == {}


@pytest.mark.long
def test_the_command_says_what_it_did_and_refuses_what_cannot_be(
    mirror: Mirror, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadConfiguration, match="nothing was ever loaded"):
        erase(mirror, "cus_1")
    mirror.begin("customers", "charges", "invoices")
    with pytest.raises(BadConfiguration, match="takes the ids of customers"):
        erase(mirror, "grace@example.com")
    for name, value in mirror.environment.items():
        monkeypatch.setenv(name, value)
    id = mirror.sim.account.objects("customers")[0]["id"]
    assert command.main([id, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tables"]["customers"] == {"rows": 1, "changed": 1}
    assert command.main([id]) == 0
    out = capsys.readouterr().out
    assert "customers: 0 of 1 rows were overwritten" in out
    assert "Backups, the write-ahead log" in out
    assert command.main(["cus_nobody_ever_loaded"]) == 0


@on_postgres
def test_no_run_goes_on_beside_it(mirror: Mirror) -> None:
    mirror.begin("customers")
    with mirror.session("stripe_object", scope="object"), pytest.raises(AlreadyRunning, match="Repeat the command"):
        erase(mirror, "cus_1")


@contextmanager
def sink_of(loop: asyncio.AbstractEventLoop, mirror: Mirror) -> Iterator[Sink]:
    """A sink that has been running for a while."""
    sink = Sink(settings_for(mirror.destination.address, mirror.sim), sink_settings(), provider=STRIPE)

    async def begin() -> None:
        sink.start()
        await sink.opened()

    loop.run_until_complete(begin())
    try:
        yield sink
    finally:
        loop.run_until_complete(sink.stop())


def customer_event(sim: Simulator, id: str, number: int) -> Any:
    shown = dict(next(obj for obj in sim.account.objects("customers") if obj["id"] == id))
    told = event("customer.updated", shown, id=f"evt_{number}", created=int(sim.clock.time()) + number)
    told["data"]["previous_attributes"] = {"email": "was.grace.hopper@example.com"}
    return STRIPE.read_event(json.dumps(told).encode())


@on_postgres
def test_a_sink_that_runs_meanwhile_knows_at_once(mirror: Mirror) -> None:
    mirror.begin("customers")
    id = her(mirror)
    loop = asyncio.new_event_loop()
    with sink_of(loop, mirror) as sink:
        take = lambda number: loop.run_until_complete(sink.take(customer_event(mirror.sim, id, number)))  # noqa: E731
        assert take(1) == "committed"
        assert places(mirror).keys() == {"stripe.customers", "stripe.stripe_webhook_events"}
        erased = asyncio.to_thread(erase, mirror, id, wholly=True)  # the sink's own work goes on, and lets its locks go
        changed = {table.table: table.changed for table in loop.run_until_complete(erased).tables}
        assert changed["stripe_webhook_events"] == 1
        assert take(2) == "committed"
        assert places(mirror) == {}
        outcomes = loop.run_until_complete(replay(sink, Selection(statuses=("processed", "failed"))))
        assert outcomes["committed"] == 2
    loop.close()
    assert places(mirror) == {}
    mirror.destination.query("checkpoint")
    while mirror.destination.value(STILL_SEEN):  # an ANALYZE of autovacuum's, for example
        pass
    for table in ("customers", "stripe_webhook_events"):
        erase(mirror, id, wholly=True)
        held = mirror.destination.value(f"select pg_read_binary_file(pg_relation_filepath('stripe.{table}'))")
        assert not any(word.encode() in bytes(held) for word in OF_HER)
