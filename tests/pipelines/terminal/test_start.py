"""What a command imports before it knows that it needs it: a second of every start is at stake."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.pipelines.mirror import Mirror

HEAVY = {"dlt", "duckdb", "pendulum", "psycopg", "psycopg2", "pyarrow", "requests", "rich", "sqlglot", "stripe"}
RUN = """
import atexit, runpy, sys
atexit.register(lambda: print("imported:", *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SCRIPTS = ("stripe_full", "stripe_sync", "stripe_check", "stripe_object", "stripe_part", "stripe_report")


def heavy_imports(root: Path, script: str, *options: str, env: Mapping[str, str] | None = None) -> set[str]:
    """Which of the heavy packages a script has imported when it ends well."""
    command = [sys.executable, "-c", RUN, f"pipelines/{script}.py", *options]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=True)
    return HEAVY & set(done.stderr.rpartition("imported: ")[2].split())


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_needs_the_standard_library_alone(root: Path, script: str) -> None:
    assert heavy_imports(root, script, "--help") == set()


COMMANDS = (
    "full",
    "sync",
    "check",
    "object",
    "start",
    "backfill",
    "migrate",
    "forget",
    "status",
    "doctor",
    "resources",
)


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_of_the_one_command_needs_the_standard_library_alone(root: Path, words: list[str]) -> None:
    command = [sys.executable, "-c", RUN, "stripe_elt/__main__.py", *words]
    env = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stderr.rpartition("imported: ")[2].split()) == set()


def test_an_idle_sync_needs_the_driver_of_its_database_alone(mirror: Mirror, root: Path) -> None:
    mirror.begin("customers", "events", synced=True)
    mirror.pass_time(3_600)
    needed = {"duckdb"} if mirror.destination.kind == "duckdb" else {"psycopg"}
    assert heavy_imports(root, "stripe_sync", env=mirror.environment) == needed


@pytest.mark.long
def test_a_sync_that_makes_columns_does_without_dlt_too(mirror: Mirror, root: Path) -> None:
    mirror.begin("customers", "events", synced=True)
    account, driver = mirror.sim.account, {"duckdb"} if mirror.destination.kind == "duckdb" else {"psycopg"}
    customer = account.tables["customers"].shelf.rows()[0].id
    account.update("customers", customer, {"name": "Changed"})
    mirror.pass_time(3_600)
    assert heavy_imports(root, "stripe_sync", env=mirror.environment) == driver | {"pyarrow"}
    account.update("customers", customer, {"brand_new": "text"})
    mirror.pass_time(3_600)
    assert heavy_imports(root, "stripe_sync", env=mirror.environment) == driver | {"pyarrow"}
    assert mirror.differences(["customers"]) == []


def test_a_sink_begins_without_what_only_loads_and_pages_need(root: Path) -> None:
    """PyArrow alone is a third of its memory; the page and urllib3 are a quarter of the time of its imports."""
    tell = "import sys, webhook_sink.__main__, sources.stripe_api.provider; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", tell], cwd=root, capture_output=True, text=True, check=True)
    unneeded = HEAVY | {"jinja2", "urllib3", "webhook_sink.jobs", "webhook_sink.http.page"}
    assert unneeded & set(done.stdout.split()) == {"psycopg"}
