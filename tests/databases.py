"""The databases that tests load into: the same few questions to a DuckDB file and to a Postgres database.

Reads through connections of its own, never through dlt, so that a test sees what any other client would see.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit, urlunsplit

import duckdb
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

Kind = Literal["duckdb", "postgres"]
KINDS: tuple[Kind, ...] = ("duckdb", "postgres")


class Query(Protocol):
    """All rows of one statement. Parameters are written `?` for both databases."""

    def __call__(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...


@dataclass(frozen=True, slots=True)
class Database:
    """A fresh database of one test. `address` is the path of a DuckDB file or the URL of a Postgres database."""

    kind: Kind
    address: str

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement, committed. Parameters are written `?` for both databases."""
        with self.asked() as query:
            return query(sql, parameters)

    @contextmanager
    def asked(self) -> Iterator[Query]:
        """`query` for many statements on one connection: opening a DuckDB file costs more than most of them."""
        if self.kind == "duckdb":
            with duckdb.connect(self.address) as file:
                yield lambda sql, parameters=(): file.execute(sql, list(parameters)).fetchall()
            return
        with psycopg.connect(self.address, prepare_threshold=None) as connection:  # a pooler may lie between

            def query(sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
                cursor = connection.execute(re.sub(r"\?", "%s", sql.replace("%", "%%")), tuple(parameters) or None)
                return cursor.fetchall() if cursor.description else []

            yield query

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first column of the first row."""
        return self.query(sql, parameters)[0][0]

    def tables(self, schema: str) -> set[str]:
        """Names of the tables of one schema; empty when there is no such schema."""
        sql = "select table_name from information_schema.tables where table_schema = ?"
        return {name for (name,) in self.query(sql, [schema])}

    @property
    def environment(self) -> dict[str, str]:
        """The variables under which a subprocess finds this database."""
        return {"DATABASE_URL": self.address} if self.kind == "postgres" else {}


def with_database(address: str, database: str) -> str:
    """The same server's address, a libpq URL or `key=value` words, with another database."""
    if "://" in address:
        return urlunsplit(urlsplit(address)._replace(path=f"/{database}"))
    return make_conninfo(**{**conninfo_to_dict(address), "dbname": database})
