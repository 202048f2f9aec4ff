"""`make demo`: a simulated Stripe account, loaded into DuckDB by the ordinary command, and a first look at it.

The account, its keys and its clock are the simulator's and the same on every machine, so that what is printed is what
the README shows. The load is `pipelines/stripe_full.py` in a process of its own, told by settings where Stripe is.

    python demo.py            # loads and shows
    python demo.py --serve    # keeps the account up, to try the commands on it
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before the other imports, which take a second: see `start`
    from pipelines.terminal.process import start

    start("demo")

import argparse
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb

from pipelines.configuration.settings import Settings, environment_name
from pipelines.terminal.process import interruptible
from simulator import Simulator
from sources.command_line import Parser

ROOT = Path(__file__).resolve().parent
FILE = Settings().duckdb_path
NOW = datetime(2026, 7, 1, tzinfo=UTC)  # the account's clock stands still, so that it is the same whenever this runs


@dataclass(frozen=True, slots=True)
class Question:
    """A question of docs/tour.sql: its comment and its statement."""

    comment: str
    statement: str


def main() -> int:
    """Returns the exit code of the load, or 2 where it was not begun."""
    options = _parser().parse_args()
    with account(options.port) as simulator, interruptible():
        return serve(simulator) if options.serve else load_and_show(simulator)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="demo.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true", help="keep the account up until Ctrl-C")
    parser.add_argument("--port", type=int, default=0, help="where to serve it; 0 takes a free one (default)")
    return parser


def account(port: int = 0) -> Simulator:
    """The demo's account: three years of a growing business."""
    return Simulator(seed=1, customers=300, now=NOW.timestamp(), running=False, port=port)


def environment(simulator: Simulator) -> dict[str, str]:
    """The settings under which the project's commands read that account, as fast as it answers."""
    return {
        "STRIPE_SECRET_KEY": simulator.key,
        environment_name("api_base"): simulator.url,
        environment_name("max_clock_skew"): "inf",
        environment_name("sandbox_rate"): "inf",
        environment_name("endpoint_rate"): "inf",
    }


def serve(simulator: Simulator) -> int:
    """Prints how to get at the account, and waits for SIGINT or SIGTERM."""
    print(*(f"export {name}={value}" for name, value in environment(simulator).items()), sep="\n", flush=True)
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
    return 0


def load_and_show(simulator: Simulator) -> int:
    """Loads the account into the file and asks it the questions of the tour."""
    if others := accounts(FILE) - {simulator.account.id}:
        print(f"{FILE} holds another account ({', '.join(others)}): move it away, or run this in another folder.")
        return 2
    command = [sys.executable, str(ROOT / "pipelines" / "stripe_full.py"), "--duckdb-path", FILE]
    print(
        f"A simulated Stripe account is at {simulator.url}; pipelines/stripe_full.py loads it into {FILE}.\n",
        flush=True,
    )
    code = subprocess.run(command, env=os.environ | environment(simulator), check=False).returncode
    if code == 0:
        for question in questions((ROOT / "docs" / "tour.sql").read_text("utf-8")):
            print(f"\n-- {question.comment}\n{question.statement};\n\n{answer(FILE, question.statement)}")
    return code


def accounts(path: str) -> set[str]:
    """The accounts that a DuckDB file has been loaded from, none where there is no file."""
    if not Path(path).exists():
        return set()
    with duckdb.connect(path, read_only=True) as connection:
        return {id for (id,) in connection.sql("select distinct _account_id from stripe.sync_status").fetchall()}


def questions(text: str) -> Iterator[Question]:
    """The statements of a file, each with the comment above it."""
    for part in filter(str.strip, text.split(";\n")):
        lines = part.strip().splitlines()
        comment = " ".join(line.removeprefix("--").strip() for line in lines if line.startswith("--"))
        yield Question(comment, "\n".join(line for line in lines if not line.startswith("--")))


def answer(path: str, statement: str) -> str:
    """A statement's rows as a text table; times in UTC."""
    with duckdb.connect(path, read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        relation = connection.sql(statement)
        return text_table(relation.columns, relation.fetchall())


def text_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The form of psql: numbers to the right, nulls empty."""
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    to_right = [all(isinstance(value, int | float | Decimal) for value in column) for column in zip(*rows, strict=True)]

    def line(values: Sequence[str], right: Sequence[bool]) -> str:
        padded = (v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True))
        return f" {' | '.join(padded)}".rstrip()

    ruler = "-+-".join("-" * width for width in widths)
    aligned = to_right or [False] * len(columns)
    return "\n".join([line(columns, aligned), f"-{ruler}-", *(line(row, aligned) for row in cells)])
