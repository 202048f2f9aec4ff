"""`stripe_source()`: Stripe as an ordinary dlt source, for any of dlt's destinations. Knows no database.

    pipeline = dlt.pipeline("stripe", destination="bigquery", dataset_name="stripe")
    pipeline.run(stripe_source(resources=["customers", "invoices"]))

docs/source.md says what the project's own pipelines add to it.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec

import dlt
from dlt.common.reflection.spec import spec_from_signature
from dlt.common.runtime.anon_tracker import disable_anon_tracker
from dlt.common.time import ensure_pendulum_datetime
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource, DltSource
from dlt.extract.reference import SourceFactory

from sources.columns.columns import Columns
from sources.columns.dlt_hints import dlt_columns, key_columns
from sources.privacy import Privacy
from sources.privacy_rules import SALT, privacy_of
from sources.privacy_rules import SECTION as SECTION_OF_PRIVACY
from sources.stripe_api.catalogue import CATALOGUE, select
from sources.stripe_api.client.account import limiter_of
from sources.stripe_api.client.settings import ClientSettings
from sources.stripe_api.reading import Range, SourceRuns, read

SECTION = "stripe"
P = ParamSpec("P")


def _source(function: Callable[P, Iterator[DltResource]]) -> SourceFactory[P, DltSource]:
    """A dlt source whose arguments come from the section `sources.stripe` alone.

    Otherwise dlt would also take them from variables without a section, such as another program's `WORKERS`, `SINCE` or
    `FULL_REFRESH`. With a specification, dlt always requires the section.
    """
    spec, _ = spec_from_signature(function, inspect.signature(function))
    spec.__section__ = SECTION
    return dlt.source(function, name="stripe", section=SECTION, max_table_nesting=0, spec=spec)


@_source
def stripe_source(
    resources: Sequence[str] | None = None,
    stripe_secret_key: TSecretStrValue | None = None,
    since: datetime | str | int | None = None,
    until: datetime | str | int | None = None,
    full_refresh: bool = False,
    api_base: str = "https://api.stripe.com",
    stripe_version: str | None = None,
    stripe_account: str | None = None,
    stripe_context: str | None = None,
    account_id: str | None = None,
    max_retries: int = 5,
    initial_retry_delay: float = 0.5,
    max_retry_delay: float = 60.0,
    connect_timeout: float = 10.0,
    read_timeout: float = 80.0,
    request_deadline: float = 180.0,
    max_clock_skew: float = 600.0,
    live_rate: float = 100.0,
    sandbox_rate: float = 25.0,
    endpoint_rate: float = 25.0,
    rate_limit_share: float = 0.5,
    workers: int = 16,
) -> Iterator[DltResource]:
    """One dlt resource for each selected resource of the catalogue; rows arrive as Arrow tables.

    `resources` are names, or the groups `core`, `default` and `all`; by default every list that needs no parent. Lists
    that take a request for each parent are selected by name (or with `all`); their parents are listed first. Embedded
    lists fill tables of their own (`invoice_line_items`), whichever resource contains them. `since` and `until` are a
    datetime, an ISO 8601 text, or unix seconds. The other arguments except `full_refresh` are the settings of
    docs/reference/settings.md, under the same names in the section `sources.stripe`; the key can also be in
    `STRIPE_SECRET_KEY`. dlt's own telemetry is turned off in this process, unless its configuration says
    `dlthub_telemetry = true`.

    Tables merge by Stripe's key and `_account_id`. Progress is kept in dlt's state, with its package: a later run reads
    objects created since then, and reads lists without order again. Changes of older objects need `full_refresh=True`.

    dlt's own destinations store rows as they arrive. Children that are no longer in their parent, and deleted objects,
    keep their last state there. Only the merge of the project's own destinations, which its `pipelines` use, marks such
    rows (`_deleted_at`) and prevents an older state from overwriting a newer one.

    People's data is treated as the section `[privacy]` says (docs/privacy.md). The persons that `stripe-elt forget` has
    recorded in a database are not known here.

    A resource that the account or the key lacks is left out, with a warning in dlt's log. Any other failure ends the
    extraction, as with other sources. Raises BadConfiguration for an argument that cannot work, and UnknownResource,
    which suggests the nearest name.
    """
    if dlt.config.get("runtime.dlthub_telemetry") is None:
        disable_anon_tracker()
    key = stripe_secret_key or dlt.secrets.get("stripe_secret_key") or ""
    settings = ClientSettings(
        api_key=key,
        api_base=api_base,
        stripe_version=stripe_version,
        stripe_account=stripe_account,
        stripe_context=stripe_context,
        max_retries=max_retries,
        initial_retry_delay=initial_retry_delay,
        max_retry_delay=max_retry_delay,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        request_deadline=request_deadline,
        max_clock_skew=max_clock_skew,
        connections=workers,
    )
    rate = (live_rate if settings.is_live else sandbox_rate) * rate_limit_share
    chosen = Range(_seconds(since) or 0, _seconds(until), full_refresh)
    runs = SourceRuns(settings, limiter_of(rate, endpoint_rate), account_id, workers, chosen, _privacy())
    columns = Columns(CATALOGUE)
    for resource in select(resources or ()):
        yield dlt.resource(
            read,
            name=resource.name,
            table_name=resource.table,
            primary_key=key_columns(CATALOGUE.tables[resource.table]),
            columns=dlt_columns(resource.table, columns),
            write_disposition="merge",
        )(runs, resource)


def _privacy() -> Privacy:
    """The treatment of people's data, from dlt's section `[privacy]`. Raises BadConfiguration."""
    given: dict[tuple[str, ...], Any] = dict(_leaves(dlt.config.get(SECTION_OF_PRIVACY) or {}))
    for name, value in os.environ.items():
        section, *path = name.lower().split("__")
        if section == SECTION_OF_PRIVACY and path:
            given[tuple(path)] = value
    file: str | None = given.pop((f"{SALT}_file",), None)
    given.pop((SALT,), None)
    salt: str | None = dlt.secrets.get(f"{SECTION_OF_PRIVACY}.{SALT}") or (
        Path(file).read_text("utf-8").strip() if file else None
    )
    return privacy_of(CATALOGUE, given, salt)


def _leaves(settings: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def _seconds(moment: Any) -> int | None:
    """Unix seconds of a datetime or text; without a time zone, it is in UTC."""
    if moment is None or isinstance(moment, int):
        return moment
    return int(ensure_pendulum_datetime(moment, UTC).timestamp())  # dlt's own default is DLT_INTERVAL_TIMEZONE
