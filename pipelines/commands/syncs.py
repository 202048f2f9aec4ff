"""What the syncs of all providers share: options, and repeated rounds (`--follow`)."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from pipelines.commands.cli import say, seconds, whole_number
from pipelines.warehouse.problems import DatabaseProblem
from sources.errors import RetryLater

FOLLOW_SECONDS = 60.0


def add_sync_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a sync."""
    parser.add_argument(
        "--resources",
        nargs="+",
        metavar="NAME",
        default=[],
        help="names, or the groups core, default and all (default: the resources that were loaded before)",
    )
    parser.add_argument(
        "--requests-budget", type=whole_number, metavar="N", help="spend at most N requests for each account, then stop"
    )
    parser.add_argument(
        "--follow",
        nargs="?",
        type=seconds,
        const=FOLLOW_SECONDS,
        metavar="TIME",
        help=f"keep running, with this time between two rounds: 90s, 30m, or seconds (default: {FOLLOW_SECONDS:.0f})",
    )
    parser.add_argument(
        "--strict", action="store_true", help="treat a resource that the account or the key lacks as an error"
    )


def rounds(once: Callable[[], int], options: argparse.Namespace) -> int:
    """Runs one round, or with `--follow` rounds until it is interrupted. Returns the exit code."""
    return once() if options.follow is None else follow(once, options.follow)


def follow(once: Callable[[], int], seconds: float, sleep: Callable[[float], object] = time.sleep) -> int:
    """Runs rounds until it is interrupted. Temporary errors are printed, and the next round tries again."""
    while True:
        try:
            once()
            sys.stdout.flush()  # so that a reader of the pipe sees it at once
        except (RetryLater, DatabaseProblem) as error:
            say(f"{error} Trying again in {seconds:.0f} seconds.")
        sleep(seconds)
