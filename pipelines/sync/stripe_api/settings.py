"""The settings of scheduled syncs of Stripe, from the environment and `.dlt`, like those of loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.configuration.fields import environment_name, read_fields, setting
from sources.errors import BadConfiguration
from sources.stripe_api.catalogue import CATALOGUE

SECTION = "sync"
HOUR, DAY = 3_600, 86_400


@dataclass(frozen=True)
class SyncSettings:
    """The settings of a sync. `lookbacks` and `cadences` are for single resources."""

    events_lag: int = setting(
        60,
        "Age in seconds below which events are left for the next run, because the newest appear late and out of order.",
    )
    events_overlap: int = setting(300, "Seconds before the saved position from which events are read again.")
    lookback_hours: float = setting(
        24.0,
        "Hours before the last reading from which lists that filter by `created` are read again, for"
        " changes that no event reports.",
    )
    lookbacks: str = setting("", "`lookback_hours` of single resources: `name=hours`, separated by commas.")
    cadence_hours: float = setting(24.0, "Hours between two readings of a list whose changes events do not report.")
    cadences: str = setting(
        "", "`cadence_hours` of single resources: `name=hours`, separated by commas. 0 means every run."
    )

    after_sync: str = setting("", "What to do after every sync: `metrics` updates the schema of the metrics.")

    def lookback(self, resource: str) -> int:
        """Seconds of a resource's lookback."""
        return round(_of(self.lookbacks, "lookbacks", resource, LOOKBACK_HOURS, self.lookback_hours) * HOUR)

    def cadence(self, resource: str) -> int:
        """Seconds between two readings of a resource's list."""
        return round(_of(self.cadences, "cadences", resource, CADENCE_HOURS, self.cadence_hours) * HOUR)


LOOKBACK_HOURS: Mapping[str, float] = {
    "balance_transactions": 8 * 24.0,  # they become available up to seven days after they are made
    "checkout_sessions": 25.0,  # they expire after a day at the latest
}
"""The default of `lookback_hours` for single resources."""

CADENCE_HOURS: Mapping[str, float] = dict.fromkeys(
    (
        "billing_feedback_options",
        "climate_products",
        "climate_suppliers",
        "country_specs",
        "reporting_report_types",
        "tax_codes",
    ),
    7 * 24.0,
)
"""The default of `cadence_hours` for Stripe's own catalogues, which seldom change."""


def read_sync_settings(**given: Any) -> SyncSettings:
    """Reads every field. Raises BadConfiguration naming the setting that cannot be used."""
    settings = SyncSettings(**read_fields(SyncSettings, SECTION, given))
    for name in ("events_lag", "events_overlap", "lookback_hours", "cadence_hours"):
        if getattr(settings, name) < 0:
            raise BadConfiguration(f"The setting {name} cannot be negative. Set {environment_name(name, SECTION)}.")
    if settings.after_sync not in ("", "metrics"):
        raise BadConfiguration(
            f"The setting after_sync can only be metrics, or empty. Set {environment_name('after_sync', SECTION)}."
        )
    for name in ("lookbacks", "cadences"):
        _parsed(getattr(settings, name), name)
    return settings


def _of(given: str, name: str, resource: str, own: Mapping[str, float], usual: float) -> float:
    return _parsed(given, name).get(resource, own.get(resource, usual))


def _parsed(given: str, name: str) -> dict[str, float]:
    hours: dict[str, float] = {}
    for part in filter(None, (word.strip() for word in given.split(","))):
        resource, _, number = part.partition("=")
        named = CATALOGUE.resource_named(resource.strip())
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if value < 0 or named is None:
            raise BadConfiguration(
                f"The setting {name} has an entry that is not a resource with a number of hours, such as payouts=6."
                f" Set {environment_name(name, SECTION)}."
            )
        hours[named] = value
    return hours
