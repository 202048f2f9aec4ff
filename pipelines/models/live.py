"""Creates and updates the live views of a dataset. Loads, syncs and the sink call it after tables have changed.

A view is created again if it is missing, if its table has a column that it lacks, or if its definition has changed. If
all views are current, one query finds that out. Two processes can do this at once: the second waits for the first, and
checks again. If the database refuses a view, that is logged and stops no load, because the tables do not need their
views. Together with a view, its table and all columns of both get comments.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.models.views import View, live_views, quoted
from pipelines.warehouse.database import Database, stored_columns
from pipelines.warehouse.problems import explained, is_database_error, state_of
from pipelines.warehouse.verdict import DENIED
from sources.catalogue import Catalogue
from sources.columns.columns import ABOUT_OWN_COLUMNS, OWN_COLUMNS

LOG = logging.getLogger("stripe_elt")

LOCK = 0x5747_5256  # one process at a time changes the views of a dataset
PATIENCE = "1s"  # for a view that a reader is using; after that, it is left to the next run

_VIEWS = {
    "postgres": """
SELECT c.relname::text, obj_description(c.oid, 'pg_class')::text FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind = 'v'""",
    "duckdb": "SELECT view_name, comment FROM duckdb_views() WHERE schema_name = %s",
}
_COLUMNS = """
SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = %s
ORDER BY table_name, ordinal_position"""
_MAY_CREATE = """
SELECT current_user::text,
    coalesce((SELECT has_schema_privilege(oid, 'USAGE, CREATE') FROM pg_catalog.pg_namespace WHERE nspname = %s),
             has_database_privilege(current_database(), 'CREATE')),
    EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s)"""
_READERS = """
SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
FROM pg_catalog.pg_class AS c, aclexplode(c.relacl)
WHERE c.relnamespace = %s::text::regnamespace AND c.relname = %s AND privilege_type = 'SELECT'"""


def current_schema(dataset: str) -> str:
    """The schema of a dataset's live views."""
    return f"{dataset}_current"


