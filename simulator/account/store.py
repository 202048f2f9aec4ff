"""Stores objects as rows in Stripe's order, newest first, with windows and cursors. Knows no HTTP and no field.

A row keeps its object as JSON bytes (`own`), which take a tenth of the memory of a dict, and caches the JSON that lists
show (`view`, with its embedded lists).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass


class StoredObject:
    """An object in its table, ordered by `created` (seconds), then by `seq`. `hidden` rows are in no list."""

    __slots__ = ("created", "hidden", "id", "own", "parent", "seq", "view")

    def __init__(
        self, id: str, created: int, seq: int, own: bytes, parent: str | None = None, hidden: bool = False
    ) -> None:
        self.id, self.created, self.seq, self.parent, self.hidden = id, created, seq, parent, hidden
        self.own = own
        self.view: bytes | None = None

    def copy(self) -> StoredObject:
        """A copy of the row for another store."""
        row = StoredObject(self.id, self.created, self.seq, self.own, self.parent, self.hidden)
        row.view = self.view
        return row


def _place(row: StoredObject) -> tuple[int, int]:
    return row.created, row.seq


Match = Callable[[StoredObject], bool]


@dataclass(frozen=True, slots=True)
class Window:
    """The parameters of a list request: `first` and `last` second (both inclusive), a cursor, a number of rows.

    At most one of `after` (rows older than it) and `before` (the rows next newer than it) is set.
    """

    limit: int
    first: int | None = None
    last: int | None = None
    after: StoredObject | None = None
    before: StoredObject | None = None


class Shelf:
    """Rows ordered by (created, seq), sorted when they are next read, so history may be written in any order."""

    __slots__ = ("_rows", "_sorted")

    def __init__(self) -> None:
        self._rows: list[StoredObject] = []
        self._sorted = True

    def __len__(self) -> int:
        return len(self._rows)

    def copy(self, rows: Mapping[StoredObject, StoredObject]) -> Shelf:
        """A shelf with the same places, in which each row is replaced by its value in `rows`."""
        shelf = Shelf()
        shelf._rows, shelf._sorted = [rows[row] for row in self._rows], self._sorted
        return shelf

    def add(self, row: StoredObject) -> None:
        """Adds a row."""
        if self._rows and _place(self._rows[-1]) > _place(row):
            self._sorted = False
        self._rows.append(row)

    def remove(self, row: StoredObject) -> None:
        """Removes a row. Raises ValueError if it is not on the shelf."""
        rows = self.rows()
        index = bisect_left(rows, _place(row), key=_place)
        if index == len(rows) or rows[index] is not row:
            raise ValueError(f"{row.id} is not on this shelf")
        del rows[index]

    def rows(self) -> list[StoredObject]:
        """All rows, oldest first."""
        if not self._sorted:
            self._rows.sort(key=_place)
            self._sorted = True
        return self._rows

    def newest(self) -> Iterator[StoredObject]:
        """All rows, newest first."""
        return reversed(self.rows())

    def page(self, window: Window, match: Match | None = None) -> tuple[list[StoredObject], bool]:
        """A page, newest first, and whether the window has more rows after it (in the direction of the cursor)."""
        rows = self.rows()
        low = 0 if window.first is None else bisect_left(rows, (window.first, -1), key=_place)
        high = len(rows) if window.last is None else bisect_left(rows, (window.last + 1, -1), key=_place)
        if window.before is not None:
            low = max(low, bisect_left(rows, _place(window.before), key=_place) + 1)
            taken, more = _take(rows, range(low, high), window.limit, match)
            return taken[::-1], more
        if window.after is not None:
            high = min(high, bisect_left(rows, _place(window.after), key=_place))
        if match is None:
            start = max(low, high - window.limit)
            return rows[start:high][::-1] if high > low else [], start > low
        return _take(rows, range(high - 1, low - 1, -1), window.limit, match)


def _take(
    rows: list[StoredObject], indices: Iterable[int], limit: int, match: Match | None
) -> tuple[list[StoredObject], bool]:
    taken: list[StoredObject] = []
    for index in indices:
        if match is None or match(rows[index]):
            if len(taken) == limit:
                return taken, True
            taken.append(rows[index])
    return taken, False


class Collection:
    """One table: its rows (hidden ones separately), the rows of each parent, and rows by id.

    `scoped`: ids are only unique within a parent (capabilities are called "card_payments" in every account).
    """

    def __init__(self, *, scoped: bool = False) -> None:
        self.scoped = scoped
        self.shelf = Shelf()
        self.hidden = Shelf()
        self._children: dict[str, Shelf] = {}
        self._by_id: dict[str, StoredObject] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[StoredObject]:
        yield from self.shelf.rows()
        yield from self.hidden.rows()

    def become(self, other: Collection) -> None:
        """Replaces all rows with copies of another table's rows, in the same order."""
        rows = {row: row.copy() for row in other._by_id.values()}
        self.shelf, self.hidden = other.shelf.copy(rows), other.hidden.copy(rows)
        self._children = {parent: shelf.copy(rows) for parent, shelf in other._children.items()}
        self._by_id = {key: rows[row] for key, row in other._by_id.items()}

    def add(self, row: StoredObject) -> None:
        """Adds a row. Raises ValueError if its id exists."""
        key = self._key(row.id, row.parent)
        if key in self._by_id:
            raise ValueError(f"{row.id} is already there")
        self._by_id[key] = row
        (self.hidden if row.hidden else self.shelf).add(row)
        if row.parent is not None:
            self.of(row.parent, make=True).add(row)

    def get(self, id: str, parent: str | None = None) -> StoredObject | None:
        """A row by its id; `parent` matters if ids are only unique within a parent."""
        return self._by_id.get(self._key(id, parent))

    def remove(self, row: StoredObject) -> None:
        """Takes a row out."""
        del self._by_id[self._key(row.id, row.parent)]
        (self.hidden if row.hidden else self.shelf).remove(row)
        if row.parent is not None:
            self.of(row.parent).remove(row)

    def move(self, row: StoredObject, parent: str | None) -> None:
        """Moves a row to another parent, or to none."""
        if row.parent is not None:
            self.of(row.parent).remove(row)
        row.parent = parent
        if parent is not None:
            self.of(parent, make=True).add(row)

    def has(self, parent: str) -> bool:
        """Whether a parent has rows in this table."""
        shelf = self._children.get(parent)
        return shelf is not None and len(shelf) > 0

    def of(self, parent: str, *, make: bool = False) -> Shelf:
        """The rows of a parent."""
        shelf = self._children.get(parent)
        if shelf is None:
            shelf = Shelf()
            if make:
                self._children[parent] = shelf
        return shelf

    def _key(self, id: str, parent: str | None) -> str:
        return f"{parent}/{id}" if self.scoped else id
