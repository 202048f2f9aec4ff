"""What the status page asks of the ledger. Each question reads a bounded number of rows, found by an index.

So the answers take as long at a million events as at a thousand. No question reads a payload.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.warehouse.database import Database, has_table

SHOWN, SEARCHED, COUNTED = 100, 5_000, 10_000
"""Events that are shown; events that a filter searches, the latest; and the number at which counting ends."""

COLUMNS: tuple[str, ...] = ("id", "type", "object_id", "account_id", "created", "status", "received_at")
COLUMNS += ("processed_at", "attempts", "error")
OPEN = ("failed", "processing")
STATUSES = (*OPEN, "ignored", "processed")


@dataclass(frozen=True, slots=True)
class Recent:
    """The latest events, and what waits. `failed`, `processing` and `rereads` end at COUNTED.

    `reasons` has the objects to read again by reason; `late` of them were tried before and failed. `newest` is when the
    latest event arrived.
    """

    events: Sequence[dict[str, Any]]
    types: Sequence[str]
    failed: int
    processing: int
    rereads: int
    reasons: Sequence[tuple[str, int]]
    late: int
    newest: datetime | None


def questions(dataset: str, provider: str, status: str | None, type: str | None) -> dict[str, tuple[str, list[Any]]]:
    """The SQL of each question, and its parameters."""
    events, rereads = f'"{dataset}".{provider}_webhook_events', f'"{dataset}".{provider}_webhook_rereads'
    names = ", ".join(COLUMNS)
    latest = f"SELECT {names} FROM {events} ORDER BY received_at DESC LIMIT {SEARCHED}"
    wanted = {"status": status, "type": type}
    if status in OPEN:  # its own index finds it however long ago it was
        latest = (
            f"SELECT {names} FROM {events} WHERE status IN ('processing', 'failed') AND status = %s"
            f" ORDER BY received_at DESC LIMIT {SEARCHED}"
        )
    given = {name: value for name, value in wanted.items() if value is not None}
    where = " AND ".join(f"{name} = %s" for name in given) or "true"
    shown = f"SELECT {names} FROM ({latest}) AS latest WHERE {where} ORDER BY received_at DESC, id LIMIT {SHOWN}"
    counted = f"FROM (SELECT 1 FROM {events} WHERE status = '{{}}' LIMIT {COUNTED}) AS counted"
    return {
        "events": (shown, [*([status] if status in OPEN else []), *given.values()]),
        "types": (
            "SELECT DISTINCT type FROM (SELECT type FROM"
            f" {events} ORDER BY received_at DESC LIMIT {SEARCHED}) AS latest ORDER BY type",
            [],
        ),
        "failed": (f"SELECT count(*) {counted.format('failed')}", []),
        "processing": (f"SELECT count(*) {counted.format('processing')}", []),
        "rereads": (
            f"SELECT reason, count(*), count(error) FROM (SELECT reason, error FROM {rereads} LIMIT {COUNTED})"
            " AS counted GROUP BY reason ORDER BY reason",
            [],
        ),
        "newest": (f"SELECT max(received_at) FROM {events}", []),
    }


def read_recent(
    database: Database, dataset: str, provider: str, status: str | None = None, type: str | None = None
) -> Recent | None:
    """The latest events, those of a status or type where one is given; None where there is no ledger."""
    if database.dialect != "postgres" or not has_table(database, dataset, f"{provider}_webhook_events"):
        return None
    asked = questions(dataset, provider, status, type)
    found = {name: database.execute(sql, parameters) for name, (sql, parameters) in asked.items()}
    return Recent(
        events=[dict(zip(COLUMNS, row, strict=True)) for row in found["events"]],
        types=[name for (name,) in found["types"]],
        failed=found["failed"][0][0],
        processing=found["processing"][0][0],
        rereads=sum(row[1] for row in found["rereads"]),
        reasons=[(row[0], row[1]) for row in found["rereads"]],
        late=sum(row[2] for row in found["rereads"]),
        newest=found["newest"][0][0],
    )
