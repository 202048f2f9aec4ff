"""`stripe_source()` in real dlt pipelines with dlt's own destinations, against a simulated account."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import dlt
import pytest
from dlt.common.destination import Destination
from dlt.common.pipeline import LoadInfo
from dlt.pipeline.exceptions import PipelineStepFailed
from psycopg.conninfo import conninfo_to_dict
from pyarrow import parquet

from docs.sessions import ROOT, blocks
from simulator.truth import truth
from sources.errors import AuthenticationFailed, BadConfiguration, ServerFailed, UnknownResource
from sources.stripe_api import stripe_source
from sources.stripe_api.catalogue import RESOURCES, TABLES
from tests.databases import Database
from tests.pipelines.mirror import START, Mirror

if TYPE_CHECKING:
    from simulator import Simulator

NAMES = ["customers", "invoices", "subscriptions", "products", "payment_links"]


@dataclass
class Loads(Mirror):
    """An account and a database that the plain source loads into, as any dlt user would."""

    folder: Path = Path()

    def source(self, names: list[str], **more: Any) -> Any:
        given: dict[str, Any] = {"stripe_secret_key": self.sim.key, "api_base": self.sim.url, "max_retries": 0}
        unlimited = {"sandbox_rate": float("inf"), "endpoint_rate": float("inf")}
        return stripe_source(resources=names, **(given | unlimited | more))

    def pipeline(self) -> Any:
        return dlt.pipeline(
            "stripe", pipelines_dir=str(self.folder), destination=stock(self.destination), dataset_name="stripe"
        )

    def run(self, names: list[str], **more: Any) -> LoadInfo:
        self.pass_time(60)
        # the CSV that dlt copies into Postgres has no empty text beside null
        form = "insert_values" if self.destination.kind == "postgres" else None
        info: LoadInfo = self.pipeline().run(self.source(names, **more), loader_file_format=form)
        assert not info.has_failed_jobs
        return info


def stock(destination: Database) -> Destination[Any, Any]:
    if destination.kind == "duckdb":
        return dlt.destinations.duckdb(destination.address)
    parts = conninfo_to_dict(destination.address)
    host = {"host": str(parts["host"])} | ({"port": str(parts["port"])} if parts.get("port") else {})
    # dlt wants a password and a host where libpq has a Unix socket
    user = f"{quote(str(parts['user']))}:{quote(str(parts.get('password') or 'unused'))}"
    return dlt.destinations.postgres(f"postgresql://{user}@localhost/{parts['dbname']}?{urlencode(host)}")


def loads_of(sim: Simulator, destination: Database, folder: Path) -> Loads:
    return Loads(sim, destination, folder=folder)


@pytest.fixture
def loads(simulator: Callable[..., Simulator], destination: Database, tmp_path: Path) -> Loads:
    return loads_of(simulator(seed=1, customers=8, now=START, running=False), destination, tmp_path / "dlt")


@pytest.fixture
def duckdb_loads(simulator: Callable[..., Simulator], duckdb_path: Path, tmp_path: Path) -> Loads:
    sim = simulator(seed=1, customers=8, now=START, running=False, lacks=["issuing_cards"])
    return loads_of(sim, Database("duckdb", str(duckdb_path)), tmp_path / "dlt")


def ids(loads: Loads, table: str) -> list[str]:
    return sorted(row["id"] for row in loads.rows(table))


def held(loads: Loads, table: str) -> list[str]:
    return sorted(obj["id"] for obj in loads.sim.account.objects(table))


# --- rows -------------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_rows_equal_the_account_and_the_second_run_asks_for_what_is_newer(loads: Loads) -> None:
    names = [*NAMES, "customer_balance_transactions"]
    loads.run(names)
    assert loads.differences(names) == []
    assert {row["_source"] for row in loads.rows("invoice_line_items")} == {"list"}
    before = {row["id"]: row for row in loads.rows("customers")}
    new = loads.sim.account.create("customers", loads.sim.make("customers", name="New"))
    loads.forget_requests()
    loads.run(NAMES)
    after = {row["id"]: row for row in loads.rows("customers")}
    assert after.keys() - before.keys() == {new["id"]}
    assert {id: after[id] for id in before} == before
    assert loads.requests() <= 2 + len(NAMES)  # the account, and one request for each pass over a list
    assert loads.differences(names) == []


def test_unknown_fields_and_changed_types_lose_nothing(loads: Loads) -> None:
    make = loads.sim.make
    first = loads.sim.account.create("customers", make("customers", brand_new=7, nested={"a": [1]}, balance=5))
    loads.run(["customers"])
    second = loads.sim.account.create("customers", make("customers", brand_new="text", balance=2.5, late={"b": 1}))
    loads.run(["customers"])
    assert loads.differences(["customers"]) == []
    rows = {row["id"]: row for row in loads.rows("customers")}
    assert (rows[first["id"]]["brand_new"], rows[first["id"]]["balance"]) == (7, 5)
    assert (rows[second["id"]]["brand_new__v_text"], rows[second["id"]]["balance__v_double"]) == ("text", 2.5)


@pytest.mark.long
def test_full_refresh_merges_what_changed(loads: Loads) -> None:
    loads.run(["customers"])
    changed = ids(loads, "customers")[0]
    loads.sim.account.update("customers", changed, {"name": "Changed"})
    loads.run(["customers"])
    assert loads.row("customers", changed)["name"] != "Changed"
    loads.run(["customers"], full_refresh=True)
    assert loads.row("customers", changed)["name"] == "Changed"
    assert loads.differences(["customers"]) == []


def test_files_take_the_rows_as_well(duckdb_loads: Loads, tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    pipeline = dlt.pipeline(
        "files",
        pipelines_dir=str(tmp_path / "dlt"),
        destination=dlt.destinations.filesystem(bucket.as_uri()),
        dataset_name="stripe",
    )
    duckdb_loads.pass_time(60)
    pipeline.run(duckdb_loads.source(["invoices"]), loader_file_format="parquet")
    for table in ("invoices", "invoice_line_items"):
        stored = [
            row["id"] for path in bucket.rglob(f"{table}/*.parquet") for row in parquet.read_table(path).to_pylist()
        ]
        assert sorted(stored) == held(duckdb_loads, table)


def test_sqlite_takes_the_rows_as_well(duckdb_loads: Loads, tmp_path: Path) -> None:
    file = tmp_path / "stripe.sqlite"
    pipeline = dlt.pipeline(
        "sqlite",
        pipelines_dir=str(tmp_path / "dlt"),
        destination=dlt.destinations.sqlalchemy(f"sqlite:///{file}"),
        dataset_name="stripe",
    )
    duckdb_loads.pass_time(60)
    for _ in range(2):
        pipeline.run(duckdb_loads.source(["invoices"], full_refresh=True))
    with closing(sqlite3.connect(tmp_path / "stripe__stripe.sqlite")) as stored:
        for table in ("invoices", "invoice_line_items"):
            found = [id for (id,) in stored.execute(f"select id from {table} order by id")]
            assert found == held(duckdb_loads, table)


# --- reading back -----------------------------------------------------------------------------------------------------


def test_tables_can_be_read_as_dlts_dataset(loads: Loads) -> None:
    loads.run(["customers"])
    attached = dlt.attach("stripe", pipelines_dir=str(loads.folder), destination=stock(loads.destination))
    for pipeline in (loads.pipeline(), attached):
        customers = pipeline.dataset()["customers"]
        assert customers.columns[:2] == list(pipeline.default_schema.get_table_columns("customers"))[:2]
        assert sorted(id for (id,) in customers.select("id").fetchall()) == held(loads, "customers")
        parts = customers.select("id").iter_arrow(chunk_size=1_000)
        assert sorted(id for part in parts for id in part["id"].to_pylist()) == held(loads, "customers")


def test_what_the_pipelines_loaded_can_be_read_as_dlts_dataset(loads: Loads) -> None:
    loads.load("customers", "invoices")
    dataset = dlt.dataset(stock(loads.destination), "stripe")
    for table in ("customers", "invoice_line_items"):
        assert sorted(id for (id,) in dataset[table].select("id").fetchall()) == held(loads, table)


@pytest.mark.long
def test_dlts_command_knows_the_pipeline(loads: Loads) -> None:
    loads.run(["customers"])
    command = [sys.executable, "-m", "dlt", "pipeline", "--pipelines-dir", str(loads.folder), "stripe", "info"]
    done = subprocess.run(command, cwd=loads.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "stripe" in done.stdout
    assert "customers" in done.stdout


# --- selection --------------------------------------------------------------------------------------------------------


def test_resources_are_dlts_own_and_can_be_selected(duckdb_loads: Loads) -> None:
    source = duckdb_loads.source([])
    assert set(source.resources) == {
        resource.name for resource in RESOURCES.values() if "default" in resource.groups and resource.not_loaded is None
    }
    schema = source.resources["invoices"].compute_table_schema()
    assert schema["name"] == "invoices"
    assert [name for name, column in schema["columns"].items() if column.get("primary_key")] == ["id", "_account_id"]
    assert schema["columns"]["created"]["data_type"] == "timestamp"
    duckdb_loads.pass_time(60)
    duckdb_loads.pipeline().run(source.with_resources("products", "coupons"))
    assert {table for table in duckdb_loads.destination.tables("stripe") if table in TABLES} == {"products", "coupons"}


def test_children_list_their_parents_and_do_not_load_them(duckdb_loads: Loads) -> None:
    duckdb_loads.run(["customer_balance_transactions", "source_transactions"])
    tables = duckdb_loads.destination.tables("stripe")
    assert "customers" not in tables
    wanted = truth(duckdb_loads.sim.account, ["customers", "customer_balance_transactions", "source_transactions"])
    for table in ("customer_balance_transactions", "source_transactions"):
        assert set(ids(duckdb_loads, table)) == {key[0] for key in wanted[table]}


def test_since_and_until_bound_what_is_created(duckdb_loads: Loads) -> None:
    created = sorted(obj["created"] for obj in duckdb_loads.sim.account.objects("customers"))
    since, until = created[2], created[-2]
    duckdb_loads.run(["customers"], since=since, until=until)
    wanted = [obj["id"] for obj in duckdb_loads.sim.account.objects("customers") if since <= obj["created"] < until]
    assert ids(duckdb_loads, "customers") == sorted(wanted)


def test_product_that_the_account_lacks_is_left_out(duckdb_loads: Loads) -> None:
    duckdb_loads.run(["issuing_cards", "issuing_tokens", "products"])
    assert "issuing_cards" not in duckdb_loads.destination.tables("stripe")
    assert duckdb_loads.differences(["products"]) == []


def test_unknown_resource_and_unusable_key_are_told_at_once() -> None:
    with pytest.raises(UnknownResource, match="did you mean 'customers'"):
        stripe_source(resources=["custmers"], stripe_secret_key="sk_test_1")
    with pytest.raises(BadConfiguration, match="STRIPE_SECRET_KEY"):
        stripe_source(stripe_secret_key="pk_test_1")


# --- progress ---------------------------------------------------------------------------------------------------------


def test_progress_comes_back_from_the_destination(duckdb_loads: Loads, tmp_path: Path) -> None:
    duckdb_loads.run(["customers"])
    duckdb_loads.folder = tmp_path / "another machine"
    duckdb_loads.forget_requests()
    duckdb_loads.run(["customers"])
    assert duckdb_loads.requests() == 2
    assert duckdb_loads.differences(["customers"]) == []


def test_progress_is_of_one_account(duckdb_loads: Loads) -> None:
    duckdb_loads.run(["products"], account_id="acct_other")
    duckdb_loads.run(["products"])
    assert len(duckdb_loads.rows("products")) == 2 * len(held(duckdb_loads, "products"))
    assert duckdb_loads.differences(["products"]) == []


def test_failure_ends_the_extraction_and_nothing_is_skipped_afterwards(duckdb_loads: Loads) -> None:
    duckdb_loads.sim.faults.add("status", status=500, path_prefix="/v1/charges")
    with pytest.raises(PipelineStepFailed) as raised:
        duckdb_loads.run(["customers", "charges"])
    assert ServerFailed in kinds(raised.value)
    duckdb_loads.sim.faults.clear()
    duckdb_loads.run(["customers", "charges"])
    assert duckdb_loads.differences(["customers", "charges"]) == []


def test_sample_counts_as_no_progress(duckdb_loads: Loads) -> None:
    duckdb_loads.pass_time(60)
    duckdb_loads.pipeline().run(duckdb_loads.source(["customers"]).add_limit(0))
    duckdb_loads.run(["customers"])
    assert duckdb_loads.differences(["customers"]) == []


def test_source_that_is_run_again_asks_for_what_is_new_by_then(duckdb_loads: Loads) -> None:
    source, pipeline = duckdb_loads.source(["customers"]), duckdb_loads.pipeline()
    duckdb_loads.pass_time(60)
    pipeline.run(source)
    duckdb_loads.sim.account.create("customers", duckdb_loads.sim.make("customers"))
    duckdb_loads.pass_time(60)
    pipeline.run(source)
    assert duckdb_loads.differences(["customers"]) == []


def kinds(error: BaseException | None) -> set[type[BaseException]]:
    found = set()
    while error is not None:
        found.add(type(error))
        error = error.__cause__ or error.__context__
    return found


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_have_the_names_of_the_pipelines(duckdb_loads: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__STRIPE__API_BASE", duckdb_loads.sim.url)
    monkeypatch.setenv("SOURCES__STRIPE__SANDBOX_RATE", "inf")
    monkeypatch.setenv("SOURCES__STRIPE__MAX_RETRIES", "0")
    monkeypatch.setenv("SOURCES__STRIPE__STRIPE_SECRET_KEY", "sk_test_wrong")
    with pytest.raises(PipelineStepFailed) as raised:
        duckdb_loads.pipeline().run(stripe_source(resources=["products"]))
    assert AuthenticationFailed in kinds(raised.value)
    monkeypatch.delenv("SOURCES__STRIPE__STRIPE_SECRET_KEY")
    monkeypatch.setenv("STRIPE_SECRET_KEY", duckdb_loads.sim.key)
    monkeypatch.setenv("SOURCES__STRIPE__RESOURCES", '["products"]')
    duckdb_loads.pipeline().run(stripe_source())
    assert ids(duckdb_loads, "products") == held(duckdb_loads, "products")


@pytest.mark.parametrize("section", ["", "SOURCES__"])
def test_arguments_come_from_the_section_of_the_source_alone(
    duckdb_loads: Loads, monkeypatch: pytest.MonkeyPatch, section: str
) -> None:
    others = {
        "SINCE": "2030-01-01",
        "UNTIL": "1",
        "FULL_REFRESH": "true",
        "ACCOUNT_ID": "acct_other",
        "STRIPE_ACCOUNT": "acct_other",
        "RESOURCES": '["coupons"]',
        "API_BASE": "http://127.0.0.1:9",
        "WORKERS": "many",
        "STRIPE_VERSION": "2010-01-01",
        "LIVE_RATE": "fast",
    }
    monkeypatch.setenv("STRIPE_SECRET_KEY", duckdb_loads.sim.key)
    monkeypatch.setenv("SOURCES__STRIPE__API_BASE", duckdb_loads.sim.url)
    monkeypatch.setenv("SOURCES__STRIPE__RESOURCES", '["products", "customers"]')
    duckdb_loads.pass_time(60)
    with monkeypatch.context() as around:  # a pipeline of the user's own goes by dlt's rules, and so not by these
        for name, value in others.items():
            around.setenv(f"{section}{name}", value)
        source = stripe_source()
    duckdb_loads.pipeline().run(source)
    assert duckdb_loads.differences(["products", "customers"]) == []


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_moments_without_a_zone_are_in_utc_whatever_the_environment_says(duckdb_loads: Loads, zone: str) -> None:
    code = (
        "import sys; from sources.stripe_api.source import _seconds;"
        "sys.exit(_seconds('2025-01-31') != 1738281600 or _seconds('2025-01-31T01:00:00+01:00') != 1738281600)"
    )
    environment = os.environ | {"DLT_INTERVAL_TIMEZONE": zone, "TZ": zone}
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False).returncode == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("said", "sent"), [({}, False), ({"RUNTIME__DLTHUB_TELEMETRY": "true"}, True)], ids=["not set", "asked for"]
)
def test_dlts_telemetry_is_off_unless_it_is_asked_for(tmp_path: Path, said: dict[str, str], sent: bool) -> None:
    code = (
        "import sys, dlt; dlt.config.get('x');"
        "from dlt.common.runtime import anon_tracker as tracker; assert tracker._ANON_TRACKER_ENDPOINT;"
        "from sources.stripe_api import stripe_source; stripe_source(stripe_secret_key='sk_test_1');"
        "print(tracker._ANON_TRACKER_ENDPOINT is not None)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "RUNTIME__DLTHUB_TELEMETRY"}
    nowhere = {"RUNTIME__DLTHUB_TELEMETRY_ENDPOINT": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=environment | nowhere | said, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(sent)


def test_package_without_the_source_imports_no_dlt() -> None:
    code = "import sys, sources.stripe_api.objects.rows; sys.exit('dlt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.long
def test_examples_of_the_page_run(duckdb_loads: Loads, tmp_path: Path) -> None:
    duckdb_loads.pass_time(60)
    environment = {**os.environ, **duckdb_loads.environment, "PYTHONPATH": str(ROOT)}
    for language, text in blocks(ROOT / "docs" / "source.md"):
        if language == "python":
            command = [sys.executable, "-c", text]
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
