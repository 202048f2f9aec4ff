"""Whether tables equal a simulated Stripe account, field by field."""

from __future__ import annotations

from collections.abc import Iterable

from simulator import Simulator
from tests.databases import Database
from tests.pipelines.mirror import Mirror


def assert_equal(url: str, sim: Simulator, tables: Iterable[str]) -> None:
    """Raises AssertionError that names the tables, their rows and the fields that differ."""
    assert Mirror(sim, Database("postgres", url)).differences_in(tables) == []
