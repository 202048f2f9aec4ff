"""The DAGs on a running Airflow: its own environment, a scheduler, two Celery workers that are killed, a real Postgres.

One Airflow for the file and three runs of DAGs: the first fails for one of two accounts, the second is a full refresh
whose workers are killed, the third is the check. The key and the database are in Airflow's Connections alone.
"""

from __future__ import annotations

import random
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from simulator import Simulator
from tests.airflow.conftest import OneAccount, two_accounts
from tests.airflow.running import MISSING, REDIS, WORKERS, RunningAirflow, running_airflow
from tests.databases import Database, with_database
from tests.pipelines.mirror import START, Mirror

pytestmark = pytest.mark.timeout(900)  # the first run on a machine installs Airflow

HOUR, DAY = 3_600, 86_400
LISTS = ("customers", "quotes", "shipping_rates", "payment_intents", "file_links")
AREAS = ("billing", "payments")  # of these lists; a full refresh and a day's run read both
SYNC, CHECK = "stripe_sync", "stripe_check"
RETRIES, KILLS = 3, 2
PASSWORD = "warehouse/p@ssword:äß"
SEED = 11

CONSUMER = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset

with DAG("consumer", schedule=[Asset("x-stripe-elt://stripe")], is_paused_upon_creation=False):
    EmptyOperator(task_id="report")
"""


@dataclass
class Scheduled:
    """A platform with two accounts, their tables, and an Airflow that keeps them up to date."""

    airflow: RunningAirflow
    platform: Mirror
    connected: list[OneAccount]

    @property
    def wrong(self) -> list[list[str]]:
        """Where each account and its rows differ."""
        return [account.wrong(LISTS) for account in self.connected]


@pytest.fixture(scope="module")
def scheduled(
    airflow_python: Path, postgres_server: str, tmp_path_factory: pytest.TempPathFactory, root: Path
) -> Iterator[Scheduled]:
    """The DAGs are paused, but for the one that waits for an asset."""
    home = tmp_path_factory.mktemp("airflow")
    (home / "dags").mkdir()
    (home / "dags" / "stripe.py").symlink_to(root / "pipelines" / "airflow_dag.py")
    (home / "dags" / "consumer.py").write_text(CONSUMER)
    with Simulator(seed=1, customers=8, now=START, running=False) as simulator, databases(postgres_server) as made:
        metadata, warehouse = made
        platform = Mirror(simulator, Database("postgres", warehouse))
        connected = two_accounts(platform)
        environment = {
            **{name: value for name, value in platform.environment.items() if name not in IN_CONNECTIONS},
            "SOURCES__STRIPE__STRIPE_ACCOUNT": ",".join(account.account_id for account in connected),
            "STRIPE_ELT_HOME": str(root),
            "STRIPE_ELT_PYTHON": sys.executable,
            "STRIPE_ELT_SCHEDULE": "@once",
            "STRIPE_ELT_CHECK_SCHEDULE": "@once",
            "STRIPE_ELT_POOL": "of_stripe",
            "STRIPE_ELT_SLOTS": "5",
            "STRIPE_ELT_RETRIES": str(RETRIES),
            "STRIPE_ELT_RETRY_SECONDS": "0.1",
            "STRIPE_ELT_TIMEOUT_SECONDS": "123",
            "STRIPE_ELT_KEY_CONNECTION": "stripe_key",
            "STRIPE_ELT_DATABASE_CONNECTION": "warehouse",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "true",
        }
        connections = [
            {"conn_id": "stripe_key", "conn_type": "generic", "password": simulator.key},
            {"conn_id": "warehouse", "conn_type": "postgres", "password": PASSWORD, **words_of(warehouse)},
        ]
        given = {"pool": "of_stripe", "slots": 5, "connections": connections}
        with running_airflow(airflow_python, home, metadata, environment, **given) as airflow:
            yield Scheduled(airflow, platform, connected)


IN_CONNECTIONS = ("STRIPE_SECRET_KEY", "DATABASE_URL", "SOURCES__STRIPE__DESTINATION")


@contextmanager
def databases(server: str) -> Iterator[list[str]]:
    """Two empty databases: for Airflow's metadata, and the destination."""
    names = [sql.Identifier(f"airflow_{what}_{uuid.uuid4().hex[:12]}") for what in ("metadata", "warehouse")]
    with psycopg.connect(server, autocommit=True) as connection:
        for name in names:
            connection.execute(sql.SQL("create database {} template template0").format(name))
        yield [with_database(server, name.as_string().strip('"')) for name in names]
        for name in names:
            connection.execute(sql.SQL("drop database {} with (force)").format(name))


