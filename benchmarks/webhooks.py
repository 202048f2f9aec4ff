"""The webhook sink under load: `python -m benchmarks.webhooks`, or with `--provider stripe orb` for both.

Signed events of at least 3 kB, of five kinds of each provider, over real HTTP with kept-alive connections; the sink,
the generator and Postgres are processes of this machine. First a closed loop, in which a number of senders wait for
their answers; then an open loop, in which events arrive at a fixed rate whether or not the sink keeps up, and the
latency of an event counts from when it should have been sent. At the end, every answered event must be in the ledger,
and every row must show the newest event of its object.

Orb's events take more work than Stripe's: a subscription contains its customer, its plan and five intervals, and most
events are about invoices with one line item, so an event changes three rows on average instead of one.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, cast

import orjson
import psutil
import psycopg
import urllib3
import uvloop

from benchmarks.tools.machines import ROOT, database_cpu, running_postgres
from benchmarks.tools.targets import at_least, at_most
from benchmarks.tools.webhook_events import PROVIDERS, Provider

NBYTES = 3_000
Newest = dict[tuple[str, str], str]  # table and id -> the number of the object's newest event
FASTEST_OTHER = {1: (432, 0.008), 32: (1_038, 0.069), 256: (1_108, 0.637)}
"""concurrency -> events/s and p99 in seconds of the fastest other sink, measured in another run on two shared cores.
They are compared with if that sink is not installed."""
AHEAD = 1.5
CONNECTIONS = 64  # of the open loop


@dataclass(frozen=True, slots=True)
class Load:
    """The results of one run. Times are in seconds; CPU seconds are those of the sink, of Postgres and of the
    generator.

    `nbytes` is the average size of an event in bytes.
    """

    name: str
    events: int
    wall: float
    p50: float
    p99: float
    sink_cpu: float
    database_cpu: float
    generator_cpu: float
    batch: float
    refused: int
    nbytes: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.wall

    def __str__(self) -> str:
        sink, database, generator = (
            1e6 * cpu / self.events for cpu in (self.sink_cpu, self.database_cpu, self.generator_cpu)
        )
        return (
            f"{self.name:<24} {self.rate:>6,.0f} events/s, p50 {self.p50 * 1e3:.2f} ms,"
            f" p99 {self.p99 * 1e3:.2f} ms, {self.batch:.1f} events a transaction, {self.nbytes:,.0f} bytes an event;"
            f" CPU an event {sink:.0f} us sink,"
            f" {database:.0f} us database ({100 * database / (sink + database + generator):.0f} % of all),"
            f" {generator:.0f} us generator"
            f"{f', {self.refused} refused' if self.refused else ''}"
        )


def main() -> None:
    """Measures at each concurrency and at a fixed rate, checks the database, and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--events", type=int, default=15_000, help="number of events for each concurrency; a fifth of it for 1"
    )
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 32, 256])
    parser.add_argument("--rate", type=float, help="events/s of the open loop (half of the best closed loop)")
    parser.add_argument("--provider", choices=tuple(PROVIDERS), nargs="+", default=["stripe"])
    parser.add_argument("--tables", nargs="+", metavar="TABLE", help="send only events of objects of these tables")
    options = parser.parse_args()
    found = {name: _measured(PROVIDERS[name], options) for name in options.provider}
    for name, loads in found.items():
        if name != "stripe" and "stripe" in found:
            for concurrency, load in loads.items():
                what = f"{name}, concurrency {concurrency}: within 10 % of Stripe's events/s"
                at_least(what, load.rate, 0.9 * found["stripe"][concurrency].rate, "events/s")


