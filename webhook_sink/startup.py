"""What a sink needs before its first event: its tables, and whose events these are. Blocking; for a thread."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from pipelines.session import refuse_other_mode
from pipelines.settings import Settings
from pipelines.state import modes_of_accounts
from pipelines.warehouse.postgres_database import PostgresDatabase
from pipelines.warehouse.problems import DatabaseProblem
from sources.errors import BadConfiguration, shown
from sources.stripe_api.client.account import read_account
from sources.stripe_api.client.client import Client
from webhook_sink.commit import ledger

T = TypeVar("T")

NO_SECRET = (
    "There is no webhook secret to check signatures with. Set STRIPE_WEBHOOK_SECRET (whsec_…), or run:"
    " python -m webhook_sink endpoint create https://…/webhooks"
)
ACCOUNT = re.compile(r"acct_\w+")
NOT_ONE = (
    "{} is no account, and rows would be kept under it: set SOURCES__STRIPE__ACCOUNT_ID to one acct_…, the account"
    " whose webhooks these are. Those of connected accounts tell theirs themselves."
)
NO_ACCOUNT = (
    "It is unknown whose events these are. Set SOURCES__STRIPE__ACCOUNT_ID to acct_…, or STRIPE_SECRET_KEY, so that"
    " rows can be kept under your account."
)


READ_ONLY = (
    "The database takes no changes: default_transaction_read_only is on. The role, the database, the server or"
    " DATABASE_URL sets it; hosting providers do so where a disk is full. Make room or set it to off, or set"
    " DATABASE_URL to another role or database."
)


def create_tables(conninfo: str, dataset: str) -> bool:
    """Makes the dataset and the sink's own tables where they are missing.

    False, and nothing is done, where the server is a standby, which may be promoted. Raises DatabaseProblem for a
    database that is set to take no changes, and psycopg's errors.
    """
    database = PostgresDatabase(conninfo)
    try:
        asked = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean"
        ((is_standby, is_read_only),) = database.execute(asked)
        if is_standby:
            return False
        if is_read_only:
            raise DatabaseProblem(READ_ONLY)
        ledger.create(database, dataset)
        return True
    finally:
        database.close()


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose events a sink takes, and of which mode: None where neither a key nor the dataset tells."""

    account_id: str
    livemode: bool | None


def owner_of(settings: Settings, conninfo: str, client_of: Callable[[str | None], Client]) -> Owner:
    """The account of the settings, of the key, or the one that a load has left in the database; and the mode likewise.

    Raises BadConfiguration where none of them tells whose events these are, and for a key of the other mode than the
    dataset's; and what the client raises.
    """
    modes = _modes(conninfo, settings.dataset)
    account_id = _account_id(settings, client_of, modes)
    if settings.stripe_secret_key:
        refuse_other_mode(settings, account_id, modes.get(account_id))
        return Owner(account_id, settings.is_live)
    return Owner(account_id, modes.get(account_id) if account_id in modes else _one(set(modes.values()) - {None}))


def _account_id(settings: Settings, client_of: Callable[[str | None], Client], loaded: Collection[str]) -> str:
    if told := settings.told_account:
        if not ACCOUNT.fullmatch(told):
            raise BadConfiguration(NOT_ONE.format(shown(told)))
        return told
    if settings.stripe_secret_key:
        return read_account(client_of(None), settings.told_account).id
    if (found := _one(loaded)) is None:
        raise BadConfiguration(NO_ACCOUNT)
    return found


def _modes(conninfo: str, dataset: str) -> dict[str, bool | None]:
    """The accounts that loads have left in the database -> whether in live mode, where that is remembered."""
    database = PostgresDatabase(conninfo)
    try:
        return modes_of_accounts(database, dataset)
    finally:
        database.close()


def _one(values: Collection[T]) -> T | None:
    """The only one; None where there are none or several."""
    return next(iter(values)) if len(values) == 1 else None
