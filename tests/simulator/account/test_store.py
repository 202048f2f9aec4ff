"""Pages of a shelf against the plain definition: filter, sort, cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simulator.account.objects import difference
from simulator.account.store import Shelf, StoredObject, Window


@st.composite
def shelves(draw: st.DrawFn) -> list[StoredObject]:
    """Rows in the order of their insertion, several to a second."""
    seconds = draw(st.lists(st.integers(0, 6), max_size=25))
    return [StoredObject(str(place), second, place, b"{}") for place, second in enumerate(seconds)]


@given(shelves(), st.data())
def test_a_page_is_what_the_definition_says(rows: list[StoredObject], data: st.DataObject) -> None:
    shelf = Shelf()
    for row in rows:
        shelf.add(row)
    cursor = data.draw(st.none() | st.sampled_from(rows)) if rows else None
    back = data.draw(st.booleans())
    first, last = data.draw(st.none() | st.integers(0, 6)), data.draw(st.none() | st.integers(0, 6))
    limit = data.draw(st.integers(1, 8))
    odd = data.draw(st.booleans())
    window = Window(limit, first, last, None if back else cursor, cursor if back else None)
    page, more = shelf.page(window, (lambda row: row.seq % 2 == 1) if odd else None)

    order = sorted(rows, key=lambda row: (row.created, row.seq), reverse=True)
    inside = [r for r in order if (first is None or r.created >= first) and (last is None or r.created <= last)]
    if odd:
        inside = [r for r in inside if r.seq % 2 == 1]
    if cursor is not None:
        place = order.index(cursor)
        inside = [r for r in inside if (order.index(r) < place if back else order.index(r) > place)]
    expected = inside[-limit:] if back and cursor is not None else inside[:limit]
    assert page == expected
    assert more == (len(inside) > limit)


@given(shelves(), st.data())
def test_removing_leaves_the_others(rows: list[StoredObject], data: st.DataObject) -> None:
    shelf = Shelf()
    for row in rows:
        shelf.add(row)
    gone = data.draw(st.lists(st.sampled_from(rows), unique=True)) if rows else []
    for row in gone:
        shelf.remove(row)
    assert sorted(r.seq for r in shelf.rows()) == [r.seq for r in rows if r not in gone]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@given(objects, objects)
def test_previous_attributes_name_what_changed_and_nothing_else(old: dict[str, object], new: dict[str, object]) -> None:
    found = difference(old, new)
    assert found.keys() == {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    assert difference(old, old) == {}
