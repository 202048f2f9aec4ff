"""The DAGs, run for real by `airflow dags test`: Airflow in its own environment, the project in its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.airflow.conftest import Airflow, OneAccount
from tests.pipelines.mirror import Mirror

pytestmark = pytest.mark.timeout(900)  # the first run on a machine installs Airflow

HOUR, DAY = 3_600, 86_400
LISTS = ("customers", "quotes", "shipping_rates", "payment_intents", "file_links")
DUE = {"billing": "success", "payments": "success"}  # the areas of the lists that events do not tell whole


@pytest.fixture
def environment(platform: Mirror, connected: Sequence[OneAccount], root: Path) -> dict[str, str]:
    """A worker's environment: the key, the database, two accounts, and where the project is."""
    return {
        **platform.environment,
        "SOURCES__STRIPE__STRIPE_ACCOUNT": ",".join(one.account_id for one in connected),
        "STRIPE_ELT_HOME": str(root),
        "STRIPE_ELT_PYTHON": sys.executable,
        "STRIPE_ELT_RETRIES": "0",
        "STRIPE_ELT_CHECK_SCHEDULE": "@daily",
    }


def change(one: OneAccount, name: str) -> str:
    """A customer changes, which an event tells, and a shipping rate is made, which none does. Returns the event."""
    account = one.sim.connected(one.account_id)
    account.update("customers", account.tables["customers"].shelf.rows()[-1].id, {"name": name})
    account.create("shipping_rates", one.sim.make("shipping_rates"))
    return account.tables["events"].shelf.rows()[-1].id


def ran_well(*accounts: OneAccount, lists: Mapping[str, str] = DUE) -> dict[tuple[str, str], str]:
    """The states of a run in which the accounts' tasks went well."""
    return {
        ("accounts", ""): "success",
        ("due", ""): "success",
        ("done", ""): "success",
        **{("events", one.account_id): "success" for one in accounts},
        **{("lists", f"{one.account_id} {area}"): state for one in accounts for area, state in lists.items()},
    }


def test_every_task_is_in_the_pool_and_is_tried_again(airflow: Airflow, environment: dict[str, str]) -> None:
    """The pool's slots are from the settings, and the check takes all of them."""
    settings = {"STRIPE_ELT_POOL": "of_stripe", "STRIPE_ELT_SLOTS": "7", "STRIPE_ELT_RETRIES": "5"}
    tell = (
        "import importlib.util as load, json, sys\n"
        "spec = load.spec_from_file_location('stripe', sys.argv[1])\n"
        "module = load.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "dags = (module.stripe_sync, module.stripe_check)\n"
        "told = {t.task_id: [t.pool, t.pool_slots, t.retries] for dag in dags for t in dag.tasks}\n"
        "told |= {dag.dag_id: [dag.max_active_runs, dag.catchup] for dag in dags}\n"
        "print(json.dumps(told))"
    )
    printed = airflow.python_prints("-c", tell, str(airflow.home / "dags" / "stripe.py"), env=environment | settings)
    told = json.loads(printed.splitlines()[-1])
    assert (told["stripe_sync"], told["stripe_check"]) == ([1, False], [1, False])
    assert [told[name] for name in ("accounts", "events", "lists")] == [["of_stripe", 1, 5]] * 3
    assert told["check"] == ["of_stripe", 7, 0]


def test_what_fails_is_tried_again_and_stops_no_other_account(
    airflow: Airflow, platform: Mirror, connected: Sequence[OneAccount], environment: dict[str, str]
) -> None:
    broken, sound = connected
    for one in connected:
        one.sync(*LISTS)
    platform.pass_time(DAY)
    first, _ = (change(one, "Changed") for one in connected)
    platform.pass_time(HOUR)

    platform.sim.faults.add(path="/v1/events", status=500, holding=first)
    failed = airflow.run("dags", "test", "stripe_sync", env=environment)
    assert failed.returncode != 0
    assert airflow.states() == ran_well(sound) | {
        ("events", broken.account_id): "failed",
        ("done", ""): "upstream_failed",
    }, failed.stdout
    assert environment["STRIPE_SECRET_KEY"] not in failed.stdout
    assert sound.wrong(LISTS) == []
    assert broken.wrong(LISTS) != []

    platform.sim.faults.clear()
    platform.forget_requests()
    platform.sim.faults.add(path="/v1/shipping_rates", status=500, times=1)
    tried = {"STRIPE_ELT_RETRIES": "2", "STRIPE_ELT_RETRY_SECONDS": "0.1"}
    mended = airflow.run("dags", "test", "stripe_sync", env=environment | tried)
    assert mended.returncode == 0, mended.stdout
    account = broken.account_id
    assert airflow.tries("lists") == {f"{account} billing": 1, f"{account} payments": 2}
    assert airflow.states() == ran_well(sound, lists={}) | ran_well(broken), mended.stdout
    assert [one.wrong(LISTS) for one in connected] == [[], []]
    assert staging(platform) == []


def staging(mirror: Mirror) -> list[str]:
    """Staging datasets that parts have left behind."""
    rows = mirror.destination.query("select schema_name from information_schema.schemata")
    return [name for (name,) in rows if name.startswith("stripe_staging_")]


def test_the_check_finds_drift_and_repairs_it(
    airflow: Airflow, platform: Mirror, connected: Sequence[OneAccount], environment: dict[str, str]
) -> None:
    for one in connected:
        one.sync("customers")
    platform.destination.query("update stripe.customers set name = 'Corrupted'")
    found = airflow.run("dags", "test", "stripe_check", env=environment)
    assert found.returncode != 0
    assert airflow.states() == {("check", ""): "failed"}, found.stdout
    assert [one.wrong(["customers"]) for one in connected] == [[], []]
