"""Forgets persons: overwrites their data in the tables, the stored events and the ledger, and records digests of their
ids.

A person's objects are found by ids: objects that name the customer, objects that name one of these, and so on. Later
runs and sinks leave the person's data out of everything that they write: see `forgotten.py`. Sends no request to the
provider.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipelines.configuration.privacy import read_privacy
from pipelines.configuration.settings import CommonSettings
from pipelines.loading.session import open_existing
from pipelines.loading.working_folders import remove_abandoned
from pipelines.privacy.forgotten import create_forgotten, forget_lock, read_forgotten, remember
from pipelines.warehouse.database import Database, has_table
from pipelines.warehouse.problems import AlreadyRunning, database_problems
from pipelines.warehouse.staging import drop_abandoned, lock_name
from sources.catalogue import Table
from sources.columns.coerce import VARIANT_MARK
from sources.columns.columns import ABOUT_OWN_COLUMNS
from sources.columns.layout import OTHER_FIELDS
from sources.errors import BadConfiguration
from sources.json_text import parse, text
from sources.privacy import Forgotten, Privacy, digest_of, prefix_of
from sources.provider import Provider

PERSONS, OWNER, PREFIX = "customers", "customer", "cus"
ID = re.compile(r"cus_\w{1,250}", re.ASCII)
OF_AN_OBJECT = re.compile(r"[a-z]+_\w{6,}", re.ASCII)
"""Ids that Stripe has generated. Ids that people choose are excluded, because another object may have the same."""
TEXTS = ("text", "varchar", "character varying")
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Erased:
    """The result for a table: how many `rows` belong to the persons, and how many were `changed`."""

    table: str
    rows: int
    changed: int


@dataclass(slots=True)
class Outcome:
    """What was forgotten, or with `is_dry_run` would be. `ids` counts the persons and all of their objects."""

    persons: Sequence[str]
    is_dry_run: bool
    ids: int = 0
    tables: list[Erased] = field(default_factory=list)
    space: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        tables = {forgotten.table: {"rows": forgotten.rows, "changed": forgotten.changed} for forgotten in self.tables}
        told = {"persons": list(self.persons), "dry_run": self.is_dry_run, "ids": self.ids, "tables": tables}
        return {**told, "space": self.space}


def forget(
    settings: CommonSettings,
    provider: Provider,
    persons: Sequence[str],
    *,
    is_dry_run: bool = False,
    wholly: bool = False,
) -> Outcome:
    """Forgets customers by their ids; without ids, forgets those again that were forgotten before.

    Can be repeated. `wholly`: see `Database.overwrite_freed_space`. Raises BadConfiguration for a text that is not a
    customer's id, AlreadyRunning during a run, and DatabaseProblem.
    """
    for id in persons:
        if not ID.fullmatch(id):
            raise BadConfiguration("forget takes the ids of customers, which look like cus_NffrFeUfNV2Hib.")
    privacy = read_privacy(provider.catalogue)
    with database_problems(), closing(open_existing(settings)) as database:
        if not has_table(database, settings.dataset, PERSONS):
            raise BadConfiguration(f"There is no table {settings.dataset}.{PERSONS}: nothing was ever loaded there.")
        if not is_dry_run:
            _have_alone(database, settings.dataset)
        return _Forgetting(database, settings.dataset, provider, privacy).run(persons, is_dry_run, wholly)


def _have_alone(database: Database, dataset: str) -> None:
    """Takes the lock against runs, and drops staging tables of killed runs. Raises AlreadyRunning."""
    try:
        database.lock_run(forget_lock(dataset))
        database.lock_run(lock_name(dataset, ""))
    except AlreadyRunning:
        raise AlreadyRunning(
            f"A run is loading the dataset {dataset!r}, and could write erased data again. Nothing was changed. Repeat"
            " the command when the run has ended."
        ) from None
    drop_abandoned(database, dataset, "", others=True)
    remove_abandoned()


class _Forgetting:
    """One forgetting in one dataset."""

    def __init__(self, database: Database, dataset: str, provider: Provider, privacy: Privacy) -> None:
        self._database, self._dataset, self._catalogue = database, dataset, provider.catalogue
        self._privacy, self._ledger = privacy, f"{provider.name}_webhook_events"
        self._is_postgres = database.dialect == "postgres"

    def run(self, persons: Sequence[str], is_dry_run: bool, wholly: bool) -> Outcome:
        """See `forget`."""
        before = read_forgotten(self._database, self._dataset)
        chosen = persons or self._forgotten_persons(before)
        outcome = Outcome(chosen, is_dry_run)
        keys = self._keys(chosen)
        ids = {*chosen, *(key[0] for table, found in keys.items() if self._has_ids(table) for key in found)}
        outcome.ids = len(ids)
        if not is_dry_run:
            create_forgotten(self._database, self._dataset)
            remember(self._database, self._dataset, ids)
            keys = self._keys(chosen) if self._is_postgres else keys  # including rows that a sink has written meanwhile
        forgotten = Forgotten({digest_of(id) for id in ids}, {prefix_of(id) for id in ids})
        self._privacy = self._privacy.with_forgotten(forgotten)
        for table, found in keys.items():
            outcome.tables.append(self._erase(table, sorted(found), is_dry_run))
        for table, key, column, id in self._places_of_events():
            outcome.tables.append(self._erase_events(table, key, column, id, chosen, sorted(ids), is_dry_run))
        outcome.tables = [forgotten for forgotten in outcome.tables if forgotten.rows]
        if not is_dry_run:
            written = [forgotten.table for forgotten in outcome.tables]
            outcome.space = self._database.overwrite_freed_space(self._dataset, written, wholly=wholly)
        return outcome

    # --- what belongs to the persons ----------------------------------------------------------------------------------

    @cached_property
    def _columns(self) -> Mapping[str, Mapping[str, str]]:
        """The columns of the catalogue's tables that have rows -> their types in the database."""
        found: dict[str, dict[str, str]] = {}
        rows = self._database.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = %s",
            (self._dataset,),
        )
        for table, column, kind in rows:
            if table in self._catalogue.tables:
                found.setdefault(table, {})[column] = str(kind).lower()
        asked = 'SELECT 1 FROM "{}"."{}" LIMIT 1'
        return {table: found[table] for table in found if self._database.execute(asked.format(self._dataset, table))}

    def _forgotten_persons(self, before: Forgotten) -> list[str]:
        """The ids of the forgotten persons whose rows exist. Others are unknown, because only digests are stored."""
        rows = self._database.execute(f'SELECT DISTINCT id FROM "{self._dataset}".{PERSONS}')
        return sorted(id for (id,) in rows if before.has(id))

    def _has_ids(self, table: str) -> bool:
        known = self._catalogue.tables[table]
        return known.key[:1] == ("id",) and not known.chosen_id

    def _keys(self, persons: Sequence[str]) -> dict[str, set[tuple[Any, ...]]]:
        """The keys of the rows that belong to the persons, by table: their own, those that name them, those that name
        one of these, and so on.
        """
        found: dict[str, set[tuple[Any, ...]]] = {}
        known, newest = set(persons), set(persons)
        while newest:
            met: set[str] = set()
            for table, columns in self._columns.items():
                for key, owner in self._naming(self._catalogue.tables[table], columns, sorted(newest)):
                    is_anothers = key[0] not in known if table == PERSONS else owner not in (None, *persons)
                    if is_anothers or key in found.get(table, ()):
                        continue
                    found.setdefault(table, set()).add(key)
                    if self._has_ids(table) and OF_AN_OBJECT.fullmatch(key[0]):
                        met.add(key[0])
            newest = met - known
            known |= newest
        return dict(sorted(found.items()))

    def _naming(
        self, table: Table, columns: Mapping[str, str], ids: Sequence[str]
    ) -> Iterator[tuple[tuple[Any, ...], str | None]]:
        """Keys of the rows of a table that name one of these ids in any column, and the customer that they name."""
        named = {OWNER, table.parent_field or "", "_parent_id", *self._catalogue.references(table.name), *table.key[:1]}
        texts = [name for name in columns if name in named and columns[name] in TEXTS]
        if not table.key or not texts:
            return
        key = ", ".join(f'"{name}"' for name in (*table.key, "_account_id"))
        owner = f'"{OWNER}"' if OWNER in texts else "NULL"
        for part in _parts(ids):
            where = " OR ".join(f'"{name}" {self._among}' for name in texts)
            sql = f'SELECT {key}, {owner} FROM "{self._dataset}"."{table.name}" WHERE {where}'
            for row in self._database.execute(sql, [part] * len(texts)):
                yield row[:-1], row[-1]

    @property
    def _among(self) -> str:
        return "= ANY(%s)" if self._is_postgres else "IN (SELECT unnest(%s::text[]))"

    # --- tables -------------------------------------------------------------------------------------------------------

    def _erase(self, table: str, keys: Sequence[tuple[Any, ...]], is_dry_run: bool) -> Erased:
        """Overwrites the persons' fields in some rows of a table, in one transaction."""
        kinds = self._columns[table]
        fields = self._privacy.erased_columns(table)
        names = [
            name
            for name in kinds
            if (name.partition(VARIANT_MARK)[0] in fields or name == OTHER_FIELDS) and name not in ABOUT_OWN_COLUMNS
        ]
        if not names:
            return Erased(table, len(keys), 0)
        key_names = (*self._catalogue.tables[table].key, "_account_id")
        selected = ", ".join([*map(_quoted, key_names), *(self._selected(name, kinds[name]) for name in names)])
        select = f'SELECT {selected} FROM "{self._dataset}"."{table}" WHERE {_quoted(key_names[0])} {self._among}'
        select += " FOR UPDATE" if self._is_postgres else ""  # because a sink may be writing a newer state
        wanted, changed = set(keys), 0
        with self._database.transaction():
            for part in _parts([key[0] for key in keys]):
                rows: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
                for row in self._database.execute(select, [part]):
                    key, values = row[: len(key_names)], dict(zip(names, row[len(key_names) :], strict=True))
                    if key in wanted and (after := self._after(table, values, kinds)) != values:
                        other = [name for name in names if after[name] != values[name]]
                        rows.setdefault(tuple(other), []).append((*key, *(after[name] for name in other)))
                for others, some in rows.items():
                    changed += len(some)
                    if not is_dry_run:
                        self._update(table, key_names, others, some)
        return Erased(table, len(keys), changed)

    def _update(self, table: str, key: Sequence[str], names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Sets columns of some rows, in one statement: each row is its key and these columns."""
        filled = [place for place in range(len(names)) if any(row[len(key) + place] is not None for row in rows)]
        columns, kinds = (*key, *(names[place] for place in filled)), self._columns.get(table, {})
        kept = [*range(len(key)), *(len(key) + place for place in filled)]
        placed = ", ".join(
            f"CAST(%s AS {kinds.get(name, 'json' if name == 'payload' else 'text')})" for name in columns
        )
        assigned = ", ".join(
            f"{_quoted(name)} = {f'v.{_quoted(name)}' if name in columns else 'NULL'}" for name in names
        )
        same = " AND ".join(f"d.{_quoted(name)} = v.{_quoted(name)}" for name in key)
        self._database.execute(
            f'UPDATE "{self._dataset}"."{table}" AS d SET {assigned}'
            f" FROM (VALUES {', '.join([f'({placed})'] * len(rows))}) AS v ({', '.join(map(_quoted, columns))})"
            f" WHERE {same}",
            [row[place] for row in rows for place in kept],
        )

    def _after(self, table: str, values: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
        """The new values of columns, JSON as its text. Variants and `_other_fields` are removed whole."""
        row = {
            name: parse(value.encode()) if value is not None and _is_json(kinds[name]) else value
            for name, value in values.items()
            if VARIANT_MARK not in name and name != OTHER_FIELDS
        }
        erased = self._privacy.erased(table, row)
        told = {name: values[name] if erased[name] == row[name] else erased[name] for name in row}
        for name in row:
            if _is_json(kinds[name]) and told[name] is not None and not isinstance(told[name], str):
                told[name] = text(told[name]).decode()
        return {name: told.get(name) for name in values}

    def _selected(self, name: str, kind: str) -> str:
        return f'CAST("{name}" AS text)' if _is_json(kind) else f'"{name}"'

    # --- events -------------------------------------------------------------------------------------------------------

    def _places_of_events(self) -> Iterator[tuple[str, str, str, str]]:
        """Tables of events: name, key, the column with the object, and the expression for the object's id."""
        if "events" in self._columns and "data" in self._columns["events"]:
            path = "data #>> '{object,id}'" if self._is_postgres else "json_extract_string(data, '$.object.id')"
            yield "events", "id", "data", path
        if has_table(self._database, self._dataset, self._ledger):
            yield self._ledger, "id", "payload", "object_id"

    def _erase_events(
        self,
        table: str,
        key: str,
        column: str,
        id: str,
        persons: Sequence[str],
        ids: Sequence[str],
        is_dry_run: bool,
    ) -> Erased:
        """Overwrites the persons' data in events, in one transaction."""
        target = f'"{self._dataset}".{table}'
        found: dict[str, str] = {}
        for part in _parts(ids):
            sql = (
                f"SELECT {key}, CAST({column} AS text) FROM {target} WHERE {column} IS NOT NULL AND {id} {self._among}"
            )
            found |= dict(self._database.execute(sql, [part]))
        for person in persons:
            sql = f"SELECT {key}, CAST({column} AS text) FROM {target} WHERE CAST({column} AS text) LIKE %s"
            found |= dict(self._database.execute(sql, [f"%{person}%"]))
        changed = [
            (event, after)
            for event, held in sorted(found.items())
            if (after := self._event_after(held, is_payload=column == "payload")) != held
        ]
        if not is_dry_run:
            with self._database.transaction():
                for start in range(0, len(changed), AT_ONCE):
                    self._update(table, [key], [column], changed[start : start + AT_ONCE])
        return Erased(table, len(found), len(changed))

    def _event_after(self, held: str, *, is_payload: bool) -> str | None:
        """An event's new text; None if it cannot be parsed, because the body is stored as a string."""
        shown = parse(held.encode())
        if isinstance(shown, str):
            return None
        event = shown if is_payload else {"data": shown}
        treated = self._privacy.event(event)
        if treated == event:
            return held
        return text(treated if is_payload else treated["data"]).decode()


def _quoted(name: str) -> str:
    return f'"{name}"'


def _is_json(kind: str) -> bool:
    return kind in ("json", "jsonb")


def _parts(ids: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), AT_ONCE):
        yield list(ids[start : start + AT_ONCE])
