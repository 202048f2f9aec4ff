"""The accounts that a command works on: one, several, or all that are connected to a platform. Knows no database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from pipelines.configuration.fields import environment_name
from pipelines.configuration.settings import ALL_ACCOUNTS, CommonSettings
from pipelines.warehouse.problems import DatabaseProblem
from sources.errors import AuthenticationFailed, BadConfiguration, ConnectorError, shown

Settings = TypeVar("Settings", bound=CommonSettings)


def each_account(settings: Settings) -> list[Settings]:
    """One copy of the settings for each account that they name.

    The setting is empty (the key's own account), an id, several ids separated by commas, or `all`: the platform itself
    and every account connected to it, which the provider lists. Raises BadConfiguration for an entry that is not an
    account id, and the client's errors.
    """
    names = settings.account_names
    if names == [ALL_ACCOUNTS]:
        platform = settings.acting_for(None)
        return [platform, *map(settings.acting_for, platform.connected_accounts())]
    for name in names:
        if not name.startswith(settings.account_prefix):
            raise BadConfiguration(
                f"The setting {settings.account_setting} has an entry that is not an account id, {shown(name)}: set"
                f" {_variable(settings)} to {settings.account_prefix}…, to several of them separated by commas, or to"
                " all."
            )
    return [settings.acting_for(name) for name in names] or [settings]


def work_on_each_account(
    accounts: Sequence[Settings],
    work: Callable[[Settings], object],
    on_failure: Callable[[Settings, ConnectorError], None],
) -> None:
    """Calls `work` for each account, see `each_account`. An error of one account is passed to `on_failure`, and the
    others go on.

    Raises errors that would stop all accounts (a wrong key, a database that is down), and the errors of `on_failure`.
    """
    for account in accounts:
        try:
            work(account)
        except (AuthenticationFailed, DatabaseProblem):
            raise
        except ConnectorError as error:
            on_failure(account, error)


def one_account(settings: Settings) -> Settings:
    """The settings for the one account that they name. Raises BadConfiguration if they name several, or `all`."""
    if settings.names_several_accounts:
        raise BadConfiguration(
            f"This command works on one account, but the setting {settings.account_setting} names several: set"
            f" {_variable(settings)} to one {settings.account_prefix}…, or leave it empty for the key's own account."
        )
    (found,) = each_account(settings)
    return found


def own_account(settings: Settings) -> Settings:
    """The settings for the one account that they name; for the key's own account if they name several.

    Raises BadConfiguration for an entry that is not an account id.
    """
    return one_account(settings.acting_for(None) if settings.names_several_accounts else settings)


def _variable(settings: CommonSettings) -> str:
    """The environment variable and the option for the accounts, as messages show them."""
    name = settings.account_setting
    return f"{environment_name(name, settings.section)} (or --{name.replace('_', '-')})"
