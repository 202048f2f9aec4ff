"""`stripe-elt start`: creates the tables, receives webhooks or polls for events, loads what was never loaded, and
syncs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipelines.commands.cli import add_common_options, duration, run_command
from pipelines.terminal.output import Report
from sources.command_line import Parser
from stripe_elt.tunnel import PROGRAMS


def main(arguments: Sequence[str] | None = None, prog: str = "stripe-elt start") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _start, arguments, is_batch=False)


def _parser(prog: str = "stripe-elt start") -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Creates tables, receives webhooks or polls for events, loads what was never loaded, and syncs.",
    )
    add_common_options(parser)
    parser.add_argument(
        "--tunnel",
        metavar="PROGRAM|URL",
        help=f"how Stripe reaches the sink: {' or '.join(PROGRAMS)}, if you have installed it, or the sink's public"
        " address; the endpoint in Stripe is created, and deleted at the end (default: poll for events)",
    )
    parser.add_argument("--port", type=int, help="port of the sink (default: 8080)")
    parser.add_argument(
        "--every", type=duration, default="1h", metavar="TIME", help="time between two syncs (default: 1h)"
    )
    parser.set_defaults(is_service=True)
    return parser


def _start(options: argparse.Namespace) -> Report:
    from stripe_elt.parts import start

    return Report(start(options), None)
