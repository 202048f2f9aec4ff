"""The settings of Orb's commands: from Orb's section, and settings that both providers share also from Stripe's.

So a user who already loads Stripe sets only Orb's key, and finds Orb's tables in the same database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from pipelines.configuration.fields import read_fields, setting
from pipelines.configuration.settings import CommonSettings, Settings, check_common
from sources.orb_api.client.settings import is_live


@dataclass(frozen=True)
class OrbSettings(CommonSettings):
    """Everything that can be set for Orb."""

    section: ClassVar[str] = "sources.orb"
    key_variable: ClassVar[str] = "ORB_API_KEY"

    orb_api_key: str | None = setting(None, "Key of Orb's API.", env="ORB_API_KEY", secret=True)
    api_base: str = setting("https://api.withorb.com", "Address of Orb's API, of a proxy, or of the simulator.")
    account_id: str = setting(
        "orb", "Text that is written to `_account_id`, because Orb's API does not say which account a key belongs to."
    )
    live_rate: float = setting(100.0, "Orb's limit for a live key, in reads per second; `inf` for no limit.")
    test_rate: float = setting(50.0, "Orb's limit for a test key, in reads per second; `inf` for no limit.")
    changes_hours: float = setting(
        24.0, "Hours between two syncs that also look for changes of objects that were loaded before."
    )
    lookback_days: float = setting(
        60.0, "Days before the last sync from which such a sync reads invoices and credit notes again, for changes."
    )
    everything_hours: float = setting(168.0, "Hours between two syncs that read everything again.")
    dataset: str = setting("orb", "Schema that holds the tables. It must not be the one of Stripe's tables.")

    @property
    def is_live(self) -> bool:
        """Whether the key is a live one: those of the test mode begin with `test_`."""
        return is_live(self.orb_api_key or "")

    @property
    def has_key(self) -> bool:
        """Whether there is a key to read with."""
        return bool(self.orb_api_key)

    @property
    def configured_account(self) -> str:
        """The id of the account whose objects are read."""
        return self.account_id

    @property
    def account_rate(self) -> float:
        """Requests a second that this process may send for the account."""
        return (self.live_rate if self.is_live else self.test_rate) * self.rate_limit_share

    @property
    def identity(self) -> str:
        """The key. Secret."""
        return self.orb_api_key or ""


OWN = frozenset(OrbSettings.__annotations__)
"""The settings that only the section [sources.orb] has."""


def read_orb_settings(**given: Any) -> OrbSettings:
    """Reads every field, as `read_settings` does. Shared settings that Orb's section lacks are read from Stripe's
    section.

    Raises `BadConfiguration` naming the setting that cannot be used.
    """
    shared = {name: Settings.section for name in CommonSettings.__annotations__ if name not in OWN}
    settings = OrbSettings(**read_fields(OrbSettings, OrbSettings.section, given, shared))
    check_common(
        settings,
        account_id=settings.account_id.isprintable() and 0 < len(settings.account_id) <= 100,
        live_rate=settings.live_rate > 0,
        test_rate=settings.test_rate > 0,
        changes_hours=settings.changes_hours >= 0,
        lookback_days=settings.lookback_days >= 0,
        everything_hours=settings.everything_hours >= 0,
        api_base=settings.api_base.startswith(("http://", "https://")),
    )
    return settings
