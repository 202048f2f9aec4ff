"""The command line of the simulator."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from math import inf
from typing import Any

from simulator.api.gates import names_of
from simulator.http.faults import KINDS
from simulator.http.limits import BUDGETS
from simulator.orb.account import LISTED
from simulator.orb.simulator import READS, OrbSimulator
from simulator.simulator import Simulator
from sources.command_line import Parser
from sources.errors import shown
from sources.stripe_api.catalogue import RESOURCES


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT. The first line on stdout is the URL, the second the API key.

    The first argument `orb` chooses a simulated Orb.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["orb"]:
        return serve(_orb(given[1:]))
    options = _parser().parse_args(given)
    simulator = Simulator(
        seed=options.seed,
        customers=options.customers,
        bulk=options.bulk,
        port=options.port,
        mode=options.mode,
        latency=options.latency_ms / 1000,
        rate_limits=options.rate_limits,
        lacks=[name for names in options.lacks for name in names],
    )
    for fault in options.faults:
        simulator.faults.add(**fault)
    return serve(simulator)


def serve(simulator: Simulator | OrbSimulator) -> int:
    """Prints the URL and the key, and serves until SIGTERM or SIGINT. Returns the exit code."""
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    try:
        with simulator:
            print(simulator.url, simulator.key, sep="\n", flush=True)
            stop.wait()
    except OSError as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    return 0


def _orb(arguments: Sequence[str]) -> OrbSimulator:
    """The simulated Orb with the given options."""
    parser = Parser(prog="python -m simulator orb", description="An Orb account over HTTP on 127.0.0.1.")
    parser.add_argument("--port", type=whole(65_535), default=0, help="default: a free port")
    parser.add_argument("--seed", type=whole(), default=1, help="the same seed creates the same account")
    parser.add_argument("--customers", type=whole(), default=300, help="number of customers")
    parser.add_argument(
        "--bulk", type=whole(), default=0, metavar="N", help="number of additional objects, for benchmarks"
    )
    parser.add_argument("--latency-ms", type=number, default=0.0, help="delay of each answer")
    parser.add_argument("--rate-limits", choices=sorted(READS), default="none")
    parser.add_argument(
        "--lacks",
        type=lambda text: _lacking(text, set(LISTED)),
        action="append",
        default=[],
        metavar="NAMES",
        help="tables whose feature is off",
    )
    _add_faults(parser)
    options = parser.parse_args(arguments)
    simulator = OrbSimulator(
        seed=options.seed,
        customers=options.customers,
        bulk=options.bulk,
        port=options.port,
        latency=options.latency_ms / 1000,
        rate_limits=options.rate_limits,
        lacks=[name for names in options.lacks for name in names],
    )
    for fault in options.faults:
        simulator.faults.add(**fault)
    return simulator


def _add_faults(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--faults",
        type=_fault,
        action="append",
        default=[],
        metavar="KIND[:PROBABILITY[:PATH]]",
        help=f"make some requests fail: with a status (500) or one of {', '.join(KINDS)}",
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m simulator", description="A Stripe account over HTTP on 127.0.0.1.")
    parser.add_argument("--port", type=whole(65_535), default=0, help="default: a free port")
    parser.add_argument("--seed", type=int, default=1, help="the same seed creates the same account")
    parser.add_argument("--customers", type=whole(), default=300, help="number of customers")
    parser.add_argument(
        "--bulk", type=whole(), default=0, metavar="N", help="number of additional objects, for benchmarks"
    )
    parser.add_argument("--mode", choices=("test", "live"), default="test")
    parser.add_argument("--latency-ms", type=number, default=0.0, help="delay of each answer")
    parser.add_argument("--rate-limits", choices=sorted(BUDGETS), default="none")
    parser.add_argument(
        "--lacks",
        type=_lacking,
        action="append",
        default=[],
        metavar="NAMES",
        help="products or tables that the account lacks",
    )
    _add_faults(parser)
    return parser


def whole(most: int | None = None) -> Callable[[str], int]:
    """A whole number from 0 to `most` (None: no upper bound)."""

    def parse(text: str) -> int:
        if not text.isdecimal() or (most is not None and int(text) > most):
            raise argparse.ArgumentTypeError(
                f"{shown(text)} is not a whole number from 0{f' to {most}' if most else ''}"
            )
        return int(text)

    return parse


def number(text: str) -> float:
    """A number from 0."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < inf:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number from 0")
    return number


def _lacking(text: str, known: set[str] | None = None) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    known = known or {known for resource in RESOURCES.values() for known in names_of(resource)}
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            question = f"; did you mean {near[0]}?" if near else ""
            raise argparse.ArgumentTypeError(f"unknown product, resource or table {shown(name, known)}{question}")
    return names


def _fault(text: str) -> dict[str, Any]:
    """The fields of the Fault that a text such as `500:0.05:/v1/charges` describes."""
    kind, _, rest = text.partition(":")
    probability, _, path = rest.partition(":")
    fault: dict[str, Any] = {"probability": number(probability or "1"), "path_prefix": path or "/"}
    if fault["probability"] > 1:
        raise argparse.ArgumentTypeError("the probability is more than 1")
    if kind.isdecimal() and 400 <= int(kind) <= 599:
        return fault | {"kind": "status", "status": int(kind)}
    if kind not in KINDS:
        raise argparse.ArgumentTypeError(
            f"unknown kind {shown(kind, KINDS)}: a status from 400, or one of {', '.join(KINDS)}"
        )
    return fault | {"kind": kind}
