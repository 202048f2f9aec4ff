"""The sink's own tables and every statement on them: the ledger of events, and the objects to read again.

They lie in the dataset beside Stripe's tables, so that a question about an event is one more SQL query.
Knows no Stripe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines.state import OWN_TABLES
from pipelines.warehouse.postgres_database import PostgresDatabase
from pipelines.warehouse.rights import check_rights, create_missing

Status = Literal["processing", "processed", "failed", "ignored"]

TABLES = {
    "stripe_webhook_events": """
CREATE TABLE IF NOT EXISTS {d}.stripe_webhook_events (
    id text PRIMARY KEY, type text NOT NULL, object_id text, object_type text, account_id text NOT NULL,
    livemode boolean NOT NULL, api_version text, created timestamptz NOT NULL, status text NOT NULL,
    received_at timestamptz NOT NULL, processed_at timestamptz, attempts integer NOT NULL, error text, payload json)
    WITH (toast_tuple_target = 8160)
""",
    "stripe_webhook_events_open": """
CREATE INDEX IF NOT EXISTS stripe_webhook_events_open ON {d}.stripe_webhook_events (status, received_at)
    WHERE status IN ('processing', 'failed')
""",
    "stripe_webhook_events_received": """
CREATE INDEX IF NOT EXISTS stripe_webhook_events_received ON {d}.stripe_webhook_events USING brin (received_at)
""",
    "stripe_webhook_rereads": """
CREATE TABLE IF NOT EXISTS {d}.stripe_webhook_rereads (
    table_name text, key jsonb, account_id text, context text, parent_id text, created bigint, at bigint NOT NULL,
    reason text NOT NULL, events text[] NOT NULL, generation bigint NOT NULL DEFAULT 1, due_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0, error text, PRIMARY KEY (table_name, key, account_id))
