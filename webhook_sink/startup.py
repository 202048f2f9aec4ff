"""What a sink needs before its first event: its tables, and whose events these are. Blocking; for a thread."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import psycopg

from pipelines.account import read_account
from pipelines.postgres import PostgresDatabase
from pipelines.settings import Settings
from sources.stripe_api.client import Client
from sources.stripe_api.errors import BadConfiguration
from webhook_sink import ledger

NO_SECRET = (
    "There is no webhook secret to check signatures with. Set STRIPE_WEBHOOK_SECRET (whsec_…), or run:"
    " python -m webhook_sink endpoint create https://…/webhooks"
)
NO_ACCOUNT = (
    "It is unknown whose events these are. Set SOURCES__STRIPE__ACCOUNT_ID to acct_…, or STRIPE_SECRET_KEY, so that"
    " rows can be kept under your account."
)


def create_tables(conninfo: str, dataset: str) -> None:
    """Makes the dataset and the sink's own tables where they are missing. Raises psycopg's errors."""
    database = PostgresDatabase(conninfo)
    try:
        ledger.create(database, dataset)
    finally:
        database.close()


def account_of(settings: Settings, conninfo: str, client_of: Callable[[str | None], Client]) -> str:
    """The account's id: the setting, the key's account, or the one that a load has left in the database.

    Raises BadConfiguration where none of them tells, and what the client raises.
    """
    told = settings.account_id or settings.stripe_account
    if told:
        return told
    if settings.stripe_secret_key:
        return read_account(client_of(None), settings).id
    found = _loaded_accounts(conninfo, settings.dataset)
    if len(found) != 1:
        raise BadConfiguration(NO_ACCOUNT)
    return found[0]


def _loaded_accounts(conninfo: str, dataset: str) -> list[str]:
    database = PostgresDatabase(conninfo)
    try:
        with suppress(psycopg.errors.UndefinedTable):
            rows = database.execute(f'SELECT DISTINCT _account_id FROM "{dataset}".sync_status')
            return [str(row[0]) for row in rows]
        return []
    finally:
        database.close()
