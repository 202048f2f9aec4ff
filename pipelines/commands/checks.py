"""What the checks of all providers share: options, reports, messages, the exit code."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.commands.cli import ALL_WELL, DRIFT, SOME_FAILED, asked_of, moment, say, whole_number, window_of
from pipelines.terminal.output import Report
from sources.errors import BadConfiguration

if TYPE_CHECKING:
    from pipelines.check.report import CheckReport
    from pipelines.configuration.settings import CommonSettings
    from sources.provider import Provider


def add_check_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a check."""
    parser.add_argument(
        "--resources",
        nargs="+",
        metavar="NAME",
        default=[],
        help="names, or the groups core, default and all (default: the resources that were loaded before)",
    )
    parser.add_argument("--since", type=moment, metavar="TIME", help="only objects created at or after this moment")
    parser.add_argument("--until", type=moment, metavar="TIME", help="only objects created before this moment")
    parser.add_argument(
        "--sample", type=whole_number, metavar="N", help="only about N objects of each list, taken at random"
    )
    parser.add_argument("--dry-run", action="store_true", help="report the differences, and repair nothing")
    parser.add_argument("--fail-on-drift", action="store_true", help="exit with code 3 if anything differs")
    parser.add_argument(
        "--requests-budget", type=whole_number, metavar="N", help="spend at most N requests for each account"
    )


def run_checks(
    options: argparse.Namespace,
    names: Sequence[str],
    provider: Provider,
    each: Callable[[Callable[[CommonSettings], int]], int],
) -> Report:
    """Checks accounts: `each` calls its argument with the settings of each account, and gets the account's exit code.

    The file of `--json` is created before a long check. Raises errors that stop all accounts, and the errors of `each`.
    """
    import orjson

    window = window_of(options)
    file = ReportFile(Path(options.json)) if options.json not in (None, "-") else None
    reports: list[CheckReport] = []

    def check(settings: CommonSettings) -> int:
        from pipelines.check.account import check_account

        report = check_account(
            settings,
            names,
            window,
            provider=provider,
            sample=options.sample,
            dry_run=options.dry_run,
            budget=options.requests_budget,
            asked=asked_of(options, "resources", "since", "until", "sample", "dry_run", "requests_budget"),
        )
        reports.append(report)
        _tell(report)
        if options.fail_on_drift and report.has_drift:
            return DRIFT
        return SOME_FAILED if report.incomplete else ALL_WELL

    with file or nullcontext():
        code = each(check)
        told = [report.to_json() for report in reports]
        if file is not None:
            file.write(orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n")
    return Report(code, told)


def _tell(report: CheckReport) -> None:
    report.show(sys.stdout)
    for name, why in report.incomplete.items():
        say(f"{name} could not be checked completely: {why}")
    if report.skipped:
        say(f"Not checked, because the account or the key lacks them: {', '.join(report.skipped)}.")


class ReportFile:
    """The file of `--json`. It keeps the earlier report until the new one has been written completely.

    It is created before a long check, not after it. If it is a link, such as /dev/stdout, its target is written in
    place. Raises BadConfiguration if it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        is_ours = not path.exists() or (path.is_file() and os.access(path.parent, os.W_OK))
        is_replaced = is_ours and not path.is_symlink()
        self._written = path.with_name(f"{path.name}.part") if is_replaced else path
        try:
            self._written.open("ab").close()
        except OSError as error:
            raise self._problem(error) from error

    def __enter__(self) -> None:
        """Nothing more."""

    def __exit__(self, *_: object) -> None:
        """Removes a half-written file."""
        if self._written != self._path:
            self._written.unlink(missing_ok=True)

    def write(self, text: bytes) -> None:
        """Writes the whole report."""
        try:
            self._written.write_bytes(text)
            if self._written != self._path:
                if self._path.exists():
                    shutil.copymode(self._path, self._written)
                self._written.replace(self._path)
        except OSError as error:
            raise self._problem(error) from error

    def _problem(self, error: OSError) -> BadConfiguration:
        return BadConfiguration(f"The report cannot be written to the file that --json names: {error.strerror}.")
