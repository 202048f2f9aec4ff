"""Which accounts a command is about: one, a list, or all that are connected to a platform. Knows no database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from pipelines.configuration.settings import CommonSettings
from pipelines.warehouse.problems import DatabaseProblem
from sources.errors import AuthenticationFailed, BadConfiguration, ConnectorError, shown
from sources.stripe_api.catalogue import RESOURCES, Params
from sources.stripe_api.client.client import Client
from sources.stripe_api.objects.embedded import has_key
from sources.stripe_api.paging.conventions import cursor_after
from sources.stripe_api.provider import open_client

ALL = "all"
Settings = TypeVar("Settings", bound=CommonSettings)


def each_account(settings: Settings) -> list[Settings]:
    """The settings once for each account: `stripe_account` is none, one, several with commas between, or `all`.

    `all` is the platform itself and every account connected to it, which costs a request for each hundred of them.
    Raises BadConfiguration for what names no account, and what the client raises.
    """
    names = _names(settings)
    if names == [ALL]:
        platform = settings.acting_for(None)
        with open_client(platform) as client:
            names = list(connected(client))
        return [platform, *(settings.acting_for(name) for name in names)]
    for name in names:
        if not name.startswith("acct_"):
            raise BadConfiguration(
                f"The setting stripe_account has an entry that is not an account id, {shown(name)}: set"
                " SOURCES__STRIPE__STRIPE_ACCOUNT (or --stripe-account) to acct_…, to several of them"
                " separated by commas, or to all."
            )
    return [settings.acting_for(name) for name in names] or [settings]


def work_on_each_account(
    accounts: Sequence[Settings],
    work: Callable[[Settings], object],
    on_failure: Callable[[Settings, ConnectorError], None],
) -> None:
    """Works on each account, see `each_account`. What stops one of them is given to `on_failure`, and stops no other.

    Raises what would stop all of them, a wrong key or a database that is down, and what `on_failure` raises.
    """
    for account in accounts:
        try:
            work(account)
        except (AuthenticationFailed, DatabaseProblem):
            raise
        except ConnectorError as error:
            on_failure(account, error)


def one_account(settings: Settings) -> Settings:
    """The settings for the one account that they name. Raises BadConfiguration where they name several, or `all`."""
    if not _is_one(settings):
        raise BadConfiguration(
            "This command works on one account, but the setting stripe_account names several: set"
            " SOURCES__STRIPE__STRIPE_ACCOUNT (or --stripe-account) to one acct_…, or leave it empty for the"
            " key's own account."
        )
    (found,) = each_account(settings)
    return found


def own_account(settings: Settings) -> Settings:
    """The settings for the one account that they name, or where they name several for the platform whose key it is.

    Raises BadConfiguration for what names no account.
    """
    return one_account(settings if _is_one(settings) else settings.acting_for(None))


def connected(client: Client) -> Iterator[str]:
    """Ids of the accounts connected to the platform whose key the client has."""
    accounts, after = RESOURCES["accounts"], None
    while True:
        cursor: Params = (("starting_after", after),) if after else ()
        page = client.page(accounts.path, (("limit", "100"), *cursor), denied=accounts.denied)
        yield from (str(one["id"]) for one in page.objects if has_key(one, "accounts"))
        if not page.has_more:
            return
        after = cursor_after(page, after)


def _names(settings: CommonSettings) -> list[str]:
    names = (name.strip() for name in settings.accounts.split(","))
    return list(dict.fromkeys(name for name in names if name))


def _is_one(settings: CommonSettings) -> bool:
    names = _names(settings)
    return len(names) <= 1 and names != [ALL]
