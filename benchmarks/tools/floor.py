"""The floor: plain code that fetches, copies and upserts the same lists without the connector.

`python -m benchmarks.tools.floor typed|pages TABLE …` reads SOURCES__STRIPE__API_BASE with STRIPE_SECRET_KEY into the
schema `by_hand` of DATABASE_URL, with the connector's columns, and embedded lists in tables of their own. One
thread fetches, one converts, one writes, 20,000 objects a transaction. There are no windows, no retries, no guard, no
progress, and no new columns.

- `typed` copies each page's values as CSV; the upsert converts seconds into times.
- `pages` copies the bytes of each page as one value; the upsert extracts the objects from the JSON.
"""

from __future__ import annotations

import csv
import io
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from queue import Queue
from typing import Any, TypeVar, cast

import orjson
import psycopg
import urllib3

from sources.stripe_api.catalogue import RESOURCES, TABLES
from sources.stripe_api.catalogue.fields import fields_of
from webhook_sink.commit.rows import SQL_TYPES

BATCH_PAGES, WAITING = 200, 2
T = TypeVar("T")
NULL = r"\N"
NONE: Mapping[str, list[Any]] = {"data": []}
Object = dict[str, Any]
Batch = tuple[str, dict[str, list[bytes]]]  # a list, and the data to copy into the staging table of each of its tables


def main() -> None:
    """Loads the lists."""
    kind, *tables = sys.argv[1:]
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        run(connection, "DROP SCHEMA IF EXISTS by_hand CASCADE")
        run(connection, "CREATE SCHEMA by_hand")
        run(connection, "SET search_path = by_hand")
        for name in {name for table in tables for name in filled_by(table)}:
            create(connection, kind, name)
        for table, parts in ahead(batches(kind, ahead(pages(tables)))):
            write(connection, kind, table, parts)


def ahead(ones: Iterator[T]) -> Iterator[T]:
    """Yields the same items, produced ahead in another thread."""
    made: Queue[T | None] = Queue(WAITING)

    def fill() -> None:
        for piece in ones:
            made.put(piece)
        made.put(None)

    threading.Thread(target=fill, daemon=True).start()
    while (piece := made.get()) is not None:
        yield piece


def pages(tables: Iterable[str]) -> Iterator[tuple[str, list[tuple[bytes, list[Object]]]]]:
    """Reads the lists; yields up to BATCH_PAGES pages of one list at a time, each as its bytes and its objects."""
    http, base = urllib3.PoolManager(), os.environ["SOURCES__STRIPE__API_BASE"]
    headers = {"Authorization": f"Bearer {os.environ['STRIPE_SECRET_KEY']}"}
    for table in tables:
        for more in passes(table):
            after, read, has_more = "", list[tuple[bytes, list[Object]]](), True
            while has_more:
                url = f"{base}/v1/{table}?limit=100{more}{after}"
                body = http.request("GET", url, headers=headers).data
                page = orjson.loads(body)
                read.append((body, page["data"]))
                if has_more := page["has_more"]:
                    after = f"&starting_after={page['data'][-1]['id']}"
                if len(read) == BATCH_PAGES or not has_more:
                    yield table, read
                    read = []


def batches(kind: str, read: Iterable[tuple[str, list[tuple[bytes, list[Object]]]]]) -> Iterator[Batch]:
    """The data to copy for these pages."""
    for table, some in read:
        parts: dict[str, list[bytes]] = {name: [] for name in filled_by(table)}
        for body, objects in some:
            if kind == "pages":
                parts[table].append(csv_of([[body.decode()]]))
                continue
            for embedded in TABLES[table].embedded:
                children = [child for obj in objects for child in (obj.pop(embedded.field, None) or NONE)["data"]]
                parts[embedded.table].append(csv_of(csv_rows(embedded.table, children)))
            parts[table].append(csv_of(csv_rows(table, objects)))
        yield table, parts


