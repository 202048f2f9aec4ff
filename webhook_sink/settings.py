"""The sink's own settings, read like those of batch runs: environment first, then `.dlt`.

Settings that batch runs have too (database, dataset, key, account) are in
`pipelines.configuration.settings`. Knows no command line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.configuration.fields import read_fields, refuse_wrong, setting
from sources.catalogue import Catalogue
from sources.errors import BadConfiguration
from sources.stripe_api.catalogue import CATALOGUE

SECTION = "webhook_sink"
EVERYTHING = "all"
SECRETS: Mapping[str, str] = {"orb": "orb_webhook_secret"}
"""Provider -> the setting with its signing secrets, if that is not `webhook_secret`."""

SHORTEST_PASSWORD = 12
TAKEN_PATHS = frozenset(("/health", "/ready", "/metrics", "/sync", "/daily", "/weekly", "/monthly"))
"""Paths that the sink uses itself, besides `/` and those that begin with `/sync/`, `/page/` or `/tasks/`."""


@dataclass(frozen=True)
class SinkSettings:
    """The settings of the sink. Times are in seconds and sizes in bytes, unless the name says otherwise."""

    webhook_secret: str = setting(
        "",
        "Signing secrets of the webhook endpoints (`whsec_…`), separated by commas: several while one rolls.",
        env="STRIPE_WEBHOOK_SECRET",
        secret=True,
    )
    orb_webhook_secret: str = setting(
        "",
        "Signing secrets of Orb's webhook endpoints, separated by commas: several while one rolls.",
        env="ORB_WEBHOOK_SECRET",
        secret=True,
    )
    host: str = setting("127.0.0.1", "Address to listen on.")
    port: int = setting(8080, "Port to listen on.")
    path: str = setting(
        "/webhooks", "Paths that receive webhooks, separated by commas, such as `/webhooks,/api/stripe/webhook`."
    )
    orb_path: str = setting("/webhooks/orb", "Paths that receive Orb's webhooks, separated by commas.")
    tolerance: int = setting(300, "Age at which a signature is refused, in seconds.")
    body_limit: int = setting(4_194_304, "Longest body that is read, in bytes; a longer one is answered 413.")
    bodies_megabytes: int = setting(
        64, "Most megabytes of unfinished bodies in memory; beyond that, the oldest is answered 503."
    )
    body_timeout: float = setting(30.0, "Seconds in which a body has to arrive; a later one is answered 408.")
    header_limit: int = setting(32_768, "Longest headers that are read, in bytes; longer ones are answered 431.")
    header_timeout: float = setting(10.0, "Seconds in which headers have to arrive; later ones are answered 408.")
    idle_timeout: float = setting(
        75.0, "Seconds for which an idle connection is kept. A proxy in front of the sink should close it earlier."
    )
    connections: int = setting(
        500, "Most open connections; beyond that, the one that has kept the sink waiting longest is closed."
    )
    queue_events: int = setting(2_000, "Most events that may wait for their commit; further ones are answered 503.")
    queue_megabytes: int = setting(
        64, "Most megabytes of bodies that may wait for their commit; further ones are answered 503."
    )
    batch_events: int = setting(100, "Most events that one transaction commits.")
    database_timeout: float = setting(5.0, "Seconds to wait for the database before an event is answered 503.")
    pool_size: int = setting(6, "Most connections to the database that the sink opens.")
    pool_keepalive: int = setting(
        60,
        "Seconds without traffic after which the system checks a connection to the database (TCP keep-alive); 0 for"
        " never.",
    )
    reread_delay: float = setting(
        2.0, "Seconds after which an object is read again, if two states of it have the same second."
    )
    reread_workers: int = setting(4, "Most objects that are read from the API at once.")
    reread_attempts: int = setting(8, "Attempts to read an object before its events are marked as failed.")
    revalidate: str = setting(
        "",
        "Tables or names of objects (or `all`), separated by commas, that are always read from the API, not trusted.",
    )
    backfill_related: bool = setting(
        False,
        "Whether objects that an event refers to, and that no table has, are read from the API: `true` or `false`.",
    )
    payload_days: float = setting(30.0, "Days that the ledger keeps the payloads of processed events; `inf` for ever.")
    api_key: str | None = setting(
        None,
        "Turns the management API on: the key that requests send in `X-API-Key`.",
        env="STRIPE_SINK_API_KEY",
        secret=True,
    )

    page_password: str | None = setting(
        None,
        "Turns the status page on: the password for it, of at least 12 characters. The key of the management API opens"
        " the page too.",
        env="STRIPE_SINK_PASSWORD",
        secret=True,
    )

    tasks_secret: str | None = setting(
        None,
        "Turns `POST /tasks/…` of `webhook_sink.serverless` on: the secret in the requests' `Authorization: Bearer`.",
        env="STRIPE_TASKS_SECRET",
        secret=True,
    )

    @property
    def page_passwords(self) -> tuple[str, ...]:
        """The passwords of the status page; empty if it is off."""
        return tuple(secret for secret in (self.page_password, self.api_key) if secret)

    def secrets_of(self, provider: str) -> tuple[str, ...]:
        """The signing secrets of a provider."""
        return _listed(getattr(self, SECRETS.get(provider, "webhook_secret")))

    @property
    def paths(self) -> frozenset[str]:
        """The paths that receive webhooks, except Orb's."""
        return frozenset(_listed(self.path))

    @property
    def orb_paths(self) -> frozenset[str]:
        """The paths that receive Orb's webhooks."""
        return frozenset(_listed(self.orb_path))

    def revalidated(self, catalogue: Catalogue) -> frozenset[str]:
        """The tables of a provider whose objects are always read again."""
        names = _listed(self.revalidate)
        if EVERYTHING in names:
            return frozenset(catalogue.tables)
        return frozenset(catalogue.table_named(name) for name in names) & catalogue.tables.keys()


