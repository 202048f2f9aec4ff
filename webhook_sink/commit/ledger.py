"""The sink's own tables and every statement on them: the ledger of events, and the objects to read again.

They are in the dataset beside the provider's tables, so that a question about an event is just an SQL query. Knows no
provider.
"""

from __future__ import annotations

from pipelines.loading.session import refuse_anothers_dataset
from pipelines.state import OWN_TABLES
from pipelines.warehouse.postgres_database import PostgresDatabase
from pipelines.warehouse.problems import DatabaseProblem
from pipelines.warehouse.rights import check_rights, create_missing
from sources.provider import Provider

RELATIONS = {
    "{p}_webhook_events": """
CREATE TABLE IF NOT EXISTS {d}.{p}_webhook_events (
    id text PRIMARY KEY, type text NOT NULL, object_id text, object_type text, account_id text NOT NULL,
    livemode boolean NOT NULL, api_version text, created timestamptz NOT NULL, status text NOT NULL,
    received_at timestamptz NOT NULL, processed_at timestamptz, attempts integer NOT NULL, error text, payload json)
    WITH (toast_tuple_target = 8160)
""",
    "{p}_webhook_events_open": """
CREATE INDEX IF NOT EXISTS {p}_webhook_events_open ON {d}.{p}_webhook_events (status, received_at)
    WHERE status IN ('processing', 'failed')
""",
    "{p}_webhook_events_latest": """
CREATE INDEX IF NOT EXISTS {p}_webhook_events_latest ON {d}.{p}_webhook_events (received_at)
""",
    "{p}_webhook_rereads": """
CREATE TABLE IF NOT EXISTS {d}.{p}_webhook_rereads (
    table_name text, key jsonb, account_id text, context text, parent_id text, created bigint, at bigint NOT NULL,
    reason text NOT NULL, events text[] NOT NULL, generation bigint NOT NULL DEFAULT 1, due_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0, error text, PRIMARY KEY (table_name, key, account_id))
""",
}
"""Payloads of up to 8 kB are stored uncompressed in their rows: compressing each one costs more than writing it."""

READ_ONLY = (
    "The database takes no changes: default_transaction_read_only is on. The role, the database, the server or"
    " DATABASE_URL sets it; hosting providers do so where a disk is full. Make room or set it to off, or set"
    " DATABASE_URL to another role or database."
)


def create_tables(conninfo: str, dataset: str, provider: Provider) -> bool:
    """Creates the dataset and the sink's own tables if they are missing, one sink at a time. Blocking.

    Returns False, and does nothing, if the server is a standby, which may be promoted later. Raises DatabaseProblem if
    the database takes no changes or rights are missing, on the dataset's other tables too; and psycopg's errors.
    """
    database = PostgresDatabase(conninfo)
    try:
        query = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean"
        ((is_standby, is_read_only),) = database.execute(query)
        if is_standby:
            return False
        if is_read_only:
            raise DatabaseProblem(READ_ONLY)
        prefix = provider.name
        own_tables = {**OWN_TABLES, f"{prefix}_webhook_events": False, f"{prefix}_webhook_rereads": True}
        check_rights(database, dataset, [], {**dict.fromkeys(provider.catalogue.tables, False), **own_tables})
        refuse_anothers_dataset(database, dataset, provider)
        create_missing(database, dataset, relations_of(dataset, prefix))
        return True
    finally:
        database.close()


def relations_of(dataset: str, prefix: str) -> dict[str, str]:
    """The tables and indexes of a ledger by name, with the statement that makes each."""
    return {name.format(p=prefix): text.format(d=f'"{dataset}"', p=prefix) for name, text in RELATIONS.items()}


RELATED = "related"
"""The reason to read an object that others refer to, and that no table has."""


