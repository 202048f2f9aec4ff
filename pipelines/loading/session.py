"""The session of a command: one account, one database, a client that counts requests, a loader.

A session locks its scope and stages its packages under the scope's name, so that sessions of different scopes can run
at once: a single object during a long load, or several Airflow tasks. Their merges into the same table are guarded.
Knows no resource and no event.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.configuration.privacy import read_privacy
from pipelines.configuration.settings import CommonSettings, Destination, read_contract
from pipelines.loading.working_folders import remove_abandoned
from pipelines.models.indexes import keep_indexes
from pipelines.models.live import LiveViews
from pipelines.privacy.forgotten import forget_lock, read_forgotten
from pipelines.state import OWN_TABLES, State, account_of_key, modes_of_accounts
from pipelines.terminal.process import raise_if_interrupted
from pipelines.warehouse.altered_types import altered_types
from pipelines.warehouse.database import Database, other_schemas, stored_columns
from pipelines.warehouse.problems import DatabaseProblem
from pipelines.warehouse.rights import check_rights
from pipelines.warehouse.staging import drop_abandoned, lock_name, staging_dataset
from sources.catalogue import Catalogue
from sources.columns.contract import ContractedColumns
from sources.columns.conversion_counts import ConversionCounts
from sources.errors import BadConfiguration
from sources.fetch.limiter import Spending
from sources.fetch.values import ResourceStatus
from sources.provider import Client, Provider
from sources.rows import Row

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.loading.loader import Loader

MOST_REFUSED = 10
"""After so many refused rows of a table in one package, a run over lists leaves its other rows to the next run."""

LOG = logging.getLogger("stripe_elt")


@dataclass(slots=True)
class Session:
    """An open session. `now` is the provider's time (unix seconds) if it was asked for the account, otherwise None."""

    settings: CommonSettings
    provider: Provider
    database: Database
    client: Any  # the provider's client, for the provider's functions
    spending: Spending
    account_id: str
    now: int | None
    state: State
    columns: ContractedColumns
    staging: str
    views: LiveViews
    counts: ConversionCounts = field(default_factory=ConversionCounts)
    rows: int = 0
    _loader: Loader | None = None
    _compared: set[str] = field(default_factory=set)

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue of the session's provider."""
        return self.provider.catalogue

    @property
    def api_version(self) -> str:
        """The version of the provider's API that the client requests."""
        return self.settings.asked_version or self.provider.api_version()

    @property
    def loader(self) -> Loader:
        """The loader, created at first use, because it imports Arrow."""
        from pipelines.loading.loader import Loader

        if self._loader is None:
            dataset = self.settings.dataset
            self._loader = Loader(self.database, dataset, self.columns, self.provider.name, self.staging)
        return self._loader

    def clock(self) -> int:
        """The provider's time, unix seconds, at the session's beginning; if unknown, asked for now."""
        return (
            self.now
            if self.now is not None
            else self.provider.read_account(self.client, self.settings.configured_account).now
        )

    def tables_of(self, rows: Mapping[str, Sequence[Row]]) -> dict[str, pa.Table]:
        """Rows by table -> Arrow tables by table. Rows that cannot be stored are left out, and recorded in `counts`."""
        from sources.columns.arrow import arrow_tables

        return arrow_tables(rows, self.columns, counts=self.counts)

    def store(self, tables: Mapping[str, pa.Table]) -> int:
        """Merges the rows that the schema contract admits; returns their number once they are committed.

        Rows that the database refuses are left out, and recorded in `counts`; every other row is stored, however many
        were refused. Raises DatabaseProblem, SchemaFrozen.
        """
        admitted = self.columns.admit(tables)
        if not admitted:
            return 0
        from pipelines.loading.isolation import load_isolated
        from sources.columns.arrow import count_rows

        rows = count_rows(admitted)
        stored = rows - sum(load_isolated(self._load, admitted, self.columns, self.counts, {}).values())
        self.rows += stored
        return stored

    def load(self, tables: dict[str, pa.Table], sources: Mapping[str, Iterable[str]]) -> Collection[str]:
        """Like `store`, but without adding to `rows`; returns the tables from which rows were left out.

        The caller must not save their progress: after many refusals, the rest of a table is not tried. `sources` are
        the resources that each table's rows come from. Removes the tables from `tables`, so that memory does not hold
        them while the database works.
        """
        admitted = self.columns.admit(tables)
        tables.clear()
        if not admitted:
            return ()
        from pipelines.loading.isolation import load_isolated

        return load_isolated(self._load, admitted, self.columns, self.counts, sources, MOST_REFUSED)

    def _load(self, tables: dict[str, pa.Table]) -> None:
        """Loads a package; then creates views of new tables and columns."""
        columns = {name: table.column_names for name, table in tables.items()}
        try:
            self.loader.load(tables)
        except DatabaseProblem as problem:
            if problem.refusal is not None:
                self._warn_of_altered_types(columns)
            raise
        self.views.follow(self.database, columns)

    def _warn_of_altered_types(self, tables: Iterable[str]) -> None:
        """Warns of columns of these tables whose type in the database differs from ours, once for each table."""
        dataset = self.settings.dataset
        for table in {*tables} - self._compared:
            self._compared.add(table)
            for column, stored, made in altered_types(self.database, dataset, table, self.columns.of(table)):
                LOG.warning(
                    "The column %s of the table %s.%s has the type %s instead of %s, so the database refuses rows whose"
                    " value does not fit. Change it back: ALTER TABLE %s.%s ALTER COLUMN %s TYPE %s;",
                    *(column, dataset, table, stored, made),
                    *(dataset, table, column, made),
                )

    def save(self, *statuses: ResourceStatus, account: Mapping[str, Any] | None = None) -> None:
        """Saves progress, fields of `AccountState` and the run's totals. Raises KeyboardInterrupt after a signal."""
        raise_if_interrupted()
        rejected = self.counts.take_unsaved()
        self.state.save(statuses, rows=self.rows, requests=self.spending.spent, rejected=rejected, account=account)

    def end(self, status: str, error: str | None = None) -> None:
        """Saves the run's final status: `complete`, `partial` or `error`."""
        if rejected := self.counts.take_unsaved():
            self.state.save([], rows=self.rows, requests=self.spending.spent, rejected=rejected)
        self.state.end(status, error, rows=self.rows, requests=self.spending.spent)

    @contextmanager
    def noting_failure(self) -> Iterator[None]:
        """If the block fails, saves the reason in `sync_runs`: an interruption, or the error's type."""
        try:
            yield
        except KeyboardInterrupt:
            self.end("interrupted")
            raise
        except BaseException as error:
            self.end("error", type(error).__name__)
            raise


