"""A simulator that stands still in time, and a reader that speaks HTTP with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import urllib3

from simulator import Simulator

NOON = 1_790_000_000 // 86400 * 86400 + 43200
VERSION = "2026-10-28.endive"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: urllib3.HTTPHeaderDict
    data: bytes
    json: Any

    @property
    def ids(self) -> list[str]:
        return [obj["id"] for obj in self.json["data"]]

    @property
    def error(self) -> dict[str, str]:
        found: dict[str, str] = self.json["error"]
        return found


Query = Sequence[tuple[str, object]]


class Reader:
    """Sends requests to a simulator, once each."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.http = urllib3.PoolManager(retries=False, timeout=20)

    def __call__(self, path: str, *query: tuple[str, object], method: str = "GET", **headers: str | None) -> Answer:
        """GET with the account's key; headers by name with underscores, None leaves one out."""
        sent: dict[str, str | None] = {"authorization": f"Bearer {self.sim.key}", "stripe-version": VERSION}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in sent.items() if value is not None}
        if method == "POST":
            answer = self.http.request_encode_body(
                method, self.sim.url + path, [(n, str(v)) for n, v in query], given, encode_multipart=False
            )
        else:
            answer = self.http.request(
                method, self.sim.url + path, fields=[(n, str(v)) for n, v in query], headers=given
            )
        data = answer.data
        is_json = data[:1] == b"{" and data[-1:] == b"}"
        return Answer(answer.status, answer.headers, data, answer.json() if is_json else None)

    def pages(self, path: str, *query: tuple[str, object]) -> Iterator[dict[str, Any]]:
        """Every object of a v1 list, page after page."""
        after: list[tuple[str, object]] = []
        while True:
            answer = self(path, *query, *after)
            assert answer.status == 200, answer.data
            yield from answer.json["data"]
            if not answer.json["has_more"]:
                return
            after = [("starting_after", answer.ids[-1])]


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    """A small business at noon; modules that change it do not mind what was changed before."""
    with Simulator(seed=7, customers=30, now=NOON, running=False) as simulator:
        yield simulator


@pytest.fixture
def get(sim: Simulator) -> Iterator[Reader]:
    """Reads from `sim`; faults, limits and counters begin anew."""
    sim.faults.clear()
    sim.service.reset()
    yield Reader(sim)
    sim.faults.clear()


@pytest.fixture
def simulate() -> Iterator[Callable[..., Reader]]:
    """Makes simulators of one's own."""
    made: list[Simulator] = []

    def start(**options: Any) -> Reader:
        options = {"seed": 3, "customers": 5, "now": NOON, "running": False} | options
        made.append(Simulator(**options).__enter__())
        return Reader(made[-1])

    yield start
    for simulator in made:
        simulator.__exit__(None, None, None)