""",
}
"""Payloads of up to 8 kB stay in the row as they are: compressing each one costs more than writing it."""


def create(database: PostgresDatabase, dataset: str) -> None:
    """Makes the dataset and the sink's own tables where they are missing, one sink at a time.

    Raises `DatabaseProblem` for rights that lack, in the dataset's other tables as well.
    """
    check_rights(database, dataset, [], {**OWN_TABLES, "stripe_webhook_events": False, "stripe_webhook_rereads": True})
    create_missing(database, dataset, {name: text.format(d=f'"{dataset}"') for name, text in TABLES.items()})


@dataclass(frozen=True, slots=True)
class LedgerStatements:
    """Statements on the tables of one dataset. Each names its parameters in its comment.

    The first four are those of a batch, with `$1`, `$2`, … for `run_pipeline`; the others have psycopg's `%s`.
    """

    record: bytes
    queue: bytes
    finish: bytes
    settle: bytes
    claim: bytes
    postpone: bytes
    give_up: bytes
    forget: bytes
    open_events: bytes
    replayed: bytes
    reopen: bytes


def statements(dataset: str) -> LedgerStatements:
    """All statements of the ledger."""
    d = f'"{dataset}"'
    columns = "id, type, object_id, object_type, account_id, livemode, api_version, created, status, error, payload"
    unnest = ", ".join(f"${place}::text[]" for place in range(1, 12))
    texts = {
        # (texts of each column): new events, and failed ones that come again; returns the ids that are to be merged
        "record": (
            f"INSERT INTO {d}.stripe_webhook_events AS e ({columns}, received_at, processed_at, attempts)"
            " SELECT id, type, object_id, object_type, account_id, livemode::boolean, api_version,"
            " to_timestamp(created::bigint), status, error, payload::json, now(),"
            " CASE WHEN status <> 'processing' THEN now() END, 1"
            f" FROM unnest({unnest}) AS t ({columns})"
            " ON CONFLICT (id) DO UPDATE SET status = excluded.status, error = excluded.error,"
            " processed_at = excluded.processed_at, attempts = e.attempts + 1, payload = excluded.payload"
            " WHERE e.status = 'failed' RETURNING id"
        ),
        # (table, key, account, context, parent, created, at, reason, event ids, seconds until it is due)
        "queue": (
            f"INSERT INTO {d}.stripe_webhook_rereads AS r (table_name, key, account_id, context, parent_id, created,"
            " at, reason, events, due_at) VALUES ($1, $2::jsonb, $3, $4, $5, $6, $7, $8, $9,"
            " now() + make_interval(secs => $10))"
            " ON CONFLICT (table_name, key, account_id) DO UPDATE SET at = greatest(r.at, excluded.at),"
            " reason = excluded.reason, events = r.events || excluded.events, generation = r.generation + 1,"
            " due_at = excluded.due_at, attempts = 0"
        ),
        # (seconds that a claim holds, at most so many): takes what is due; others skip it until the claim ends
        "claim": (
            f"UPDATE {d}.stripe_webhook_rereads AS r SET due_at = now() + make_interval(secs => %s),"
            f" attempts = attempts + 1 FROM (SELECT table_name, key, account_id FROM {d}.stripe_webhook_rereads"
            " WHERE due_at <= now() ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED) AS c"
            " WHERE r.table_name = c.table_name AND r.key = c.key AND r.account_id = c.account_id"
            " RETURNING r.table_name, r.key, r.account_id, r.context, r.parent_id, r.created, r.at, r.reason,"
            " r.events, r.generation, r.attempts"
        ),
        # (table, key, account, generation): it was read and merged, unless it was asked for again meanwhile
        "finish": (
            f"DELETE FROM {d}.stripe_webhook_rereads WHERE table_name = $1 AND key = $2::jsonb AND account_id = $3"
            " AND generation = $4"
        ),
        # (seconds, attempts, error, table, key, account)
        "postpone": (
            f"UPDATE {d}.stripe_webhook_rereads SET due_at = now() + make_interval(secs => %s), attempts = %s,"
            " error = %s WHERE table_name = %s AND key = %s::jsonb AND account_id = %s"
        ),
        # (table, key, account, generation, error): the last attempt failed, and the events that wait for it with it
        "give_up": (
            f"WITH gone AS (DELETE FROM {d}.stripe_webhook_rereads WHERE table_name = %s AND key = %s::jsonb"
            " AND account_id = %s AND generation = %s RETURNING events)"
            f" UPDATE {d}.stripe_webhook_events AS e SET status = 'failed', error = %s FROM gone"
            " WHERE e.id = ANY (gone.events) AND e.status = 'processing'"
        ),
        # (event ids, what of the object could not be stored): what waited for a re-reading is done
        "settle": (
            f"UPDATE {d}.stripe_webhook_events SET status = 'processed', processed_at = now(), error = $2"
            " WHERE id = ANY ($1) AND status = 'processing'"
        ),
        # (days, at most so many)
        "forget": (
            f"UPDATE {d}.stripe_webhook_events SET payload = NULL WHERE ctid = ANY (ARRAY(SELECT ctid"
            f" FROM {d}.stripe_webhook_events WHERE received_at < now() - make_interval(secs => %s * 86400)"
            " AND status IN ('processed', 'ignored') AND payload IS NOT NULL LIMIT %s))"
        ),
        "open_events": (
            f"SELECT status, count(*) FROM {d}.stripe_webhook_events"
            " WHERE status IN ('processing', 'failed') GROUP BY status"
        ),
        # (statuses, since or null, type or null, last id, at most so many)
        "replayed": (
            f"SELECT id, payload::text FROM {d}.stripe_webhook_events WHERE status = ANY (%s)"
            " AND (%s::timestamptz IS NULL OR received_at >= %s) AND (%s::text IS NULL OR type = %s)"
            " AND payload IS NOT NULL AND id > %s ORDER BY id LIMIT %s"
        ),
        # (event ids): so that they are recorded and merged again
        "reopen": f"UPDATE {d}.stripe_webhook_events SET status = 'failed' WHERE id = ANY (%s)",
    }
    return LedgerStatements(**{name: text.encode() for name, text in texts.items()})
