"""Rows a second from parsed pages to Arrow tables on one thread, and orjson alone: `python -m benchmarks.rows`.

Each page of 100 objects is parsed, exploded and converted separately, as workers do it; the best of several rounds
counts, in CPU seconds. The last lines measure the concatenation of all pages to one package, and `typed_rows` on single
rows, as in the webhook sink.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import orjson
import pyarrow as pa

from benchmarks.tools.objects import MAKERS, pages
from sources.columns.arrow import arrow_tables, concat, nbytes
from sources.columns.columns import Columns
from sources.columns.typed import typed_rows
from sources.json_text import parse
from sources.rows import Stamp
from sources.stripe_api.catalogue import CATALOGUE
from sources.stripe_api.objects.rows import explode

STAMP = Stamp("acct_1", 1_760_000_000, "list")


def main() -> None:
    """Measures and prints a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pages", type=int, default=50, help="pages of 100 objects of each kind (50)")
    options.add_argument("--rounds", type=int, default=5, help="rounds, of which the best counts (5)")
    given = options.parse_args()
    headings = ("bytes each", "orjson/s", "parse/s", "convert/s", "both/s", "+children")
    print(f"{'pages of 100':14}" + "".join(f"{heading:>11}" for heading in headings))
    for kind in MAKERS:
        report(kind, pages(kind, given.pages), given.rounds)


def report(kind: str, bodies: Sequence[bytes], rounds: int) -> None:
    """Measures one kind of object and prints its line."""
    count = 100 * len(bodies)
    columns = Columns(CATALOGUE)

    def convert(body: bytes) -> dict[str, pa.Table]:
        return arrow_tables(explode(kind, parse(body)["data"], STAMP), columns)

    orjson_alone = best(rounds, lambda: over(bodies, orjson.loads))
    parse_alone = best(rounds, lambda: over(bodies, parse))
    both = best(rounds, lambda: over(bodies, convert))
    converted = [convert(body) for body in bodies]
    rows = sum(table.num_rows for tables in converted for table in tables.values())
    print(
        f"{kind:14}{sum(map(len, bodies)) / count:11,.0f}{count / orjson_alone:11,.0f}{count / parse_alone:11,.0f}"
        f"{count / (both - parse_alone):11,.0f}{count / both:11,.0f}{rows - count:11,}"
    )
    together = best(rounds, lambda: [concat([tables[name] for tables in converted]) for name in converted[0]])
    size = sum(map(nbytes, converted))
    print(f"    concat of {len(bodies)} pages: {count / together:,.0f} objects/s, {size / count:,.0f} bytes an object")
    singles = [orjson.dumps(obj) for obj in orjson.loads(bodies[0])["data"]]
    parsing = best(rounds, lambda: over(singles, parse))
    typing = best(rounds, lambda: over(singles, lambda single: typed(kind, parse(single), columns)))
    print(f"    one by one to typed rows: {len(singles) / (typing - parsing):,.0f} objects/s")


def typed(kind: str, obj: dict[str, object], columns: Columns) -> None:
    """Converts one object into rows with database values."""
    for table, rows in explode(kind, [obj], STAMP).items():
        typed_rows(table, rows, columns)


def over(bodies: Sequence[bytes], work: Callable[[bytes], object]) -> None:
    """Does the work on each body and keeps no result: pages of dicts in memory would slow down later work."""
    for body in bodies:
        work(body)


def best(rounds: int, work: Callable[[], object]) -> float:
    """The least CPU seconds of several rounds."""
    taken = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


if __name__ == "__main__":
    main()
