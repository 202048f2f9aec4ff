"""The one guarded merge: SQL for Postgres and DuckDB that no stale state can win against.

Pure text: this module knows tables, columns and the rules of the merge, and neither a provider nor a connection.
The rules (docs/merge.md):

* a row changes only if the incoming `_as_of` is at least the stored one;
* at the same `_as_of` the later arrival is kept, but a live state does not revive a deleted row of the same second,
  unless people choose the ids of its table (`remade`) and may have made the object again;
* a tombstone (a row whose witness, Stripe's `object`, is null) sets `_deleted_at` and keeps the rest of the row;
* a set marker (`_source` = 'set') deletes those children of its parent that did not come along and are not newer;
* an event leaves alone the columns that no event shows;
* a column that only some lists tell keeps its value when others come, and takes it from an older state too;
* a child's state that is older than its holder's is dropped where the holder is deleted, or where every state of the
  holder shows all of its children: what left with a newer state that arrived first does not come back.

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
    """The table of the objects that a child table's rows come embedded in.

    `key` is its column that the children's `_parent_id` holds. `shows_all`: no state of it comes without the list.
    """

    target: str
    key: str
    shows_all: bool


@dataclass(frozen=True, slots=True)
class Contents:
    """What may be among staged rows: whole objects, tombstones, set markers, and several states of one object.

    `alone`: the table is new, and no other writer can have put a row into it.
    """

    objects: bool = True
    tombstones: bool = True
    markers: bool = True
    repeated: bool = True
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Merge:
    """One table's merge. `target` and `staging`, which is selected from, are SQL already; column names are not.

    `columns`: every column of the target that the incoming rows speak for, the own columns included. `key`: the primary
    key, `_account_id` included. `arrival`: an expression that grows with the order of arrival of the staged rows
    (in Postgres `ctid` of a table or `_arrival` of `staged_json`, in DuckDB `file_row_number` of a Parquet file).
    `holder` is given for children whose holder's table exists. `unseen` are the columns that no event shows: whole
    objects that come with one say nothing about them.
    `others` are the provider's columns that another writer has added since: the incoming objects lack them. `kept` are
    columns that only some lists show: a state without one leaves it as it is. `remade` says that a deleted object can
    be created again under its id, even within the same second. `witness` is the column that is null in a tombstone and
    in no whole object. `contents` says what may be staged: nothing is done for the rest.
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
        """Whether the table holds children, whose parent's newer state can make them disappear."""
        return PARENT in self.columns

    def statements(self) -> list[str]:
        """The statements, to be run in one transaction, in this order."""
        statements = [self.upsert()] if self.contents.objects else []
        if self.contents.objects and self.kept:
            statements.append(self.told())
        if self.contents.tombstones:
            statements.append(self.tombstones())
        if self.has_parent and self.contents.markers:
            statements.append(self.absent_children())
        return statements

    def upsert(self) -> str:
        """Whole objects: insert, or replace the row unless it is newer.

        A new table has no rows to replace. DuckDB plans for them as long as all the rest of a small merge takes.
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

    def told(self) -> str:
        """Kept columns that are still empty take what was staged, also with a state that another one has overtaken."""
        empty = " OR ".join(f"(d.{_quote(one)} IS NULL AND s.{_quote(one)} IS NOT NULL)" for one in self.kept)
        values = "".join(f", {_quote(one)} = coalesce(d.{_quote(one)}, s.{_quote(one)})" for one in self.kept)
        return (
            f"UPDATE {self.target} AS d SET {SYNCED_AT} = now(){values} FROM {self.staging} AS s"
            f" WHERE {self._same('s', 'd')} AND ({empty})"
        )

    def _assigned(self, names: Sequence[str]) -> str:
        """What the columns become. A state that does not name the parent, as not every object does, keeps the known."""
        kept = (PARENT, *self.kept)
        return ", ".join(f"{_quote(one)} = {_value(one, one in self.unseen, one in kept)}" for one in names)

    def tombstones(self) -> str:
        """Deletions that say no more than the id: mark the row and keep the rest of it; insert where there is none."""
        marks = [AS_OF, SOURCE, SYNCED_AT, DELETED_AT]
        columns = (*self.key, *marks)
        return (
            f"INSERT INTO {self.target} AS d ({_list(columns)})"
            f" {self._newest(columns, f'{_quote(self.witness)} IS NULL{self._last()}')}"
            f" ON CONFLICT ({_list(self.key)}) DO UPDATE SET {_assign(marks)}"
            f" WHERE d.{AS_OF} IS NULL OR excluded.{AS_OF} >= d.{AS_OF}"
        )

    def absent_children(self) -> str:
        """Children that their parent's newest whole list no longer has are deleted as of that list."""
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
        """Children whose holder has no newer state that says more about them.

        OFFSET 0 keeps it one look-up by key for each row: as a join, Postgres reads all holders for every package.
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
        """Tombstones that no whole object of the same second follows, where that may be the object made again."""
        if not self.remade:
            return ""
        return (
            f" AND NOT EXISTS (SELECT 1 FROM {self.staging} AS c WHERE {self._same('c', 'n')}"
            f" AND c.{_quote(self.witness)} IS NOT NULL"
            f" AND c.{AS_OF} = n.{AS_OF} AND c.{self.arrival} > n.{self.arrival})"
        )

    def _same(self, one: str, other: str) -> str:
        return " AND ".join(f"{one}.{_quote(name)} = {other}.{_quote(name)}" for name in self.key)

    def _newest(self, columns: Sequence[str], kind: str) -> str:
        """The newest staged row of each key, of one kind, written now, in an order that all writers have.

        Where each key has one row there is nothing to find, and where there is one writer nothing to sort: for a small
        package, DuckDB plans both for longer than all the rest takes.
        """
        selected = ", ".join(f"now() AS {SYNCED_AT}" if name == SYNCED_AT else _quote(name) for name in columns)
        found = f"{selected} FROM {self.staging} AS n WHERE {SOURCE} <> '{SET_MARKER}' AND {kind}"
        if self.contents.repeated:
            order = f"{_list(self.key)}, {AS_OF} DESC, {self.arrival} DESC"
            return f"SELECT DISTINCT ON ({_list(self.key)}) {found} ORDER BY {order}"
        return f"SELECT {found}" if self.arrival == FILE_ROW else f"SELECT {found} ORDER BY {_list(self.key)}"


def staged_json(types: Mapping[str, str], parameter: str) -> str:
    """What goes before a statement of a merge in Postgres, whose `staging` is then `staged` and `arrival` `ARRIVAL`.

    The rows are a parameter, a JSON array of objects. `types` are the columns' types, as SQL has them.
    """
    typed = ", ".join(f"{_quote(name)} {kind}" for name, kind in types.items())
    return (
        f"WITH staged AS MATERIALIZED (SELECT * FROM ROWS FROM (jsonb_to_recordset({parameter}::jsonb) AS ({typed}))"
        f" WITH ORDINALITY AS t ({_list([*types, ARRIVAL])})) "
    )


def holder_of(
    catalogue: Catalogue, table: str, exists: Callable[[str], bool], qualified: Callable[[str], str]
) -> Holder | None:
    """The holder of a child table, None for any other table and where the holder's table does not exist yet.

    `exists` says which tables the dataset has, `qualified` quotes a table's name and puts the dataset before it.
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
