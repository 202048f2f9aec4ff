"""Whatever the environment, a role or a database is set to: the same tables and exit code 0, or a refusal at the start.

Invariant 13. Each case runs every command (load, sync, single object, sink, check) under hostile surroundings, in a
process of its own, and compares the tables with the account field by field.
"""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from tests.databases import Database, with_database
from tests.pipelines.mirror import START, Mirror
from tests.pipelines.warehouse.test_session_properties import HOSTILE
from tests.surroundings.every_command import LISTS, NAMES

if TYPE_CHECKING:
    from simulator import Simulator

PROGRAM = Path(__file__).with_name("every_command.py")

HOSTILE_PROCESSES: dict[str, tuple[dict[str, str | None], str]] = {
    "the C locale, no stdout, umask 077": (
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"},
        'umask 077; exec "$@" >&-',
    ),
    "a time zone a day ahead, no home, no user, no locale, no streams at all": (
        dict.fromkeys(("HOME", "USER", "LOGNAME", "LANG", "DLT_DATA_DIR")) | {"TZ": "Pacific/Kiritimati"},
        'exec "$@" <&- >&- 2>&-',
    ),
    "a time zone that there is not, a full stdout, umask 000": (
        {"TZ": "Nowhere/At_All"},
        'umask 000; exec "$@" >/dev/full',
    ),
    "a home that cannot be, a pipe that nobody reads": (
        {"HOME": "/dev/null/home", "DLT_DATA_DIR": None, "XDG_CACHE_HOME": "/dev/null"},
        '"$@" | true',
    ),
}
"""Variables of the process (None takes one away) and the shell that starts it; several at once, to save time."""

LIBPQ: dict[str, str | None] = {
    "PGAPPNAME": "another's name",
    "PGCHANNELBINDING": "disable",
    "PGCLIENTENCODING": "LATIN1",
    "PGCONNECT_TIMEOUT": "30",
    "PGDATABASE": "postgres",
    "PGDATESTYLE": "German, DMY",
    "PGGEQO": "off",
    "PGGSSDELEGATION": "0",
    "PGGSSENCMODE": "disable",
    "PGGSSLIB": "gssapi",
    "PGHOST": "nowhere.invalid",
    "PGKRBSRVNAME": "nobody",
    "PGLOADBALANCEHOSTS": "random",
    "PGLOCALEDIR": "/nowhere",
    "PGMAXPROTOCOLVERSION": "latest",
    "PGMINPROTOCOLVERSION": "3.0",
    "PGOPTIONS": "-c DateStyle=SQL,DMY -c IntervalStyle=iso_8601 -c extra_float_digits=-15 -c bytea_output=escape",
    "PGPASSFILE": "/nowhere",
    "PGPASSWORD": "nobody's",
    "PGSSLCERT": "/nowhere",
    "PGREQUIREAUTH": "none,password,md5,scram-sha-256",
    "PGSSLCERTMODE": "disable",
    "PGSSLCOMPRESSION": "1",
    "PGSSLCRL": "/nowhere",
    "PGSSLCRLDIR": "/nowhere",
    "PGSSLKEY": "/nowhere",
    "PGSSLMAXPROTOCOLVERSION": "TLSv1.3",
    "PGSSLMINPROTOCOLVERSION": "TLSv1.3",
    "PGSSLMODE": "prefer",
    "PGSSLNEGOTIATION": "postgres",
    "PGSSLROOTCERT": "/nowhere",
    "PGSSLSNI": "0",
    "PGSYSCONFDIR": "/nowhere",
    "PGTARGETSESSIONATTRS": "read-write",
    "PGTZ": "Asia/Kathmandu",
    "PGUSER": "nobody",
}
"""libpq's variables, all at once: what the connection string says comes first, and the rest changes no result."""

LEADS_ELSEWHERE = {
    "PGHOSTADDR": "127.0.0.99",
    "PGREQUIREPEER": "nobody",
    "PGSERVICE": "nobodys",
    "PGPORT": "1",
    "PGTARGETSESSIONATTRS": "read-only",
}
"""libpq's variables that decide which server is reached or believed, beside the connection string: they are named."""

OTHER = {
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "idle_session_timeout": "300ms",
    "enable_indexscan": "off",
    "synchronize_seqscans": "on",
    "xmloption": "document",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
    "work_mem": "64kB",
}
"""Properties that we do not set for a transaction, since they change no result."""


@dataclass
class Surroundings:
    """A small account, an empty database, and what the commands do under hostile variables and in a hostile shell."""

    mirror: Mirror
    folder: Path
    environment: Mapping[str, str | None] = field(default_factory=dict)
    shell: str = 'exec "$@"'

    def run(self) -> tuple[list[tuple[str, int]], str]:
        """Each command that was run and its exit code, and what was said on stderr."""
        report = self.folder / "report.json"
        environment = {**self.mirror.environment, **self.environment}
        done = subprocess.run(
            ["sh", "-c", self.shell, "sh", sys.executable, str(PROGRAM), str(report)],
            env={name: value for name, value in environment.items() if value is not None},
            capture_output=True,
            check=False,
            timeout=100,
        )
        said = done.stderr.decode(errors="replace")
        ran = json.loads(report.read_text()) if report.exists() else [["python", done.returncode]]
        return [(command, code) for command, code in ran], said

    def assert_equal(self) -> None:
        """Every command ends with 0, and the tables equal the account."""
        self.ends_well()
        self.equals_the_account()

    def ends_well(self) -> None:
        codes, said = self.run()
        assert [code for _, code in codes] == [0] * 5, (codes, said)

    def equals_the_account(self) -> None:
        assert self.mirror.differences(LISTS) == []
        found = {row["name"] for row in self.mirror.rows("customers", live=True)}
        assert {NAMES[0][::-1], NAMES[1], NAMES[3]} <= found
        (report,) = json.loads((self.folder / "report.check").read_text())
        assert report["findings"] == []
        assert not any(table["future"] for table in report["tables"].values()), report

    def assert_refused(self, *names: str) -> None:
        """The first command ends with 2 and a paragraph that names these settings; nothing was loaded."""
        codes, said = self.run()
        assert codes == [("stripe_full", 2)], said
        assert "Traceback" not in said
        assert [name for name in names if name not in " ".join(said.split())] == [], said


