"""What the scripts have in common: options, exit codes, and one paragraph instead of a traceback."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import textwrap
import traceback
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

from pipelines.process import INTERRUPTED, interruptible, raise_if_interrupted
from pipelines.settings import Destination, Settings, read_settings
from pipelines.warehouse.problems import (
    AlreadyRunning,
    DatabaseProblem,
    explained,
    is_database_error,
    keep_rows_out_of_logs,
    without_rows,
)
from sources.errors import BadConfiguration, ConnectorError, shown

if TYPE_CHECKING:
    from sources.columns.conversion_counts import ConversionCounts

ALL_WELL, SOME_FAILED, COULD_NOT_START, DRIFT = 0, 1, 2, 3


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Where to load to and from, and how much to say."""
    parser.add_argument("--destination", choices=get_args(Destination), help="default: duckdb")
    parser.add_argument("--dataset", help="schema that holds the tables (default: stripe)")
    parser.add_argument("--duckdb-path", type=str, metavar="FILE", help="DuckDB file (default: stripe_data.duckdb)")
    parser.add_argument(
        "--stripe-account", metavar="ACCT", help="connected account (acct_…), several separated by commas, or all"
    )
    parser.add_argument("--debug", action="store_true", help="log more, and show tracebacks")


def settings_of(options: argparse.Namespace) -> Settings:
    """Settings with what the command line gave on top."""
    names = ("destination", "dataset", "duckdb_path", "stripe_account")
    return read_settings(**{name: getattr(options, name) for name in names})


def resources_of(options: argparse.Namespace) -> list[str]:
    """The names that `--resources` gave, apart by spaces or commas; none where the option was not given.

    Raises BadConfiguration where it was given and names nothing: an empty variable must not load everything.
    """
    names = [name.strip() for given in options.resources for name in given.split(",") if name.strip()]
    if options.resources and not names:
        raise BadConfiguration("--resources names nothing. Name resources or groups, or omit the option.")
    return names


def moment(text: str) -> datetime:
    """A command line's point in time: a date, an RFC 3339 time, or unix seconds; UTC unless it says otherwise."""
    import pendulum  # here, as most command lines have no time in them

    try:
        if text.isdigit() and len(text) > 8:
            return pendulum.from_timestamp(int(text))
        parsed = pendulum.parse(text, tz="UTC")
        if not isinstance(parsed, datetime):
            raise ValueError(text)
        return parsed
    except (ValueError, pendulum.parsing.exceptions.ParserError):
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is not a date or time: write 2025-01-31, 2025-01-31T12:00:00Z or unix seconds"
        ) from None


def whole_number(text: str) -> int:
    """A command line's whole number, one or more."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("it must be a whole number, 1 or more")
    return int(text)


def seconds(text: str) -> float:
    """A command line's number of seconds, one or more."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 1 <= number < float("inf"):
        raise argparse.ArgumentTypeError("it must be a number of seconds, 1 or more")
    return number


def window_of(options: argparse.Namespace) -> tuple[int, int | None]:
    """`--since` and `--until` as unix seconds, from the beginning and without an end where they are not given.

    Raises BadConfiguration where nothing can lie between them.
    """
    if options.since and options.until and options.since >= options.until:
        raise BadConfiguration("--since must be before --until.")
    return int(options.since.timestamp()) if options.since else 0, (
        int(options.until.timestamp()) if options.until else None
    )


def for_each_account(settings: Settings, body: Callable[[Settings], int], *, debug: bool) -> int:
    """Runs a scheduled command for each account of the settings, and returns the highest exit code.

    An account that another run is loading is left to that run, which is no failure. If one of several accounts fails,
    its error is printed and the others go on. Raises what would stop all of them, a wrong key or a database that is
    down, and any error of a single account.
    """
    from pipelines.accounts import each_account, work_on_each_account

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
    """What was stored in another place or spelling than Stripe's own, each kind once; nothing is lost there."""
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
            f" gets at most {MORE_COLUMNS} columns beyond those that Stripe publishes."
        )


def run_command(parser: argparse.ArgumentParser, body: Callable[[argparse.Namespace], int]) -> int:
    """Parses, runs, and turns what went wrong into one paragraph and the right exit code."""
    options = parser.parse_args()
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
    os.environ.setdefault("RUNTIME__LOG_LEVEL", "INFO" if options.debug else "CRITICAL")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING, stream=sys.stderr)
    keep_rows_out_of_logs()
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # of a lost connection, an error tells more, and once
    logging.getLogger("stripe_elt").setLevel(logging.DEBUG if options.debug else logging.INFO)
    spare_the_interpreter()
    try:
        return run_interruptible(lambda: _explaining(body, options))
    finally:
        gc.unfreeze()  # DuckDB's module complains at exit of objects that were never collected


def run_interruptible(body: Callable[[], int]) -> int:
    """The exit code of `body`; 130, and a sentence, where a signal asked it to end before it had."""
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


def _explaining(body: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    try:
        require_working_directory()
        return body(options)
    except ConnectorError as error:
        note = error
    except Exception as error:
        note = BadConfiguration(
            f"Unexpected error: {type(error).__name__}. Everything that was loaded is kept. Run the command"
            " again with --debug to see the traceback, and please report it."
        )
        if is_database_error(error):
            note = DatabaseProblem(explained(error))
        note.__cause__ = error
    raise_if_interrupted()  # a library may have made an error of the interrupt
    explain(note, options.debug)
    return COULD_NOT_START


def require_working_directory() -> None:
    """Raises BadConfiguration where the folder that the command was started in is gone."""
    try:
        os.getcwd()
    except OSError as error:
        raise BadConfiguration(
            f"The folder in which the command was started cannot be used ({error.strerror}). Change to another folder."
        ) from error


def spare_the_interpreter() -> None:
    """What Python does beside the work, less often: it took a third of the conversion's time.

    Parsed pages are many objects, none of them in cycles; what was imported is never garbage. And threads that wait for
    the one that converts need not interrupt it every five milliseconds: a page takes that long.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    sys.setswitchinterval(0.02)


def explain(error: ConnectorError, debug: bool) -> None:
    """The paragraph of an error, with its traceback for those who asked for it."""
    if debug:
        print(without_rows("".join(traceback.format_exception(error))), file=sys.stderr)
    request = f" (Stripe's request id: {error.request_id})" if error.request_id else ""
    say(f"{error}{request}")


def say(message: Any) -> None:
    """One paragraph on stderr, wrapped for reading, after what stdout has been told before."""
    sys.stdout.flush()
    print(textwrap.fill(str(message), 100, break_long_words=False, break_on_hyphens=False), file=sys.stderr)
