"""The webhook sink under load: `python -m benchmarks.webhooks`.

Signed events of 3 kB, of five kinds, over real HTTP with kept-alive connections; the sink, the generator and Postgres
are processes of this machine. Every answer is 200 only after the commit of ledger and tables: the rows are counted at
the end.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import orjson
import psutil
import psycopg
import urllib3
import uvloop

from benchmarks.machines import ROOT, database_cpu, running_postgres
from simulator import Simulator
from sources.stripe_api.catalogue.fields import api_version

SECRET = "whsec_of_the_benchmark"
KINDS = {
    "customers": "customer.updated",
    "payment_intents": "payment_intent.succeeded",
    "charges": "charge.succeeded",
    "products": "product.updated",
    "subscriptions": "customer.subscription.updated",
}
NBYTES = 3_000
TARGET, TARGET_P99 = 5_000, 0.020  # events a second, and seconds, at a concurrency of 32


@dataclass(frozen=True, slots=True)
class Load:
    """What one run came to. Times in seconds; CPU seconds of the sink, of Postgres and of the generator."""

    concurrency: int
    events: int
    wall: float
    p50: float
    p99: float
    sink_cpu: float
    database_cpu: float
    generator_cpu: float
    batch: float
    refused: int

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.wall

    def __str__(self) -> str:
        sink, database, generator = (
            1e6 * cpu / self.events for cpu in (self.sink_cpu, self.database_cpu, self.generator_cpu)
        )
        return (
            f"concurrency {self.concurrency:>3}: {self.rate:>6,.0f} events/s, p50 {self.p50 * 1e3:.2f} ms,"
            f" p99 {self.p99 * 1e3:.2f} ms, {self.batch:.1f} events a transaction; CPU an event {sink:.0f} us sink,"
            f" {database:.0f} us database ({100 * database / (sink + database + generator):.0f} % of all),"
            f" {generator:.0f} us generator"
            f"{f', {self.refused} refused' if self.refused else ''}"
        )


def main() -> None:
    """Measures at each concurrency and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=15_000, help="for each concurrency; a fifth of them for 1")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 32, 256])
    options = parser.parse_args()
    print(f"webhook sink: events of {NBYTES:,} bytes in five tables, committed before they are answered")
    with running_postgres() as url, _running_sink(url) as (process, port):
        bodies = list(_bodies(2_000, "warm"))
        _measure(url, process, port, 32, bodies)
        sent = len(bodies)
        for run, concurrency in enumerate(options.concurrency):
            bodies = list(_bodies(options.events if concurrency > 1 else options.events // 5, f"run{run}"))
            print(_measure(url, process, port, concurrency, bodies))
            sent += len(bodies)
        with psycopg.connect(url) as connection:
            query = "SELECT count(*) FROM stripe.stripe_webhook_events WHERE status = 'processed'"
            (stored,) = connection.execute(query).fetchone() or (0,)
    print(f"{stored:,} of {sent:,} events are in the ledger as processed")
    print(f"to beat: {TARGET:,} events/s and p99 under {TARGET_P99 * 1e3:.0f} ms at 32, on two cores for everything")


@contextmanager
def _running_sink(url: str) -> Iterator[tuple[psutil.Process, int]]:
    """`python -m webhook_sink` on a free port, ready."""
    environment = {**os.environ, "DATABASE_URL": url, "STRIPE_WEBHOOK_SECRET": SECRET}
    environment |= {"SOURCES__STRIPE__ACCOUNT_ID": "acct_benchmark", "DLT_PROJECT_DIR": str(ROOT / "benchmarks")}
    environment.pop("STRIPE_SECRET_KEY", None)
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
        threading.Thread(target=process.stderr.read, daemon=True).start()  # a line for each webhook fills the pipe
        try:
            yield psutil.Process(process.pid), port
        finally:
            process.terminate()
            process.wait()


def _bodies(count: int, run: str) -> Iterator[bytes]:
    """Events of a simulated account's objects, each with a second of its own, so that none of them tie."""
    with Simulator(seed=1, customers=300) as sim:
        objects = [(type, one) for table, type in KINDS.items() for one in sim.account.objects(table)[:1_000]]
    now = int(time.time())
    for number in range(count):
        type, one = objects[(number * 7_919) % len(objects)]
        event: dict[str, Any] = {
            "id": f"evt_{run}_{number:06d}",
            "object": "event",
            "api_version": api_version(),
            "created": now - count + number,
            "data": {"object": {**one, "metadata": {"number": str(number), "padding": ""}}},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": type,
        }
        short = NBYTES - len(orjson.dumps(event, option=orjson.OPT_INDENT_2))
        event["data"]["object"]["metadata"]["padding"] = "x" * max(short, 0)
        yield orjson.dumps(event, option=orjson.OPT_INDENT_2)


def _measure(url: str, process: psutil.Process, port: int, concurrency: int, bodies: list[bytes]) -> Load:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    generator = context.Process(target=_generate, args=(port, concurrency, bodies, sender))
    generator.start()
    receiver.recv()
    before = _state(url, process, port)
    wall, latencies, statuses, generator_cpu = receiver.recv()
    after = _state(url, process, port)
    generator.join()
    latencies.sort()
    sink_cpu, database, transactions, events = (later - earlier for later, earlier in zip(after, before, strict=True))
    return Load(
        concurrency,
        len(bodies),
        wall,
        latencies[len(latencies) // 2],
        latencies[len(latencies) * 99 // 100],
        sink_cpu,
        database,
        generator_cpu,
        events / max(transactions, 1),
        sum(count for status, count in statuses.items() if status != 200),
    )


def _state(url: str, process: psutil.Process, port: int) -> tuple[float, float, float, float]:
    """CPU seconds of the sink and of Postgres, transactions and events so far."""
    times = process.cpu_times()
    text = urllib3.request("GET", f"http://127.0.0.1:{port}/metrics").data.decode()
    transactions, events = (
        float(re.findall(rf"^stripe_sink_batch_events_{name} (\S+)", text, re.MULTILINE)[0])
        for name in ("count", "sum")
    )
    return times.user + times.system, database_cpu(url), transactions, events


# --- the generator, a process of its own -----------------------------------------------------------------------------


def _generate(port: int, concurrency: int, bodies: list[bytes], sender: Any) -> None:
    """Sends every body once, `concurrency` at a time, each on a connection that stays open."""
    requests = [_request(body) for body in bodies]
    sender.send("ready")
    sender.send(uvloop.run(_drive(port, concurrency, requests)))


def _request(body: bytes) -> bytes:
    second = int(time.time())
    signed = hmac.new(SECRET.encode(), b"%d." % second + body, hashlib.sha256).hexdigest()
    return (
        b"POST /webhooks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json; charset=utf-8\r\n"
        b"User-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\nAccept: */*; q=0.5, application/xml\r\n"
        b"Stripe-Signature: t=%d,v1=%s\r\nContent-Length: %d\r\n\r\n" % (second, signed.encode(), len(body))
    ) + body


async def _drive(
    port: int, concurrency: int, requests: list[bytes]
) -> tuple[float, list[float], dict[int, int], float]:
    loop = asyncio.get_running_loop()
    left, latencies, statuses = iter(requests), list[float](), dict[int, int]()
    ends = [loop.create_future() for _ in range(concurrency)]
    cpu, started = time.process_time(), time.perf_counter()
    for end in ends:
        await loop.create_connection(lambda end=end: _Sender(left, latencies, statuses, end), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*ends)
    return time.perf_counter() - started, latencies, statuses, time.process_time() - cpu


class _Sender(asyncio.Protocol):
    """One connection: the next request goes out when the answer to the last one is whole."""

    def __init__(
        self, left: Iterator[bytes], latencies: list[float], statuses: dict[int, int], end: asyncio.Future[None]
    ) -> None:
        self._left, self._latencies, self._statuses, self._end = left, latencies, statuses, end
        self._received, self._sent_at = b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if not found or len(body) < int(length[1] if length else 0):
            return
        self._latencies.append(time.perf_counter() - self._sent_at)
        status = int(head[9:12])
        self._statuses[status] = self._statuses.get(status, 0) + 1
        self._received = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._end.done():
            self._end.set_exception(error or ConnectionError("the sink closed the connection"))

    def _send(self) -> None:
        request = next(self._left, None)
        if request is None:
            self._end.set_result(None)
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)


if __name__ == "__main__":
    main()
