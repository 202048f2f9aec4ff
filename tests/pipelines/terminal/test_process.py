"""The process around a command: streams that are closed or full, files that are left, who may read them, overlap."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from pipelines.loading.session import open_database
from tests.databases import Database
from tests.pipelines.mirror import START, Mirror

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("--resources", "products")


@pytest.fixture
def on_duckdb(simulator: Callable[..., object], duckdb_path: Path) -> Mirror:
    sim = simulator(seed=1, customers=4, now=START, running=False)
    return Mirror(sim, Database("duckdb", str(duckdb_path)))  # type: ignore[arg-type]


def shell(mirror: Mirror, redirections: str, script: str, *arguments: str, **changed: str) -> tuple[int, str, str]:
    """A command in bash, its streams led elsewhere: exit code, stdout, stderr."""
    command = f'set -o pipefail; "$0" "$@" {redirections}'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, str(ROOT / "pipelines" / script), *arguments],
        env=mirror.environment | changed,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    return done.returncode, done.stdout, " ".join(done.stderr.split())


@pytest.mark.long
@pytest.mark.parametrize("redirections", [">&-", "<&- >&- 2>&-", "| true", ">/dev/full", ">/dev/full 2>&1"])
def test_a_stdout_that_nobody_reads_is_no_failure_of_a_load(on_duckdb: Mirror, redirections: str) -> None:
    code, _, told = shell(on_duckdb, redirections, "stripe_full.py", *NAMES)
    assert code == 0, told
    assert ("could not be written to stdout" in told) == (redirections == ">/dev/full")
    assert on_duckdb.differences(["products"]) == []


@pytest.mark.long
def test_surroundings_of_a_process_change_nothing(on_duckdb: Mirror, tmp_path: Path) -> None:
    on_duckdb.sim.account.create("products", on_duckdb.sim.make("products") | {"name": "Käse"})
    on_duckdb.pass_time(60)
    link = tmp_path / "load"
    link.symlink_to(ROOT / "pipelines" / "stripe_full.py")
    strange = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "TZ": "Pacific/Apia", "PYTHONOPTIMIZE": "2", "HOME": ""}
    strange |= {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", "FORCE_COLOR": "1", "COLUMNS": "1", "TERM": "dumb"}
    code, _, errors = shell(on_duckdb, "</dev/null", str(link), *NAMES, **strange)
    assert code == 0, errors
    assert "\x1b" not in errors
    assert on_duckdb.differences(["products"]) == []


def test_json_on_stdout_is_all_of_stdout(on_duckdb: Mirror) -> None:
    on_duckdb.load("products")
    code, told, errors = shell(on_duckdb, "", "stripe_check.py", *NAMES, "--json", "-", PYTHONIOENCODING="ascii")
    assert code == 0, errors
    (report,) = json.loads(told)
    assert report["incomplete"] == {}
    assert "no drift" in errors
    assert shell(on_duckdb, ">/dev/full", "stripe_check.py", *NAMES, "--json", "-")[0] == 1


def test_a_report_stays_until_the_next_one_is_whole(on_duckdb: Mirror, tmp_path: Path) -> None:
    on_duckdb.load("products")
    path = tmp_path / "report.json"
    path.write_text("the last one")
    wrong = shell(on_duckdb, "", "stripe_check.py", *NAMES, "--json", str(path), STRIPE_SECRET_KEY="sk_test_wrong")
    assert wrong[0] == 2
    assert path.read_text() == "the last one"
    assert shell(on_duckdb, "", "stripe_check.py", *NAMES, "--json", str(path))[0] == 0
    assert len(json.loads(path.read_text())) == 1
    assert [path.name for path in tmp_path.iterdir() if ".part" in path.name] == []


def test_a_duckdb_file_that_could_not_be_filled_stops_no_later_run(on_duckdb: Mirror, duckdb_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in (0, 5_000):
        command = [sys.executable, str(ROOT / "pipelines" / "stripe_full.py"), *NAMES]
        code = subprocess.run(
            command,
            env=on_duckdb.environment,
            capture_output=True,
            check=False,
            preexec_fn=lambda most=most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard)),
        ).returncode
        assert code == 2
        assert {path.name for path in duckdb_path.parent.iterdir()} <= {f"{duckdb_path.name}.lock"}
    duckdb_path.touch()  # what earlier versions have left
    duckdb_path.with_name(f"{duckdb_path.name}.new").write_bytes(b"half a database")
    on_duckdb.load("products")
    assert on_duckdb.differences(["products"]) == []


def test_a_new_duckdb_file_is_the_users_alone_and_an_old_one_keeps_its_mode(
    on_duckdb: Mirror, duckdb_path: Path
) -> None:
    before = os.umask(0o022)
    try:
        for mode in (0o600, 0o640, 0o644):
            if mode != 0o600:
                duckdb_path.chmod(mode)
            database = open_database(on_duckdb.settings)
            database.execute("CREATE OR REPLACE TABLE made (a int)")
            database.execute("INSERT INTO made VALUES (1)")
            modes = {path.name: path.stat().st_mode & 0o777 for path in duckdb_path.parent.glob("*.duckdb*")}
            assert modes == {f"{duckdb_path.name}{end}": mode for end in ("", ".wal", ".lock")}
            database.close()
            assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


@pytest.mark.long
@pytest.mark.parametrize(("script", "code"), [("full", 0), ("sync", 0), ("check", 0), ("object", 2), ("part", 2)])
def test_a_scheduled_run_that_overlaps_ends_with_0_and_an_order_by_hand_with_2(
    on_duckdb: Mirror, duckdb_path: Path, script: str, code: int
) -> None:
    arguments = {"object": ["cus_1"], "part": ["events"]}.get(script, [])
    with FileLock(f"{duckdb_path}.lock"):
        ended, _, told = shell(on_duckdb, "", f"stripe_{script}.py", *arguments)
    assert (ended, "Another run is using the DuckDB file" in told) == (code, True)