def _open_duckdb(settings: CommonSettings, *, makes_file: bool = True) -> Database:
    from pipelines.warehouse.duckdb_database import open_duckdb

    file, memory_limit = settings.duckdb_path, settings.duckdb_memory_limit
    return open_duckdb(file, settings.dataset, memory_limit, makes_file=makes_file)


def _open_postgres(settings: CommonSettings) -> Database:
    from pipelines.warehouse.postgres_database import open_postgres

    return open_postgres(settings.database_url, settings.database_ca)


DATABASES: Mapping[Destination, Callable[[CommonSettings], Database]] = {
    "duckdb": _open_duckdb,
    "postgres": _open_postgres,
}
"""The function that opens each destination. Only the driver of the chosen one is imported."""


def open_database(settings: CommonSettings) -> Database:
    """Opens the database of the settings.

    Raises `DatabaseProblem`, which names the setting, and `AlreadyRunning` for a DuckDB file that another run uses.
    """
    return DATABASES[settings.destination](settings)


def open_existing(settings: CommonSettings) -> Database:
    """Like `open_database`, for commands that only read: a DuckDB file that does not exist is not created, and counts
    as empty.
    """
    return _open_duckdb(settings, makes_file=False) if settings.destination == "duckdb" else open_database(settings)


def new_run_id() -> str:
    """A new key for `sync_runs`: 32 hexadecimal digits."""
    return uuid.uuid4().hex