class Ledger:
    """The statements on the ledger of one dataset, each with its parameters in a comment.

    The names of its tables begin with `prefix`, the provider's name.

    The statements of a batch have `$1`, `$2`, … for `run_pipeline`; the others have psycopg's `%s`.
    """

    def __init__(self, dataset: str, prefix: str) -> None:
        events, rereads = f'"{dataset}".{prefix}_webhook_events', f'"{dataset}".{prefix}_webhook_rereads'

        # --- the statements of a batch --------------------------------------------------------------------------------

        columns = "id, type, object_id, object_type, account_id, livemode, api_version, created, status, error, payload"
        arrays = ", ".join(f"${place}::text[]" for place in range(1, 12))
        # (one array of texts for each column): adds new events, and failed ones that come again; returns their ids
        self.record_events = (
            f"INSERT INTO {events} AS e ({columns}, received_at, processed_at, attempts)"
            " SELECT id, type, object_id, object_type, account_id, livemode::boolean, api_version,"
            " to_timestamp(created::bigint), status, error, payload::json, now(),"
            " CASE WHEN status <> 'processing' THEN now() END, 1"
            f" FROM unnest({arrays}) AS t ({columns})"
            " ON CONFLICT (id) DO UPDATE SET status = excluded.status, error = excluded.error,"
            " processed_at = excluded.processed_at, attempts = e.attempts + 1, payload = excluded.payload"
            " WHERE e.status = 'failed' RETURNING id"
        ).encode()
        # (table, key, account, context, parent, created, at, reason, event ids, seconds until it is due)
        self.queue_reread = (
            f"INSERT INTO {rereads} AS r (table_name, key, account_id, context, parent_id, created,"
            " at, reason, events, due_at) VALUES ($1, $2::jsonb, $3, $4, $5, $6, $7, $8, $9,"
            " now() + make_interval(secs => $10))"
            " ON CONFLICT (table_name, key, account_id) DO UPDATE SET at = greatest(r.at, excluded.at),"
            " reason = excluded.reason, events = r.events || excluded.events, generation = r.generation + 1,"
            " due_at = excluded.due_at, attempts = 0"
        ).encode()
        self._queue_related = (
            f"INSERT INTO {rereads} (table_name, key, account_id, context, at, reason, events, due_at)"
            " SELECT '{table}', jsonb_build_array(id), account, context, 0, '{reason}', '{{}}', now()"
            " FROM unnest($1::text[], $2::text[], $3::text[]) AS t (id, account, context){where}"
            " ON CONFLICT DO NOTHING"
        )
        self._is_unknown = (
            f' WHERE NOT EXISTS (SELECT FROM "{dataset}".{{table}} AS known'
            " WHERE known.id = t.id AND known._account_id = t.account)"
        )
        # (table, key, account, generation): removes a reread that is merged, unless it was queued again meanwhile
        self.finish_reread = (
            f"DELETE FROM {rereads} WHERE table_name = $1 AND key = $2::jsonb AND account_id = $3 AND generation = $4"
        ).encode()
        # (event ids, which embedded objects were left out): marks events whose reread is merged
        self.settle_events = (
            f"UPDATE {events} SET status = 'processed', processed_at = now(), error = $2"
            " WHERE id = ANY ($1) AND status = 'processing'"
        ).encode()

        # --- the statements of rereading ------------------------------------------------------------------------------

        # (seconds that a claim lasts, limit): claims what is due; other processes skip it until the claim ends
        self.claim_rereads = (
            f"UPDATE {rereads} AS r SET due_at = now() + make_interval(secs => %s), attempts = attempts + 1"
            f" FROM (SELECT table_name, key, account_id FROM {rereads}"
            " WHERE due_at <= now() ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED) AS c"
            " WHERE r.table_name = c.table_name AND r.key = c.key AND r.account_id = c.account_id"
            " RETURNING r.table_name, r.key, r.account_id, r.context, r.parent_id, r.created, r.at, r.reason,"
            " r.events, r.generation, r.attempts"
        ).encode()
        # (seconds, attempts, error, table, key, account)
        self.postpone_reread = (
            f"UPDATE {rereads} SET due_at = now() + make_interval(secs => %s), attempts = %s, error = %s"
            " WHERE table_name = %s AND key = %s::jsonb AND account_id = %s"
        ).encode()
        # (table, key, account, generation, error): removes a reread, and fails the events that wait for it
        self.give_up_reread = (
            f"WITH gone AS (DELETE FROM {rereads} WHERE table_name = %s AND key = %s::jsonb"
            " AND account_id = %s AND generation = %s RETURNING events)"
            f" UPDATE {events} AS e SET status = 'failed', error = %s FROM gone"
            " WHERE e.id = ANY (gone.events) AND e.status = 'processing'"
        ).encode()

        # --- the statements of housekeeping, replay and follow --------------------------------------------------------

        # (days, limit): drops payloads of events that were processed or ignored so long ago
        self.drop_payloads = (
            f"UPDATE {events} SET payload = NULL WHERE ctid = ANY (ARRAY(SELECT ctid"
            f" FROM {events} WHERE received_at < now() - make_interval(secs => %s * 86400)"
            " AND status IN ('processed', 'ignored') AND payload IS NOT NULL LIMIT %s))"
        ).encode()
        self.count_open_events = (
            f"SELECT status, count(*) FROM {events} WHERE status IN ('processing', 'failed') GROUP BY status"
        ).encode()
        self.newest_created = f"SELECT extract(epoch FROM max(created)) FROM {events}".encode()
        # (statuses, since or null, since, type or null, type, last id, limit)
        self.events_to_replay = (
            f"SELECT id, payload::text FROM {events} WHERE status = ANY (%s)"
            " AND (%s::timestamptz IS NULL OR received_at >= %s) AND (%s::text IS NULL OR type = %s)"
            " AND payload IS NOT NULL AND id > %s ORDER BY id LIMIT %s"
        ).encode()
        # (event ids): lets events be recorded and merged again
        self.reopen_events = f"UPDATE {events} SET status = 'failed' WHERE id = ANY (%s)".encode()

    def queue_related(self, table: str, *, is_there: bool) -> bytes:
        """Queues objects of a table that the table, if it `is_there`, does not have: ids, accounts, contexts."""
        where = self._is_unknown.format(table=table) if is_there else ""
        return self._queue_related.format(table=table, reason=RELATED, where=where).encode()
