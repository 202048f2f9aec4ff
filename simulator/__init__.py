"""A stateful Stripe account over real HTTP: for the demo, the tests and the benchmarks."""

from simulator.faults import Fault, Faults
from simulator.limits import Budget
from simulator.simulator import Simulator

__all__ = ["Budget", "Fault", "Faults", "Simulator"]
