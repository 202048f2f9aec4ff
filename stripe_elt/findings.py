"""The checks of `stripe-elt doctor`: settings, key, clock, permissions, database, endpoint. Changes nothing."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from pipelines.commands.accounts import own_account
from pipelines.commands.cli import settings_of
from pipelines.configuration.privacy import read_privacy
from pipelines.configuration.settings import Settings
from pipelines.loading.session import open_existing, refuse_other_mode
from pipelines.state import OWN_TABLES, modes_of_accounts
from pipelines.sync.stripe_api.settings import read_sync_settings
from pipelines.warehouse.database import Database
from pipelines.warehouse.postgres_database import PostgresDatabase
from pipelines.warehouse.problems import explained, is_database_error
from pipelines.warehouse.rights import check_rights
from pipelines.warehouse.staging import staging_dataset
from sources.catalogue import Resource
from sources.errors import ConnectorError, RetryLater, SkipResource
from sources.stripe_api.catalogue import CATALOGUE, select
from sources.stripe_api.catalogue.fields import api_version
from sources.stripe_api.client.account import read_account
from sources.stripe_api.client.client import Client
from sources.stripe_api.provider import open_client

State = Literal["ok", "warning", "problem"]
READ_ONLY = (
    "it is read-only: it is a standby, or default_transaction_read_only is on. Set DATABASE_URL to a server and a role"
    " that may write"
)
SKEW = 60
"""Seconds by which this machine's clock may differ from Stripe's without a warning."""


class Finding(NamedTuple):
    """The result of a check: what was checked, its state, and a text with the details or what to do."""

    what: str
    state: State
    text: str


def look(options: argparse.Namespace) -> Iterator[Finding]:
    """Yields all findings, in the order of the checks."""
    said = Said()
    with said:
        settings = settings_of(options)  # an error here stops every command, and so this one
        read_sync_settings()
        privacy = read_privacy(CATALOGUE)
    yield from (Finding("settings", "warning", text) for text in said.texts)
    if not said.texts:
        yield Finding("settings", "ok", "every setting that is set is read")
    yield Finding("privacy", "ok", privacy.summary())
    yield from _attempt("key", lambda: _key(settings, with_permissions=not options.no_permissions))
    yield from _attempt("database", lambda: _database(settings))
    if settings.destination == "postgres":
        yield from _attempt("endpoint", lambda: _endpoint(settings))


def _attempt(what: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yields the findings of a check; an error becomes its last finding."""
    try:
        yield from look()
    except ConnectorError as error:
        yield Finding(what, "problem", str(error))
    except Exception as error:
        if not is_database_error(error):
            raise
        yield Finding(what, "problem", explained(error))


class Said(logging.Handler):
    """Collects the warnings of our own log instead of writing them, such as those about unread settings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self._log = logging.getLogger("stripe_elt")

    def __enter__(self) -> None:
        self._log.addHandler(self)
        self._log.propagate = False

    def __exit__(self, *_: object) -> None:
        self._log.removeHandler(self)
        self._log.propagate = True

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps the message."""
        self.texts.append(record.getMessage())


# --- Stripe -----------------------------------------------------------------------------------------------------------


def _key(settings: Settings, *, with_permissions: bool) -> Iterator[Finding]:
    own = own_account(settings)
    with open_client(own) as client:
        account = read_account(client, own.configured_account)
        mode = "live" if settings.is_live else "test"
        yield Finding("key", "ok", f"a {mode} key of {account.id}, which requests API version {client_version(own)}")
        yield _clock(account.now)
        if with_permissions:
            yield from _permissions(client)


def client_version(settings: Settings) -> str:
    """The API version of our requests."""
    return settings.stripe_version or api_version()


def _clock(stripes: int) -> Finding:
    """Compares clocks. `stripes` is the `_as_of` of Stripe's answer, which is the second before its date."""
    skew = round(time.time()) - stripes - 1
    if abs(skew) <= SKEW:
        return Finding("clock", "ok", f"this machine's clock is within {SKEW} seconds of Stripe's")
    where = "ahead of" if skew > 0 else "behind"
    return Finding("clock", "warning", f"this machine's clock is {abs(skew):,} seconds {where} Stripe's. Set it by NTP")


def _permissions(client: Client) -> Iterator[Finding]:
    """Requests one object from each list of the default group."""

    asked = [resource for resource in select() if not resource.parents and resource.range_params is None]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(partial(_permission, client), asked))
    lacking = [answer for answer in answers if answer is not None]
    yield from lacking
    count = len(asked) - len(lacking)
    yield Finding("permissions", "ok", f"the key may read {count} of the {len(asked)} lists of the default group")


