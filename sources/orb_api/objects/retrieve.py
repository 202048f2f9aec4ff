"""Retrieves single objects from Orb, as rows. Knows no database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from sources.changes import ObjectRef, Retrieved
from sources.columns.conversion_counts import ConversionCounts
from sources.fetch.http.retrieval import retrieve_each, retrieve_single
from sources.orb_api.client.client import Client
from sources.orb_api.objects.rows import TABLES, explode, gone


def retrieve(
    client: Client,
    refs: Iterable[ObjectRef],
    account_id: str,
    *,
    workers: int = 8,
    entries: ConversionCounts | None = None,
) -> Iterator[list[Retrieved]]:
    """Retrieves objects in batches, as they arrive. Errors that stop a run (BudgetSpent too) are raised after what was
    read before them is yielded.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="retrieve") as threads:
        one_of = partial(retrieve_one, client, account_id=account_id, entries=entries)
        yield from retrieve_each(one_of, list(dict.fromkeys(refs)), threads)


def retrieve_one(client: Client, ref: ObjectRef, account_id: str, entries: ConversionCounts | None = None) -> Retrieved:
    """Retrieves a single object with its embedded objects; those that no row can hold are recorded in `entries`.

    Raises errors that stop a run.
    """
    return retrieve_single(
        ref,
        TABLES[ref.table],
        account_id,
        "Orb",
        read=lambda asked: client.object(asked.path, endpoint=asked.endpoint),
        rows_of=lambda obj, stamp: explode(ref.table, [obj], stamp, parent_id=ref.parent_id, counts=entries),
        gone=lambda stamp: gone(ref.table, ref.key[0], stamp),
    )
