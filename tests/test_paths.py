"""How many modules a page passes from the answer's bytes to its rows, and an event from the webhook's body to its own.

A module is passed if one of its functions is given the content: bytes, parsed objects, or rows that are made of them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import orjson
import pytest

from pipelines.configuration.settings import Settings
from simulator import Simulator
from sources.columns.columns import Columns
from sources.columns.conversion_counts import ConversionCounts
from sources.stripe_api.provider import STRIPE
from tests.webhook_sink.conftest import NOW, Served, event
from tests.webhook_sink.conftest import serve as serve

ROOT = Path(__file__).resolve().parent.parent
OURS = tuple(f"{ROOT / name}/" for name in ("sources", "pipelines", "webhook_sink"))
MOST = 12
CLOSED = {"Reply", "Settings", "Sink"}  # an answer is carried unread; settings and the sink hold no content


def holds(value: Any, mark: str, depth: int = 0) -> bool:
    """Whether a value is or contains the content that has the mark."""
    if isinstance(value, bytes | str):
        return (mark.encode() if isinstance(value, bytes) else mark) in value
    if depth > 6 or type(value).__name__ in CLOSED:
        return False
    if isinstance(value, Mapping):
        return any(holds(each, mark, depth + 1) for each in value.values())
    if isinstance(value, list | tuple):
        return any(holds(each, mark, depth + 1) for each in value)
    if is_dataclass(value):
        return any(holds(getattr(value, each.name, None), mark, depth + 1) for each in fields(value))
    return False


class Passed:
    """The modules that content with a mark passes, from the call of one function to the return of another."""

    def __init__(self, mark: str, first: str, last: str) -> None:
        self._mark, self._first, self._last = mark, first, last
        self.modules: dict[str, str] = {}
        self.has_begun = self.has_ended = False

    def note(self, frame: FrameType, happened: str, _: Any) -> None:
        """Takes what `sys.setprofile` tells."""
        code = frame.f_code
        if self.has_ended or not code.co_filename.startswith(OURS):
            return
        given = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if happened == "return":
            self.has_ended = self.has_begun and code.co_name == self._last
        elif happened == "call" and any(
            holds(frame.f_locals.get(name), self._mark) for name in given if name != "self"
        ):
            self.has_begun = self.has_begun or code.co_name == self._first
            if self.has_begun:
                self.modules.setdefault(str(Path(code.co_filename).relative_to(ROOT)), code.co_name)


@contextmanager
def watched(passed: Passed) -> Iterator[None]:
    """Watches the threads that begin meanwhile."""
    threading.setprofile(passed.note)
    try:
        yield
    finally:
        threading.setprofile(None)  # type: ignore[arg-type]
        sys.setprofile(None)


@pytest.mark.parametrize("resource", ["charges", "products"])
def test_a_page_passes_at_most_twelve_modules(resource: str, simulator: Callable[..., Simulator]) -> None:
    sim, none = simulator(seed=1, customers=3, running=False), float("inf")
    id = sim.account.objects(resource)[0]["id"]
    settings = Settings(stripe_secret_key=sim.key, api_base=sim.url, sandbox_rate=none, endpoint_rate=none)
    passed = Passed(id, "decode", "convert")
    with STRIPE.open_client(settings) as client:
        convert = STRIPE.converter("acct_1", Columns(STRIPE.catalogue), ConversionCounts())
        reading = STRIPE.fetch(
            client, [STRIPE.catalogue.resources[resource]], convert=convert, until=int(sim.clock.time()) + 1, workers=1
        )
        with watched(passed), reading as deliveries:
            list(deliveries)
    assert passed.has_ended
    assert len(passed.modules) <= MOST, passed.modules


def test_an_event_passes_at_most_twelve_modules(serve: Callable[..., Served]) -> None:
    passed = Passed("cus_passing", "verify", "json_rows")
    with watched(passed):
        served = serve()
        shown = {"id": "cus_passing", "object": "customer", "created": NOW, "email": "a@example.com"}
        assert served.post(orjson.dumps(event("customer.updated", shown))).status == 200
    assert passed.has_ended
    assert len(passed.modules) <= MOST, passed.modules
