"""`stripe-elt status`: how fresh the tables are, and what is behind. Reads only the database.

With `--serve` or `--html`, the same as a page, with events, checks and jobs.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.commands.cli import ALL_WELL, SOME_FAILED, add_common_options, duration, run_command, settings_of
from pipelines.terminal.output import Report
from sources.command_line import Parser

if TYPE_CHECKING:
    from pipelines.configuration.settings import Settings

SHOWN_RUNS = 5


def main(arguments: Sequence[str] | None = None, prog: str = "stripe-elt status") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _run, arguments)


def _parser(prog: str = "stripe-elt status") -> argparse.ArgumentParser:
    parser = Parser(prog=prog, description="Shows how fresh the tables are. Reads only the database, not Stripe.")
    add_common_options(parser)
    parser.add_argument(
        "--max-age",
        type=duration,
        metavar="AGE",
        help="exit with code 1 if an account is further behind than this (2h, 1d), or a resource is in error",
    )
    parser.add_argument("--textfile", metavar="FILE", help="write metrics for Prometheus' textfile collector as well")
    page = parser.add_argument_group("the status page, which needs 'stripe-elt[sink]'").add_mutually_exclusive_group()
    page.add_argument(
        "--serve", dest="is_service", action="store_true", help="serve the page, at the host and port of the sink"
    )
    page.add_argument("--html", metavar="FILE", help="write the page, as it is now, to a file")
    parser.add_argument("--host", help="address to listen on, with --serve (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on, with --serve (default: 8080)")
    return parser


def _run(options: argparse.Namespace) -> Report:
    if options.is_service:
        return _serve(options)
    return _write(options) if options.html else _status(options)


def _serve(options: argparse.Namespace) -> Report:
    from webhook_sink.http.server import serve_page
    from webhook_sink.settings import read_sink_settings

    settings = settings_of(options)
    serve_page(settings, read_sink_settings(host=options.host, port=options.port))
    return Report(ALL_WELL, {"code": ALL_WELL})


def _write(options: argparse.Namespace) -> Report:
    from webhook_sink.pages.snapshot import write_snapshot

    settings = settings_of(options)
    headline = write_snapshot(settings, options.html)
    print(f"{headline}. The page is in {options.html}.")
    return Report(ALL_WELL, {"file": options.html, "headline": headline})


def _status(options: argparse.Namespace) -> Report:
    from pipelines.commands.freshness import account_freshness
    from pipelines.loading.session import open_existing
    from pipelines.state import read_overview
    from pipelines.warehouse.problems import database_problems
    from stripe_elt.textfile import write_textfile

    settings = settings_of(options)
    with database_problems(), closing(open_existing(settings)) as database:
        found = read_overview(database, settings.dataset)
    now = datetime.now(UTC)
    accounts = [account_freshness(account, found["resources"], now, options.max_age) for account in found["accounts"]]
    if options.textfile:
        write_textfile(options.textfile, accounts, found["runs"])
    runs = found["runs"][:SHOWN_RUNS]
    _tell(settings, accounts, runs, options.max_age)
    is_behind = options.max_age is not None and (not accounts or any(account["is_behind"] for account in accounts))
    told = {"dataset": settings.dataset, "accounts": accounts, "resources": found["resources"], "runs": runs}
    return Report(SOME_FAILED if is_behind else ALL_WELL, told)


def _tell(
    settings: Settings,
    accounts: Sequence[Mapping[str, Any]],
    runs: Sequence[Mapping[str, Any]],
    max_age: timedelta | None,
) -> None:
    from pipelines.commands.freshness import ago

    if not accounts:
        has_file = settings.destination != "duckdb" or Path(settings.duckdb_path).exists()
        why = "" if has_file else f": there is no file {settings.duckdb_path}"
        print(f"Nothing was ever loaded into the schema {settings.dataset}{why}.")
    for account in accounts:
        counted = ", ".join(f"{count} {status}" for status, count in sorted(account["resources"].items()))
        age = (
            "never loaded" if account["reached"] is None else f"right up to {account['reached']:%Y-%m-%d %H:%M:%S} UTC"
        )
        since = "" if account["age_seconds"] is None else f" ({ago(account['age_seconds'])} ago)"
        print(f"{account['account']} ({account['mode'] or 'mode unknown'}): {age}{since}")
        print(f"  resources: {counted or 'none'}; events: {account['events'] or 'never applied'}")
        if max_age is not None and account["is_behind"]:
            print("  This is further behind than --max-age allows, or a resource is in error.")
        for name, why in account["errors"].items():
            print(f"  {name} is in error: {why}")
    if runs:
        print("last runs:")
    for run in runs:
        rows = "" if run["rows"] is None else f"  {run['rows']:,} rows"
        print(f"  {run['started_at'].astimezone(UTC):%Y-%m-%d %H:%M}  {run['command']}  {run['status']}{rows}")
