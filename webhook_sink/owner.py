"""Finds the account whose events a sink accepts: from the settings, the key, or the loads in the database. Blocking."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

from pipelines.configuration.fields import environment_name
from pipelines.configuration.settings import CommonSettings
from pipelines.loading.session import refuse_other_mode
from pipelines.state import modes_of_accounts
from pipelines.warehouse.postgres_database import PostgresDatabase
from sources.errors import BadConfiguration, shown
from sources.provider import Provider

T = TypeVar("T")

NOT_AN_ACCOUNT = (
    "{} is {}, which is not an account id. Rows would be stored under it. Set it to acct_…,"
    " the account whose webhooks the sink receives. Events of connected accounts name their own account."
)
NO_ACCOUNT = (
    "It is not known whose events these are. Set {} to acct_…, or set {}, so that rows can be stored under your account"
    "."
)


@dataclass(frozen=True, slots=True)
class Owner:
    """The account whose events a sink accepts, and their mode; None if neither a key nor the dataset shows it."""

    account_id: str
    livemode: bool | None


def owner_of(
    settings: CommonSettings, conninfo: str, provider: Provider, client_of: Callable[[str | None], Any]
) -> Owner:
    """The account in the settings, that of the key, or that of earlier loads in the database.

    Raises BadConfiguration if none of these shows the account, or if the key's mode is not the dataset's; and the
    client's errors.
    """
    modes = _modes(conninfo, settings.dataset)
    account_id = _account_id(settings, provider, client_of, modes)
    if settings.has_key:
        refuse_other_mode(settings, account_id, modes.get(account_id))
        return Owner(account_id, settings.is_live)
    return Owner(account_id, modes.get(account_id) if account_id in modes else _only(set(modes.values()) - {None}))


def _account_id(
    settings: CommonSettings, provider: Provider, client_of: Callable[[str | None], Any], loaded: Collection[str]
) -> str:
    if told := settings.configured_account:
        if not re.fullmatch(provider.account_ids, told):
            raise BadConfiguration(NOT_AN_ACCOUNT.format(environment_name("account_id", settings.section), shown(told)))
        return told
    if settings.has_key:
        return provider.read_account(client_of(None), settings.configured_account).id
    if (account_id := _only(loaded)) is None:
        setting = environment_name("account_id", settings.section)
        raise BadConfiguration(NO_ACCOUNT.format(setting, settings.key_variable))
    return account_id


def _modes(conninfo: str, dataset: str) -> dict[str, bool | None]:
    """The accounts that were loaded into the dataset -> whether each is in live mode; None if unknown."""
    database = PostgresDatabase(conninfo)
    try:
        return modes_of_accounts(database, dataset)
    finally:
        database.close()


def _only(values: Collection[T]) -> T | None:
    """The only one of the values; None if there are none or several."""
    return next(iter(values)) if len(values) == 1 else None