def words_of(address: str) -> dict[str, Any]:
    """A libpq address as the fields of a Connection."""
    words = conninfo_to_dict(address)
    return {"host": words["host"], "login": words["user"], "schema": words["dbname"], "port": words.get("port")}


@pytest.fixture(scope="module")
def failed(scheduled: Scheduled) -> Scheduled:
    """After a run in which one account's events cannot be read, and a list of the other fails once."""
    platform = scheduled.platform
    for account in scheduled.connected:
        account.sync(*LISTS)
    platform.pass_time(DAY)
    first, _ = (change(account, "Changed") for account in scheduled.connected)
    platform.pass_time(HOUR)
    platform.sim.faults.add(path="/v1/events", status=500, holding=first)
    platform.sim.faults.add(path="/v1/shipping_rates", status=500, times=1)
    scheduled.airflow.unpause(SYNC)
    assert scheduled.airflow.wait_for_run(SYNC) == "failed"
    return scheduled


def change(one: OneAccount, name: str) -> str:
    """A customer changes, which an event tells, and a shipping rate is made, which none does. Returns the event."""
    account = one.sim.connected(one.account_id)
    account.update("customers", account.tables["customers"].shelf.rows()[-1].id, {"name": name})
    account.create("shipping_rates", one.sim.make("shipping_rates"))
    return account.tables["events"].shelf.rows()[-1].id


def ended(*accounts: OneAccount) -> dict[tuple[str, str], str]:
    """The states of a run in which the tasks of these accounts went well."""
    return {
        **{(name, ""): "success" for name in ("accounts", "due", "done")},
        **{("events", account.account_id): "success" for account in accounts},
        **{("lists", f"{account.account_id} {area}"): "success" for account in accounts for area in AREAS},
    }


@pytest.mark.long
def test_what_fails_is_tried_again_and_stops_no_other_account(failed: Scheduled) -> None:
    broken, sound = failed.connected
    assert failed.airflow.states(SYNC) == ended(sound) | {
        ("events", broken.account_id): "failed",
        ("done", ""): "upstream_failed",
    }
    assert failed.airflow.tries(SYNC, "events") == {broken.account_id: RETRIES + 1, sound.account_id: 1}
    assert failed.airflow.tries(SYNC, "lists") == {f"{sound.account_id} billing": 1, f"{sound.account_id} payments": 2}
    assert sound.wrong(LISTS) == []
    assert broken.wrong(LISTS) != []
    assert failed.airflow.query("select 1 from dag_run where dag_id = 'consumer'") == []


@pytest.fixture(scope="module")
def refreshed(failed: Scheduled) -> Scheduled:
    """After a full refresh, during which workers are killed at random instants and started again.

    What the tables lack is in no event and older than any lookback: only a full refresh finds it.
    """
    platform, airflow = failed.platform, failed.airflow
    platform.sim.faults.clear()
    platform.sim.faults.add("slow", delay=0.2)
    platform.destination.query("delete from stripe.payment_intents")
    chance = random.Random(SEED)
    airflow.trigger(SYNC, full_refresh=True)
    for _ in range(KILLS if WORKERS else 0):
        airflow.wait(chance.uniform(4, 10))
        name = chance.choice(WORKERS)
        airflow.kill(name)
        airflow.start_worker(name)
    assert airflow.wait_for_run(SYNC, 2) == "success"
    platform.sim.faults.clear()
    return failed


