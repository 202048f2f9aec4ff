"""Building the metrics: what changed alone, all or nothing, bad input, rights that lack."""

from __future__ import annotations

import copy
import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.models.indexes import keep_indexes, missing_indexes, wanted_indexes
from pipelines.models.metrics.build import OPEN, Build
from pipelines.models.metrics.settings import DEFAULTS
from pipelines.models.metrics.source_tables import LEDGER, OF_LEDGER, SOURCE_TABLES
from pipelines.models.metrics.statements import statements
from pipelines.warehouse.problems import DatabaseProblem
from sources.columns.columns import all_columns
from sources.errors import BadConfiguration
from sources.stripe_api.catalogue import CATALOGUE, TABLES
from sources.stripe_api.provider import STRIPE
from tests.databases import Database
from tests.models.loaded import beside, build, built, connected, fill, set_options, store
from webhook_sink.commit.ledger import create_tables as create_ledger

CASES = Path(__file__).with_name("metrics_cases")
Built = Mapping[str, Counter[tuple[Any, ...]]]
Tables = dict[str, list[dict[str, Any]]]
STORED = ("stripe", "stripe", CATALOGUE, {name: all_columns(CATALOGUE, name) for name in TABLES})
MONTHLY = "select month, opening, closing from stripe_metrics.mrr_monthly order by month"


def case(name: str) -> Tables:
    (path,) = CASES.glob(f"{name}*.json")
    tables: Tables = json.loads(path.read_text("utf-8"))["tables"]
    return tables


@pytest.mark.long
@settings(max_examples=1, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**6))
def test_builds_after_parts_of_the_rows_are_a_full_one(seed: int, destination: Database) -> None:
    """Each case is several accounts, whose rows arrive in parts of their own."""
    names = ("03", "05", "07", "08", "10", "12", "13")
    tables = beside({f"{name}_{copy_}": case(name) for name in names for copy_ in range(2)})
    chance, database = random.Random(seed), destination
    for schema in ("stripe_metrics", "stripe"):
        database.query(f"drop schema if exists {schema} cascade")
    parts: list[Tables] = [{table: [] for table in tables} for _ in range(3)]
    for table, rows in tables.items():
        for row in rows:
            chance.choice(parts)[table].append(row)
    fill(database, {table: [] for table in tables}, like=tables)
    for part in parts:
        store(database, part)
        build(database)
    step_by_step = built(database)
    assert sum(len(rows) for rows in step_by_step.values()) > 50
    assert build(database, full=True).full
    assert different(built(database), step_by_step) == {}


def different(these: Built, those: Built) -> Mapping[str, Any]:
    """Table -> the rows that only one of two builds has."""
    return {
        name: (these[name] - those[name], those[name] - these[name]) for name in these if these[name] != those[name]
    }


@pytest.fixture
def empty(tmp_path: Path) -> Callable[[], Database]:
    """Makes empty DuckDB files: which rows a build takes is the same text for both databases."""
    numbers = iter(range(1000))
    return lambda: Database("duckdb", str(tmp_path / f"file_{next(numbers)}.duckdb"))


@pytest.mark.long
def test_a_build_takes_only_what_changed(destination: Database) -> None:
    tables = case("12")
    fill(database := destination, tables)
    assert build(database).full
    before = built(database)
    assert build(database).subscriptions == 0
    database.query("update stripe.customers set _synced_at = now() where id = ?", [tables["customers"][0]["id"]])
    assert build(database).subscriptions == 2  # those of the customer that was stored last
    row = tables["subscriptions"][-1] | {"status": "canceled"}
    row |= {"ended_at": "2026-03-20T00:00:00Z", "canceled_at": "2026-03-20T00:00:00Z"}
    database.query("delete from stripe.subscriptions where id = ?", [row["id"]])
    store(database, {"subscriptions": [row]})
    assert build(database).subscriptions == 1
    after = built(database)
    assert after["movements"] != before["movements"]
    database.query("update stripe.prices set unit_amount_decimal = 5000, product = 'prod_new'")
    build(database)
    assert database.value("select max(product) from stripe_metrics.item_spans") == "prod_new"
    step_by_step = built(database)
    build(database, full=True)
    assert different(built(database), step_by_step) == {}


