"""Our own connection to a DuckDB file.

DuckDB allows one process to write. A lock file next to the database shows whether that process is a run of ours or
something else, such as a notebook.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import duckdb
from filelock import FileLock, Timeout

from pipelines.warehouse.problems import AlreadyRunning, DatabaseProblem

CHOOSE = "Set DUCKDB_PATH (or --duckdb-path) to choose another file."
ADDRESS = re.compile(r":memory:|[A-Za-z][\w+.-]+:")  # DuckDB opens something other than a local file for these
PRIVATE = 0o600
PATIENCE = 0.5  # seconds to wait for a run that is just ending


class Umask:
    """Changes the process's umask for several files that are opened and closed in any order."""

    def __init__(self) -> None:
        self._lock, self._masks, self._before = threading.Lock(), list[int](), 0

    @contextmanager
    def narrowed(self, mask: int) -> Iterator[None]:
        """In this context, the umask includes `mask`. After the last such context, the umask is as before."""
        with self._lock:
            if not self._masks:
                self._before = os.umask(0o077)
            self._masks.append(mask)
            self._set()
        try:
            yield
        finally:
            with self._lock:
                self._masks.remove(mask)
                self._set()

    def _set(self) -> None:
        os.umask(reduce(or_, self._masks, self._before))


UMASK = Umask()