@pytest.mark.long
def test_a_full_refresh_survives_killed_workers(refreshed: Scheduled) -> None:
    assert refreshed.airflow.states(SYNC) == ended(*refreshed.connected)
    assert refreshed.wrong == [[], []]
    staging = "select schema_name from information_schema.schemata where schema_name like 'stripe_staging_%'"
    assert refreshed.platform.destination.query(staging) == []


def test_a_refresh_begins_once_however_often_its_tasks_are_tried(refreshed: Scheduled) -> None:
    (run,) = refreshed.airflow.query("select run_id from dag_run where dag_id = %s order by id desc limit 1", SYNC)
    noted = refreshed.platform.destination.query("select distinct full_refresh from stripe.sync_accounts")
    assert noted == [run]


@pytest.mark.skipif(REDIS is None, reason=MISSING)
def test_both_workers_did_some_of_the_tasks(refreshed: Scheduled) -> None:
    attempts = refreshed.airflow.attempts()
    print(f"Attempts at tasks: {dict(attempts)}; workers were killed {KILLS} times")
    assert set(attempts) == set(WORKERS)


def test_another_dag_is_started_by_the_asset(refreshed: Scheduled) -> None:
    assert refreshed.airflow.wait_for_run("consumer") == "success"  # the scheduler begins it in a later loop
    kinds = refreshed.airflow.query("select run_type from dag_run where dag_id = 'consumer'")
    assert kinds == [("asset_triggered",)]


def test_the_check_finds_drift_and_repairs_it(refreshed: Scheduled) -> None:
    refreshed.platform.destination.query("update stripe.customers set name = 'Corrupted'")
    refreshed.airflow.unpause(CHECK)
    assert refreshed.airflow.wait_for_run(CHECK) == "failed"
    assert refreshed.airflow.states(CHECK) == {("check", ""): "failed"}
    assert refreshed.wrong == [[], []]


def test_no_secret_is_in_what_airflow_keeps(refreshed: Scheduled) -> None:
    kept = refreshed.airflow.kept()
    assert "x-stripe-elt://stripe" in kept
    assert "objects changed" in kept  # what the scripts say is in the logs
    assert [secret for secret in (refreshed.platform.sim.key, PASSWORD, "warehouse%2F") if secret in kept] == []


def test_every_task_has_what_the_settings_say(scheduled: Scheduled) -> None:
    """The pool and its slots, of which the check takes all; retries, of which the check has none; and a time-out."""
    rows = scheduled.airflow.query("select data from serialized_dag where dag_id in (%s, %s)", SYNC, CHECK)
    serialized = [task for (data,) in rows for task in data["dag"]["tasks"] if task["__var"]["task_id"] in SCRIPTS]
    tasks = {each["task_id"]: each for each in map(settings_of, serialized)}
    told = {name: [task.get(key) for key in TOLD] for name, task in tasks.items()}
    assert [told[name] for name in ("accounts", "events", "lists")] == [["of_stripe", 1, RETRIES, 123.0]] * 3
    assert told["check"] == ["of_stripe", 5, 0, 123.0]


SCRIPTS = ("accounts", "events", "lists", "check")
TOLD = ("pool", "pool_slots", "retries", "execution_timeout")


def settings_of(serialized: dict[str, Any]) -> dict[str, Any]:
    """A serialized task with the arguments of a mapped one, and what is left out because it is the default."""
    task = serialized["__var"]
    told = {"pool_slots": 1, "retries": 0, **task, **task.get("partial_kwargs", {})}
    limit = told["execution_timeout"]
    return {**told, "execution_timeout": limit["__var"] if isinstance(limit, dict) else limit}
