"""The command line of the simulator."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from simulator.faults import KINDS
from simulator.limits import BUDGETS
from simulator.simulator import Simulator


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT. The first line on stdout is the URL, the second the API key."""
    options = _parser().parse_args(arguments)
    try:
        faults = [_fault(text) for text in options.faults]
    except ValueError as error:
        print(f"simulator: --faults: {error}", file=sys.stderr)
        return 2
    simulator = Simulator(
        seed=options.seed,
        customers=options.customers,
        bulk=options.bulk,
        port=options.port,
        mode=options.mode,
        latency=options.latency_ms / 1000,
        rate_limits=options.rate_limits,
        lacks=[name for text in options.lacks for name in text.split(",")],
    )
    for fault in faults:
        simulator.faults.add(**fault)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        with simulator:
            print(simulator.url, simulator.key, sep="\n", flush=True)
            stop.wait()
    except OSError as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulator", description="A Stripe account over HTTP on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same account")
    parser.add_argument("--customers", type=int, default=300, help="size of the business")
    parser.add_argument("--bulk", type=int, default=0, metavar="N", help="that many more objects, for benchmarks")
    parser.add_argument("--mode", choices=("test", "live"), default="test")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="before each answer")
    parser.add_argument("--rate-limits", choices=sorted(BUDGETS), default="none")
    parser.add_argument("--lacks", action="append", default=[], metavar="NAMES", help="products or tables to refuse")
    parser.add_argument(
        "--faults",
        action="append",
        default=[],
        metavar="KIND[:PROBABILITY[:PATH]]",
        help=f"make some requests go wrong: a status (500) or one of {', '.join(KINDS)}",
    )
    return parser


def _fault(text: str) -> dict[str, Any]:
    """The fields of the Fault that `500:0.05:/v1/charges` stands for."""
    kind, _, rest = text.partition(":")
    probability, _, path = rest.partition(":")
    fault: dict[str, Any] = {"probability": float(probability or 1.0), "path_prefix": path or "/"}
    if kind.isdigit():
        return fault | {"kind": "status", "status": int(kind)}
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}: a status or one of {', '.join(KINDS)}")
    return fault | {"kind": kind}
