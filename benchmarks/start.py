"""The start time of commands: `--help`, a sync without new events, a load of one object, the sink until it is ready.

`python -m benchmarks.start` prints medians of several runs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psutil

from benchmarks.tools.machines import ROOT, free_port, measure, running_postgres, running_simulator
from benchmarks.tools.targets import at_most

ROUNDS, PATIENCE = 5, 60.0
CUSTOMERS = "30"
TARGETS: Mapping[str, float] = {"--help": 0.25, "idle sync": 0.8, "one object": 1.0}  # seconds of CPU
READY, MEMORY = 0.8, 80.0  # seconds, MB


def main() -> None:
    """Prints a line for each command."""
    with running_simulator("--customers", CUSTOMERS, "--rate-limits", "none") as (api, key), running_postgres() as url:
        environment = {
            "DATABASE_URL": url,
            "STRIPE_SECRET_KEY": key,
            "SOURCES__STRIPE__API_BASE": api,
            "SOURCES__STRIPE__DESTINATION": "postgres",
            "SOURCES__STRIPE__DATASET": "start",
            "SOURCES__STRIPE__SANDBOX_RATE": "inf",
            "SOURCES__STRIPE__ENDPOINT_RATE": "inf",
            "SOURCES__STRIPE__MAX_CLOCK_SKEW": "inf",
        }
        script(environment, "stripe_full.py", "--resources", "customers", "events")
        script(environment, "stripe_sync.py")
        commands = {
            "--help": ("stripe_full.py", "--help"),
            "idle sync": ("stripe_sync.py", "--resources", "customers", "events"),
            "one object": ("stripe_object.py", customer_of(api, key)),
        }
        figures: dict[str, list[float]] = {name: [] for name in commands}
        sinks: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            for name, command in commands.items():
                figures[name].append(script(environment, *command))
            sinks.append(sink(environment))
    for name, seconds in figures.items():
        at_most(f"CPU of {name}", statistics.median(seconds), TARGETS[name], "s")
    ready, memory = (statistics.median(column) for column in zip(*sinks, strict=True))
    at_most("until the sink is ready", ready, READY, "s")
    at_most("memory of the sink", memory, MEMORY, "MB")


def script(environment: Mapping[str, str], name: str, *options: str) -> float:
    """Seconds of CPU of a script. Raises RuntimeError if it failed."""
    measured = measure([sys.executable, f"pipelines/{name}", *options], environment)
    if measured.exit_code:
        raise RuntimeError(measured.output)
    return measured.cpu


def customer_of(api: str, key: str) -> str:
    """The id of some customer of the simulated account."""
    request = urllib.request.Request(f"{api}/v1/customers?limit=1", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return str(answer.read().split(b'"id":"')[1].split(b'"')[0], "ascii")


def sink(environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds until the sink is ready, and its memory then, in MB."""
    began = time.perf_counter()
    with running_sink(environment) as (process, _):
        return time.perf_counter() - began, psutil.Process(process.pid).memory_info().rss / 1e6


@contextmanager
def running_sink(environment: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Starts a sink process; yields it with its port when it is ready. Raises RuntimeError if it never is."""
    port = free_port()
    command: Sequence[str] = [sys.executable, "-m", "webhook_sink", "--port", str(port)]
    secret = {"STRIPE_WEBHOOK_SECRET": "whsec_benchmark"}
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | dict(environment) | secret, stderr=subprocess.DEVNULL
    )
    try:
        while not is_ready(port):
            if process.poll() is not None or time.perf_counter() - began > PATIENCE:
                raise RuntimeError("the sink did not become ready")
            time.sleep(0.01)
        yield process, port
    finally:
        process.terminate()
        process.wait()


def is_ready(port: int) -> bool:
    """Whether the sink answers that it is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    main()
