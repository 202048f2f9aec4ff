"""The signing secrets of our webhook endpoints at a provider, in a schema of their own: `<dataset>_secrets`.

A role that may read every table of the dataset may not read the secrets, because with a signing secret anybody can
forge events. The schema is created when the first secret is stored, and only the role that created it has rights on it.
Knows no provider's API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from pipelines.configuration.settings import CommonSettings
from pipelines.warehouse.postgres_database import PostgresDatabase, open_postgres
from pipelines.warehouse.problems import DatabaseProblem
from pipelines.warehouse.rights import create_missing, refuse_missing
from webhook_sink.commit.connection import Connection

TABLE = "{provider}_webhook_endpoints"
FORMS: Mapping[str, str] = {
    "stripe": " (whsec_…), or run: python -m webhook_sink endpoint create https://…/webhooks",
    "orb": ", or run: python -m webhook_sink endpoint create --provider orb https://…/webhooks/orb",
}
"""How to get a secret, after the name of the variable, for messages."""

CREATE = """
DO $$
DECLARE grantee text;
BEGIN
    CREATE TABLE {schema}.{table} (
        id text PRIMARY KEY, url text NOT NULL, secret text, api_version text, livemode boolean,
        created_at timestamptz);
    FOR grantee IN
        SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace,
            LATERAL (SELECT * FROM aclexplode(c.relacl) UNION ALL SELECT * FROM aclexplode(n.nspacl)) AS a
        WHERE c.oid = '{schema}.{table}'::regclass AND a.grantee NOT IN (c.relowner, n.nspowner)
    LOOP
        EXECUTE 'REVOKE ALL ON {schema}.{table} FROM ' || grantee;
        EXECUTE 'REVOKE ALL ON SCHEMA {schema} FROM ' || grantee;
    END LOOP;
END $$
"""
"""Creates the table, and revokes the rights that `ALTER DEFAULT PRIVILEGES` has just given to others on it.

It is one statement, so that a killed process cannot leave a table with those rights behind.
"""

READABLE = """
SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s
"""
"""Whether the role may read the secrets; no row if none was ever stored."""

MISSING_RIGHTS = """
SELECT current_user::text, string_agg(wanted, ', ' ORDER BY position)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace,
    unnest(%s::text[]) WITH ORDINALITY AS rights(wanted, position)
WHERE n.nspname = %s AND c.relname = %s AND NOT has_table_privilege(c.oid, wanted)
HAVING count(*) > 0
"""
TO_KEEP, TO_FORGET = ("INSERT", "UPDATE"), ("DELETE",)
"""The rights to store secrets, and to delete them, besides the right to read them."""


def no_secret(provider: str) -> str:
    """The message if there is no secret at all."""
    variable, how = f"{provider.upper()}_WEBHOOK_SECRET", FORMS.get(provider, ".")
    return f"There is no webhook secret to check signatures with. Set {variable}{how}"


async def read_secrets(connection: Connection, dataset: str, provider: str) -> list[str] | None:
    """All secrets of a dataset; None if the role may not read them."""
    schema, table = _schema_of(dataset), _table_of(provider)
    readable = await (await connection.execute(READABLE, (schema, table))).fetchone()
    if readable is None:
        return []
    if not readable[0]:
        return None
    query = f'SELECT secret FROM "{schema}".{table} WHERE secret IS NOT NULL'
    return [secret for (secret,) in await (await connection.execute(query.encode())).fetchall()]


def has_secrets(conninfo: str, dataset: str, provider: str) -> bool:
    """Whether a dataset has secrets, readable or not. Blocking."""
    database = PostgresDatabase(conninfo)
    try:
        return bool(database.execute(READABLE, (_schema_of(dataset), _table_of(provider))))
    finally:
        database.close()


def _schema_of(dataset: str) -> str:
    return f"{dataset}_secrets"


def _table_of(provider: str) -> str:
    return TABLE.format(provider=provider)


def unreadable(dataset: str, provider: str) -> str:
    """The message if the role may not read the secrets."""
    schema, table, variable = _schema_of(dataset), _table_of(provider), f"{provider.upper()}_WEBHOOK_SECRET"
    return (
        f"The role may not read the webhook secrets in {schema}.{table}. Run as their owner: GRANT USAGE ON SCHEMA"
        f' "{schema}" TO <role>; GRANT SELECT ON "{schema}".{table} TO <role>; or set {variable}.'
    )


class Secrets:
    """The secrets in the database, for the commands. A context manager that closes the database.

    Raises `DatabaseProblem` if the database cannot be reached, or rights are missing.
    """

    def __init__(self, settings: CommonSettings, provider: str = "stripe") -> None:
        self._database: PostgresDatabase = open_postgres(settings.database_url, settings.database_ca)
        self._dataset, self._schema = settings.dataset, _schema_of(settings.dataset)
        self._provider, self._name = provider, _table_of(provider)
        self._table = f'"{self._schema}".{self._name}'

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def check(self, rights: Sequence[str] = TO_KEEP) -> None:
        """Raises `DatabaseProblem` if the role cannot store secrets, or with `TO_FORGET` cannot delete them.

        Call it before anything is changed at the provider, which shows a secret only once.
        """
        if not self._exists():
            if rights == TO_KEEP:
                refuse_missing(self._database, self._schema, [self._name])
            return
        for role, missing in self._database.execute(MISSING_RIGHTS, (list(rights), self._schema, self._name)):
            raise DatabaseProblem(
                f"The role may not write the webhook secrets in {self._schema}.{self._name}. Run as their owner: GRANT"
                f' {missing} ON {self._table} TO "{role}"; Nothing was done in {self._provider.capitalize()}.'
            )

    def keep(self, id: str, url: str, secret: str | None, api_version: str | None, livemode: bool) -> None:
        """Stores a new endpoint's secret. Raises psycopg's errors."""
        if not self._exists():
            create = CREATE.format(schema=f'"{self._schema}"', table=self._name)
            create_missing(self._database, self._schema, {self._name: create})
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
        readable = self._database.execute(READABLE, (self._schema, self._name))
        if readable and not readable[0][0]:
            raise DatabaseProblem(unreadable(self._dataset, self._provider))
        return bool(readable)
