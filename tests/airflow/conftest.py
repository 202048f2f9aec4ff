"""Airflow in an environment of its own, as the project meets it in real life, and a home for its metadata.

The environment is made once from the locked requirements.txt, below pytest's cache folder. uv makes it in a twentieth
of the time that pip takes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.databases import Database
from tests.pipelines.mirror import START, Mirror

if TYPE_CHECKING:
    from simulator import Simulator

REQUIREMENTS = Path(__file__).parent / "requirements.txt"


@dataclass(frozen=True)
class Airflow:
    """An installed Airflow with metadata in SQLite, and the project's DAG file in its folder."""

    python: Path
    home: Path

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """`airflow …`, errors in `stdout` too."""
        return self._run("-m", "airflow", *arguments, env=env)

    def python_prints(self, *arguments: str, env: Mapping[str, str]) -> str:
        """What Airflow's own interpreter prints, which has to go well."""
        done = self._run(*arguments, env=env)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def _run(self, *arguments: str, env: Mapping[str, str] | None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.python), *arguments],
            env={
                **(env or os.environ),
                "AIRFLOW_HOME": str(self.home),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
                "NO_COLOR": "1",
            },
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def states(self) -> dict[tuple[str, str], str]:
        """The states of the last run's tasks, by task and by what it is mapped over ("" where it is not)."""
        return {(task, mapped): state for task, mapped, state, _ in self._instances()}

    def tries(self, task: str) -> dict[str, int]:
        """How often a task of the last run was tried, by what it is mapped over."""
        return {mapped: tries for name, mapped, _, tries in self._instances() if name == task}

    def _instances(self) -> list[tuple[str, str, str, int]]:
        with closing(sqlite3.connect(self.home / "airflow.db")) as metadata:
            return metadata.execute(
                "select task_id, coalesce(rendered_map_index, ''), state, try_number"
                " from task_instance where run_id = (select run_id from dag_run order by id desc limit 1)"
            ).fetchall()


@pytest.fixture(scope="session")
def airflow_python(request: pytest.FixtureRequest) -> Path:
    """The interpreter of an environment that holds what requirements.txt says, and nothing of the project."""
    folder: Path = request.config.cache.mkdir("airflow")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once
        return _environment(folder)


def _environment(folder: Path) -> Path:
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    python, stamp = folder / "venv" / "bin" / "python", folder / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    stamp.unlink(missing_ok=True)
    shutil.rmtree(folder / "venv", ignore_errors=True)
    _do("venv", "--quiet", "--python", sys.executable, str(folder / "venv"))
    _do("pip", "install", "--quiet", "--python", str(python), "-r", str(REQUIREMENTS))
    stamp.write_text(wanted)
    return python


def _do(*arguments: str) -> None:
    command = [sys.executable, "-m", "uv", *arguments]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}"


@pytest.fixture(scope="session")
def airflow(airflow_python: Path, tmp_path_factory: pytest.TempPathFactory, root: Path) -> Airflow:
    """Airflow with a fresh metadata database and the DAG file linked into its folder, as the docs say."""
    home = tmp_path_factory.mktemp("airflow")
    (home / "dags").mkdir()
    (home / "dags" / "stripe.py").symlink_to(root / "pipelines" / "airflow_dag.py")
    installed = Airflow(airflow_python, home)
    migrated = installed.run("db", "migrate")
    assert migrated.returncode == 0, migrated.stdout
    return installed


@dataclass
class OneAccount(Mirror):
    """A mirror of one connected account."""

    account_id: str = ""

    def wrong(self, names: Sequence[str]) -> list[str]:
        """Where the account and its rows differ."""
        return self.differences(names, self.sim.connected(self.account_id))


@pytest.fixture
def platform(postgres_url: str, simulator: Callable[..., Simulator]) -> Mirror:
    """A platform with connected accounts, whose clock stands still, beside an empty Postgres database."""
    started = simulator(seed=1, customers=8, now=START, running=False)
    return Mirror(started, Database("postgres", postgres_url))


@pytest.fixture
def connected(platform: Mirror) -> list[OneAccount]:
    """Two of the accounts that are connected to the platform."""
    rows = platform.sim.account.tables["accounts"].shelf.rows()
    ids = [row.id for row in rows if row.id != platform.sim.account.id][:2]
    return [OneAccount(platform.sim, platform.destination, changes={"stripe_account": id}, account_id=id) for id in ids]
