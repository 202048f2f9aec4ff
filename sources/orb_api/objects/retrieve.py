"""Retrieves single objects. Knows Orb and rows, no database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from sources.changes import ObjectRef, Retrieved
from sources.columns.conversion_counts import ConversionCounts
from sources.errors import BrokenPage, ConnectorError, ObjectMissing, RequestRefused, RetryLater, SkipResource
from sources.fetch.http.client import request
from sources.orb_api.client.client import Client
from sources.orb_api.objects.rows import TABLES, explode, gone
from sources.rows import Stamp

BATCH = 200


def retrieve(
    client: Client,
    refs: Iterable[ObjectRef],
    account_id: str,
    *,
    workers: int = 8,
    entries: ConversionCounts | None = None,
) -> Iterator[list[Retrieved]]:
    """Reads objects, in batches as they come in. Raises what stops a run (BudgetSpent too) after what was read."""
    with ThreadPoolExecutor(workers, thread_name_prefix="retrieve") as threads:
        left = list(dict.fromkeys(refs))
        for start in range(0, len(left), BATCH):
            outcomes = list(threads.map(partial(_outcome, client, account_id, entries), left[start : start + BATCH]))
            if found := [one for one in outcomes if isinstance(one, Retrieved)]:
                yield found
            for stopped in outcomes:
                if isinstance(stopped, ConnectorError):
                    raise stopped


def retrieve_one(client: Client, ref: ObjectRef, account_id: str, entries: ConversionCounts | None = None) -> Retrieved:
    """Reads a single object with all that is inside it; entries that no row can hold are noted in `entries`.

    The rows' `_as_of` is that of the answer; of an object that is gone, the second since which it was needed. Raises
    what stops a run.
    """
    table = TABLES[ref.table]
    if table.retrieve is None:
        return Retrieved(ref, "unreadable", why="Orb cannot read it by its id")
    try:
        asked = request(table.retrieve, (), ref.fields(table.key))
    except KeyError:
        return Retrieved(ref, "unreadable", why="it can be read only below its parent, which is not known")
    try:
        answer = client.object(asked.path, endpoint=asked.endpoint)
    except ObjectMissing:
        return Retrieved(ref, "gone", gone(ref.table, ref.key[0], Stamp(account_id, ref.at, "retrieve")))
    except (SkipResource, RequestRefused) as error:
        return Retrieved(ref, "unreadable", why=str(error))
    except RetryLater as error:
        return Retrieved(ref, "failed", why=str(error))
    shown = dict(answer.object)
    try:
        stamp = Stamp(account_id, answer.as_of, "retrieve")
        rows = explode(ref.table, [answer.object], stamp, parent_id=ref.parent_id, counts=entries)
    except BrokenPage as error:
        return Retrieved(ref, "broken", why=str(error))
    return Retrieved(ref, "read", rows, shown)


def _outcome(
    client: Client, account_id: str, entries: ConversionCounts | None, one: ObjectRef
) -> Retrieved | ConnectorError:
    try:
        return retrieve_one(client, one, account_id, entries)
    except ConnectorError as error:
        return error