def csv_rows(table: str, objects: Iterable[Object]) -> Iterator[list[Any]]:
    """The values of each object, in the order of `columns`."""
    dumps, (plain, nested) = orjson.dumps, columns(table)
    for obj in objects:
        get = obj.get
        row = [NULL if (value := get(name)) is None else value for name in plain]
        row += [NULL if (value := get(name)) is None else dumps(value).decode() for name in nested]
        yield row


def csv_of(rows: Iterable[list[Any]]) -> bytes:
    """CSV for COPY; null is an empty field."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def write(connection: psycopg.Connection, kind: str, table: str, parts: Mapping[str, list[bytes]]) -> None:
    """Copies into the staging tables and upserts from there."""
    for name, texts in parts.items():
        staged = table if kind == "pages" else name
        with connection.transaction():
            if texts:
                run(connection, f'TRUNCATE "{name}_staged"')
                with connection.cursor().copy(
                    cast("Any", f"COPY \"{name}_staged\" FROM STDIN (FORMAT csv, NULL '\\N')")
                ) as copy:
                    for text in texts:
                        copy.write(text)
            embedded = next((embedded.field for embedded in TABLES[table].embedded if embedded.table == name), None)
            run(connection, upsert(kind, name, staged, embedded))


def upsert(kind: str, table: str, staged: str, embedded: str | None) -> str:
    """The statement that merges staged rows into a table."""
    plain, nested = columns(table)
    types, names = fields_of(table), (*plain, *nested)
    listed = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(
        f'to_timestamp(entry."{name}")' if types[name] == "timestamp" else f'entry."{name}"' for name in names
    )
    updates = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name != "id")
    source = f'"{staged}_staged" AS entry'
    if kind == "pages":
        source, data = f'"{staged}_staged"', "body->'data'"
        if embedded is not None:
            source += ", jsonb_array_elements(body->'data') AS one"
            data = f"one->'{embedded}'->'data'"
        source += f", jsonb_to_recordset({data}) AS entry ({staged_columns(table)})"
    return (
        f'INSERT INTO "{table}" ({listed}) SELECT {values} FROM {source} ORDER BY entry.id'
        f" ON CONFLICT (id) DO UPDATE SET {updates}"
    )


def create(connection: psycopg.Connection, kind: str, table: str) -> None:
    """Creates a table and its staging table, in which times are seconds."""
    types = fields_of(table)
    made = ", ".join(f'"{name}" {SQL_TYPES[type]}' for name, type in types.items())
    run(connection, f'CREATE TABLE "{table}" ({made}, PRIMARY KEY (id))')
    run(
        connection,
        f'CREATE UNLOGGED TABLE "{table}_staged" ({"body jsonb" if kind == "pages" else staged_columns(table)})',
    )


def staged_columns(table: str) -> str:
    """The SQL column definitions of a staging table."""
    types = {**SQL_TYPES, "timestamp": "bigint"}
    return ", ".join(f'"{name}" {types[fields_of(table)[name]]}' for column in columns(table) for name in column)


def columns(table: str) -> tuple[list[str], list[str]]:
    """The names of the scalar columns, and of the JSON columns."""
    types = fields_of(table)
    return [name for name in types if types[name] != "json"], [name for name in types if types[name] == "json"]


def filled_by(table: str) -> list[str]:
    """The tables of a list: its own, and those of its embedded lists."""
    return [table, *(embedded.table for embedded in TABLES[table].embedded)]


def passes(table: str) -> list[str]:
    """The parameters of each pass over a list, without those of the page. Some embedded lists are only included if
    expanded.
    """
    expanded = "".join(f"&expand[]=data.{embedded.field}" for embedded in TABLES[table].embedded if embedded.expand)
    return ["".join(f"&{name}={value}" for name, value in params) + expanded for params in RESOURCES[table].passes]


def run(connection: psycopg.Connection, statement: str) -> None:
    """Executes a statement without parameters."""
    connection.execute(cast("Any", statement))


if __name__ == "__main__":
    main()
