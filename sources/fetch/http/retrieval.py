"""Retrieves single objects, and turns each answer into a `Retrieved`. Knows no provider, no column and no database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from sources.catalogue import Table
from sources.changes import ObjectRef, Retrieved
from sources.errors import BrokenPage, ConnectorError, ObjectMissing, RequestRefused, RetryLater, SkipResource
from sources.fetch.http.client import request
from sources.fetch.values import Answer, Object, Request
from sources.rows import Row, Stamp

BATCH = 200


def retrieve_single(
    ref: ObjectRef,
    table: Table,
    account_id: str,
    provider: str,
    *,
    read: Callable[[Request], Answer],
    rows_of: Callable[[Object, Stamp], dict[str, list[Row]]],
    gone: Callable[[Stamp], dict[str, list[Row]]],
) -> Retrieved:
    """Reads a single object of a table. `provider` is the provider's name in messages.

    The rows' `_as_of` is that of the answer; if the object is gone, it is the second of the change (`ref.at`). Raises
    errors that stop a run.
    """
    if table.retrieve is None:
        return Retrieved(ref, "unreadable", why=f"{provider} cannot read it by its id")
    try:
        asked = request(table.retrieve, (), ref.fields(table.key))
    except KeyError:
        return Retrieved(ref, "unreadable", why="it can be read only below its parent, which is not known")
    try:
        answer = read(asked)
    except ObjectMissing:
        return Retrieved(ref, "gone", gone(Stamp(account_id, ref.at, "retrieve")))
    except (SkipResource, RequestRefused) as error:
        return Retrieved(ref, "unreadable", why=str(error))
    except RetryLater as error:
        return Retrieved(ref, "failed", why=str(error))
    shown = dict(answer.object)
    try:
        rows = rows_of(answer.object, Stamp(account_id, answer.as_of, "retrieve"))
    except BrokenPage as error:
        return Retrieved(ref, "broken", why=str(error))
    return Retrieved(ref, "read", rows, shown)


def retrieve_each(
    retrieve_one: Callable[[ObjectRef], Retrieved], refs: Sequence[ObjectRef], threads: ThreadPoolExecutor
) -> Iterator[list[Retrieved]]:
    """Reads objects in batches. An error that stops the run is raised after the objects read before it are yielded."""
    for start in range(0, len(refs), BATCH):
        outcomes = list(threads.map(partial(_outcome, retrieve_one), refs[start : start + BATCH]))
        if found := [outcome for outcome in outcomes if isinstance(outcome, Retrieved)]:
            yield found
        for stopped in outcomes:
            if isinstance(stopped, ConnectorError):
                raise stopped


def _outcome(retrieve_one: Callable[[ObjectRef], Retrieved], ref: ObjectRef) -> Retrieved | ConnectorError:
    try:
        return retrieve_one(ref)
    except ConnectorError as error:
        return error