@pytest.mark.long
def test_payments_that_changed_are_counted_again(destination: Database) -> None:
    """Months and invoices of which nothing was stored stay as they are; the others are as in a full build."""
    fill(database := destination, case("10"))
    build(database)
    before = built(database)
    database.query("update stripe_metrics._revenue set collected = 7 where month = '2026-01-01'")
    change = "update stripe.{} set _synced_at = now(), {} where created >= '2026-03-01'"
    database.query(change.format("charges", "amount = 1234, amount_captured = 1234"))
    database.query(change.format("balance_transactions", "fee = fee + 1, net = net - 1"))
    database.query(change.format("invoices", "amount_due = amount_due + 1"))
    build(database)
    (january,) = database.query("select collected from stripe_metrics.revenue_monthly where month = '2026-01-01'")
    assert january == (7,)
    step_by_step = built(database)
    build(database, full=True)
    changed = {name for name in before if built(database)[name] != before[name]}
    assert changed >= {"_revenue", "_balance", "dunning"}
    assert set(different(built(database), step_by_step)) == {"_revenue"}


@pytest.mark.parametrize("is_hidden", [False, True], ids=["own role", "another role"])
def test_a_transaction_that_is_open_during_a_build_is_not_missed(postgres_url: str, is_hidden: bool) -> None:
    """Its rows get the moment at which it began, which may be before many builds. A role may not see that moment."""
    database = Database("postgres", postgres_url)
    fill(database, case("02"))
    role, of_role = f"builder_{random.randrange(10**9)}", postgres_url
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        if is_hidden:
            owner.execute(f"create role {role} login password 'x'")
            owner.execute(
                f"grant usage on schema stripe to {role}; grant select on all tables in schema stripe to {role}"
            )
            owner.execute(f"create schema stripe_metrics authorization {role}")
            words = psycopg.conninfo.conninfo_to_dict(postgres_url) | {"user": role, "password": "x"}
            of_role = psycopg.conninfo.make_conninfo(**words)
        try:
            builder = Database("postgres", of_role)
            build(builder)
            with psycopg.connect(postgres_url) as writer:
                writer.execute("update stripe.subscriptions set currency = 'eur', _synced_at = now()")
                for _ in range(2):
                    build(builder)
            assert build(builder).subscriptions == 1
            assert database.query("select distinct currency from stripe_metrics._subscriptions") == [("eur",)]
            assert build(builder).subscriptions == 0
            with connected(builder) as run:  # its lock is a transaction that writes nothing
                run.lock_run("stripe")
                owner.execute("update stripe.subscriptions set _synced_at = now()")
                assert [build(builder).subscriptions for _ in range(2)] == [1, 0]
        finally:
            if is_hidden:
                owner.execute(f"drop owned by {role}; drop role {role}")


def test_a_vacuum_of_the_servers_own_is_no_open_transaction(own_server: Any) -> None:
    """It writes no rows of ours. To a role without pg_read_all_stats it looks like another role's transaction."""
    with psycopg.connect(own_server.get_uri(), autocommit=True) as owner:
        for setting in ("naptime to 1", "vacuum_cost_delay to 100", "vacuum_cost_limit to 1"):
            owner.execute(f"alter system set autovacuum_{setting}")
        owner.execute("select pg_reload_conf()")
        owner.execute("create table many as select generate_series(1, 100000) as one")
        owner.execute("delete from many")
        running = (
            "select 1 from pg_locks join pg_stat_activity using (pid) where locktype = 'virtualxid'"
            " and backend_type = 'autovacuum worker' and datname = current_database()"
        )
        while not owner.execute(running).fetchall():
            continue
        owner.execute("create role builder; set role builder")
        assert owner.execute(OPEN).fetchall() == []
        owner.execute("reset role")
        assert owner.execute(running).fetchall() != []


