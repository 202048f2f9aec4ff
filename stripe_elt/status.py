"""`stripe-elt status`: how fresh the tables are, and what is behind. Asks the database alone."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.cli import ALL_WELL, SOME_FAILED, add_common_options, duration, run_command, settings_of
from pipelines.terminal.output import Report
from sources.command_line import Parser

SHOWN_RUNS = 5


def main(arguments: Sequence[str] | None = None, prog: str = "stripe-elt status") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _status, arguments)


def _parser(prog: str = "stripe-elt status") -> argparse.ArgumentParser:
    parser = Parser(prog=prog, description="Says how fresh the tables are. Asks the database alone, not Stripe.")
    add_common_options(parser)
    parser.add_argument(
        "--max-age",
        type=duration,
        metavar="AGE",
        help="exit with code 1 if an account is further behind than this (2h, 1d), or a resource is in error",
    )
    return parser


def _status(options: argparse.Namespace) -> Report:
    from pipelines.session import open_database
    from pipelines.state import read_overview
    from pipelines.warehouse.problems import database_problems

    settings = settings_of(options)
    with database_problems(), closing(open_database(settings)) as database:
        found = read_overview(database, settings.dataset)
    now = datetime.now(UTC)
    accounts = [_account(one, found["resources"], now, options.max_age) for one in found["accounts"]]
    runs = found["runs"][:SHOWN_RUNS]
    _tell(settings.dataset, accounts, runs)
    is_behind = options.max_age is not None and (not accounts or any(one["is_behind"] for one in accounts))
    told = {"dataset": settings.dataset, "accounts": accounts, "resources": found["resources"], "runs": runs}
    return Report(SOME_FAILED if is_behind else ALL_WELL, told)


def _account(
    account: Mapping[str, Any], resources: Sequence[Mapping[str, Any]], now: datetime, most: timedelta | None
) -> dict[str, Any]:
    """How an account stands. It is right up to the moment that its events, or else its lists, have reached."""
    from sources.stripe_api.events.position import Position

    own = [one for one in resources if one["_account_id"] == account["_account_id"]]
    ends = [one["window_end"] for one in own if one["window_end"] is not None]
    reached = min(ends, default=None)
    if account["events_position"] and account["events_status"] != "skipped":
        reached = datetime.fromtimestamp(Position.from_json(account["events_position"]).reached, UTC)
    errors = {one["resource"]: one["error"] for one in own if one["status"] == "error"}
    if account["events_status"] == "error":
        errors["events"] = account["events_error"]
    age = None if reached is None else now - reached
    return {
        "account": account["_account_id"],
        "mode": {True: "live", False: "test", None: None}[account["livemode"]],
        "events": account["events_status"],
        "reached": reached,
        "age_seconds": None if age is None else round(age.total_seconds()),
        "resources": dict(Counter(one["status"] for one in own)),
        "errors": errors,
        "is_behind": bool(errors) or age is None or (most is not None and age > most),
    }


def _tell(dataset: str, accounts: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]) -> None:
    if not accounts:
        print(f"Nothing was ever loaded into the schema {dataset}.")
    for one in accounts:
        counted = ", ".join(f"{count} {status}" for status, count in sorted(one["resources"].items()))
        age = "never loaded" if one["reached"] is None else f"right up to {one['reached']:%Y-%m-%d %H:%M:%S} UTC"
        ago = "" if one["age_seconds"] is None else f" ({_ago(one['age_seconds'])} ago)"
        print(f"{one['account']} ({one['mode'] or 'mode unknown'}): {age}{ago}")
        print(f"  resources: {counted or 'none'}; events: {one['events'] or 'never applied'}")
        for name, why in one["errors"].items():
            print(f"  {name} is in error: {why}")
    if runs:
        print("last runs:")
    for one in runs:
        rows = "" if one["rows"] is None else f"  {one['rows']:,} rows"
        print(f"  {one['started_at'].astimezone(UTC):%Y-%m-%d %H:%M}  {one['command']}  {one['status']}{rows}")


def _ago(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
