"""Loads single Orb objects by id, with their embedded objects, into their tables.

Orb's ids do not show their type. If no type is given, each kind of object that can be read by id is tried once,
beginning with the tables that have a row with this id. Knows Orb and rows; stores through an open session.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import replace

from pipelines.loading.session import Session
from pipelines.sync.objects import Loaded, UnknownObject, store, stored
from sources.catalogue import Catalogue
from sources.changes import ObjectRef, Retrieved
from sources.errors import shape, shown
from sources.orb_api.objects.retrieve import retrieve_one
from sources.orb_api.objects.rows import gone
from sources.rows import Stamp


def load_orb_objects(session: Session, ids: Sequence[str], kind: str | None = None) -> list[Loaded]:
    """Retrieves objects and merges them in one load. `kind` is a table or the name of its objects.

    Raises UnknownObject for the first id that Orb does not have; then nothing is stored. An object that cannot be
    stored is left out, and the session's `counts` name it.
    """
    if not all(ids):  # a path without an id would request the list
        raise UnknownObject("An id is empty, so nothing was loaded. Give the id as Orb shows it.")
    tables = _tables(session.catalogue, kind)
    return store(session, [_find(session, id, tables) for id in dict.fromkeys(ids)])


def shown_id(id: str) -> str:
    """An id as a message may repeat it: quoted if it is as long as Orb's ids, otherwise only its shape."""
    return repr(id) if re.fullmatch(r"[A-Za-z0-9]{16}", id) else shape(id)


def _tables(catalogue: Catalogue, kind: str | None) -> list[str]:
    """The tables to try: one, or all whose objects can be read by their id alone. Raises UnknownObject."""
    readable = [
        name for name, table in catalogue.tables.items() if table.retrieve and "{_parent_id}" not in table.retrieve
    ]
    if kind is None:
        return readable
    name = catalogue.table_named(kind)
    if name in readable:
        return [name]
    if name in catalogue.tables:
        parent = catalogue.tables[name].parent
        advice = f" Load its parent, which includes it: {parent}." if parent else ""
        raise UnknownObject(f"Orb cannot read objects of {name} by their id.{advice}")
    known = [*readable, *(each for table in readable for each in catalogue.tables[table].objects)]
    near = difflib.get_close_matches(kind, known, 1)
    meant = f"; did you mean {near[0]!r}?" if near else ". docs/reference/orb.md has the tables."
    raise UnknownObject(f"The type {shown(kind, known)} is neither a table nor an object of Orb's{meant}")


def _find(session: Session, id: str, tables: Sequence[str]) -> Retrieved:
    """The object, from the table that has it; if Orb no longer has it, the deletion of the stored row."""
    having = [name for name in tables if stored(session, name, id)]
    tries: list[Retrieved] = []
    for table in dict.fromkeys([*having, *tables]):
        retrieved = retrieve_one(
            session.client, ObjectRef(table, (id,), None, None, 0), session.account_id, session.counts
        )
        if retrieved.state == "read" or (table in having and retrieved.state in ("broken", "failed")):
            return retrieved
        tries.append(retrieved)
    if having and tries[0].state == "gone":
        stamp = Stamp(session.account_id, session.clock(), "retrieve")
        return replace(tries[0], rows=gone(having[0], id, stamp))
    if came := [attempt for attempt in tries if attempt.state in ("broken", "failed")]:  # it may exist
        return came[0]
    what, asked = f"object of {tries[0].ref.table}", ""
    if len(tries) > 1:
        what, asked = "object", f": {len(tries)} kinds of objects were tried"
    raise UnknownObject(
        f"Orb has no {what} with the id {shown_id(id)}{asked}. Check the id, and whether the key is of the same mode"
        " (live or test)."
    )
