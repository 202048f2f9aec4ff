"""Fixtures of the pipelines' tests: a simulated account beside a fresh database of each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.databases import Database
from tests.pipelines.mirror import START, Mirror
from tests.webhook_sink.conftest import serve as serve

if TYPE_CHECKING:
    from simulator import Simulator


@pytest.fixture
def mirror(destination: Database, simulator: Callable[..., Simulator]) -> Mirror:
    """A small account whose clock stands still but for `pass_time`, and an empty database."""
    return Mirror(simulator(seed=1, customers=8, now=START, running=False), destination)


@pytest.fixture
def mirrored(simulator: Callable[..., Simulator], destination: Database) -> Callable[..., Mirror]:
    """Makes mirrors of accounts of one's own making: `mirrored(customers=30)`."""

    def make(**options: Any) -> Mirror:
        return Mirror(simulator(**({"seed": 1, "customers": 8, "now": START, "running": False} | options)), destination)

    return make