def _permission(client: Client, resource: Resource) -> Finding | None:
    """The problem with a list; None if the key may read it."""
    limit = (("limit", "1"),) if resource.limit is not None else ()
    what = f"permission {resource.name}"
    try:
        if resource.kind == "singleton":
            client.object(resource.path)
        else:
            client.page(resource.path, (*resource.passes[0], *limit), denied=resource.denied)
    except (SkipResource, RetryLater) as error:
        return Finding(what, "warning", str(error))
    except ConnectorError as error:
        return Finding(what, "problem", str(error))
    return None


# --- the database -----------------------------------------------------------------------------------------------------


def _database(settings: Settings) -> Iterator[Finding]:
    with closing(open_existing(settings)) as database:
        yield Finding("database", "ok", _described(database, settings))
        if database.dialect == "postgres":
            query = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean"
            if any(database.execute(query)[0]):
                yield Finding("database", "problem", READ_ONLY)
            written = {**dict.fromkeys(CATALOGUE.tables, False), **OWN_TABLES}
            check_rights(database, settings.dataset, [staging_dataset(settings.dataset, "")], written)
            yield Finding("rights", "ok", "the role may load")
        modes = modes_of_accounts(database, settings.dataset)
        for account, livemode in modes.items() if settings.stripe_secret_key else ():
            refuse_other_mode(settings, account, livemode)
        loaded = ", ".join(modes) or "nothing was loaded yet"
        yield Finding("dataset", "ok", f"the schema {settings.dataset}: {loaded}")


def _described(database: Database, settings: Settings) -> str:
    if database.dialect == "duckdb":
        ((version,),) = database.execute("SELECT version()")
        is_there = Path(settings.duckdb_path).exists()
        return f"DuckDB {version}, {settings.duckdb_path}{'' if is_there else ', which the first load will create'}"
    query = (
        "SELECT current_setting('server_version'), current_setting('server_encoding'), current_database()::text,"
        " current_user::text"
    )
    ((version, encoding, name, role),) = database.execute(query)
    is_pooled = isinstance(database, PostgresDatabase) and not database.is_direct
    return f"Postgres {version}, {encoding}, {name} as {role}{', behind a pooler' if is_pooled else ''}"


# --- the endpoint -----------------------------------------------------------------------------------------------------


def _endpoint(settings: Settings) -> Iterator[Finding]:
    try:
        from webhook_sink.endpoints.endpoints import Endpoints, handled_types
        from webhook_sink.endpoints.secrets import Secrets
        from webhook_sink.settings import read_sink_settings
    except ModuleNotFoundError:
        yield Finding("endpoint", "ok", "the sink is not installed: pip install 'stripe-elt[sink]'")
        return
    sink_settings = read_sink_settings()
    with Secrets(settings) as secrets:
        known = secrets.known()
    if sink_settings.secrets_of("stripe"):
        yield Finding("webhook secret", "ok", "STRIPE_WEBHOOK_SECRET is set")
    elif known:
        yield Finding("webhook secret", "ok", f"the database has {len(known)}")
    else:
        yield Finding("webhook secret", "warning", "there is none: the sink needs `stripe-elt endpoint create URL`")
    try:
        endpoints = Endpoints(own_account(settings)).ours()
    except RetryLater:
        raise
    except ConnectorError as error:
        why = f"the key may not list webhook endpoints, which only `stripe-elt endpoint` needs: {error}"
        yield Finding("endpoint", "warning", why)
        return
    for endpoint in endpoints:
        wrong = []
        if endpoint.status != "enabled":
            wrong.append(f"it is {endpoint.status}")
        if endpoint.api_version != client_version(settings):
            wrong.append(f"it sends API version {endpoint.api_version}, not {client_version(settings)}")
        if endpoint.types != len(handled_types()):
            wrong.append(f"it sends {endpoint.types} event types, not {len(handled_types())}")
        if endpoint.id not in known and not sink_settings.secrets_of("stripe"):
            wrong.append("its secret is not stored")
        again = f". Run: stripe-elt endpoint create {endpoint.url}" if wrong else ""
        yield Finding(
            f"endpoint {endpoint.id}", "warning" if wrong else "ok", ("; ".join(wrong) or endpoint.url) + again
        )
    if not endpoints:
        yield Finding("endpoint", "ok", "there is no endpoint of ours; only the sink needs one")
