"""One part of a scheduled sync, for schedulers with several workers: `python pipelines/stripe_part.py`.

`accounts` prepares the dataset and prints the accounts to sync, `events` applies an account's events and prints the
lists that are due, `lists` reads some of these lists. The last line of output is JSON for the scheduler: see
`pipelines/airflow_dag.py`. Exit codes: 0 all went well, 1 some resources failed, 2 it could not start, or the same part
is running elsewhere, 130 a signal stopped it.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # before the other imports: until `start` has begun, Ctrl-C gives a traceback
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    from pipelines.terminal.process import start

    start("pipelines.stripe_part")

import argparse
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.commands.cli import (
    ALL_WELL,
    SOME_FAILED,
    add_common_options,
    asked_of,
    run_command,
    settings_of,
    whole_number,
)
from pipelines.terminal.process import lost_output
from sources.command_line import Parser

if TYPE_CHECKING:
    from pipelines.configuration.settings import Settings
    from pipelines.sync.stripe_api.parts import Task

COMMAND = "stripe_sync"  # its name in `sync_runs`: it is a part of a sync


def main() -> int:
    """Parses the command line and runs."""
    return run_command(_parser(), lambda options: int(options.part(options)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="stripe_part.py", description="One part of a scheduled sync.")
    parts = parser.add_subparsers(required=True, metavar="PART")
    accounts = parts.add_parser("accounts", help="prepare the dataset, print the accounts to sync")
    events = parts.add_parser("events", help="apply the events of an account, print the parts that are left")
    lists = parts.add_parser("lists", help="read due lists of an account")
    for part, body in ((accounts, _accounts), (events, _events), (lists, _lists)):
        part.set_defaults(part=body)
        add_common_options(part)
    for part in (events, lists):
        part.add_argument(
            "--slots",
            type=whole_number,
            default=1,
            metavar="N",
            help="number of parts that run at once and share the request rate",
        )
        part.add_argument(
            "--requests-budget", type=_budget, metavar="N", help="spend at most N requests; empty for no limit"
        )
    events.add_argument(
        "--full-refresh",
        default="",
        metavar="NAME",
        help="forget what has been read, so that every list is due again: only once for each NAME, even if the part"
        " is repeated; empty for no refresh",
    )
    lists.add_argument(
        "--area", required=True, help="area of the resources; the lock and the staging schema are named after it"
    )
    lists.add_argument("--resources", required=True, metavar="NAMES", help="names separated by commas")
    lists.add_argument("--touched", default="", metavar="TABLES", help="tables that the events changed")
    return parser


def _accounts(options: argparse.Namespace) -> int:
    """Prints the accounts. Also creates the tables of progress, so that parts do not compete for it."""
    from pipelines.commands.accounts import each_account
    from pipelines.loading.session import open_database
    from pipelines.state import State

    settings = settings_of(options)
    found: list[Task] = [{"ACCOUNT": account.stripe_account or ""} for account in each_account(settings)]
    database = open_database(settings)
    try:
        State(database, settings.dataset, "", "", COMMAND).create()
    finally:
        database.close()
    return _tell(ALL_WELL, found)


def _events(options: argparse.Namespace) -> int:
    from pipelines.loading.session import open_session
    from pipelines.sync.stripe_api.parts import run_events
    from pipelines.sync.stripe_api.report import report
    from pipelines.sync.stripe_api.settings import read_sync_settings
    from pipelines.warehouse.staging import drop_staging, scope_of
    from sources.stripe_api.provider import STRIPE

    scope = scope_of("events", options.stripe_account)
    asked = asked_of(options, "full_refresh")
    settings, budget = _settings(options), options.requests_budget
    with open_session(settings, COMMAND, provider=STRIPE, budget=budget, scope=scope, asked=asked) as session:
        account = options.stripe_account or ""
        outcome, left = run_events(session, read_sync_settings(), account, full_refresh=options.full_refresh)
        drop_staging(session.database, settings.dataset, scope)
    return _tell(report(outcome, strict=False), left)


def _lists(options: argparse.Namespace) -> int:
    from pipelines.loading.session import open_session
    from pipelines.sync.stripe_api.parts import run_lists
    from pipelines.sync.stripe_api.report import report
    from pipelines.sync.stripe_api.settings import read_sync_settings
    from pipelines.warehouse.staging import drop_staging, scope_of
    from sources.stripe_api.provider import STRIPE

    scope = scope_of(options.area, options.stripe_account)
    asked = {"resources": _names(options.resources)}
    settings, budget = _settings(options), options.requests_budget
    with open_session(settings, COMMAND, provider=STRIPE, budget=budget, scope=scope, asked=asked) as session:
        outcome = run_lists(session, read_sync_settings(), _names(options.resources), _names(options.touched))
        drop_staging(session.database, settings.dataset, scope)
    return _tell(report(outcome, strict=False), {"rows": outcome.rows, "requests": outcome.requests})


def _settings(options: argparse.Namespace) -> Settings:
    """The settings for one account, with a part's share of the request rate."""
    from pipelines.commands.accounts import each_account

    (settings,) = each_account(settings_of(options))
    share = settings.rate_limit_share / options.slots
    return replace(settings, stripe_account=settings.stripe_account or None, rate_limit_share=share)


def _tell(code: int, said: object) -> int:
    sys.stderr.flush()
    print(json.dumps(said), flush=True)
    return code if lost_output() is None else max(code, SOME_FAILED)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _budget(text: str) -> int | None:
    return whole_number(text) if text else None
