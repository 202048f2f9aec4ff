"""A batch of entries as the statements that commit it: what is recorded, merged and asked for. Pure.

Knows the ledger's and the tables' statements, and no connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from pipelines.warehouse.merge import SET_MARKER
from sources.stripe_api.catalogue import TABLES
from webhook_sink.commit.connection import Statement
from webhook_sink.commit.entry import Claim, Entry
from webhook_sink.commit.ledger import LedgerStatements
from webhook_sink.commit.rows import JsonRow, MergeSql
from webhook_sink.commit.schema import SchemaState
from webhook_sink.decision import Reread

KEYS = {name: (*table.key, "_account_id") for name, table in TABLES.items()}


@dataclass(frozen=True, slots=True)
class MergeStatement:
    """One table's merge. Where it returns places, counted from 1, those are of the entries that tie."""

    statement: Statement
    entries: Sequence[Entry]


def by_event(batch: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Entries of which no event stands twice, and the copies."""
    seen: set[str] = set()
    unique: list[Entry] = []
    copies: list[Entry] = []
    for entry in batch:
        if entry.event is None or entry.event.id not in seen:
            unique.append(entry)
            if entry.event is not None:
                seen.add(entry.event.id)
        else:
            copies.append(entry)
    return unique, copies


def recorded(
    entries: Iterable[Entry],
    ledger: LedgerStatements,
    *,
    status: str | None = None,
    error: str | None = None,
    payload: bytes | None = None,
) -> list[Statement]:
    """The entries' events into the ledger, for the ids of the new ones; `status`, … are in place of their own."""
    rows = [
        (
            event.id,
            event.type,
            event.object_id,
            event.object_type,
            entry.account_id,
            "t" if event.livemode else "f",
            event.api_version,
            str(event.created),
            status or entry.status,
            error or entry.decision.ignored or entry.decision.left_out,
            payload or event.body,
        )
        for entry in entries
        if (event := entry.event) is not None
    ]
    return [Statement(ledger.record, [list(column) for column in zip(*rows, strict=True)])] if rows else []


def merges(entries: Sequence[Entry], schema: SchemaState) -> Iterator[MergeStatement]:
    """The rows, table by table, children first and then by name: the same order in all transactions.

    Two of them wait for one another in that order instead of deadlocking.
    """
    by_table: dict[str, list[tuple[Entry, JsonRow]]] = {}
    for entry in entries:
        for name, rows in entry.rows.items():
            by_table.setdefault(name, []).extend((entry, row) for row in rows)
    for name in sorted(by_table, key=_place):
        yield from _of_table(name, by_table[name], schema.merge_sql(name))


def _of_table(table: str, rows: Sequence[tuple[Entry, JsonRow]], sql: MergeSql) -> Iterator[MergeStatement]:
    whole = [(entry, row) for entry, row in rows if row.kind == "whole"]
    if whole:
        yield _merge(sql.upsert, whole)
    if len(whole) < len(rows):
        gone = [(entry, row) for entry, row in rows if row.kind == "tombstone"]
        if gone:
            yield _merge(sql.tombstones, rows if TABLES[table].chosen_id else gone)
        if len(whole) + len(gone) < len(rows):
            yield _merge(sql.absent_children, rows)


def _merge(sql: bytes, rows: Sequence[tuple[Entry, JsonRow]]) -> MergeStatement:
    staged = b"[" + b",".join([row.json for _, row in rows]) + b"]"
    return MergeStatement(Statement(sql, (staged,)), [entry for entry, _ in rows])


def _place(table: str) -> tuple[bool, str]:
    return TABLES[table].parent is None, table


def ties_within(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Entries whose object, or set of children, has another state of the same second among those before it."""
    seen: dict[tuple[object, ...], object] = {}
    for entry in entries:
        for name, rows in entry.decision.rows.items():
            for row in rows:
                is_tombstone = row.get("object") is None and row["_source"] != SET_MARKER
                if row.get("object") is not None or (is_tombstone and TABLES[name].chosen_id):
                    state: object = row
                    key = (name, row["_as_of"], *[row[column] for column in KEYS[name]])
                elif row["_source"] == SET_MARKER:
                    state = {one["id"] for one in rows if one.get("object") and one["_parent_id"] == row["_parent_id"]}
                    key = (SET_MARKER, name, row["_as_of"], row["_account_id"], row["_parent_id"])
                else:
                    continue
                if seen.setdefault(key, state) != state:
                    yield entry
                seen[key] = state


def asked(entries: Sequence[Entry], ties: Iterable[Entry], ledger: LedgerStatements, delay: float) -> list[Statement]:
    """What is to be read again, for those that tie in `delay` seconds, and what has been."""
    statements: list[Statement] = []
    for entry in entries:
        if entry.claim is not None:
            statements += _finished(entry.claim, entry.decision.left_out, ledger)
        if entry.decision.reread is not None:
            waits = [entry.event.id] if entry.event and entry.decision.waits else []
            statements.append(_asked(entry.decision.reread, waits, 0.0, ledger))
    again = [entry.decision.again for entry in ties]
    return [*statements, *(_asked(one, [], delay, ledger) for one in again if one is not None)]


def _asked(reread: Reread, waits: list[str], delay: float, ledger: LedgerStatements) -> Statement:
    ref = reread.ref
    values = (*key_of(reread), reread.context, ref.parent_id, ref.created, ref.at, reread.reason)
    return Statement(ledger.queue, (*values, waits, delay))


def _finished(claim: Claim, left_out: str | None, ledger: LedgerStatements) -> Iterator[Statement]:
    yield Statement(ledger.finish, (*key_of(claim.reread), claim.generation))
    if claim.events:
        yield Statement(ledger.settle, (list(claim.events), left_out))


def key_of(reread: Reread) -> tuple[str, str, str]:
    """What names an object to read again in the ledger's table: table, key as JSON, account."""
    return reread.ref.table, orjson.dumps(reread.ref.key).decode(), reread.account_id