@pytest.fixture
def surroundings(destination: Database, simulator: Callable[..., Simulator], tmp_path: Path) -> Surroundings:
    return Surroundings(Mirror(simulator(seed=1, customers=5, now=START, running=False), destination), tmp_path)


@pytest.fixture
def on_postgres(postgres_url: str, simulator: Callable[..., Simulator], tmp_path: Path) -> Surroundings:
    mirror = Mirror(simulator(seed=1, customers=5, now=START, running=False), Database("postgres", postgres_url))
    return Surroundings(mirror, tmp_path)


@contextmanager
def role(url: str) -> Iterator[str]:
    """A role of this test's own that may do anything in its database, and nothing else."""
    name = f"role_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(sql.Identifier(name)))
        connection.execute(sql.SQL("GRANT ALL ON DATABASE {} TO {}").format(database_of(url), sql.Identifier(name)))
        connection.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(sql.Identifier(name)))
        yield name
        connection.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(sql.Identifier(name)))


def database_of(url: str) -> sql.Identifier:
    return sql.Identifier(str(conninfo_to_dict(url)["dbname"]))


def alter(url: str, target: sql.Composable, properties: Mapping[str, str]) -> None:
    """ALTER … SET for each property that the server has and takes."""
    with psycopg.connect(url, autocommit=True) as connection:
        known = {name for (name,) in connection.execute("SELECT name FROM pg_settings")}
        for name, value in properties.items():
            if name in known and name != "default_table_access_method":  # the server takes no wrong value for it
                setting = sql.SQL(" SET {} TO {}").format(sql.Identifier(name), sql.Literal(value))
                connection.execute(sql.SQL("ALTER ") + target + setting)


@pytest.mark.long
@pytest.mark.parametrize("case", HOSTILE_PROCESSES)
def test_what_a_shell_hands_over_changes_nothing(surroundings: Surroundings, case: str) -> None:
    surroundings.environment, surroundings.shell = HOSTILE_PROCESSES[case]
    surroundings.assert_equal()


def test_every_variable_of_libpq_is_tried() -> None:
    known = {default.envvar.decode() for default in Conninfo.get_defaults() if default.envvar}
    documented = {"PGDATESTYLE", "PGTZ", "PGGEQO", "PGSYSCONFDIR", "PGLOCALEDIR"}
    """https://www.postgresql.org/docs/current/libpq-envars.html names these beside the ones that libpq lists itself."""
    assert known | documented == LIBPQ.keys() | LEADS_ELSEWHERE.keys()


@pytest.mark.long
def test_variables_of_libpq_change_nothing(on_postgres: Surroundings) -> None:
    on_postgres.environment = LIBPQ
    on_postgres.assert_equal()


@pytest.mark.parametrize("name", LEADS_ELSEWHERE)
def test_a_variable_of_libpq_that_leads_elsewhere_is_named(on_postgres: Surroundings, name: str) -> None:
    on_postgres.environment = {name: LEADS_ELSEWHERE[name]}
    on_postgres.assert_refused(name)


@pytest.mark.long
def test_properties_set_by_a_database_or_a_role_change_nothing(on_postgres: Surroundings) -> None:
    """A third of them by the database, a third by the role, and a third by the role in the database."""
    url = on_postgres.mirror.destination.address
    properties = list((HOSTILE | OTHER).items())
    with role(url) as name:
        for n, target in enumerate(
            (
                sql.SQL("DATABASE {}").format(database_of(url)),
                sql.SQL("ROLE {}").format(sql.Identifier(name)),
                sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(name), database_of(url)),
            )
        ):
            alter(url, target, dict(properties[n::3]))
        on_postgres.environment = {"DATABASE_URL": make_conninfo(url, user=name, password="secret")}
        on_postgres.ends_well()
        with psycopg.connect(url, autocommit=True) as connection:  # the test's own questions are not proof against it
            connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(database_of(url)))
        on_postgres.equals_the_account()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_KR"])
def test_a_database_that_cannot_hold_every_text_is_named(on_postgres: Surroundings, encoding: str) -> None:
    url = on_postgres.mirror.destination.address
    name = f"test_{uuid.uuid4().hex[:12]}"
    made = "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C'"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(made).format(sql.Identifier(name), sql.Literal(encoding)))
        on_postgres.environment = {"DATABASE_URL": with_database(url, name)}
        on_postgres.assert_refused("server_encoding", encoding)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_a_database_that_takes_no_changes_is_named(on_postgres: Surroundings) -> None:
    url = on_postgres.mirror.destination.address
    alter(url, sql.SQL("DATABASE {}").format(database_of(url)), {"default_transaction_read_only": "on"})
    on_postgres.assert_refused("default_transaction_read_only")