def test_rows_that_came_after_a_clock_was_put_back_are_taken(empty: Callable[[], Database]) -> None:
    fill(database := empty(), case("02"))
    build(database)
    database.query("update stripe_metrics._progress set since = since + interval '1 day'")
    assert build(database).full
    assert not build(database).full


@pytest.mark.long
def test_a_build_that_ends_early_leaves_the_last_good_tables(destination: Database) -> None:
    fill(destination, case("11"))
    build(destination)
    before, months = built(destination), destination.query(MONTHLY)
    destination.query("delete from stripe.subscriptions")

    class Ended(Exception):
        pass

    for place in ("40_spans.sql", "60_movements.sql", "70_months.sql"):
        with connected(destination) as connection:
            broken = Build(connection, "stripe")
            run = broken._do.run

            def end(file: str, place: str = place, run: Callable[[str], None] = run) -> None:
                if file == place:
                    raise Ended
                run(file)

            broken._do.run = end  # type: ignore[method-assign]
            with pytest.raises(Ended):
                broken.run(full=True)
        assert built(destination) == before
        assert destination.query(MONTHLY) == months
    build(destination, full=True)
    assert destination.query(MONTHLY) == []


BEGUN = """
import sys
from pipelines.models.metrics.build import OPEN, Build
from tests.databases import Database
from tests.models.loaded import connected

with connected(Database(*sys.argv[1:])) as connection:
    build = Build(connection, "stripe")
    run = build._do.run

    def wait(file):
        if file == "70_months.sql":  # everything else has been replaced by then
            print("here", flush=True)
            sys.stdin.read()
        run(file)

    build._do.run = wait
    build.run(full=True)
"""


@pytest.mark.long
def test_a_build_that_is_killed_leaves_the_last_good_tables(destination: Database, root: Path) -> None:
    fill(destination, case("11"))
    build(destination)
    before, months = built(destination), destination.query(MONTHLY)
    destination.query("delete from stripe.subscriptions")
    command = [sys.executable, "-c", BEGUN, destination.kind, destination.address]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert built(destination) == before
    assert destination.query(MONTHLY) == months
    build(destination, full=True)
    assert destination.query(MONTHLY) == []


def test_readers_see_the_last_tables_until_a_build_is_done(postgres_url: str) -> None:
    database = Database("postgres", postgres_url)
    fill(database, case("11"))
    build(database)
    database.query("update stripe.subscriptions set ended_at = start_date")
    seen: list[Any] = []
    with connected(database) as connection:
        slow = Build(connection, "stripe", starting=timedelta(0))
        run = slow._do.run

        def look(file: str) -> None:
            run(file)
            seen.append(database.query(MONTHLY))

        slow._do.run = look  # type: ignore[method-assign]
        slow.run(full=True)
    assert all(rows == seen[0] != [] for rows in seen)
    assert database.query(MONTHLY) == []


def test_the_files_are_portable() -> None:
    """What one of the databases does not have, or understands in another way, stands in the files of helpers alone."""
    folder = Path(__file__).resolve().parents[2] / "pipelines/models/metrics"
    names = sorted(path.name for path in folder.glob("[0-9]*.sql"))
    text = "\n".join(statement for name in names for statement in statements(name))
    assert len(names) > 10
    for word in ("::", "lateral", "ignore nulls", "jsonb", "unnest", "qualify", "arg_max", "distinct on", "filter ("):
        assert word not in text.lower(), word