@contextmanager
def open_session(
    settings: CommonSettings,
    command: str,
    *,
    provider: Provider,
    budget: int | None = None,
    scope: str = "",
    opened: Database | None = None,
    clock: bool = False,
    run_id: str | None = None,
    asked: Mapping[str, Any] | None = None,
) -> Iterator[Session]:
    """Opens a session for the account of the settings. `opened` is a database to use, which stays open.

    The session's row in `sync_runs` has the key `run_id` (a new one by default) and the options `asked`.

    With `clock`, the provider is asked for the account and so for its time, even if the account is known. Raises
    AlreadyRunning if another session has the scope, BadConfiguration if the key's mode is not the dataset's, and the
    errors of the database and the provider.
    """
    with ExitStack() as stack:
        privacy = read_privacy(provider.catalogue)
        client: Client = stack.enter_context(provider.open_client(settings))
        spending = Spending(client.limiter, budget)
        client.limiter = spending
        database = opened or open_database(settings)
        if opened is None:
            stack.callback(database.close)
        if database.dialect == "postgres":  # DuckDB uses this machine's clock
            now = database.execute("SELECT extract(epoch FROM clock_timestamp())")[0][0]
            client.witness_clock("the database's clock", float(now))
        database.lock_run(lock_name(settings.dataset, scope))
        database.lock_run(forget_lock(settings.dataset), shared=True)
        if clock:
            account_id, now = _asked(provider, client, settings)
        else:
            account_id, now = _account(provider, database, client, settings)
        state = State(database, settings.dataset, account_id, run_id or new_run_id(), command, asked)
        written = {**dict.fromkeys(provider.catalogue.tables, False), **OWN_TABLES}
        check_rights(database, settings.dataset, [staging_dataset(settings.dataset, scope)], written)
        drop_abandoned(database, settings.dataset, scope, others=opened is None)
        stored = stored_columns(database, settings.dataset, provider.name)
        if not stored:
            refuse_anothers_dataset(database, settings.dataset, provider)
        state.create()
        known = state.read_account()
        refuse_other_mode(settings, account_id, known.livemode)
        privacy = privacy.with_forgotten(read_forgotten(database, settings.dataset))
        columns = ContractedColumns(provider.catalogue, stored, read_contract(settings.section), privacy)
        remove_abandoned()
        staging = staging_dataset(settings.dataset, scope)
        views = LiveViews(settings.dataset, provider.name, provider.catalogue)
        views.keep(database, stored)
        session = Session(
            settings, provider, database, client, spending, account_id, now, state, columns, staging, views
        )
        told: dict[str, Any] = {"livemode": settings.is_live}
        if now is not None and not clock:
            told["key_digest"] = _digest(settings)
        session.save(account={name: value for name, value in told.items() if getattr(known, name) != value})
        yield session
        if settings.indexes == "default" and not scope:
            keep_indexes(database, settings.dataset, provider.name, provider.catalogue, views.tables)


def refuse_anothers_dataset(database: Database, dataset: str, provider: Provider) -> None:
    """Raises BadConfiguration if the dataset has another provider's tables, because some have the same names."""
    if others := other_schemas(database, dataset, provider.name):
        raise BadConfiguration(
            f"The dataset {dataset!r} has the tables of {' and '.join(others)}, and some of those of"
            f" {provider.name} have the same names. Choose another --dataset."
        )


def refuse_other_mode(settings: CommonSettings, account_id: str, livemode: bool | None) -> None:
    """Raises BadConfiguration if the key's mode is not the dataset's: an account has the same id in both modes, so
    objects read in one mode would count as read in the other.

    `livemode` is the dataset's mode; None if it has none yet.
    """
    if livemode is None or livemode is settings.is_live:
        return
    kept, given = ("live", "a test") if livemode else ("test", "a live")
    raise BadConfiguration(
        f"The dataset {settings.dataset!r} has {kept}-mode objects of {account_id}, and {settings.key_variable} is"
        f" {given}-mode key. Choose another --dataset for the other mode, so that live and test data are not"
        " mixed."
    )


def _account(
    provider: Provider, database: Database, client: Client, settings: CommonSettings
) -> tuple[str, int | None]:
    """The account whose objects are read: from the settings, an earlier run, or the provider, with its time."""
    if settings.configured_account:
        return settings.configured_account, None
    if (remembered := account_of_key(database, settings.dataset, _digest(settings))) is not None:
        return remembered, None
    return _asked(provider, client, settings)


def known_account(database: Database, settings: CommonSettings) -> str | None:
    """The account whose objects are read, without asking the provider: from the settings, from an earlier run, or the
    dataset's only account.
    """
    if settings.configured_account:
        return settings.configured_account
    remembered = account_of_key(database, settings.dataset, _digest(settings))
    there = list(modes_of_accounts(database, settings.dataset))
    return remembered or (there[0] if len(there) == 1 else None)


def _asked(provider: Provider, client: Client, settings: CommonSettings) -> tuple[str, int]:
    account = provider.read_account(client, settings.configured_account)
    return account.id, account.now


def _digest(settings: CommonSettings) -> str:
    """A digest of the key and its account, by which later runs know the account. It reveals neither."""
    return hashlib.sha256(settings.identity.encode()).hexdigest()[:32]
