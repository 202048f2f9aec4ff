"""Airflow in an environment of its own, as the project meets it in real life, and a platform with two accounts.

The environment is made once from the locked requirements.txt, below pytest's cache folder. uv makes it in a twentieth
of the time that pip takes.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.databases import Database
from tests.pipelines.mirror import START, Mirror

if TYPE_CHECKING:
    from simulator import Simulator

REQUIREMENTS = Path(__file__).parent / "requirements.txt"


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
    return two_accounts(platform)


def two_accounts(platform: Mirror) -> list[OneAccount]:
    """Two of the accounts that are connected to a platform, which share its database."""
    rows = platform.sim.account.tables["accounts"].shelf.rows()
    ids = [row.id for row in rows if row.id != platform.sim.account.id][:2]
    return [OneAccount(platform.sim, platform.destination, changes={"stripe_account": id}, account_id=id) for id in ids]
