"""The guarded merge: SQL for Postgres and DuckDB in which no older state overwrites a newer one.

Pure text: knows tables, columns and the rules of the merge, but no provider and no connection.
The rules (docs/merge.md):

* a row changes only if the incoming `_as_of` is at least the stored one;
* at the same `_as_of` the later arrival is kept, but a live state does not revive a deleted row of the same second,
  unless people choose the table's ids (`remade`) and may have created the object again;
* a tombstone (a row whose witness, Stripe's `object`, is null) sets `_deleted_at` and keeps the rest of the row;
* a set marker (`_source` = 'set') marks children of its parent as deleted that are not staged with it and are not
  newer;
* an event does not change the columns that no event shows;
* a column that only some lists show keeps its value when other states arrive; while it is null, it takes its value from
  an older state too;
* a child's state that is older than its holder's is dropped if the holder is deleted, or if every state of the holder
  shows all of its children: a child that a newer state removed does not come back.

Both writers, the batch load and the webhook sink, stage rows and then run `statements()`. Keys are written in sorted
order, so that two writers wait for one another instead of deadlocking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sources.catalogue import Catalogue

SET_MARKER = "set"
ARRIVAL, FILE_ROW = "_arrival", "file_row_number"
ACCOUNT, PARENT, AS_OF, SOURCE, SYNCED_AT, DELETED_AT = (
    "_account_id",
    "_parent_id",
    "_as_of",
    "_source",
    "_synced_at",
    "_deleted_at",
)


@dataclass(frozen=True, slots=True)
class Holder:
    """The table whose objects contain the rows of a child table.

    `key` is its column whose value is the children's `_parent_id`. `shows_all`: every state of the holder contains the
    list.
    """

    target: str
    key: str
    shows_all: bool


@dataclass(frozen=True, slots=True)
class Contents:
    """Which kinds of rows may be staged: whole objects, tombstones, set markers, and several states of one object.

    `alone`: the table is new, and no other writer can have written a row.
    """

    objects: bool = True
    tombstones: bool = True
    markers: bool = True
    repeated: bool = True
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Merge:
    """The merge of one table. `target` and `staging` (the relation to select from) are SQL; column names are not quoted
    yet.

    `columns`: every column of the target that the incoming rows set, our own columns included. `key`: the primary key,
    `_account_id` included. `arrival`: an expression that grows with the order of arrival of the staged rows (in
    Postgres `ctid` of a table or `_arrival` of `staged_json`, in DuckDB `file_row_number` of a Parquet file). `holder`
    is set for children whose holder's table exists. `unseen` are the columns that no event shows: rows from events do
    not change them. `others` are the provider's columns that another writer has added since: they become null, because
    the incoming objects lack them. `kept` are columns that only some lists show: other states do not change them.
    `remade` says that a deleted object can be created again under its id, even within the same second. `witness` is the
    column that is null in a tombstone and never in a whole object. `contents` says which kinds of rows may be staged:
    nothing is done for other kinds.
    """

    target: str
    staging: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    arrival: str
    holder: Holder | None = None
    unseen: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    remade: bool = False
    witness: str = "object"
    contents: Contents = Contents()

    @property
    def has_parent(self) -> bool:
        """Whether the table holds children, which a newer state of their parent can remove."""
        return PARENT in self.columns

    def statements(self) -> list[str]:
        """The statements, to run in one transaction in this order."""
        statements = [self.upsert()] if self.contents.objects else []
        if self.contents.objects and self.kept:
            statements.append(self.kept_values())
        if self.contents.tombstones:
            statements.append(self.tombstones())
        if self.has_parent and self.contents.markers:
            statements.append(self.absent_children())
        return statements

    def upsert(self) -> str:
        """Inserts whole objects, or replaces their rows unless these are newer.

        For a new table it only inserts: in DuckDB, planning the conflict clause takes as long as the rest of a small
        merge.
        """
        insert = (
            f"INSERT INTO {self.target} AS d ({_list(self.columns)})"
            f" {self._newest(self.columns, f'{_quote(self.witness)} IS NOT NULL{self._timely()}')}"
        )
        if self.contents.alone:
            return insert
        values = [name for name in self.columns if name not in self.key]
        kept = "" if self.remade else f" AND (d.{DELETED_AT} IS NULL OR excluded.{DELETED_AT} IS NOT NULL)"
        return (
            f"{insert} ON CONFLICT ({_list(self.key)}) DO UPDATE SET {self._assigned(values)}{_nulls(self.others)}"
            f" WHERE d.{AS_OF} IS NULL OR excluded.{AS_OF} > d.{AS_OF}"
            f" OR (excluded.{AS_OF} = d.{AS_OF}{kept})"
        )

    def kept_values(self) -> str:
        """Fills kept columns that are null from staged rows, even if these show an older state."""
        empty = " OR ".join(f"(d.{_quote(column)} IS NULL AND s.{_quote(column)} IS NOT NULL)" for column in self.kept)
        values = "".join(
            f", {_quote(column)} = coalesce(d.{_quote(column)}, s.{_quote(column)})" for column in self.kept
        )
        return (
            f"UPDATE {self.target} AS d SET {SYNCED_AT} = now(){values} FROM {self.staging} AS s"
            f" WHERE {self._same('s', 'd')} AND ({empty})"
        )

    def _assigned(self, names: Sequence[str]) -> str:
        """The assignments of columns. A state that does not show the parent keeps the stored `_parent_id`."""
        kept = (PARENT, *self.kept)
        return ", ".join(f"{_quote(name)} = {_value(name, name in self.unseen, name in kept)}" for name in names)

    def tombstones(self) -> str:
        """Applies tombstones: marks the row as deleted and keeps the rest of it, or inserts a row if there is none."""
        marks = [AS_OF, SOURCE, SYNCED_AT, DELETED_AT]
        columns = (*self.key, *marks)
        return (
            f"INSERT INTO {self.target} AS d ({_list(columns)})"
            f" {self._newest(columns, f'{_quote(self.witness)} IS NULL{self._last()}')}"
            f" ON CONFLICT ({_list(self.key)}) DO UPDATE SET {_assign(marks)}"
            f" WHERE d.{AS_OF} IS NULL OR excluded.{AS_OF} >= d.{AS_OF}"
        )

    def absent_children(self) -> str:
        """Marks children as deleted that their parent's newest complete list no longer contains, as of that list."""
        same_child = self._same("c", "d")
        return (
            f"UPDATE {self.target} AS d SET {DELETED_AT} = s.{AS_OF}, {AS_OF} = s.{AS_OF}, {SYNCED_AT} = now()"
            f" FROM (SELECT {PARENT}, {ACCOUNT}, max({AS_OF}) AS {AS_OF} FROM {self.staging}"
            f" WHERE {SOURCE} = '{SET_MARKER}' GROUP BY {PARENT}, {ACCOUNT}) AS s"
            f" WHERE d.{PARENT} = s.{PARENT} AND d.{ACCOUNT} = s.{ACCOUNT}"
            f" AND d.{DELETED_AT} IS NULL AND d.{AS_OF} <= s.{AS_OF}"
            f" AND NOT EXISTS (SELECT 1 FROM {self.staging} AS c WHERE {same_child}"
            f" AND c.{SOURCE} <> '{SET_MARKER}' AND c.{AS_OF} >= s.{AS_OF})"
        )

    def _timely(self) -> str:
        """The condition that a child's holder has no newer state that removes the child.

        OFFSET 0 makes it one look-up by key for each row; as a join, Postgres would read all holders for every package.
        """
        if self.holder is None:
            return ""
        target, key = self.holder.target, _quote(self.holder.key)
        gone = "" if self.holder.shows_all else f" AND h.{DELETED_AT} IS NOT NULL"
        return (
            f" AND NOT EXISTS (SELECT 1 FROM {target} AS h WHERE h.{key} = n.{PARENT}"
            f" AND h.{ACCOUNT} = n.{ACCOUNT} AND h.{AS_OF} > n.{AS_OF}{gone} OFFSET 0)"
        )

    def _last(self) -> str:
        """The condition that no whole object of the same second follows a tombstone, because the object may have been
        created again.
        """
        if not self.remade:
            return ""
        return (
            f" AND NOT EXISTS (SELECT 1 FROM {self.staging} AS c WHERE {self._same('c', 'n')}"
            f" AND c.{_quote(self.witness)} IS NOT NULL"
            f" AND c.{AS_OF} = n.{AS_OF} AND c.{self.arrival} > n.{self.arrival})"
        )

    def _same(self, column: str, other: str) -> str:
        return " AND ".join(f"{column}.{_quote(name)} = {other}.{_quote(name)}" for name in self.key)

    def _newest(self, columns: Sequence[str], kind: str) -> str:
        """Selects the newest staged row of each key, of one kind, sorted by key like all writers do.

        If each key has one row, nothing is filtered, and with a single writer nothing is sorted: for a small package,
        DuckDB takes longer to plan these than for everything else.
        """
        selected = ", ".join(f"now() AS {SYNCED_AT}" if name == SYNCED_AT else _quote(name) for name in columns)
        found = f"{selected} FROM {self.staging} AS n WHERE {SOURCE} <> '{SET_MARKER}' AND {kind}"
        if self.contents.repeated:
            order = f"{_list(self.key)}, {AS_OF} DESC, {self.arrival} DESC"
            return f"SELECT DISTINCT ON ({_list(self.key)}) {found} ORDER BY {order}"
        return f"SELECT {found}" if self.arrival == FILE_ROW else f"SELECT {found} ORDER BY {_list(self.key)}"


