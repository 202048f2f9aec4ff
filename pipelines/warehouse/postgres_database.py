"""Our own connection to Postgres: statements, transactions, the run lock, errors as one paragraph."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg.pq import ConnStatus

from pipelines.warehouse.postgres.connecting import not_connected, sentences, values_hidden
from pipelines.warehouse.postgres.libpq import postgres_conninfo
from pipelines.warehouse.postgres.run_lock import RunLock
from pipelines.warehouse.postgres.session_properties import (
    BEGIN,
    BEGIN_TRANSACTION,
    CONNECTION,
    SET_PROPERTIES,
    refuse_encoding,
)
from pipelines.warehouse.problems import DatabaseProblem

if TYPE_CHECKING:
    from psycopg.abc import PQGen

_OWNED = """
SELECT c.relname::text FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = ANY (%s) AND pg_has_role(c.relowner, 'USAGE')"""
COPIED = 2**18  # bytes of a file that are sent at a time
VACUUM_PATIENCE = 60.0  # seconds for each table's lock

_REFUSED_PARAMETER = re.compile("unsupported startup parameter|command-line options")
"""The messages of PgBouncer and Neon, and of Amazon RDS Proxy. Their SQLSTATE, 08P01, does not reach us."""


class _Pipeline(psycopg.Pipeline):
    """psycopg's pipeline, without the Flush message that psycopg 3.3 sends after the last Sync.

    After the answer to the Sync, a pooler takes the server connection back. A later Flush reserves one again until the
    next statement, because it has no answer: a wasted connection of the pool
    (https://www.postgresql.org/docs/current/protocol-flow.html, "Extended Query").
    """

    def _exit_gen(self) -> PQGen[None]:
        try:
            yield from self._sync_gen()
        except psycopg.Error as error:
            with suppress(psycopg.Error):  # errors of the statements after the one that failed
                yield from self._fetch_gen(flush=False)
            if self.pgconn.status == ConnStatus.BAD:
                raise psycopg.OperationalError("the connection was lost in the middle of a round trip") from error
            raise


class _Connection(psycopg.Connection[Any]):
    @contextmanager
    def pipeline(self) -> Iterator[psycopg.Pipeline]:
        """Like psycopg's, but it must not be nested."""
        self._pipeline = _Pipeline(self)
        try:
            with self._pipeline as pipeline:
                yield pipeline
        finally:
            self._pipeline = None


def connect(conninfo: str) -> psycopg.Connection:
    """Opens a connection in autocommit mode without named prepared statements, which a pooler would lose.

    Its transactions begin with `BEGIN_TRANSACTION`. Raises psycopg's errors.
    """
    with values_hidden(conninfo):
        return _Connection.connect(
            conninfo, autocommit=True, prepare_threshold=None, application_name="stripe-elt", **CONNECTION
        )


class PostgresDatabase:
    """Postgres through psycopg 3. Thread-safe: a transaction belongs to the thread that began it, and others wait.

    Every statement runs in a transaction that first sets the session properties on which results depend. A connection
    that was lost outside a transaction is opened again, because servers and poolers end idle ones.
    """

    dialect = "postgres"

    def __init__(self, conninfo: str) -> None:
        """Connects. Raises psycopg's errors, and `DatabaseProblem` for a database whose encoding is not UTF-8."""
        self._conninfo = conninfo
        self._connection = connect(conninfo)
        try:
            refuse_encoding(self._connection.info.parameter_status("server_encoding"))
        except DatabaseProblem:
            self._connection.close()
            raise
        self._turn = threading.RLock()
        self._is_in_transaction = False
        self._run_lock = RunLock(partial(connect, conninfo))
        self._for_loads: PostgresDatabase | None = None

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See `Database`. Outside a transaction, a statement whose connection was lost is repeated once."""
        with self._turn:
            if self._is_in_transaction:
                return self._run(sql, parameters)
            try:
                return self._run_alone(sql, parameters)
            except psycopg.OperationalError as lost:
                self._reopen(lost)
        with self.transaction():  # not in a pipeline, which loses the message of a server that ends the session
            return self._run(sql, parameters)

    def execute_all(self, statements: Sequence[str]) -> None:
        """See `Database`."""
        with self._turn:
            self._connection.execute(cast("Any", ";\n".join(statements)))

    def execute_alone(self, sql: str, patience: float) -> None:
        """Runs a statement that Postgres does not allow in a transaction, such as CREATE INDEX CONCURRENTLY.

        It waits for locks for at most `patience` seconds. Behind a pooler in transaction mode, the role's own time-outs
        apply, because session settings would affect other clients. Raises psycopg's errors.
        """
        with self._turn:
            connection = self._connection
            row = connection.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
            if row is not None and row[0] == connection.info.backend_pid:  # a pooler reports another id
                connection.execute(f"SET lock_timeout = {int(patience * 1000)}; SET statement_timeout = 0")
            connection.execute(cast("Any", sql))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Database`."""
        with self._turn:
            try:
                self._connection.execute(BEGIN_TRANSACTION)
            except psycopg.OperationalError as lost:
                self._reopen(lost)
                self._connection.execute(BEGIN_TRANSACTION)
            self._is_in_transaction = True
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._undo()
                raise
            finally:
                self._is_in_transaction = False

    @property
    def is_direct(self) -> bool:
        """Whether the connection goes directly to the server: a pooler reports another process id to its clients."""
        return bool(self.execute("SELECT pg_backend_pid()")[0][0] == self._connection.info.backend_pid)

    def lock_run(self, name: str, *, shared: bool = False) -> None:
        """See `Database`."""
        self._run_lock.take(name, shared=shared)

    def check_lock(self) -> None:
        """See `Database`."""
        self._run_lock.check()

    def overwrite_freed_space(self, dataset: str, tables: Sequence[str], *, wholly: bool) -> list[str]:
        """See `Database`. Only a table's owner may vacuum it."""
        owned = {name for (name,) in self.execute(_OWNED, (dataset, list(tables)))}
        vacuum = "VACUUM (FULL)" if wholly else "VACUUM"
        for table in sorted(owned):
            self.execute_alone(f'{vacuum} "{dataset}"."{table}"', VACUUM_PATIENCE)
        done = [f"{vacuum} of {len(owned)} tables"] if owned else []
        if others := sorted(set(tables) - owned):
            done.append(f"The role does not own {', '.join(others)}: its owner has to run {vacuum}")
        return done

    def for_loads(self) -> PostgresDatabase:
        """See `Database`."""
        if self._for_loads is None:
            self._for_loads = PostgresDatabase(self._conninfo)
        return self._for_loads

    def copy_csv(self, table: str, path: Path) -> None:
        """See `Database`."""
        with path.open("rb") as file:
            columns = file.readline().decode("utf-8").strip()  # quoted
            file.seek(0)
            statement = f"COPY {table} ({columns}) FROM STDIN WITH (FORMAT csv, HEADER, NULL '', ENCODING 'UTF8')"
            with self._connection.cursor().copy(cast("Any", statement)) as copy:
                while data := file.read(COPIED):
                    copy.write(data)

    def close(self) -> None:
        """See `Database`. The locks are released before this returns."""
        if self._for_loads is not None:
            self._for_loads.close()
        self._run_lock.close()
        self._connection.close()

    def _run(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Results are in binary form, because the driver parses text by the session's properties, not the
        transaction's.
        """
        cursor = self._connection.execute(cast("Any", sql), parameters or None, binary=True)
        return cursor.fetchall() if cursor.description else []

    def _run_alone(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Runs BEGIN, the properties, the statement and COMMIT in one round trip."""
        connection = self._connection
        try:
            with connection.pipeline():
                connection.execute(BEGIN)
                connection.execute(SET_PROPERTIES)
                cursor = connection.execute(cast("Any", sql), parameters or None, binary=True)
                connection.execute("COMMIT")
        except BaseException:
            self._undo()
            raise
        return cursor.fetchall() if cursor.description else []

    def _reopen(self, lost: psycopg.OperationalError) -> None:
        """Connects again. Raises `lost` if it is not a lost connection, a pooler refuses, or the server is down."""
        if not self._connection.closed or lost.sqlstate == "08P01":
            raise lost
        try:
            self._connection = connect(self._conninfo)
        except psycopg.OperationalError:
            raise lost from None

    def _undo(self) -> None:
        """Rolls back. If that fails, closes the connection, which is opened again when needed."""
        try:
            self._connection.rollback()
        except psycopg.Error:
            self._connection.close()


def open_postgres(url: str | None, certificate: str | None) -> PostgresDatabase:
    """Opens a connection, see `postgres_conninfo`. Raises `DatabaseProblem`."""
    conninfo = postgres_conninfo(url, certificate)
    try:
        return PostgresDatabase(conninfo)
    except psycopg.Error as error:
        if _REFUSED_PARAMETER.search(str(error)):
            raise DatabaseProblem(
                "The pooler in front of Postgres refuses a startup parameter of the connection:"
                f" {sentences(str(error))} Remove `options` from DATABASE_URL, and PGOPTIONS and PGGEQO from"
                " the environment, or let the pooler ignore the parameter (PgBouncer:"
                " ignore_startup_parameters)."
            ) from error
        raise not_connected(error, conninfo) from error
