"""What the scripts share: options, exit codes, and one paragraph instead of a traceback."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args

from pipelines.configuration.dotenv import read_dotenv
from pipelines.configuration.settings import CommonSettings, Destination, Settings, read_settings
from pipelines.terminal.log import LogFormat, log_to_stderr
from pipelines.terminal.output import Report, text_elsewhere, write_json
from pipelines.terminal.process import (
    COULD_NOT_START,
    INTERRUPTED,
    interruptible,
    lacking_extra,
    lost_output,
    raise_if_interrupted,
)
from pipelines.warehouse.problems import (
    AlreadyRunning,
    DatabaseProblem,
    explained,
    is_database_error,
    without_rows,
)
from sources.errors import BadConfiguration, ConnectorError, shown

if TYPE_CHECKING:
    from sources.catalogue import Catalogue
    from sources.columns.conversion_counts import ConversionCounts

UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
"""Units of time on the command line -> seconds."""
AGO = re.compile(r"(\d{1,6})\s?([wdhms])", re.ASCII)
ALL_WELL, SOME_FAILED, DRIFT = 0, 1, 3


def add_common_options(parser: argparse.ArgumentParser, *, report_file: bool = False) -> None:
    """Adds the options for account, database and output, see `add_output_options`."""
    add_database_options(parser)
    parser.add_argument(
        "--stripe-account", metavar="ACCT", help="connected account (acct_…), several separated by commas, or all"
    )
    add_output_options(parser, report_file=report_file)


def add_database_options(parser: argparse.ArgumentParser, dataset: str = "stripe") -> None:
    """Adds the options for the database; `dataset` is the default schema."""
    parser.add_argument("--destination", choices=get_args(Destination), help="default: duckdb")
    parser.add_argument("--dataset", help=f"schema that holds the tables (default: {dataset})")
    parser.add_argument("--duckdb-path", type=str, metavar="FILE", help="DuckDB file (default: stripe_data.duckdb)")


def add_output_options(parser: argparse.ArgumentParser, *, report_file: bool = False) -> None:
    """Adds the options for output. With `report_file`, `--json` may name a file."""
    parser.add_argument("--debug", action="store_true", help="log more, and show tracebacks")
    parser.add_argument("-q", "--quiet", action="store_true", help="print only warnings and errors")
    if report_file:
        parser.add_argument(
            "--json",
            nargs="?",
            const="-",
            metavar="FILE",
            help="print the report as JSON, and nothing else on stdout; with FILE, write it there as well",
        )
    else:
        parser.add_argument("--json", action="store_true", help="print the report as JSON, and nothing else on stdout")
    parser.add_argument("--log-format", choices=get_args(LogFormat), help="lines of the log on stderr (default: text)")


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Adds `--dry-run`, for a command that reads from a provider."""
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print what would be read, in how many requests; send and change nothing",
    )


def level_of(options: argparse.Namespace) -> int:
    """The lowest level at which our own records are logged."""
    return logging.DEBUG if options.debug else logging.WARNING if options.quiet else logging.INFO


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings, overridden by the command line."""
    settings = read_settings(**given_of(options), stripe_account=options.stripe_account)
    log_as(options, settings)
    return settings


def given_of(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that the command line's options set, of those common to all providers."""
    return {name: getattr(options, name) for name in ("destination", "dataset", "duckdb_path", "log_format")}


def log_as(options: argparse.Namespace, settings: CommonSettings) -> None:
    """Sets the log format of the settings, if they have one."""
    if settings.log_format:
        log_to_stderr(level_of(options), settings.log_format)