def read_sink_settings(**given: Any) -> SinkSettings:
    """Reads every setting, unless it is `given` and not None. Raises `BadConfiguration`, which names a wrong one."""
    settings = SinkSettings(**read_fields(SinkSettings, SECTION, given))
    _check(settings)
    return settings


def _check(settings: SinkSettings) -> None:
    limits = {
        "port": 0 <= settings.port <= 65_535,
        "path": bool(settings.paths)
        and all(map(_is_free_path, settings.paths))
        and not ("/" in settings.paths and settings.page_passwords),
        "orb_path": bool(settings.orb_paths) and all(map(_is_free_path, settings.orb_paths)),
        "tolerance": settings.tolerance > 0,
        "body_limit": settings.body_limit >= 1_024,
        "bodies_megabytes": settings.bodies_megabytes * 1_048_576 >= settings.body_limit,
        "body_timeout": settings.body_timeout > 0,
        "header_limit": settings.header_limit >= 1_024,
        "header_timeout": settings.header_timeout > 0,
        "idle_timeout": settings.idle_timeout > 0,
        "connections": settings.connections >= 1,
        "queue_events": settings.queue_events >= 1,
        "queue_megabytes": settings.queue_megabytes >= 1,
        "batch_events": 1 <= settings.batch_events <= 10_000,
        "database_timeout": settings.database_timeout > 0,
        "pool_size": 1 <= settings.pool_size <= 100,
        "pool_keepalive": settings.pool_keepalive >= 0,
        "reread_delay": settings.reread_delay >= 0,
        "reread_workers": 1 <= settings.reread_workers <= 64,
        "reread_attempts": settings.reread_attempts >= 1,
        "revalidate": all(map(_is_table, _listed(settings.revalidate))),
        "payload_days": settings.payload_days >= 0,
        "page_password": settings.page_password is None or len(settings.page_password) >= SHORTEST_PASSWORD,
    }
    refuse_wrong(SinkSettings, SECTION, limits)
    for path in sorted(settings.orb_paths & settings.paths):
        raise BadConfiguration(
            f"The settings path and orb_path both have {path}, so the sink could not tell whose webhooks arrive. Set"
            " WEBHOOK_SINK__ORB_PATH to another path, and use it in Orb's endpoint."
        )


def _is_table(name: str) -> bool:
    """Whether a name is a table's or an object's of any provider, or `all`."""
    if name == EVERYTHING or CATALOGUE.table_named(name) in CATALOGUE.tables:
        return True
    from sources.orb_api.catalogue import CATALOGUE as ORBS

    return ORBS.table_named(name) in ORBS.tables


def _is_free_path(path: str) -> bool:
    """Whether a path can receive webhooks: it is absolute, and the sink does not use it otherwise."""
    is_taken = path in TAKEN_PATHS or path.startswith(("/sync/", "/page/", "/tasks/"))
    return re.fullmatch(r"/[\w.~!$&'()*+;=:@/-]*", path, re.ASCII) is not None and not is_taken


def _listed(text: str | Iterable[str]) -> tuple[str, ...]:
    parts = text.split(",") if isinstance(text, str) else text
    return tuple(part.strip() for part in parts if part.strip())