def test_rows_of_a_subscription_are_found_by_an_index() -> None:
    """Each table's subscription is an expression that Postgres has an index on, and so is when a row was stored."""
    indexes = {(index.table, " ".join(index.expression.replace('"', "").split())) for index in wanted_indexes(*STORED)}
    kept = {("subscriptions", "id"), ("subscription_items", "_parent_id")}  # a primary key, and an index for the merge
    for table, source in SOURCE_TABLES.items():
        if table not in TABLES:
            continue
        assert (table, source.stored) in indexes
        if source.subscription is not None and table not in ("invoices", "invoiceitems"):  # those go by customer
            wanted = {(table, " ".join(each.split())) for each in (source.subscription, source.plain) if each}
            assert wanted & (indexes | kept), table
        if source.plain is not None:
            assert {(table, source.plain), (table, " ".join(source.elsewhere.split()))} <= indexes
    assert {("invoices", "customer"), ("invoiceitems", "customer")} <= indexes
    assert {(LEDGER, expression) for expression in OF_LEDGER.values()} <= indexes


def test_events_of_the_ledger_are_found_by_an_index(postgres_url: str) -> None:
    """A build reads the few of its subscriptions, and not the ledger: Postgres has the indexes, and can use them."""
    database = Database("postgres", postgres_url)
    fill(database, case("11"))
    create_ledger(postgres_url, "stripe", STRIPE)
    database.query(
        "insert into stripe.stripe_webhook_events (id, type, object_id, account_id, livemode, created, status,"
        " received_at, attempts, payload) select 'evt_' || n, case when mod(n, 9) = 0 then 'customer.discount.created'"
        " when mod(n, 2) = 0 then 'customer.subscription.updated' else 'charge.succeeded' end, 'sub_' || n, 'acct_1',"
        " false, now(), 'processed', now(), 1, '{}' from generate_series(1, 5000) as s (n)"
    )
    with connected(database) as connection:
        keep_indexes(connection, "stripe", "stripe", CATALOGUE, {}, least_bytes=0)
        assert missing_indexes(connection, "stripe", "stripe", CATALOGUE, {}, 0) == []
        Build(connection, "stripe", starting=timedelta(0)).run()
        connection.execute("update stripe.subscriptions set _synced_at = now()")
        connection.execute("set enable_seqscan = off")  # with so few events it would be the quicker way
        Build(connection, "stripe", starting=timedelta(0)).run()
        connection.execute("select pg_stat_force_next_flush()")
        used = connection.execute(
            "select indexrelname from pg_stat_user_indexes where relname = %s and idx_scan > 0", (LEDGER,)
        )
    assert {name for (name,) in used} >= {index.name for index in wanted_indexes(*STORED) if index.table == LEDGER}


def test_no_rows_and_no_tables_are_no_error(destination: Database) -> None:
    destination.query("create schema stripe")
    build(destination)
    assert destination.query(MONTHLY) == []
    if destination.kind == "postgres":
        comments = (
            "select obj_description('stripe_metrics.mrr_monthly'::regclass),"
            " col_description('stripe_metrics.movements'::regclass, 4)"
        )
    else:
        comments = (
            "select (select comment from duckdb_views() where view_name = 'mrr_monthly'), (select comment from"
            " duckdb_columns() where table_name = 'movements' and column_name = 'day')"
        )
    assert destination.query(comments) == [
        ("MRR of a month: opening plus all movements equals closing exactly.",
         "The day, in the time zone of the settings."),
    ]  # fmt: skip
    fill(destination, {"subscriptions": []}, like=case("11"))
    build(destination)
    assert destination.query("select count(*) from stripe_metrics.customers_now") == [(0,)]


def test_a_table_that_was_not_loaded_is_named(destination: Database) -> None:
    tables = case("11")
    del tables["prices"], tables["invoice_line_items"]
    fill(destination, tables)
    build(destination)
    kinds = [kind for (kind,) in destination.query("select kind from stripe_metrics.quality order by kind")]
    assert "table not loaded: prices" in kinds
    assert "table not loaded: invoice_line_items" in kinds
    assert destination.value("select sum(mrr) from stripe_metrics.customers_now") == 8000  # items show their prices


def odd(changes: Mapping[str, Mapping[str, Any]]) -> Tables:
    """Case 11 with other fields: table -> field -> value, in the table's first row."""
    tables = copy.deepcopy(case("11"))
    for table, fields in changes.items():
        tables[table][0] |= fields
    return tables


