"""How to reach Orb: key, server, time-outs, retries. Values are checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from sources.errors import BadConfiguration
from sources.fetch.http.api_name import ApiName
from sources.fetch.reach import Reach, is_header

SET_KEY = "Set ORB_API_KEY, or orb_api_key in the section [sources.orb] of .dlt/secrets.toml, to a key of Orb's API"


@dataclass(frozen=True)
class ClientSettings(Reach):
    """How to reach Orb. See `Reach`."""

    api: ClassVar[ApiName] = ApiName("Orb", "sources.orb")

    api_base: str = "https://api.withorb.com"

    @property
    def is_live(self) -> bool:
        """Whether the key is a live one."""
        return is_live(self.api_key)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of every request. Orb's API has no versions."""
        return {**super().headers, "User-Agent": "stripe-elt"}

    def check_key(self) -> None:
        """Raises BadConfiguration if this cannot be a key of Orb's API."""
        if not self.api_key:
            raise BadConfiguration(f"There is no key for Orb's API. {SET_KEY}.")
        if not is_header(self.api_key) or " " in self.api_key:
            raise BadConfiguration(f"The key contains characters that Orb's keys never contain. {SET_KEY}.")


def is_live(api_key: str) -> bool:
    """Whether a key is a live one: keys of Orb's test mode begin with `test_`."""
    return not api_key.startswith("test_")