def _measured(provider: Provider, options: argparse.Namespace) -> dict[int, Load]:
    """Runs the loops of one provider; returns the closed loops by concurrency. Raises SystemExit if an answered event
    is not stored.
    """
    print(f"webhook sink, {provider.name}: events of at least {NBYTES:,} bytes, committed before they are answered")
    counts = {
        concurrency: options.events if concurrency > 1 else options.events // 5 for concurrency in options.concurrency
    }
    warm, paced = 2_000, options.events // 3
    made = bodies(warm + sum(counts.values()) + paced, provider, options.tables)
    newest: Newest = {}
    with running_postgres() as url, _running_sink(url, provider) as (process, port):
        measure = partial(_measure, url, process, port, provider)
        measure("warm", _Closed(32), _some(made, warm, newest))
        loads = {}
        for concurrency, count in counts.items():
            loads[concurrency] = measure(f"concurrency {concurrency}", _Closed(concurrency), _some(made, count, newest))
            print(loads[concurrency], flush=True)
        rate = options.rate or max(load.rate for load in loads.values()) / 2
        print(measure(f"{rate:,.0f} arrive a second", _Open(rate), _some(made, paced, newest)), flush=True)
        stored, wrong = _stored(url, newest, provider)
    sent = warm + sum(counts.values()) + paced
    print(f"{stored:,} of {sent:,} events are in the ledger as processed; {wrong} of {len(newest):,} rows are wrong")
    for concurrency, load in loads.items():
        if concurrency in FASTEST_OTHER and provider.name == "stripe":
            rate, p99 = FASTEST_OTHER[concurrency]
            at_least(
                f"concurrency {concurrency}, 1.5 times the fastest other (another run)",
                load.rate,
                AHEAD * rate,
                "events/s",
            )
            at_most(
                f"concurrency {concurrency}, p99 of the fastest other (another run)", load.p99 * 1e3, p99 * 1e3, "ms"
            )
    if stored != sent or wrong:
        raise SystemExit("An answered event is not committed.")
    return loads


def _some(made: Iterator[tuple[str, str, str, bytes]], count: int, newest: Newest) -> list[bytes]:
    """The next bodies; records in `newest` what the rows of their objects must show afterwards."""
    taken = list(islice(made, count))
    newest.update({(table, id): number for table, id, number, _ in taken})
    return [body for *_, body in taken]


def _stored(url: str, newest: Newest, provider: Provider) -> tuple[int, int]:
    """The number of processed events in the ledger, and of rows that do not show their object's newest event."""
    with psycopg.connect(url) as connection:
        name = provider.name
        query: Any = f"SELECT count(*) FROM {name}.{name}_webhook_events WHERE status = 'processed'"
        (stored,) = connection.execute(query).fetchone() or (0,)
        rows: Newest = {}
        for table in {table for table, _ in newest}:
            select: Any = f"SELECT id, metadata->>'number' FROM {name}.{table}"
            rows |= {(table, id): number for id, number in connection.execute(select)}
    return stored, sum(rows.get(key) != number for key, number in newest.items())