def staged_json(types: Mapping[str, str], parameter: str) -> str:
    """The WITH clause before a statement of a merge in Postgres whose `staging` is `staged` and whose `arrival` is
    `ARRIVAL`.

    The rows are one parameter, a JSON array of objects. `types` are the columns' SQL types.
    """
    typed = ", ".join(f"{_quote(name)} {kind}" for name, kind in types.items())
    return (
        f"WITH staged AS MATERIALIZED (SELECT * FROM ROWS FROM (jsonb_to_recordset({parameter}::jsonb) AS ({typed}))"
        f" WITH ORDINALITY AS t ({_list([*types, ARRIVAL])})) "
    )


def holder_of(
    catalogue: Catalogue, table: str, exists: Callable[[str], bool], qualified: Callable[[str], str]
) -> Holder | None:
    """The holder of a child table; None for other tables, and if the holder's table does not exist yet.

    `exists` says whether the dataset has a table, `qualified` returns a table's quoted name with the dataset.
    """
    known = catalogue.tables.get(table)
    if known is None or known.parent is None:
        return None
    for name, holder in catalogue.tables.items():
        for embedded in holder.embedded:
            if embedded.table == table and exists(name):
                return Holder(qualified(name), holder.key[0], not embedded.expand)
    return None


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(_quote, names))


def _assign(names: Sequence[str]) -> str:
    return ", ".join(f"{_quote(name)} = excluded.{_quote(name)}" for name in names)


def _nulls(names: Sequence[str]) -> str:
    return "".join(f", {_quote(name)} = NULL" for name in names)


def _value(name: str, is_unseen: bool, is_kept: bool) -> str:
    arrived, stored = f"excluded.{_quote(name)}", f"d.{_quote(name)}"
    if is_unseen:
        return f"CASE WHEN excluded.{SOURCE} = 'event' AND d.{DELETED_AT} IS NULL THEN {stored} ELSE {arrived} END"
    return f"coalesce({arrived}, {stored})" if is_kept else arrived
