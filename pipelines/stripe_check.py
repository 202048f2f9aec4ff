"""The consistency check: `python pipelines/stripe_check.py`, every night or week.

Lists everything again, compares it with the tables field by field, repairs what differs and reports it. Exit codes: 0
all went well, 1 some resources could not be checked, 2 it could not start, 3 drift was found (with --fail-on-drift).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import orjson

if __package__ in (None, ""):  # started as a file: the repository's folder is where the packages are
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipelines.check import Check, CheckOrder
from pipelines.check_report import CheckReport
from pipelines.command import (
    ALL_WELL,
    DRIFT,
    SOME_FAILED,
    Parser,
    add_common_options,
    in_turn,
    moment,
    resources_of,
    run_command,
    say,
    settings_of,
    whole_number,
    window_of,
)
from pipelines.database_problem import AlreadyRunning
from pipelines.loaded import loaded_resources
from pipelines.parts import drop_staging, scope_of
from pipelines.session import open_session
from pipelines.settings import Settings
from sources.stripe_api.errors import BadConfiguration


def main() -> int:
    """Parses the command line and runs."""
    return run_command(_parser(), _check)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="stripe_check.py", description="Compares the tables with Stripe's lists.")
    add_common_options(parser)
    parser.add_argument(
        "--resources",
        nargs="+",
        metavar="NAME",
        default=[],
        help="names, or the groups core, default and all (default: what was loaded before)",
    )
    parser.add_argument("--since", type=moment, metavar="TIME", help="only objects created at or after this moment")
    parser.add_argument("--until", type=moment, metavar="TIME", help="only objects created before this moment")
    parser.add_argument(
        "--sample", type=whole_number, metavar="N", help="only about N objects of each list, taken at random"
    )
    parser.add_argument("--dry-run", action="store_true", help="report, and repair nothing")
    parser.add_argument("--fail-on-drift", action="store_true", help="exit with 3 when anything differed")
    parser.add_argument("--json", metavar="FILE", help="write the report there too; - is stdout")
    parser.add_argument(
        "--requests-budget", type=whole_number, metavar="N", help="spend at most N requests for each account"
    )
    return parser


def _check(options: argparse.Namespace) -> int:
    names = resources_of(options)
    window_of(options)
    if options.json not in (None, "-"):
        _prepare_file(Path(options.json))
    reports: list[CheckReport] = []

    def check(settings: Settings) -> int:
        try:
            report = _check_account(settings, names, options)
        except AlreadyRunning as running:
            say(running)
            return ALL_WELL
        reports.append(report)
        _tell(report)
        if options.fail_on_drift and report.has_drift:
            return DRIFT
        return SOME_FAILED if report.incomplete else ALL_WELL

    code = in_turn(settings_of(options), check, debug=options.debug)
    if options.json:
        _write_json(reports, options.json)
    return code


def _check_account(settings: Settings, names: list[str], options: argparse.Namespace) -> CheckReport:
    """Under a lock and with a staging dataset of the account's own: hourly syncs go on while a long check runs."""
    since, until = window_of(options)
    scope = scope_of("check", settings.stripe_account)
    with open_session(settings, "stripe_check", budget=options.requests_budget, scope=scope) as session:
        order = CheckOrder(
            resources=loaded_resources(session, names),
            since=since,
            until=until,
            sample=options.sample,
            dry_run=options.dry_run,
        )
        try:
            report = Check(session, order).run()
        except BaseException as error:
            session.end("error", type(error).__name__)
            raise
        session.end("partial" if report.incomplete else "complete")
        drop_staging(session, scope)
        return report


def _tell(report: CheckReport) -> None:
    report.show()
    for name, why in report.incomplete.items():
        say(f"{name} could not be checked to its end: {why}")
    if report.skipped:
        say(f"Not checked, since the account or the key lacks them: {', '.join(report.skipped)}.")


def _prepare_file(path: Path) -> None:
    """Makes the file before a long check, not after it. Raises BadConfiguration where it cannot be written."""
    try:
        path.touch()
    except OSError as error:
        raise BadConfiguration(f"The report cannot be written to --json {path}: {error.strerror}.") from error


def _write_json(reports: list[CheckReport], path: str) -> None:
    text = orjson.dumps([report.to_json() for report in reports], option=orjson.OPT_INDENT_2)
    if path == "-":
        sys.stdout.write(text.decode() + "\n")
    else:
        Path(path).write_bytes(text + b"\n")


if __name__ == "__main__":
    sys.exit(main())
