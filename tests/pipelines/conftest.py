"""Fixtures of the pipelines' tests: a simulated account beside a fresh database of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from simulator.orb import OrbSimulator
from tests.databases import Database
from tests.pipelines.beginnings import Beginnings
from tests.pipelines.mirror import START, Mirror
from tests.pipelines.orb_mirror import OrbMirror
from tests.webhook_sink.conftest import serve as serve

if TYPE_CHECKING:
    from simulator import Simulator


@pytest.fixture(scope="session")
def beginnings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beginnings]:
    """The first loads that this worker has done."""
    kept = Beginnings(tmp_path_factory.mktemp("beginnings"))
    yield kept
    kept.close()


@pytest.fixture
def mirrored(
    simulator: Callable[..., Simulator], destination: Database, beginnings: Beginnings
) -> Callable[..., Mirror]:
    """Makes mirrors of accounts of one's own making: `mirrored(customers=30)`."""

    def make(**options: Any) -> Mirror:
        sim = simulator(**({"seed": 1, "customers": 8, "now": START, "running": False} | options))
        return Mirror(sim, destination, beginnings=beginnings)

    return make


@pytest.fixture
def orb_mirrored(destination: Database) -> Iterator[Callable[..., OrbMirror]]:
    """Makes mirrors of simulated Orb accounts: `orb_mirrored(customers=30)`."""
    with ExitStack() as running:

        def make(**options: Any) -> OrbMirror:
            given = {"seed": 1, "customers": 8, "now": START, "running": False} | options
            return OrbMirror(running.enter_context(OrbSimulator(**given)), destination)

        yield make


@pytest.fixture
def mirror(mirrored: Callable[..., Mirror]) -> Mirror:
    """A small account whose clock stands still but for `pass_time`, and an empty database."""
    return mirrored()