def asked_of(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The given values of the named options, for `sync_runs`."""
    given = {name: getattr(options, name) for name in names}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in given.items() if value}


def resources_of(options: argparse.Namespace, catalogue: Catalogue) -> list[str]:
    """The names in `--resources`, separated by spaces or commas; empty if the option was not given.

    Raises BadConfiguration if it was given without a name, because an empty variable must not load everything, and
    UnknownResource for a name that the catalogue does not have.
    """
    names = [name.strip() for given in options.resources for name in given.split(",") if name.strip()]
    if options.resources and not names:
        raise BadConfiguration("--resources names nothing. Name resources or groups, or omit the option.")
    if names:
        catalogue.select(names)
    return names


def moment(text: str) -> datetime:
    """Parses a time on the command line: a date, an RFC 3339 time, unix seconds, or how long ago. Without a zone, it is
    in UTC.

    `7d` is seven days ago; also in weeks (`w`), hours (`h`), minutes (`m`) and seconds (`s`).
    """
    import pendulum  # here, because few command lines contain a time

    try:
        if AGO.fullmatch(text.strip()):
            return datetime.now(UTC) - duration(text)
        if text.isdigit() and len(text) > 8:
            return pendulum.from_timestamp(int(text))
        parsed = pendulum.parse(text, tz="UTC")
        if not isinstance(parsed, datetime):
            raise ValueError(text)
        return parsed
    except (ValueError, OverflowError, pendulum.parsing.exceptions.ParserError):
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is not a date or time: write 2025-01-31, 2025-01-31T12:00:00Z, 7d or unix seconds"
        ) from None


def duration(text: str) -> timedelta:
    """Parses a length of time on the command line: 90s, 30m, 2h, 1d, 2w."""
    if (found := AGO.fullmatch(text.strip())) is None:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a length of time: write 90s, 30m, 2h, 1d or 2w")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def whole_number(text: str) -> int:
    """Parses a whole number on the command line, 1 or more."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("it must be a whole number, 1 or more")
    return int(text)


def seconds(text: str) -> float:
    """Parses seconds on the command line, 1 or more, or a length of time such as 30m."""
    try:
        number = duration(text).total_seconds() if AGO.fullmatch(text.strip()) else float(text)
    except ValueError:
        number = 0.0
    if not 1 <= number < float("inf"):
        raise argparse.ArgumentTypeError("it must be a number of seconds, 1 or more, or a length of time such as 30m")
    return number


def counted(count: int, what: str) -> str:
    """A number with its noun: 1 row, 2,000 rows."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def window_of(options: argparse.Namespace) -> tuple[int, int | None]:
    """`--since` and `--until` as unix seconds; by default 0 and None (no end).

    Raises BadConfiguration if no time lies between them.
    """
    if options.since and options.until and options.since >= options.until:
        raise BadConfiguration("--since must be before --until.")
    return int(options.since.timestamp()) if options.since else 0, (
        int(options.until.timestamp()) if options.until else None
    )


def for_each_account(settings: Settings, body: Callable[[Settings], int], *, debug: bool) -> int:
    """Runs a scheduled command for each account of the settings, and returns the highest exit code.

    An account that another run is loading is skipped, which is no failure. If one of several accounts fails, its error
    is printed and the others go on. Raises errors that would stop all accounts (a wrong key, a database that is down),
    and any error if there is only one account.
    """
    from pipelines.commands.accounts import each_account, work_on_each_account

    accounts, codes = each_account(settings), [ALL_WELL]

    def failed(account: Settings, error: ConnectorError) -> None:
        if isinstance(error, AlreadyRunning):
            say(error)
            return
        if len(accounts) == 1:
            raise error
        say(f"{account.stripe_account or 'The account of the key'} was not finished:")
        explain(error, debug)
        codes.append(SOME_FAILED)

    work_on_each_account(accounts, lambda account: codes.append(body(account)), failed)
    return max(codes)


def say_what_differs(counts: ConversionCounts) -> None:
    """Prints what was stored in another place or spelling than the provider's, each kind once. Nothing is lost."""
    from sources.columns.columns import MORE_COLUMNS
    from sources.columns.layout import OTHER_FIELDS

    for (table, column), count in sorted(counts.variants().items()):
        say(f"{count} values of {table} did not fit their column and are stored in {table}.{column}.")
    for (table, column), count in sorted(counts.escaped().items()):
        say(
            f"{count} values of {table}.{column} contained characters that databases cannot store; these are"
            " escaped (\\u0000)."
        )
    for table, fields in sorted(counts.aside().items()):
        named = ", ".join(fields[:10]) + (f" and {len(fields) - 10:,} more" if fields[10:] else "")
        say(
            f"These fields of {table} cannot be columns and are stored in {table}.{OTHER_FIELDS}: {named}. A"
            " column name must be snake case and must not be one that the database reserves, and a table"
            f" gets at most {MORE_COLUMNS} columns beyond those that the provider publishes."
        )


Body = Callable[[argparse.Namespace], Report | int]
"""The body of a command: takes the parsed options, returns the exit code and the report for `--json`."""


def run_command(
    parser: argparse.ArgumentParser,
    body: Body,
    arguments: Sequence[str] | None = None,
    *,
    log_format: LogFormat = "text",
    is_batch: bool = True,
) -> int:
    """Parses the options, runs the body, and turns errors into one paragraph and an exit code.

    `log_format` is the default format of log lines, also used until the settings are read.
    """
    options = parser.parse_args(arguments)
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
    os.environ.setdefault("RUNTIME__LOG_LEVEL", "INFO" if options.debug else "CRITICAL")
    log_to_stderr(level_of(options), options.log_format or log_format)
    if is_batch:
        spare_the_interpreter()
    as_json = options.json in (True, "-")
    report = Report(INTERRUPTED, {"error": "interrupted"})

    def run() -> int:
        nonlocal report
        report = _explaining(body, options)
        return report.code

    try:
        with text_elsewhere(as_json=as_json, quiet=options.quiet) as stdout:
            code = (run_service if getattr(options, "is_service", False) else run_interruptible)(run)
        if as_json:
            write_json(report.value, stdout)
            code = max(code, ALL_WELL if _is_written() else SOME_FAILED)
        return code
    finally:
        gc.unfreeze()  # otherwise DuckDB's module complains at exit about objects that were never collected


def run_service(body: Callable[[], int]) -> int:
    """Runs a service until a signal ends it, which is not a failure: the exit code is 0."""
    with interruptible():
        try:
            return body()
        except KeyboardInterrupt:
            return ALL_WELL


def _is_written() -> bool:
    """Whether stdout took everything. It is no error if its reader has closed the pipe."""
    lost = lost_output()
    return lost is None or isinstance(lost, BrokenPipeError)


def run_interruptible(body: Callable[[], int]) -> int:
    """The exit code of `body`; 130, after a message, if a signal interrupted it."""
    with interruptible() as interrupts:
        try:
            code = body()
        except KeyboardInterrupt:
            code = INTERRUPTED
        if interrupts.has_arrived:
            code = INTERRUPTED
        if code == INTERRUPTED:
            say("Interrupted. Everything that was loaded is kept, and the next run continues from there.")
        return code


def _explaining(body: Body, options: argparse.Namespace) -> Report:
    try:
        require_working_directory()
        read_dotenv()
        report = body(options)
        return report if isinstance(report, Report) else Report(report, {"code": report})
    except ConnectorError as error:
        note = error
    except Exception as error:
        note = BadConfiguration(
            f"Unexpected error: {type(error).__name__}. Everything that was loaded is kept. Run the command"
            " again with --debug to see the traceback, and please report it."
        )
        if is_database_error(error):
            note = DatabaseProblem(explained(error))
        elif lacking := lacking_extra(error):
            note = BadConfiguration(lacking)
        note.__cause__ = error
    raise_if_interrupted()  # a library may have turned the interrupt into an error
    explain(note, options.debug)
    return Report(COULD_NOT_START, {"error": str(note)})


def require_working_directory() -> None:
    """Raises BadConfiguration if the folder in which the command was started no longer exists."""
    try:
        os.getcwd()
    except OSError as error:
        raise BadConfiguration(
            f"The folder in which the command was started cannot be used ({error.strerror}). Change to another folder."
        ) from error


def spare_the_interpreter() -> None:
    """Reduces the interpreter's overhead, which took a third of the conversion's time.

    Garbage collection runs less often: parsed pages are many objects without cycles, and imported modules are never
    garbage. Threads that wait for the converting thread interrupt it less often than every five milliseconds, because a
    page takes about that long. Arrow, which is imported later, allocates from the system: with its own pool, peak
    memory is a fifth higher.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    sys.setswitchinterval(0.02)


def explain(error: ConnectorError, debug: bool) -> None:
    """Prints the paragraph of an error, with `debug` also its traceback."""
    if debug:
        print(without_rows("".join(traceback.format_exception(error))), file=sys.stderr)
    is_named = error.request_id is None or error.request_id in str(error)
    say(error if is_named else f"{error} (request id: {error.request_id})")


def say(message: Any) -> None:
    """Prints a paragraph on stderr, wrapped, after flushing stdout so that the order is right."""
    sys.stdout.flush()
    print(textwrap.fill(str(message), 100, break_long_words=False, break_on_hyphens=False), file=sys.stderr)
