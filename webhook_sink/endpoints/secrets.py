"""The signing secrets of our own webhook endpoints, in a schema of their own: `<dataset>_secrets`.

A role that may read every table of the dataset may not read the secrets, because with a signing secret anybody can
forge events. The schema is created when the first secret is stored, and only the role that created it has rights on it.
Knows no Stripe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

from pipelines.configuration.settings import Settings
from pipelines.warehouse.postgres_database import PostgresDatabase, open_postgres
from pipelines.warehouse.problems import DatabaseProblem
from pipelines.warehouse.rights import create_missing, refuse_missing
from webhook_sink.commit.connection import Connection

TABLE = "stripe_webhook_endpoints"
CREATE = f"""
DO $$
DECLARE grantee text;
BEGIN
    CREATE TABLE {{schema}}.{TABLE} (
        id text PRIMARY KEY, url text NOT NULL, secret text, api_version text, livemode boolean,
        created_at timestamptz);
    FOR grantee IN
        SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace,
            LATERAL (SELECT * FROM aclexplode(c.relacl) UNION ALL SELECT * FROM aclexplode(n.nspacl)) AS a
        WHERE c.oid = '{{schema}}.{TABLE}'::regclass AND a.grantee NOT IN (c.relowner, n.nspowner)
    LOOP
        EXECUTE 'REVOKE ALL ON {{schema}}.{TABLE} FROM ' || grantee;
        EXECUTE 'REVOKE ALL ON SCHEMA {{schema}} FROM ' || grantee;
    END LOOP;
END $$
"""
"""Creates the table, and revokes the rights that `ALTER DEFAULT PRIVILEGES` has just given to others on it.

It is one statement, so that no table with those rights is left behind if the process is killed.
"""

READABLE = f"""
SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = '{TABLE}'
"""
"""Whether the role may read the secrets; no row if none was ever stored."""

MISSING_RIGHTS = f"""
SELECT current_user::text, string_agg(wanted, ', ' ORDER BY position)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace,
    unnest(%s::text[]) WITH ORDINALITY AS rights(wanted, position)
WHERE n.nspname = %s AND c.relname = '{TABLE}' AND NOT has_table_privilege(c.oid, wanted)
HAVING count(*) > 0
"""
TO_KEEP, TO_FORGET = ("INSERT", "UPDATE"), ("DELETE",)
"""The rights that it takes to store secrets, and to delete them, besides reading them."""


async def read_secrets(connection: Connection, dataset: str) -> list[str] | None:
    """All secrets of a dataset; None if there are any that the role may not read."""
    schema = _schema_of(dataset)
    readable = await (await connection.execute(READABLE, (schema,))).fetchone()
    if readable is None:
        return []
    if not readable[0]:
        return None
    query = f'SELECT secret FROM "{schema}".{TABLE} WHERE secret IS NOT NULL'
    return [secret for (secret,) in await (await connection.execute(query.encode())).fetchall()]


def _schema_of(dataset: str) -> str:
    return f"{dataset}_secrets"


def unreadable(dataset: str) -> str:
    """What to do if the role may not read the secrets."""
    schema = _schema_of(dataset)
    return (
        f"The role may not read the webhook secrets in {schema}.{TABLE}. Run as their owner: GRANT USAGE ON SCHEMA"
        f' "{schema}" TO <role>; GRANT SELECT ON "{schema}".{TABLE} TO <role>; or set STRIPE_WEBHOOK_SECRET.'
    )


class Secrets:
    """The secrets in the database, for the commands. A context manager, which closes the database.

    Raises `DatabaseProblem` if the database cannot be reached, or rights are missing.
    """

    def __init__(self, settings: Settings) -> None:
        self._database: PostgresDatabase = open_postgres(settings.database_url, settings.database_ca)
        self._dataset, self._schema = settings.dataset, _schema_of(settings.dataset)
        self._table = f'"{self._schema}".{TABLE}'

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def check(self, rights: Sequence[str] = TO_KEEP) -> None:
        """Raises `DatabaseProblem` if the role cannot store secrets, or with `TO_FORGET` cannot delete them.

        Call it before anything is changed in Stripe, which shows a secret only once.
        """
        if not self._exists():
            if rights == TO_KEEP:
                refuse_missing(self._database, self._schema, [TABLE])
            return
        for role, missing in self._database.execute(MISSING_RIGHTS, (list(rights), self._schema)):
            raise DatabaseProblem(
                f"The role may not write the webhook secrets in {self._schema}.{TABLE}. Run as their owner: GRANT"
                f' {missing} ON {self._table} TO "{role}"; Nothing was done in Stripe.'
            )

    def keep(self, id: str, url: str, secret: str | None, api_version: str | None, livemode: bool) -> None:
        """Stores a new endpoint's secret. Raises psycopg's errors."""
        if not self._exists():
            create_missing(self._database, self._schema, {TABLE: CREATE.format(schema=f'"{self._schema}"')})
        self._database.execute(
            f"INSERT INTO {self._table} (id, url, secret, api_version, livemode, created_at)"
            " VALUES (%s, %s, %s, %s, %s, now()) ON CONFLICT (id) DO UPDATE SET secret = excluded.secret",
            (id, url, secret, api_version, livemode),
        )

    def known(self) -> set[str]:
        """Ids of the endpoints whose secrets are stored."""
        if not self._exists():
            return set()
        return {id for (id,) in self._database.execute(f"SELECT id FROM {self._table} WHERE secret IS NOT NULL")}

    def forget(self, ids: Iterable[str]) -> None:
        """Deletes the secrets of deleted endpoints."""
        if self._exists():
            self._database.execute(f"DELETE FROM {self._table} WHERE id = ANY (%s)", (list(ids),))

    def _exists(self) -> bool:
        """Whether any secret was ever stored."""
        readable = self._database.execute(READABLE, (self._schema,))
        if readable and not readable[0][0]:
            raise DatabaseProblem(unreadable(self._dataset))
        return bool(readable)
