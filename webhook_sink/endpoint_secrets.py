"""The signing secrets of our own webhook endpoints, in a schema of their own: `<dataset>_secrets`.

Who may read every table of the dataset may not read these: whoever has a signing secret can write events of their own
making. The schema is made when the first secret is kept, and then belongs to the role that made it, alone. Knows no
Stripe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

from pipelines.settings import Settings
from pipelines.warehouse.postgres_database import PostgresDatabase, open_postgres
from pipelines.warehouse.problems import DatabaseProblem
from pipelines.warehouse.rights import create_missing, refuse_missing

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
"""The table, without the rights that default privileges, `ALTER DEFAULT PRIVILEGES`, have just given to others.

One statement: a table with those rights is never there, whenever the process ends.
"""

READABLE = f"""
SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = '{TABLE}'
"""
"""Whether the role may read the secrets; no row where none was ever kept."""

LACKING = f"""
SELECT current_user::text, string_agg(wanted, ', ' ORDER BY position)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace,
    unnest(%s::text[]) WITH ORDINALITY AS rights(wanted, position)
WHERE n.nspname = %s AND c.relname = '{TABLE}' AND NOT has_table_privilege(c.oid, wanted)
HAVING count(*) > 0
"""
TO_KEEP, TO_FORGET = ("INSERT", "UPDATE"), ("DELETE",)
"""What it takes to keep secrets, and to drop them, beside reading them."""


def schema_of(dataset: str) -> str:
    """The schema that holds a dataset's secrets."""
    return f"{dataset}_secrets"


def read_statement(dataset: str) -> str:
    """The statement that reads all secrets. For a role that may, see `READABLE`."""
    return f'SELECT secret FROM "{schema_of(dataset)}".{TABLE} WHERE secret IS NOT NULL'


def unreadable(dataset: str) -> str:
    """What to do where the role may not read the secrets."""
    schema = schema_of(dataset)
    return (
        f"The role may not read the webhook secrets in {schema}.{TABLE}. Run as their owner: GRANT USAGE ON SCHEMA"
        f' "{schema}" TO <role>; GRANT SELECT ON "{schema}".{TABLE} TO <role>; or set STRIPE_WEBHOOK_SECRET.'
    )


class Secrets:
    """The secrets that are kept in the database. A context manager, which closes the database.

    Raises `DatabaseProblem` where the database cannot be reached, and for rights that lack.
    """

    def __init__(self, settings: Settings) -> None:
        self._database: PostgresDatabase = open_postgres(settings)
        self._dataset, self._schema = settings.dataset, schema_of(settings.dataset)
        self._table = f'"{self._schema}".{TABLE}'

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def check(self, rights: Sequence[str] = TO_KEEP) -> None:
        """Raises `DatabaseProblem` where a secret could not be kept, or dropped with `TO_FORGET`.

        To be asked before anything is done in Stripe, which tells a secret once.
        """
        if not self._exists():
            if rights == TO_KEEP:
                refuse_missing(self._database, self._schema, [TABLE])
            return
        for role, lacking in self._database.execute(LACKING, (list(rights), self._schema)):
            raise DatabaseProblem(
                f"The role may not write the webhook secrets in {self._schema}.{TABLE}. Run as their owner: GRANT"
                f' {lacking} ON {self._table} TO "{role}"; Nothing was done in Stripe.'
            )

    def keep(self, id: str, url: str, secret: str | None, api_version: str | None, livemode: bool) -> None:
        """Keeps a new endpoint's secret. Raises psycopg's errors."""
        if not self._exists():
            create_missing(self._database, self._schema, {TABLE: CREATE.format(schema=f'"{self._schema}"')})
        self._database.execute(
            f"INSERT INTO {self._table} (id, url, secret, api_version, livemode, created_at)"
            " VALUES (%s, %s, %s, %s, %s, now()) ON CONFLICT (id) DO UPDATE SET secret = excluded.secret",
            (id, url, secret, api_version, livemode),
        )

    def known(self) -> set[str]:
        """Ids of the endpoints whose secrets are kept."""
        if not self._exists():
            return set()
        return {id for (id,) in self._database.execute(f"SELECT id FROM {self._table} WHERE secret IS NOT NULL")}

    def forget(self, ids: Iterable[str]) -> None:
        """Drops the secrets of endpoints that are gone."""
        if self._exists():
            self._database.execute(f"DELETE FROM {self._table} WHERE id = ANY (%s)", (list(ids),))

    def _exists(self) -> bool:
        """Whether any secret was ever kept."""
        found = self._database.execute(READABLE, (self._schema,))
        if found and not found[0][0]:
            raise DatabaseProblem(unreadable(self._dataset))
        return bool(found)
