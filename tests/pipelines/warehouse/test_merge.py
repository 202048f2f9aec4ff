"""The guarded merge against a model of its rules, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.loading.loader import contents_of, json_of
from pipelines.warehouse.database import Database
from pipelines.warehouse.merge import ARRIVAL, Holder, Merge, staged_json
from pipelines.warehouse.postgres_database import PostgresDatabase
from tests.pipelines.warehouse.conftest import opened
from tests.providers.conftest import case as case
from tests.providers.provider_case import ProviderCase

SHARED = [HealthCheck.function_scoped_fixture]  # each example empties the table
COLUMNS = ("id", "_account_id", "_parent_id", "object", "state", "_as_of", "_source", "_synced_at", "_deleted_at")
TYPES = {name: "timestamptz" if name in ("_as_of", "_synced_at", "_deleted_at") else "text" for name in COLUMNS}

HINTS: Any = {
    name: {"name": name, "data_type": "text" if kind == "text" else "timestamp"} for name, kind in TYPES.items()
}


@dataclass(frozen=True)
class Row:
    """What one writer stages: a whole object, a tombstone, or a whole set of a parent's children."""

    kind: str  # object | deleted object | tombstone | set
    id: str
    parent: str
    as_of: int
    state: str

    def staged(self) -> tuple[Any, ...]:
        at = datetime.fromtimestamp(self.as_of, UTC)
        whole = self.kind in ("object", "deleted object")
        return (
            self.parent if self.kind == "set" else self.id,
            "acct_1",
            self.parent,
            "thing" if whole else None,
            self.state if whole else None,
            at,
            "set" if self.kind == "set" else "list",
            at,
            at if self.kind in ("deleted object", "tombstone") else None,
        )


@dataclass
class Stored:
    as_of: int
    parent: str | None
    state: str | None
    deleted: int | None


class Model:
    """The rules of docs/merge.md, said once more, one row at a time."""

    def __init__(self, remade: bool = False) -> None:
        self.rows: dict[str, Stored] = {}
        self.remade = remade

    def merge(self, batch: list[Row]) -> None:
        newest: dict[str, Row] = {}
        for row in batch:
            if row.kind in ("object", "deleted object") and (row.id not in newest or row.as_of >= newest[row.id].as_of):
                newest[row.id] = row
        for row in newest.values():
            stored = self.rows.get(row.id)
            deleted = row.as_of if row.kind == "deleted object" else None
            revives = not self.remade and stored is not None and stored.deleted is not None and deleted is None
            if stored is None or row.as_of > stored.as_of or (row.as_of == stored.as_of and not revives):
                self.rows[row.id] = Stored(row.as_of, row.parent, row.state, deleted)
        for place, row in enumerate(batch):
            if row.kind == "tombstone" and not self.is_followed(row, batch[place + 1 :]):
                stored = self.rows.setdefault(row.id, Stored(row.as_of, None, None, row.as_of))
                if row.as_of >= stored.as_of:
                    stored.as_of = stored.deleted = row.as_of
        for parent in {row.parent for row in batch if row.kind == "set"}:
            as_of = max(row.as_of for row in batch if row.kind == "set" and row.parent == parent)
            kept = {row.id for row in batch if row.kind != "set" and row.as_of >= as_of}
            for id, stored in self.rows.items():
                if stored.parent == parent and stored.deleted is None and stored.as_of <= as_of and id not in kept:
                    stored.as_of = stored.deleted = as_of

    def is_followed(self, row: Row, later: list[Row]) -> bool:
        """Whether a deletion is followed by another state of its second, where that may be the object made again."""
        states = [each for each in later if each.kind in ("object", "deleted object") and each.id == row.id]
        return self.remade and any(each.as_of == row.as_of for each in states)


class FewRows(PostgresDatabase):
    """Postgres, where the rows go along with each statement, as few rows do."""