@dataclass(slots=True)
class LiveViews:
    """The live views of a dataset with a provider's tables. Belongs to one session; not thread-safe."""

    dataset: str
    provider: str
    catalogue: Catalogue
    _seen: dict[str, set[str]] = field(default_factory=dict)
    _columns_of_tables: dict[str, list[str]] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    @property
    def schema(self) -> str:
        """The schema of the views."""
        return current_schema(self.dataset)

    @property
    def tables(self) -> Mapping[str, Collection[str]]:
        """The tables of the dataset with their columns, as last read."""
        return self._seen

    def follow(self, database: Database, tables: Mapping[str, Iterable[str]]) -> None:
        """Call it after these columns were written to their tables: does the same as `keep` if any of them is new."""
        if any(not self._seen.get(name, set()).issuperset(columns) for name, columns in tables.items()):
            self.keep(database)

    def keep(self, database: Database, stored: Mapping[str, Iterable[str]] | None = None) -> None:
        """Creates the views that are missing or outdated. Must not be called within a transaction.

        `stored` are the columns of the stored schema, which is read if they are not given. Raises the driver's error if
        the connection is lost; refusals are logged, once each.
        """
        if stored is None:
            stored = stored_columns(database, self.dataset, self.provider)
        self._seen = {name: {*columns, *OWN_COLUMNS} for name, columns in stored.items()}
        if not self._outdated(database, self._seen):
            return
        if database.dialect != "postgres":
            database.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(self.schema)}")
            self._columns_of_tables = self._columns(database, self.dataset)
            self._make_in_duckdb(database, self._outdated(database, self._columns_of_tables))
            return
        role, may_create, is_there = database.execute(_MAY_CREATE, (self.schema, self.schema))[0]
        if not may_create:
            self._tell(
                f"The views in the schema {self.schema} were not created, because the role {role} may not create them."
                " The tables are not affected. Run this statement as the owner of the database:"
                f" {_missing_right(quoted(self.schema), quoted(role), is_there)}"
            )
            return
        with database.transaction():
            database.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (LOCK, self.schema))
            if not is_there:
                database.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(self.schema)}")
            database.execute(f"SET LOCAL lock_timeout = '{PATIENCE}'")
            self._columns_of_tables, made = (self._columns(database, name) for name in (self.dataset, self.schema))
            for view in self._outdated(database, self._columns_of_tables):
                if not self._make_in_postgres(database, view, made.get(view.name, ())):
                    break

    def missing_statements(self, database: Database, tables: Mapping[str, Collection[str]]) -> list[str]:
        """The statements that `keep` would execute for these tables and columns; changes nothing."""
        self._columns_of_tables = {name: list(columns) for name, columns in tables.items()}
        statements = [
            statement
            for view in self._outdated(database, tables)
            for statement in (f"CREATE OR REPLACE VIEW {self._name(view)} AS {view.select()}", *self._comments(view))
        ]
        there = "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s"
        is_there = not statements or bool(database.execute(there, (self.schema,)))
        return statements if is_there else [f"CREATE SCHEMA IF NOT EXISTS {quoted(self.schema)}", *statements]

    def _outdated(self, database: Database, tables: Mapping[str, Collection[str]]) -> list[View]:
        """The views that are missing or outdated."""
        comments = dict(database.execute(_VIEWS[database.dialect], (self.schema,)))
        wanted = live_views(self.dataset, self.provider, self.catalogue, tables)
        return [view for name, view in wanted.items() if comments.get(name) != view.comment]

    def _columns(self, database: Database, schema: str) -> dict[str, list[str]]:
        """The columns of tables and views, in their order; for tables, only those of the stored schema and our own."""
        found: dict[str, list[str]] = {}
        for name, column in database.execute(_COLUMNS, (schema,)):
            if schema != self.dataset or column in self._seen.get(name, ()):
                found.setdefault(name, []).append(column)
        return found

    def _make_in_duckdb(self, database: Database, views: Sequence[View]) -> None:
        """Creates all views in one transaction, or one by one if DuckDB refuses one of them."""
        try:
            with database.transaction():
                for view in views:
                    made = f"CREATE OR REPLACE VIEW {self._name(view)} AS {view.select()}"
                    database.execute_all([made, *self._comments(view, on_all_columns=False)])
        except Exception as error:
            if not is_database_error(error):
                raise
            if len(views) == 1:
                self._refused(views[0], error)
                return
            for view in views:
                self._make_in_duckdb(database, [view])

    def _make_in_postgres(self, database: Database, view: View, columns: Sequence[str]) -> bool:
        """Creates or replaces a view. Returns False if a reader holds it for too long, because further views would wait
        too.

        Rights on the view, and other people's views on it, stay. Only a view that has lost a column, or has one of
        another type, is dropped first.
        """
        error = self._tried(database, self._statements(database, view, columns))
        if state_of(error) == DENIED:  # another role owns the tables, and only the owner may comment on them
            error = self._tried(database, self._statements(database, view, columns, on_table=False))
        if state_of(error) == "42P16":
            error = self._tried(database, self._statements(database, view, None))
        if error is None:
            return True
        if state_of(error) == "55P03":
            LOG.info("A reader is using the view %s.%s; the next run updates it.", self.schema, view.name)
            return False
        self._refused(view, error)
        return True

    def _tried(self, database: Database, statements: Sequence[str]) -> Exception | None:
        """Executes all of the statements or none. Returns the server's error; raises that of a lost connection."""
        try:
            database.execute_all(["SAVEPOINT a_view", *statements, "RELEASE SAVEPOINT a_view"])
        except Exception as error:
            if (state_of(error) or "08")[:2] in ("08", "57"):
                raise
            database.execute_all(["ROLLBACK TO SAVEPOINT a_view"])
            return error
        return None

    def _statements(
        self, database: Database, view: View, columns: Sequence[str] | None, *, on_table: bool = True
    ) -> list[str]:
        """The statements that create or replace a view whose present columns are `columns`. If that is None, they drop
        the view first, and grant its readers the right again.
        """
        name, comments = self._name(view), self._comments(view, on_table=on_table)
        if columns is not None:
            return [f"CREATE OR REPLACE VIEW {name} AS {view.select(columns)}", *comments]
        readers = [role for (role,) in database.execute(_READERS, (quoted(self.schema), view.name))]
        grants = [f"GRANT SELECT ON {name} TO {role}" for role in readers]
        return [f"DROP VIEW {name}", f"CREATE VIEW {name} AS {view.select()}", *comments, *grants]

    def _name(self, view: View) -> str:
        return f"{quoted(self.schema)}.{quoted(view.name)}"

    def _comments(self, view: View, *, on_table: bool = True, on_all_columns: bool = True) -> list[str]:
        """The statements that comment on a view, its table (if it has one), and the columns of both."""
        name, table = self._name(view), f"{quoted(self.dataset)}.{quoted(view.name)}"
        texts = {**self.catalogue.descriptions.of(view.name), **ABOUT_OWN_COLUMNS} if view.columns else {}
        said = {column: texts[column] for column in view.columns if on_all_columns and column in texts}
        said |= view.said
        comments = {f"VIEW {name}": view.comment}
        comments |= {f"COLUMN {name}.{quoted(column)}": text for column, text in said.items()}
        if on_table and texts:
            comments |= {f"TABLE {table}": texts[""]} if "" in texts else {}
            there = self._columns_of_tables.get(view.name, ())
            comments |= {f"COLUMN {table}.{quoted(column)}": texts[column] for column in there if column in texts}
        return [f"COMMENT ON {what} IS {_literal(text)}" for what, text in comments.items()]

    def _refused(self, view: View, error: Exception) -> None:
        said = getattr(getattr(error, "diag", None), "message_primary", None) or explained(error)
        self._tell(
            f"The view {self.schema}.{view.name} was not created or updated: {said.rstrip('.')}."
            " The tables are not affected."
        )

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            LOG.warning(message)


def _missing_right(schema: str, role: str, is_there: bool) -> str:
    if is_there:
        return f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};"
    return f"CREATE SCHEMA {schema} AUTHORIZATION {role};"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
