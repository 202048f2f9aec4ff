"""The smallest roles, as docs/postgres.md gives them, and what is said where a right lacks."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from docs.sessions import ROOT, blocks
from pipelines.check.check import Check, CheckOrder
from pipelines.configuration.settings import Settings
from pipelines.loading.session import open_database
from pipelines.sync.lists import loaded_resources
from pipelines.warehouse.problems import DatabaseProblem
from pipelines.warehouse.rights import Schema, Table, check_rights, create_missing, lacking
from pipelines.warehouse.staging import drop_staging, scope_of
from simulator import Simulator
from sources.stripe_api.catalogue import CATALOGUE
from sources.stripe_api.provider import STRIPE
from tests import processes
from tests.databases import Database
from tests.pipelines.mirror import START, Mirror
from tests.webhook_sink.conftest import deliver, event, settings_for, sink_settings
from webhook_sink.endpoints.secrets import Secrets
from webhook_sink.sink import Sink

LOADER, SINK, READER, *_ = [text for kind, text in blocks(ROOT / "docs/postgres.md") if text.startswith("create role")]
ROLES = ("stripe_reader", "stripe_sink", "stripe_loader")
NAMES = ("customers", "products")


class Roles:
    """The empty database of a test, whose owner gives rights, and nobody else has any."""

    def __init__(self, url: str) -> None:
        self.url, self.name = url, str(conninfo_to_dict(url)["dbname"])

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """As the owner; the rows of the last one."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def address(self, role: str) -> str:
        """The database as a role reaches it."""
        return make_conninfo(self.url, user=role, password="…")

    def ask(self, role: str, statement: str) -> list[tuple[Any, ...]]:
        """As the role."""
        with psycopg.connect(self.address(role), autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()


@pytest.fixture
def roles(postgres_url: str) -> Iterator[Roles]:
    given = Roles(postgres_url)
    given.run(f'revoke all on database "{given.name}" from public')
    yield given
    for role in ROLES:
        if given.run(f"select 1 from pg_roles where rolname = '{role}'"):
            given.run(f"drop owned by {role} cascade", f"drop role {role}")


@pytest.fixture
def loader(roles: Roles, simulator: Callable[..., Simulator]) -> Mirror:
    """An account beside the database as the page's role reaches it, which may connect and no more."""
    roles.run(LOADER, f'grant connect on database "{roles.name}" to stripe_loader')
    sim = simulator(seed=1, customers=4, now=START, running=False)
    return Mirror(sim, Database("postgres", roles.address("stripe_loader")))


def script(mirror: Mirror, *command: str) -> subprocess.CompletedProcess[str]:
    return processes.run(*command, cwd=ROOT, env=mirror.environment)


def received(url: str, sim: Simulator, *events: dict[str, Any]) -> list[str]:
    """The fates of events in a sink of its own. Raises what makes it hopeless."""

    async def main() -> list[str]:
        sink = Sink(settings_for(url, sim), sink_settings(), provider=STRIPE)
        sink.start()
        try:
            await sink.opened()
            return await deliver(sink, *events)
        finally:
            await sink.stop()

    return asyncio.run(main())


def test_the_pages_roles_load_take_webhooks_and_read(roles: Roles, loader: Mirror) -> None:
    roles.run(READER, f'grant connect on database "{roles.name}" to stripe_reader')
    loader.load(*NAMES)
    loader.sim.account.create("customers", loader.sim.make("customers", name="Ada"))
    loader.pass_time(600)
    loader.sync(*NAMES)
    assert loader.differences(NAMES) == []
    scope = scope_of("check", None)
    for _ in range(2):  # the second one finds the schemas that the first has emptied
        roles.run("update stripe.customers set description = 'changed by hand'")
        with loader.session("stripe_check", scope=scope) as session:
            report = Check(session, CheckOrder(loaded_resources(session, ["customers"]))).run()
            drop_staging(session.database, session.settings.dataset, scope)
        assert report.count("customers", "stale") > 0
        assert loader.read(loader.rows("customers", live=True)[0]["id"])
    assert loader.differences(NAMES) == []
    with Secrets(loader.settings) as secrets:
        secrets.check()
        secrets.keep("we_1", "https://h/webhooks", "whsec_hush", "v", False)
    schemas = roles.run("select nspname from pg_namespace where nspname like 'stripe%' order by 1")
    assert [name for (name,) in schemas] == [
        "stripe",
        "stripe_current",
        "stripe_secrets",
        "stripe_staging",
        "stripe_staging_check_own",
        "stripe_staging_object",
    ]

    roles.run(SINK, f'grant connect on database "{roles.name}" to stripe_sink')
    changed = event("customer.created", {"id": "cus_1", "object": "customer", "brand_new_field": "x"})
    assert received(roles.address("stripe_sink"), loader.sim, changed) == ["committed"]
    assert ("cus_1", "x") in roles.ask("stripe_reader", "select id, brand_new_field from stripe.customers")

    assert ("cus_1", "x") in roles.ask("stripe_reader", "select id, brand_new_field from stripe_current.customers")
    for table in roles.run(
        "select format('%I.%I', nspname, relname) from pg_class c join pg_namespace n on n.oid = relnamespace"
        " where nspname in ('stripe', 'stripe_current') and relkind in ('r', 'v')"
    ):
        roles.ask("stripe_reader", f"select count(*) from {table[0]}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        roles.ask("stripe_reader", "select secret from stripe_secrets.stripe_webhook_endpoints")


@pytest.mark.parametrize(
    ("taken", "says", "given"),
    [
        (
            "drop schema stripe_staging",
            "create the schema stripe_staging",
            'CREATE SCHEMA "stripe_staging" AUTHORIZATION',
        ),
        (
            "alter schema stripe_staging owner to {owner}",
            "use the schema stripe_staging",
            "GRANT USAGE, CREATE ON SCHEMA",
        ),
        ("alter schema stripe owner to {owner}", "use the schema stripe", 'GRANT USAGE ON SCHEMA "stripe" TO'),
        (
            "alter table stripe.customers owner to {owner}",
            "write customers in the schema stripe",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES",
        ),
        (
            "alter table stripe.customers owner to {owner};"
            " grant select, insert, update on stripe.customers to stripe_loader;"
            " revoke update on stripe.customers from stripe_loader;"
            " grant update (name) on stripe.customers to stripe_loader",
            "write customers",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES",
        ),
        (
            "alter table stripe.customers enable row level security, force row level security",
            "see all rows of customers",
            'ALTER TABLE "stripe"."customers" NO FORCE ROW LEVEL SECURITY',
        ),
        (
            "alter table stripe.customers owner to {owner};"
            " grant select, insert, update, delete on stripe.customers to stripe_loader;"
            " alter table stripe.customers enable row level security;"
            " create policy all_of_it on stripe.customers using (true)",
            "see all rows of customers",
            'ALTER ROLE "stripe_loader" BYPASSRLS',
        ),
    ],
)
def test_right_that_lacks_is_named_with_the_statement_that_gives_it(
    roles: Roles, loader: Mirror, taken: str, says: str, given: str
) -> None:
    loader.load(*NAMES)
    ((owner,),) = roles.run("select current_user")
    if "staging" in taken:
        roles.run("drop schema stripe_staging cascade", "create schema stripe_staging authorization stripe_loader")
    roles.run(taken.format(owner=owner))
    with pytest.raises(DatabaseProblem) as refused:
        loader.load(*NAMES)
    assert says in str(refused.value)
    assert given in str(refused.value)
    if "staging" not in taken:
        with pytest.raises(DatabaseProblem, match=says):
            received(roles.address("stripe_loader"), loader.sim)
    statements = str(refused.value).partition("(see docs/postgres.md): ")[2].partition(" Nothing was")[0]
    roles.run(statements)
    loader.load(*NAMES)
    assert loader.differences(NAMES) == []


def test_table_of_another_owner_takes_rows_and_names_the_owner_for_a_new_column(roles: Roles, loader: Mirror) -> None:
    loader.load(*NAMES)
    ((owner,),) = roles.run("select current_user")
    roles.run(
        f"alter table stripe.customers owner to {owner}",
        "grant select, insert, update on stripe.customers to stripe_loader",
    )
    address = roles.address("stripe_loader")
    known = event("customer.created", {"id": "cus_1", "object": "customer"})
    assert received(address, loader.sim, known) == ["committed"]
    unseen = event("customer.created", {"id": "cus_2", "object": "customer", "brand_new_field": "x"}, id="evt_2")
    assert received(address, loader.sim, unseen) == ["failed"]
    ((error,),) = roles.run("select error from stripe.stripe_webhook_events where id = 'evt_2'")
    assert "must be owner of table customers" in error
    assert "ALTER TABLE <schema>.customers OWNER TO <role>" in error


def test_sink_without_rights_ends_and_says_what_to_grant(roles: Roles, simulator: Callable[..., Simulator]) -> None:
    roles.run("create role stripe_loader login password '…'")
    sim = simulator(seed=1, customers=2, now=START, running=False)
    address = roles.address("stripe_loader")
    with pytest.raises(DatabaseProblem, match=r"GRANT CONNECT ON DATABASE"):
        received(address, sim)
    roles.run(f'grant connect on database "{roles.name}" to stripe_loader')
    with pytest.raises(DatabaseProblem, match=r'CREATE SCHEMA "stripe" AUTHORIZATION "stripe_loader"'):
        received(address, sim)


def test_default_privileges_show_no_secret(roles: Roles, loader: Mirror) -> None:
    roles.run(
        "drop schema stripe_secrets",
        "create role stripe_reader login password '…'",
        f'grant create on database "{roles.name}" to stripe_loader',
        f'grant connect on database "{roles.name}" to stripe_reader',
        "alter default privileges for role stripe_loader grant usage on schemas to stripe_reader, public",
        "alter default privileges for role stripe_loader grant select on tables to stripe_reader, public",
    )
    with Secrets(loader.settings) as secrets:
        secrets.check()
        secrets.keep("we_1", "https://h/webhooks", "whsec_hush", "v", False)
        assert secrets.known() == {"we_1"}
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="schema stripe_secrets"):
        roles.ask("stripe_reader", "select secret from stripe_secrets.stripe_webhook_endpoints")
    with Secrets(loader.settings) as secrets:
        secrets.forget(["we_1"])
        assert secrets.known() == set()


def test_secrets_that_an_attempt_could_not_hide_are_not_there(roles: Roles, loader: Mirror) -> None:
    """An attempt that ends between making the table and taking rights back leaves no table to the next one."""
    roles.run(
        "create role stripe_reader login password '…'",
        f'grant connect on database "{roles.name}" to stripe_reader',
        "alter default privileges for role stripe_loader grant select on tables to stripe_reader",
        "grant usage on schema stripe_secrets to stripe_reader",
        "create function end_it() returns event_trigger language plpgsql as $$ begin raise 'ended here'; end $$",
        "create event trigger end_it on ddl_command_start when tag in ('REVOKE') execute function end_it()",
    )
    with Secrets(loader.settings) as secrets:
        with pytest.raises(psycopg.Error, match="ended here"):
            secrets.keep("we_1", "https://h/webhooks", "whsec_hush", "v", False)
        roles.run("drop event trigger end_it")
        secrets.keep("we_1", "https://h/webhooks", "whsec_hush", "v", False)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        roles.ask("stripe_reader", "select secret from stripe_secrets.stripe_webhook_endpoints")


def test_secret_that_could_not_be_kept_is_not_asked_for(roles: Roles, loader: Mirror) -> None:
    roles.run("drop schema stripe_secrets")
    done = script(loader, "-m", "webhook_sink", "endpoint", "create", "https://hooks.example.com/webhooks")
    assert done.returncode == 2
    assert 'CREATE SCHEMA "stripe_secrets" AUTHORIZATION "stripe_loader"' in " ".join(done.stderr.split())
    made = {obj["url"] for obj in loader.sim.account.objects("webhook_endpoints")}
    assert "https://hooks.example.com/webhooks" not in made


def test_duckdb_lacks_no_right(duckdb_path: Path) -> None:
    database = open_database(Settings(duckdb_path=str(duckdb_path)))
    create_missing(database, "stripe", {"t": "CREATE TABLE IF NOT EXISTS stripe.t (n int)"})
    check_rights(database, "stripe", ["stripe_staging"], dict.fromkeys(CATALOGUE.tables, False))
    database.close()


def test_tables_that_are_not_ours_are_left_alone() -> None:
    schemas = {"stripe": Schema("stripe", True, False)}
    names = ("somebodys_notes", "sync_notes", "_dlt_notes", "stripe_webhook_notes", "stripe_webhook_events")
    foreign = [Table("stripe", name, False, False, False, False, False, True, False) for name in names]
    assert lacking("r", True, "stripe", [], schemas, foreign, {"sync_status": True}) == []


def test_load_needs_no_right_on_a_table_whose_name_begins_like_ours(roles: Roles, loader: Mirror) -> None:
    roles.run("create table stripe.sync_notes (n int)", "create table stripe.stripe_webhook_notes (n int)")
    loader.load(*NAMES)
    assert received(roles.address("stripe_loader"), loader.sim, event("customer.created", {"id": "cus_1"})) != []
    assert loader.differences(["products"]) == []


def test_check_that_could_not_keep_its_findings_is_refused_before_it_begins(roles: Roles, loader: Mirror) -> None:
    loader.load(*NAMES)
    loader.check("customers")
    ((owner,),) = roles.run("select current_user")
    roles.run(f"alter table stripe.sync_checks owner to {owner}")
    loader.load(*NAMES)
    loader.forget_requests()
    with pytest.raises(DatabaseProblem, match="write sync_checks in the schema stripe"):
        loader.check("customers")
    assert not any("customers" in endpoint for endpoint in loader.sim.service.requests)


def test_staging_of_another_owner_keeps_its_schema_and_tables(roles: Roles, loader: Mirror) -> None:
    """A role that may create schemas, and stages in one that it was only let into."""
    staged = "stripe_staging_check_own"
    ((owner,),) = roles.run("select current_user")
    roles.run(
        f"alter schema {staged} owner to {owner}",
        f"grant usage, create on schema {staged} to stripe_loader",
        f'grant create on database "{roles.name}" to stripe_loader',
        f"create table {staged}.owners (n int)",
        f"grant select, insert, truncate on {staged}.owners to stripe_loader",
    )
    loader.load("customers")
    roles.run("update stripe.customers set name = 'Wrong'")
    done = script(loader, "pipelines/stripe_check.py")
    assert done.returncode == 0, done.stderr
    assert loader.differences(["customers"]) == []
    left = roles.run("select tablename from pg_tables where schemaname = 'stripe_staging_check_own'")
    assert left == [("owners",)]