@pytest.fixture(params=["duckdb", "postgres", "few rows"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty database, with a table and what is staged for it."""
    few = request.param == "few rows"
    with closing(FewRows(request.getfixturevalue("postgres_url")) if few else opened(request)) as database:
        columns = ", ".join(f"{name} {TYPES[name]}" for name in COLUMNS)
        database.execute("CREATE SCHEMA kept")
        database.execute(f"CREATE TABLE kept.staged ({columns})")
        database.execute(f"CREATE TABLE kept.things ({columns}, PRIMARY KEY (id, _account_id))")
        yield database


def merge_of(database: Database) -> Merge:
    return Merge(
        "kept.things",
        "kept.staged",
        COLUMNS,
        ("id", "_account_id"),
        "ctid" if database.dialect == "postgres" else "rowid",
    )


def merge(
    database: Database, batch: list[Row], *, remade: bool = False, told: bool = False, witness: str = "object"
) -> None:
    """Stages the rows and merges them; with `told`, the merge knows what they are."""
    database.execute("DELETE FROM kept.staged")
    if batch:
        places = f"({', '.join(['%s'] * len(COLUMNS))})"
        values = [value for row in batch for value in row.staged()]
        database.execute(f"INSERT INTO kept.staged VALUES {', '.join([places] * len(batch))}", values)
    with database.transaction():
        known = replace(merge_of(database), witness=witness)
        contents = contents_of(arrow(batch), known.key, known.witness) if told else known.contents
        known = replace(known, remade=remade, contents=contents)
        if isinstance(database, FewRows):
            for statement in replace(known, staging="staged", arrival=ARRIVAL).statements():
                database.execute(staged_json(TYPES, "%s") + statement, (json_of(arrow(batch), HINTS).decode(),))
            return
        for statement in known.statements():
            database.execute(statement)


def arrow(batch: list[Row]) -> pa.Table:
    columns = list(zip(*(row.staged() for row in batch), strict=True)) or [()] * len(COLUMNS)
    types = {"timestamptz": pa.timestamp("us", "UTC"), "text": pa.string()}
    return pa.table({name: pa.array(values, types[TYPES[name]]) for name, values in zip(COLUMNS, columns, strict=True)})


def stored(database: Database) -> dict[str, Stored]:
    rows = database.execute("SELECT id, _as_of, _parent_id, state, _deleted_at FROM kept.things")
    return {
        id: Stored(int(as_of.timestamp()), parent, state, int(deleted.timestamp()) if deleted else None)
        for id, as_of, parent, state, deleted in rows
    }


ROWS = st.builds(
    Row,
    kind=st.sampled_from(["object", "object", "object", "deleted object", "tombstone", "set"]),
    id=st.sampled_from(["a", "b", "c"]),
    parent=st.sampled_from(["p", "q"]),
    as_of=st.integers(1, 5),
    state=st.text("xyz", min_size=1, max_size=3),
)


@settings(
    max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # each example empties the table
@given(
    batches=st.lists(st.lists(ROWS, max_size=6), max_size=5),
    remade=st.booleans(),
    told=st.booleans(),
)
def test_merge_follows_the_rules_in_every_order(
    case: ProviderCase, database: Database, batches: list[list[Row]], remade: bool, told: bool
) -> None:
    """A provider's witness tells whole objects from tombstones: the object's type, or one of its other fields."""
    database.execute("DELETE FROM kept.things")
    witness = "object" if case.provider.catalogue.tables["invoices"].witness == "object" else "state"
    model = Model(remade)
    for batch in batches:
        merge(database, batch, remade=remade, told=told, witness=witness)
        model.merge(batch)
    assert stored(database) == model.rows


@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # each example empties the table
@given(rows=st.lists(ROWS, max_size=8), data=st.data())
def test_whole_objects_with_distinct_times_end_equal_in_every_order(
    database: Database, rows: list[Row], data: st.DataObject
) -> None:
    whole = list({row.as_of: row for row in rows if row.kind in ("object", "deleted object")}.values())
    ends = []
    for order in (whole, data.draw(st.permutations(whole))):
        database.execute("DELETE FROM kept.things")
        for row in order:
            merge(database, [row])
        ends.append(stored(database))
    assert ends[0] == ends[1]


def test_older_state_keeps_the_newer_row(database: Database) -> None:
    merge(database, [Row("object", "a", "p", 2, "new")])
    merge(database, [Row("object", "a", "p", 1, "old")])
    assert stored(database)["a"].state == "new"


def test_older_state_does_not_revive_a_deleted_row(database: Database) -> None:
    merge(database, [Row("tombstone", "a", "p", 2, "")])
    merge(database, [Row("object", "a", "p", 1, "old")])
    assert stored(database) == {"a": Stored(2, None, None, 2)}


def test_tombstone_keeps_the_rest_of_the_row(database: Database) -> None:
    merge(database, [Row("object", "a", "p", 1, "last")])
    merge(database, [Row("tombstone", "a", "p", 2, "")])
    assert stored(database) == {"a": Stored(2, "p", "last", 2)}


def test_child_that_left_its_parent_is_deleted_and_others_are_kept(database: Database) -> None:
    merge(database, [Row("object", "a", "p", 1, "x"), Row("object", "b", "p", 1, "x"), Row("object", "c", "q", 1, "x")])
    merge(database, [Row("object", "a", "p", 2, "y"), Row("set", "", "p", 2, "")])
    assert {id: row.deleted for id, row in stored(database).items()} == {"a": None, "b": 2, "c": None}


def test_repeating_a_batch_changes_nothing(database: Database) -> None:
    batch = [Row("object", "a", "p", 1, "x"), Row("tombstone", "b", "p", 1, ""), Row("set", "", "q", 1, "")]
    merge(database, batch)
    before = stored(database)
    merge(database, batch)
    assert stored(database) == before


@pytest.mark.parametrize(("shows_all", "deleted", "kept"), [(True, False, 0), (False, False, 1), (False, True, 0)])
def test_child_of_an_older_state_does_not_come_back(
    database: Database, shows_all: bool, deleted: bool, kept: int
) -> None:
    columns = ", ".join(f"{name} {TYPES[name]}" for name in COLUMNS)
    database.execute(f"CREATE TABLE kept.holders ({columns})")
    holder = Row("deleted object" if deleted else "object", "p", "", 2, "newer").staged()
    database.execute(f"INSERT INTO kept.holders VALUES ({', '.join(['%s'] * len(COLUMNS))})", holder)
    guarded = replace(merge_of(database), holder=Holder("kept.holders", "id", shows_all))
    database.execute(
        f"INSERT INTO kept.staged VALUES ({', '.join(['%s'] * len(COLUMNS))})", Row("object", "a", "p", 1, "x").staged()
    )
    for statement in guarded.statements():
        database.execute(statement)
    assert len(stored(database)) == kept


def test_state_that_does_not_name_its_parent_keeps_the_known_one(database: Database) -> None:
    merge(database, [Row("object", "a", "p", 1, "x")])
    database.execute("DELETE FROM kept.staged")
    nameless = list(Row("object", "a", "p", 2, "y").staged())
    nameless[COLUMNS.index("_parent_id")] = None
    database.execute(f"INSERT INTO kept.staged VALUES ({', '.join(['%s'] * len(COLUMNS))})", nameless)
    for statement in merge_of(database).statements():
        database.execute(statement)
    assert stored(database)["a"] == Stored(2, "p", "y", None)


def test_event_says_nothing_about_what_no_event_shows(database: Database) -> None:
    merge(database, [Row("object", "a", "p", 1, "listed")])
    guarded = replace(merge_of(database), unseen=("state",))
    for source, as_of, state in (("event", 2, "listed"), ("list", 3, "read again")):
        database.execute("DELETE FROM kept.staged")
        told = list(Row("object", "a", "p", as_of, "read again").staged())
        told[COLUMNS.index("_source")] = source
        database.execute(f"INSERT INTO kept.staged VALUES ({', '.join(['%s'] * len(COLUMNS))})", told)
        for statement in guarded.statements():
            database.execute(statement)
        assert stored(database)["a"] == Stored(as_of, "p", state, None)


def test_object_that_was_made_again_under_its_id_shares_nothing_with_the_deleted_one(database: Database) -> None:
    """Coupons, products and plans have ids of the user's choosing."""
    merge(database, [Row("object", "a", "p", 1, "the first"), Row("tombstone", "a", "p", 2, "")])
    database.execute("DELETE FROM kept.staged")
    told = list(Row("object", "a", "p", 3, "the second").staged())
    told[COLUMNS.index("_source")] = "event"
    database.execute(f"INSERT INTO kept.staged VALUES ({', '.join(['%s'] * len(COLUMNS))})", told)
    for statement in replace(merge_of(database), unseen=("state",)).statements():
        database.execute(statement)
    assert stored(database)["a"] == Stored(3, "p", "the second", None)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("deletion", ["tombstone", "deleted object"])
@pytest.mark.parametrize(("remade", "made_last"), [(True, True), (True, False), (False, True), (False, False)])
def test_of_a_deletion_and_a_creation_in_one_second_the_later_arrival_is_kept_where_ids_come_again(
    database: Database, deletion: str, together: bool, remade: bool, made_last: bool
) -> None:
    """Elsewhere an object is made once and deleted once, so that the deletion was later whichever comes first."""
    rows = [Row(deletion, "a", "p", 2, "the first"), Row("object", "a", "p", 2, "the second")]
    ordered = rows if made_last else rows[::-1]
    merge(database, [Row("object", "a", "p", 1, "the first")])
    for batch in [ordered] if together else [[each] for each in ordered]:
        merge(database, batch, remade=remade)
    lives = made_last and remade
    if together and not remade:
        lives = made_last and deletion == "deleted object"
    assert stored(database)["a"].deleted == (None if lives else 2)


def test_a_kept_column_is_told_by_any_state_and_emptied_by_none(database: Database) -> None:
    known = replace(merge_of(database), kept=("state",))
    older, newer = Row("object", "a", "p", 1, "told"), Row("object", "a", "p", 2, "")

    def merged(*batches: list[Row]) -> Stored:
        database.execute("DELETE FROM kept.things")
        for batch in batches:
            database.execute("DELETE FROM kept.staged")
            for row in batch:
                database.execute(f"INSERT INTO kept.staged VALUES ({', '.join(['%s'] * len(COLUMNS))})", row.staged())
            database.execute("UPDATE kept.staged SET state = nullif(state, '')")
            for statement in known.statements():
                database.execute(statement)
        return stored(database)["a"]

    for batches in ([[older], [newer]], [[newer], [older]], [[older, newer]], [[newer, older]]):
        assert merged(*batches) == Stored(2, "p", "told", None), batches
    assert merged([older], [Row("object", "a", "p", 2, "else")]).state == "else"