class DuckDbDatabase:
    """An open DuckDB file, which only one process can open, and the lock file that shows other runs that it is a run of
    ours.
    """

    dialect = "duckdb"

    def __init__(self, path: str, memory_limit: str, run_lock: FileLock) -> None:
        """Takes over `run_lock`, which is held already."""
        self._run_lock, self._path, self._memory_limit = run_lock, Path(path), memory_limit
        _make(Path(path))
        with ExitStack() as stack:
            stack.enter_context(UMASK.narrowed(_mask(Path(path))))  # DuckDB keeps creating files next to it
            self._connection = self._connect()
            stack.callback(lambda: self._connection.close())
            self._opened = stack.pop_all()
        self._for_loads: DuckDbReader | None = None
        self._lock = threading.RLock()  # one thread at a time can use a connection's result and transaction

    def _connect(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(str(self._path), config={"memory_limit": self._memory_limit})
        connection.execute("SET TimeZone = 'UTC'")
        return connection

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See `Database`."""
        with self._lock:
            text = sql.replace("%s", "?") if parameters else sql
            return self._connection.execute(text, list(parameters)).fetchall()

    def execute_all(self, statements: Sequence[str]) -> None:
        """See `Database`."""
        with self._lock:
            self._connection.execute(";\n".join(statements))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Database`. Other threads wait, because a `begin` would discard the results of their queries."""
        with self._lock:
            self._connection.begin()
            try:
                yield
            except BaseException:
                self._connection.rollback()
                raise
            self._connection.commit()

    def lock_run(self, name: str, *, shared: bool = False) -> None:
        """See `Database`. The process that has opened the file has the lock."""

    def check_lock(self) -> None:
        """See `Database`. The file stays open as long as the process lives."""

    def overwrite_freed_space(self, dataset: str, tables: Sequence[str], *, wholly: bool) -> list[str]:
        """See `Database`. Copies everything into a new file, which replaces the old one.

        DuckDB keeps earlier values in free blocks and in blocks shared with other columns; neither a checkpoint nor
        VACUUM overwrites them.
        """
        with self._lock:
            path = self._path.resolve()
            made = path.with_name(f"{path.name}.new")
            try:
                made.unlink(missing_ok=True)
                (name,) = self._connection.execute("SELECT current_database()").fetchall()[0]
                self._connection.execute("ATTACH '{}' AS rewritten".format(str(made).replace("'", "''")))
                self._connection.execute(f'COPY FROM DATABASE "{name}" TO rewritten')
                self._connection.execute("DETACH rewritten")
                shutil.copymode(path, made)
                self._close_for_loads()
                self._connection.close()
                made.replace(path)
            finally:
                self._connection.close()
                made.unlink(missing_ok=True)
                made.with_name(f"{made.name}.wal").unlink(missing_ok=True)
                self._connection = self._connect()
        return [f"The file {path.name} was rewritten"]

    def for_loads(self) -> DuckDbDatabase:
        """See `Database`."""
        with self._lock:
            if self._for_loads is None:
                self._for_loads = DuckDbReader(self)
            return self._for_loads

    def copy_csv(self, table: str, path: Path) -> None:
        """See `Database`. Not available: in DuckDB, Parquet files are merged."""
        raise NotImplementedError

    def _close_for_loads(self) -> None:
        if self._for_loads is not None:
            self._for_loads.close()
            self._for_loads = None

    def close(self) -> None:
        """See `Database`."""
        self._close_for_loads()
        self._opened.close()
        self._run_lock.release()


class DuckDbReader(DuckDbDatabase):
    """Another connection to an open file, for a thread that reads while others work, because a connection allows one
    call at a time.

    Create it while no other thread uses `opened`, and close it first. None stands for a file that does not exist: it
    counts as empty, and is not created.
    """

    def __init__(self, opened: DuckDbDatabase | None) -> None:
        self._connection = opened._connection.cursor() if opened is not None else duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")
        self._for_loads = None
        self._lock = threading.RLock()

    def close(self) -> None:
        """Ends this connection; the file stays open."""
        self._connection.close()


def open_duckdb(file: str, dataset: str, memory_limit: str, *, makes_file: bool = True) -> DuckDbDatabase:
    """Opens the file of a dataset. If it does not exist, it is created, or without `makes_file` counts as empty.

    Raises `AlreadyRunning` if another run has it open, `DatabaseProblem` for any other failure.
    """
    path, mode = _file_of(file, dataset)
    if not makes_file and not path.exists():
        return DuckDbReader(None)
    run_lock = FileLock(f"{path}.lock", thread_local=False, mode=mode)
    try:
        run_lock.acquire(timeout=PATIENCE)
        with suppress(OSError):  # the file of another user, who may have given a group access
            Path(run_lock.lock_file).chmod(mode)
        return DuckDbDatabase(str(path), memory_limit, run_lock)
    except Timeout:
        raise AlreadyRunning(
            f"Another run is using the DuckDB file {path}, so this run ends at once. Nothing was changed."
            " Wait until the other run has ended, or set DUCKDB_PATH (or --duckdb-path) to another file."
        ) from None
    except (duckdb.Error, OSError) as error:
        run_lock.release()
        raise DatabaseProblem(_message(path, error)) from error


def _file_of(given: str, dataset: str) -> tuple[Path, int]:
    """The absolute path of the file, which DuckDB cannot mistake for something else, and the file's present or future
    mode.

    Raises DatabaseProblem if no such file is possible. Of an address, the message shows only the part before the colon,
    because a MotherDuck address contains a token.
    """
    if address := ADDRESS.match(given):
        raise DatabaseProblem(
            f"DUCKDB_PATH (or --duckdb-path) begins with {address[0]!r}, so it is not a file on this machine,"
            " and the data would be lost or stored elsewhere. Set it to the path of a file on this machine."
        )
    path = Path(given).absolute()
    try:
        given.encode()
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        status = None
    except ValueError:
        raise DatabaseProblem(f"The path of the DuckDB file is not UTF-8, or contains a zero byte. {CHOOSE}") from None
    except OSError as error:
        raise DatabaseProblem(f"The DuckDB file {path} cannot be used: {error.strerror}. {CHOOSE}") from error
    catalog = path.name.partition("?")[0].lstrip(".").partition(".")[0].lower()  # the name that DuckDB gives the file
    if catalog in (dataset, f"{dataset}_current", f"{dataset}_metrics") or catalog.startswith(f"{dataset}_staging"):
        raise DatabaseProblem(
            f"DuckDB would give the file {path} the name {catalog!r}, which is also the name of a schema of"
            f" the dataset {dataset!r}, so {catalog}.customers would be ambiguous. Set DUCKDB_PATH (or"
            " --duckdb-path) to another file name, or choose another --dataset."
        )
    if status is not None and not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, a socket or a device"
        raise DatabaseProblem(f"The DuckDB file {path} is {kind}. {CHOOSE}")
    if not path.parent.is_dir():
        raise DatabaseProblem(f"The DuckDB file {path} cannot be created: its folder does not exist. {CHOOSE}")
    return path, PRIVATE if status is None else status.st_mode & 0o666 | PRIVATE


def _make(path: Path) -> None:
    """Creates a database that only this user can read, if there is none, or only the empty file of a failed attempt.

    It is created under another name first, so that a run that ends here, or a full disk, leaves no half-written
    database.
    """
    path = path.resolve()
    if path.exists() and path.stat().st_size:
        return
    made = path.with_name(f"{path.name}.new")
    before = os.umask(~PRIVATE & 0o777)
    try:
        made.unlink(missing_ok=True)
        duckdb.connect(str(made)).close()
        if path.exists():
            shutil.copymode(path, made)
        made.replace(path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise
    finally:
        os.umask(before)


def _mask(path: Path) -> int:
    """The umask that gives new files next to a database the same readers and writers as the database."""
    mode, mask = path.stat().st_mode, 0
    for shift in (3, 0):  # the group, the others
        readable, writable = mode >> shift & 4, mode >> shift & 2
        mask |= (0 if writable else 2 if readable else 7) << shift
    return mask


def _message(path: Path, error: duckdb.Error | OSError) -> str:
    text = str(error)
    if "set lock" in text:
        return (
            f"The DuckDB file {path} is open in another process, and DuckDB allows only one process to write."
            f" Close that process (a notebook, a shell, another run) and start again. {CHOOSE}"
        )
    if isinstance(error, duckdb.ParserException | duckdb.InvalidInputException) and "memory" in text.lower():
        return (
            "DuckDB does not accept the memory limit. Set the setting duckdb_memory_limit to a value such as 1GB"
            " (SOURCES__STRIPE__DUCKDB_MEMORY_LIMIT, for Orb SOURCES__ORB__DUCKDB_MEMORY_LIMIT)."
        )
    if path.exists() and "not a valid DuckDB database file" in text:
        return f"The file {path} is not a DuckDB database. {CHOOSE}"
    if "Permission denied" in text or "Read-only file system" in text or not os.access(path.parent, os.W_OK):
        return f"The DuckDB file {path} cannot be written: permission denied. {CHOOSE}"
    return f"DuckDB could not open {path}: {text.splitlines()[0].rstrip('.')}. {CHOOSE}"
