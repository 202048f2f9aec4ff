"""The by-hand floor: the same bytes parsed, copied and upserted by plain code, with no connector around them.

`python -m benchmarks.floor FOLDER` reads pages as `benchmarks.load` saved them (`<table>.<n>.json`) and writes the
columns that the connector writes, embedded lists into tables of their own as well, 20,000 objects a transaction.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import orjson
import psycopg

from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.catalogue.fields import fields_of

BATCH_ROWS = 20_000
POSTGRES_TYPES = {
    "text": "text",
    "bigint": "bigint",
    "double": "double precision",
    "bool": "boolean",
    "timestamp": "timestamptz",
    "decimal": "numeric",
    "json": "jsonb",
}
Rows = dict[str, list[dict[str, Any]]]


def main() -> None:
    """Load every page of the folder; DATABASE_URL says where to."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS by_hand CASCADE")
        connection.execute("CREATE SCHEMA by_hand")
        connection.execute("SET search_path = by_hand")
        files = sorted(Path(sys.argv[1]).glob("*.json"))
        for table, pages in groupby(files, lambda path: path.name.split(".")[0]):
            load(connection, table, pages)


def load(connection: psycopg.Connection, table: str, pages: Iterable[Path]) -> None:
    """One list, batch by batch, with what is embedded in it."""
    names = [table, *(embedded.table for embedded in TABLES[table].embedded)]
    for name in names:
        create = ", ".join(f'"{column}" {POSTGRES_TYPES[kind]}' for column, kind in fields_of(name).items())
        run(connection, f'CREATE TABLE "{name}" ({create}, PRIMARY KEY (id))')
        run(connection, f'CREATE UNLOGGED TABLE "{name}_staged" ({create})')
    rows: Rows = {name: [] for name in names}
    for page in pages:
        collect(rows, table, orjson.loads(page.read_bytes())["data"])
        if len(rows[table]) >= BATCH_ROWS:
            write(connection, rows)
    write(connection, rows)


def collect(rows: Rows, table: str, objects: list[dict[str, Any]]) -> None:
    """Objects to their table, embedded lists to theirs."""
    for obj in objects:
        for embedded in TABLES[table].embedded:
            if embedded.field in obj:
                rows[embedded.table].extend(obj.pop(embedded.field)["data"])
        rows[table].append(obj)


def write(connection: psycopg.Connection, rows: Rows) -> None:
    """COPY into the staging tables, upsert from there; the rows are used up."""
    for table, objects in rows.items():
        types = fields_of(table)
        listed = ", ".join(f'"{name}"' for name in types)
        updates = ", ".join(f'"{name}" = excluded."{name}"' for name in types if name != "id")
        with connection.transaction():
            run(connection, f'TRUNCATE "{table}_staged"')
            with connection.cursor().copy(cast("Any", f'COPY "{table}_staged" ({listed}) FROM STDIN')) as copy:
                for obj in objects:
                    copy.write_row(values(types, obj))
            run(
                connection,
                f'INSERT INTO "{table}" ({listed}) SELECT {listed} FROM "{table}_staged" ORDER BY id'
                f" ON CONFLICT (id) DO UPDATE SET {updates}",
            )
        objects.clear()


def values(types: Mapping[str, str], obj: Mapping[str, Any]) -> list[Any]:
    """The values of an object as COPY takes them."""
    row = []
    for name, kind in types.items():
        value = obj.get(name)
        if value is not None and kind == "json":
            value = orjson.dumps(value).decode()
        elif value is not None and kind == "timestamp":
            value = datetime.fromtimestamp(value, UTC)
        row.append(value)
    return row


def run(connection: psycopg.Connection, statement: str) -> None:
    """A statement without parameters."""
    connection.execute(cast("Any", statement))


if __name__ == "__main__":
    main()
