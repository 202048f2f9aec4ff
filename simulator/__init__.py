"""A stateful Stripe account over real HTTP: for the demo, the tests and the benchmarks.

It reads the paths of lists and the embedded lists from the catalogue that it is used to test, so it cannot notice a
mistake there. `tests/sources/stripe_api/test_catalogue.py` checks this instead: it compares the catalogue with the
installed SDK.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.http.faults import Fault, Faults
    from simulator.http.limits import Budget
    from simulator.simulator import Simulator

__all__ = ["Budget", "Fault", "Faults", "Simulator"]
HOMES = {"Budget": "http.limits", "Fault": "http.faults", "Faults": "http.faults", "Simulator": "simulator"}


def __getattr__(name: str) -> Any:
    """Imports a name when it is first used, so that `python -m simulator` handles signals before the slow import."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"simulator.{HOMES[name]}"), name)