ODD: Mapping[str, tuple[Mapping[str, Mapping[str, Any]], int | None, str | None]] = {
    "ends before it starts": ({"subscriptions": {"ended_at": "2025-01-01T00:00:00Z"}}, 8000, "ends before it starts"),
    "price without interval": (
        {"prices": {"recurring": None}, "subscription_items": {"price": {"id": "p"}}}, 8000, None,
    ),
    "seen late": ({"subscriptions": {"_as_of": "2026-06-09T00:00:00Z"}}, 8000, None),
    "unknown currency": ({"subscriptions": {"currency": "xxx"}, "prices": {"currency": "xxx"}}, 8000, None),
    "without a currency": ({"subscriptions": {"currency": None}}, 8000, None),
    "begins in the future": ({"subscriptions": {"start_date": "2031-01-01T00:00:00Z"}}, 8000, None),
    "without a customer": ({"subscriptions": {"customer": None}}, 8000, None),
}  # fmt: skip
"""An account's name -> the fields that are odd in it, what its customers pay now, and the kind that `quality` has."""


def test_odd_rows_make_no_wrong_sum(destination: Database) -> None:
    fill(destination, beside({name: odd(changes) for name, (changes, _, _) in ODD.items()}))
    build(destination)
    for name, (_, mrr, kind) in ODD.items():
        of = "from stripe_metrics.{} where _account_id = ?"
        assert destination.query(f"select sum(mrr) {of.format('customers_now')}", [name]) == [(mrr,)], name
        kinds = [found for (found,) in destination.query(f"select kind {of.format('quality')}", [name])]
        assert kind is None or kind in kinds, name
        ((last,),) = destination.query(f"select max(month) {of.format('mrr_monthly')}", [name])
        assert str(last) == "2026-06-01", name
        assert destination.query(
            f"select * {of.format('mrr_monthly')} and opening + new + expansion + contraction + churn + reactivation"
            " <> closing", [name],
        ) == [], name  # fmt: skip


def test_a_negative_price_and_ten_thousand_subscriptions_of_a_customer_add_up(destination: Database) -> None:
    tables = {table: rows[:1] for table, rows in case("14").items()}
    tables["prices"][0] |= {"unit_amount": -700, "unit_amount_decimal": "-700"}
    (item,) = tables["subscription_items"]
    item["price"] |= {"unit_amount": -700, "unit_amount_decimal": "-700"}
    tables["invoices"] = tables["invoice_line_items"] = []
    fill(destination, tables, like=case("14"))
    count, with_destination = 10_000, {"subscriptions": "id", "subscription_items": "id, _parent_id"}
    for table, keys in with_destination.items():
        names = [
            name for (name,) in destination.query(
                "select column_name from information_schema.columns where table_schema = 'stripe' and table_name = ?",
                [table],
            )
        ]  # fmt: skip
        shown = ", ".join(f"{name} || '_' || n" if name in keys.split(", ") else f'"{name}"' for name in names)
        destination.query(
            f"insert into stripe.{table} ({', '.join(names)}) select {shown} from stripe.{table},"
            f" generate_series(2, {count}) as s (n)"
        )
    build(destination)
    assert destination.value("select sum(mrr) from stripe_metrics.customers_now") == count * -3033
    assert destination.value("select min(closing) from stripe_metrics.mrr_monthly") == count * -3033


