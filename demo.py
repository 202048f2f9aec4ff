"""`make demo`: loads a simulated Stripe account into DuckDB with the ordinary command, and runs a few queries.

The account, its keys and its clock are the same on every machine, so the output is that of the README. The load is
`pipelines/stripe_full.py` in another process, with the simulator's address in its settings.

    python demo.py            # loads and queries
    python demo.py --serve    # keeps the account running, to try commands on it
    python demo.py --orb      # `make demo-orb`: the same with a simulated Orb account
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from pipelines.configuration.fields import environment_name
from pipelines.configuration.orb_settings import OrbSettings
from pipelines.configuration.settings import Settings
from pipelines.terminal.process import interruptible
from simulator import Simulator
from simulator.orb import OrbSimulator
from sources.command_line import Parser

ROOT = Path(__file__).resolve().parent
FILE = Settings().duckdb_path
ORB_ID = "orb_demo"
NOW = datetime(2026, 7, 1, tzinfo=UTC)  # the account's clock stands still, so that the account is the same at any time


Account = Simulator | OrbSimulator


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo of a provider: its name, the script that loads it, the schema of its tables, the file of queries.

    `account` creates the account behind a port, `environment` returns the settings with which commands read it, and
    `account_id` is the `_account_id` of its rows.
    """

    provider: str
    script: str
    schema: str
    tour: str
    account: Callable[[int], Account]
    environment: Callable[[Any], dict[str, str]]
    account_id: Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Question:
    """A query of docs/tour.sql: its comment and its statement."""

    comment: str
    statement: str


def main() -> int:
    """Returns the exit code of the load, or 2 if it was not started."""
    options = _parser().parse_args()
    demo = ORB if options.orb else STRIPE
    with demo.account(options.port) as simulator, interruptible():
        return serve(demo.environment(simulator)) if options.serve else load_and_show(demo, simulator)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="demo.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true", help="keep the account running until Ctrl-C")
    parser.add_argument("--orb", action="store_true", help="an Orb account instead of Stripe's")
    parser.add_argument("--port", type=int, default=0, help="port of the account (default: a free port)")
    return parser


def account(port: int = 0) -> Simulator:
    """The demo's account: three years of a growing business."""
    return Simulator(seed=1, customers=300, now=NOW.timestamp(), running=False, port=port)


def environment(simulator: Simulator) -> dict[str, str]:
    """The settings with which the project's commands read that account, without a rate limit."""
    return {
        "STRIPE_SECRET_KEY": simulator.key,
        environment_name("api_base", Settings.section): simulator.url,
        environment_name("max_clock_skew", Settings.section): "inf",
        environment_name("sandbox_rate", Settings.section): "inf",
        environment_name("endpoint_rate", Settings.section): "inf",
    }


def _orb_account(port: int = 0) -> OrbSimulator:
    return OrbSimulator(seed=1, customers=300, now=NOW.timestamp(), running=False, port=port)


def _orb_environment(simulator: OrbSimulator) -> dict[str, str]:
    return {
        "ORB_API_KEY": simulator.key,
        environment_name("api_base", OrbSettings.section): simulator.url,
        environment_name("account_id", OrbSettings.section): ORB_ID,
        environment_name("test_rate", OrbSettings.section): "inf",
        environment_name("max_clock_skew", Settings.section): "inf",
    }


STRIPE = Demo("Stripe", "stripe_full.py", "stripe", "tour.sql", account, environment, lambda sim: str(sim.account.id))
ORB = Demo("Orb", "orb_full.py", "orb", "tour_orb.sql", _orb_account, _orb_environment, lambda _: ORB_ID)


def serve(environment: dict[str, str]) -> int:
    """Prints how to reach the account, and waits for SIGINT or SIGTERM."""
    print(*(f"export {name}={value}" for name, value in environment.items()), sep="\n", flush=True)
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
    return 0


def load_and_show(demo: Demo, simulator: Account) -> int:
    """Loads the account into the file and runs the queries of the tour."""
    if others := accounts(FILE, demo.schema) - {demo.account_id(simulator)}:
        found = f"{FILE} has rows of another account ({', '.join(others)})."
        print(f"{found} Move the file away, or run the demo in another folder.")
        return 2
    command = [sys.executable, str(ROOT / "pipelines" / demo.script), "--duckdb-path", FILE]
    print(
        f"A simulated {demo.provider} account is at {simulator.url}; pipelines/{demo.script} loads it into {FILE}.\n",
        flush=True,
    )
    code = subprocess.run(command, env=os.environ | demo.environment(simulator), check=False).returncode
    if code == 0:
        for question in questions((ROOT / "docs" / demo.tour).read_text("utf-8")):
            print(f"\n-- {question.comment}\n{question.statement};\n\n{answer(FILE, question.statement)}")
    return code


def accounts(path: str, schema: str = "stripe") -> set[str]:
    """The accounts whose rows are in a schema of a DuckDB file; empty if the file or the schema does not exist."""
    if not Path(path).exists():
        return set()
    with duckdb.connect(path, read_only=True) as connection:
        there = "select 1 from information_schema.tables where table_schema = ? and table_name = 'sync_status'"
        if not connection.execute(there, [schema]).fetchall():
            return set()
        return {id for (id,) in connection.sql(f"select distinct _account_id from {schema}.sync_status").fetchall()}


def questions(text: str) -> Iterator[Question]:
    """The statements of a file, each with its comment."""
    for part in filter(str.strip, text.split(";\n")):
        lines = part.strip().splitlines()
        comment = " ".join(line.removeprefix("--").strip() for line in lines if line.startswith("--"))
        yield Question(comment, "\n".join(line for line in lines if not line.startswith("--")))


def answer(path: str, statement: str) -> str:
    """The rows of a statement as a text table; times are in UTC."""
    with duckdb.connect(path, read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        relation = connection.sql(statement)
        return text_table(relation.columns, relation.fetchall())


def text_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A text table like psql's: numbers are aligned right, nulls are empty."""
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    to_right = [all(isinstance(value, int | float | Decimal) for value in column) for column in zip(*rows, strict=True)]

    def line(values: Sequence[str], right: Sequence[bool]) -> str:
        padded = (v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True))
        return f" {' | '.join(padded)}".rstrip()

    ruler = "-+-".join("-" * width for width in widths)
    aligned = to_right or [False] * len(columns)
    return "\n".join([line(columns, aligned), f"-{ruler}-", *(line(row, aligned) for row in cells)])
