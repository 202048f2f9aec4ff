"""Loads single objects by id, with their children and, on request, the objects that they refer to.

Knows Stripe, rows and prefixes of ids; stores through an open session.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from pipelines.loading.session import Session
from pipelines.sync.objects import Loaded, UnknownObject, store, stored
from sources.catalogue import Catalogue, Table
from sources.changes import ObjectRef, Retrieved
from sources.errors import shown
from sources.rows import Stamp
from sources.stripe_api.catalogue.prefixes import CHOSEN_BY_USERS, prefix_of, shown_id, tables_named, tables_of_id
from sources.stripe_api.objects.changes import gone
from sources.stripe_api.objects.retrieve import retrieve_one


def load_objects(
    session: Session, ids: Sequence[str], kind: str | None = None, *, related: bool = False
) -> list[Loaded]:
    """Retrieves objects and merges them in one load. `kind` is a table or an `object` value, for ids that do not show
    it.

    An id below its parent is written `acct_1/person_1`; a slash in any other id is part of it, because people choose
    some ids. Raises UnknownObject for the first id that Stripe does not have; then nothing is stored. An object that
    cannot be stored is left out, and the session's `counts` name it.
    """
    found = [_find(session, id, kind) for id in dict.fromkeys(ids)]
    if related and (named_by := session.provider.related) is not None:
        known = {(retrieved.ref.table, retrieved.ref.key) for retrieved in found}
        named = dict.fromkeys(ref for retrieved in found for ref in named_by(retrieved.object or {}))
        refs = [ref for ref in named if (ref.table, ref.key) not in known]
        read = (retrieve_one(session.client, ref, session.account_id, session.counts) for ref in refs)
        found += [retrieved for retrieved in read if retrieved.object is not None]
    return store(session, found)


def _find(session: Session, id: str, kind: str | None) -> Retrieved:
    """The object, from the first table that has it. An id that users choose must be in only one table."""
    tries: list[Retrieved] = []
    catalogue = session.catalogue
    for table in _tables(catalogue, id, kind):
        parent, own = _parts(catalogue.tables[table], id)
        tries.append(_read(session, table, own, parent))
        if tries[-1].state == "read" and prefix_of(own) is not None:
            break
    held = [attempt for attempt in tries if attempt.state == "read"]
    if len(held) > 1:
        names = ", ".join(attempt.ref.table for attempt in held)
        raise UnknownObject(f"{shown_id(id)} is the id of several objects: {names}. Choose one with --type.")
    lost = [
        attempt
        for attempt in tries
        if attempt.state == "gone" and (attempt.object is not None or _is_stored(session, attempt.ref))
    ]
    if held or lost:
        return held[0] if held else _deleted_now(session, lost[0])
    if came := [attempt for attempt in tries if attempt.state in ("broken", "failed")]:  # it may exist
        return came[0]
    reasons = [
        attempt.why for attempt in tries if attempt.why and prefix_of(id)
    ]  # Stripe repeats the id, which may be any text
    where = " or ".join(sorted(catalogue.tables[attempt.ref.table].objects[0] for attempt in tries))
    raise UnknownObject(
        f"There is no {where} {shown_id(id)} in account {session.account_id}"
        + (f": {reasons[0].rstrip('.')}. " if reasons else ". ")
        + (
            "Check the id, the mode of the key (live or test) and --stripe-account. Use --type for another"
            " kind of object, and PARENT/ID for an object below a parent."
        )
    )


def _tables(catalogue: Catalogue, id: str, kind: str | None) -> Sequence[str]:
    """The tables to look in, the likeliest first. Raises UnknownObject if no table can have the object."""
    if kind is not None:
        named = tables_named(kind)
        if not named:
            known = [*catalogue.tables, *(o for t in catalogue.tables.values() for o in t.objects)]
            near = difflib.get_close_matches(kind, known, 1)
            raise UnknownObject(f"The type {shown(kind, known)} is neither a table nor a Stripe object" + _mean(near))
        return named
    own = id.rpartition("/")[2]
    if own != id and any(catalogue.tables[name].parent for name in tables_of_id(own) or ()):
        id = own
    tables = tables_of_id(id)
    if tables is None:
        return CHOSEN_BY_USERS
    if not tables:
        raise UnknownObject(f"Objects with ids like {shown_id(id)} ({prefix_of(id)}…) have no table.")
    readable = [name for name in tables if catalogue.tables[name].retrieve is not None]
    if not readable:
        parents = sorted({catalogue.tables[name].parent or "" for name in tables} - {""})
        raise UnknownObject(
            f"{shown_id(id)} cannot be read by its id alone."
            + (f" Load its parent, which includes it: {' or '.join(parents)}." if parents else "")
        )
    return readable


def _parts(table: Table, id: str) -> tuple[str | None, str]:
    """The parent's id (for objects that are read below a parent, otherwise None), and the object's own id."""
    if "{_parent_id}" not in (table.retrieve or ""):
        return None, id
    parent, _, own = id.rpartition("/")
    return parent or None, own


def _mean(near: Sequence[str]) -> str:
    return f"; did you mean {near[0]!r}?" if near else "."


def _read(session: Session, table: str, id: str, parent: str | None) -> Retrieved:
    known = session.catalogue.tables[table]
    needs_parent = "{_parent_id}" in (known.retrieve or "")
    if needs_parent and parent is None:
        parent = _stored_parent(session, table, id)
    key = (id, *((parent or "",) * (len(known.key) - 1)))
    return retrieve_one(session.client, ObjectRef(table, key, parent, None, 0), session.account_id, session.counts)


def _deleted_now(session: Session, lost: Retrieved) -> Retrieved:
    """A deletion without a stub: the refusal has no time, so Stripe is asked for its time."""
    if lost.object is not None:
        return lost
    now = session.clock()
    stamp = Stamp(session.account_id, now, "retrieve")
    return replace(
        lost,
        rows=gone(
            lost.ref.table, lost.ref.fields(session.catalogue.tables[lost.ref.table].key), stamp, lost.ref.parent_id
        ),
    )


def _stored_parent(session: Session, table: str, id: str) -> str | None:
    """The parent of an object that is in its table already."""
    rows = stored(session, table, id, "_parent_id")
    return str(rows[0][0]) if rows and rows[0][0] is not None else None


def _is_stored(session: Session, ref: ObjectRef) -> bool:
    """Whether the object has a row: then an object that Stripe no longer has was deleted."""
    return bool(ref.key) and bool(stored(session, ref.table, ref.key[0]))