def test_options_that_cannot_work_are_named(empty: Callable[[], Database]) -> None:
    database = empty()
    fill(database, case("02"))
    build(database)
    wrong: tuple[tuple[str, Any, str], ...] = (
        ("discounts", "some", "one of forever, all, none"), ("timezone", "Mars/Olympus", "the name of a time zone"),
        ("past_due_days", -1, "0 or more days, or null"), ("margin", 0, "above 0 and at most 1"),
        ("soon_days", 0, "1 or more days"), ("largest_share", 2, "above 0 and at most 1"),
        ("trial_days", 0, "1 or more days"), ("falling_share", -1, "from 0 to 1"), ("least_share", 2, "from 0 to 1"),
        ("reporting_currency", "euro", "a code of three letters"),
    )  # fmt: skip
    for option, value, words in wrong:
        ((before,),) = database.query(f"select {option} from stripe_metrics.settings")
        set_options(database, **{option: value})
        with pytest.raises(BadConfiguration, match=f"The option {option} .*{words}"):
            build(database)
        set_options(database, **{option: before})
    rates: tuple[tuple[Any, Any, str], ...] = (
        ("euro", 1, "a code of three letters"), ("eur", 0, "must be above 0"), ("eur", None, "must be above 0"),
    )  # fmt: skip
    for currency, rate, words in rates:
        set_options(database, exchange_rates={currency: rate})
        with pytest.raises(BadConfiguration, match=words):
            build(database)
        database.query("delete from stripe_metrics.exchange_rates")
    set_options(database, exchange_rates={"eur": 1})
    set_options(database, exchange_rates={"EUR": 2})
    with pytest.raises(BadConfiguration, match="several rates of eur"):
        build(database)
    database.query("delete from stripe_metrics.settings")
    with pytest.raises(BadConfiguration, match="must have one row, and it has 0"):
        build(database)


def test_options_that_an_older_version_did_not_have_are_added(destination: Database) -> None:
    """With their defaults. What the user has set, the user's rates among it, stays as it is."""
    fill(destination, case("02"))
    build(destination)
    set_options(destination, discounts="all", soon_days=7, exchange_rates={"eur": 2})
    shown = f"select {', '.join(DEFAULTS)} from stripe_metrics.settings"
    destination.query("drop view stripe_metrics.insights")
    for name in ("largest_share", "margin"):
        destination.query(f"alter table stripe_metrics.settings drop column {name} cascade")
    destination.query("update stripe_metrics._layout set layout = '1 older older'")
    assert build(destination).full
    ((*values,),) = destination.query(shown)
    values = [float(value) if isinstance(value, Decimal) else value for value in values]
    assert dict(zip(DEFAULTS, values, strict=True)) == {**DEFAULTS, "discounts": "all", "soon_days": 7}
    assert destination.query("select currency, rate from stripe_metrics.exchange_rates") == [("eur", 2)]
    assert not build(destination).full


def test_a_role_that_may_not_make_the_schema_is_told_the_statement(postgres_url: str) -> None:
    database = Database("postgres", postgres_url)
    fill(database, case("02"))
    role = f"reader_{random.randrange(10**9)}"
    words = psycopg.conninfo.conninfo_to_dict(postgres_url) | {"user": role, "password": "x"}
    reader = Database("postgres", psycopg.conninfo.make_conninfo(**words))
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute(f"create role {role} login password 'x'")
        try:
            for grant, refused in (
                (f"grant select on all tables in schema stripe to {role}", "CREATE SCHEMA"),
                (
                    f"create schema stripe_metrics; grant usage on schema stripe_metrics to {role}",
                    "GRANT USAGE, CREATE",
                ),
                (f"grant create on schema stripe_metrics to {role}", "GRANT USAGE"),
                (f"grant usage on schema stripe to {role}", ""),
            ):
                owner.execute(grant)
                if refused:
                    with pytest.raises(DatabaseProblem, match=refused):
                        build(reader)
                else:
                    build(reader)
        finally:
            with suppress(psycopg.Error):
                owner.execute(f"drop owned by {role}")
            owner.execute(f"drop role {role}")


def test_months_follow_the_time_zone(destination: Database) -> None:
    """A subscription that begins on the first of a month in UTC begins in the month before in America."""
    fill(destination, case("02"))
    build(destination)
    set_options(destination, timezone="America/Los_Angeles")
    build(destination)
    assert str(destination.value("select min(day) from stripe_metrics.movements")) == "2026-01-04"