@contextmanager
def _running_sink(url: str, provider: Provider) -> Iterator[tuple[psutil.Process, int]]:
    """`python -m webhook_sink` on a free port, ready."""
    own = ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "ORB_API_KEY", "ORB_WEBHOOK_SECRET")
    environment = {name: value for name, value in os.environ.items() if name not in own}
    environment |= {"DATABASE_URL": url, "DLT_PROJECT_DIR": str(ROOT / "benchmarks"), **provider.environment}
    command = [sys.executable, "-m", "webhook_sink", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        port, ready = 0, False
        while not (port and ready):
            line = process.stderr.readline()
            if not line:
                raise RuntimeError("the sink did not start")
            if found := re.search(r"http://127.0.0.1:(\d+)", line):
                port = int(found[1])
            ready = ready or '"ready: ' in line
        threading.Thread(target=process.stderr.read, daemon=True).start()  # a line for each webhook would fill the pipe
        try:
            yield psutil.Process(process.pid), port
        finally:
            process.terminate()
            process.wait()


def bodies(
    count: int, provider: Provider, tables: Collection[str] | None = None
) -> Iterator[tuple[str, str, str, bytes]]:
    """Generates events of a simulated account's objects, or only of those in `tables`: table, id, number, and bytes of
    each.

    No two events have the same second.
    """
    types = {**provider.kinds, **provider.asked}
    objects = [obj for obj in provider.objects() if obj[0] in (tables or provider.kinds)]
    first = int(time.time()) - count
    for number in range(count):
        table, obj = objects[(number * 7_919) % len(objects)]
        shown: dict[str, Any] = {**obj, "metadata": {"number": str(number), "padding": ""}}
        event = provider.event(f"evt_{number:06d}", first + number, types[table], shown)
        short = NBYTES - len(orjson.dumps(event, option=orjson.OPT_INDENT_2))
        shown["metadata"]["padding"] = "x" * max(short, 0)
        yield table, obj["id"], str(number), orjson.dumps(event, option=orjson.OPT_INDENT_2)


def _measure(
    url: str,
    process: psutil.Process,
    port: int,
    provider: Provider,
    name: str,
    loop: _Closed | _Open,
    bodies: list[bytes],
) -> Load:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    requests = [provider.request(body) for body in bodies]
    generator = context.Process(target=_generate, args=(port, loop, requests, sender))
    generator.start()
    receiver.recv()
    before = _state(url, process, port, provider)
    wall, latencies, statuses, generator_cpu = receiver.recv()
    after = _state(url, process, port, provider)
    generator.join()
    latencies.sort()
    sink_cpu, database, transactions, events = (later - earlier for later, earlier in zip(after, before, strict=True))
    return Load(
        name,
        len(bodies),
        wall,
        latencies[len(latencies) // 2],
        latencies[len(latencies) * 99 // 100],
        sink_cpu,
        database,
        generator_cpu,
        events / max(transactions, 1),
        sum(count for status, count in statuses.items() if status != 200),
        sum(map(len, bodies)) / len(bodies),
    )


def _state(url: str, process: psutil.Process, port: int, provider: Provider) -> tuple[float, float, float, float]:
    """CPU seconds of the sink and of Postgres, transactions and events so far."""
    times = process.cpu_times()
    text = urllib3.request("GET", f"http://127.0.0.1:{port}/metrics").data.decode()
    transactions, events = (
        float(re.findall(rf"^{provider.name}_sink_batch_events_{name} (\S+)", text, re.MULTILINE)[0])
        for name in ("count", "sum")
    )
    return times.user + times.system, database_cpu(url), transactions, events


# --- the generator, a process of its own -----------------------------------------------------------------------------


def _generate(port: int, loop: _Closed | _Open, requests: list[bytes], sender: Any) -> None:
    """Sends every request once, over kept-alive connections."""
    sender.send("ready")
    sender.send(uvloop.run(_drive(port, loop, requests)))


async def _drive(
    port: int, kind: _Closed | _Open, requests: list[bytes]
) -> tuple[float, list[float], dict[int, int], float]:
    loop, queue = asyncio.get_running_loop(), _Queue(len(requests))
    for _ in range(kind.connections):
        await loop.create_connection(lambda: _Sender(queue), "127.0.0.1", port)
    cpu, started = time.process_time(), time.perf_counter()
    if isinstance(kind, _Closed):
        queue.add((request, None) for request in requests)
    else:
        for number, request in enumerate(requests):
            due = started + number / kind.rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            queue.add([(request, due)])
    await queue.end
    return time.perf_counter() - started, queue.latencies, queue.statuses, time.process_time() - cpu


@dataclass(frozen=True, slots=True)
class _Closed:
    """A closed loop: each of so many senders sends its next event when the last one is answered."""

    connections: int


@dataclass(frozen=True, slots=True)
class _Open:
    """An open loop: so many events arrive each second. If no connection is free, they wait, and their latency grows."""

    rate: float
    connections: int = CONNECTIONS


class _Queue:
    """The requests to send, with the moment at which each is due (None: when a sender is free), and their results."""

    def __init__(self, count: int) -> None:
        self.latencies: list[float] = []
        self.statuses: dict[int, int] = {}
        self.idle: list[_Sender] = []
        self.waiting: deque[tuple[bytes, float | None]] = deque()
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count = count

    def add(self, requests: Iterable[tuple[bytes, float | None]]) -> None:
        """Sends the requests that are due now."""
        self.waiting.extend(requests)
        while self.idle and self.waiting:
            self.idle.pop().send(*self.waiting.popleft())

    def answered(self, sender: _Sender, latency: float, status: int) -> None:
        """Records an answer; its sender is free again."""
        self.latencies.append(latency)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if self.waiting:
            sender.send(*self.waiting.popleft())
        else:
            self.idle.append(sender)
        if len(self.latencies) == self._count:
            self.end.set_result(None)


class _Sender(asyncio.Protocol):
    """One connection, with at most one unanswered request."""

    def __init__(self, queue: _Queue) -> None:
        self._queue, self._received, self._since = queue, b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transport does not inherit from it
        self._queue.idle.append(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if not found or len(body) < int(length[1] if length else 0):
            return
        self._received = b""
        self._queue.answered(self, time.perf_counter() - self._since, int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        if not self._queue.end.done():
            self._queue.end.set_exception(error or ConnectionError("the sink closed the connection"))

    def send(self, request: bytes, due: float | None) -> None:
        """Sends a request; its latency counts from when it is due."""
        self._since = time.perf_counter() if due is None else due
        self._transport.write(request)


if __name__ == "__main__":
    main()
