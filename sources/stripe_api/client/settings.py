"""How to reach Stripe: key, server, API version, account, time-outs. Values are checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import ClassVar

from sources.errors import BadConfiguration
from sources.fetch.http.api_name import ApiName
from sources.fetch.reach import Reach, is_header
from sources.stripe_api.catalogue.fields import api_version
from sources.stripe_api.client.refusals import SET_KEY


@dataclass(frozen=True)
class ClientSettings(Reach):
    """How to reach Stripe. See `Reach`."""

    api: ClassVar[ApiName] = ApiName("Stripe", "sources.stripe")

    api_base: str = "https://api.stripe.com"
    stripe_version: str | None = None
    stripe_account: str | None = None
    stripe_context: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("stripe_version", "stripe_account", "stripe_context"):
            if not is_header(getattr(self, name) or ""):
                raise BadConfiguration(
                    f"{self.api.setting(name)} contains characters that an HTTP header cannot contain."
                )

    @property
    def is_live(self) -> bool:
        """Whether the key is a live one: `sk_live_…` or `rk_live_…`."""
        return "_live_" in self.api_key

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of every request."""
        headers = {
            **super().headers,
            "Stripe-Version": self.stripe_version or api_version(),
            "User-Agent": f"stripe-elt (stripe-python {version('stripe')} types)",
        }
        if self.stripe_account:
            headers["Stripe-Account"] = self.stripe_account
        if self.stripe_context:
            headers["Stripe-Context"] = self.stripe_context
        return headers

    def check_key(self) -> None:
        """Raises BadConfiguration if this cannot be a key of Stripe's API."""
        if not self.api_key:
            raise BadConfiguration(f"There is no key for Stripe's API. {SET_KEY} (it needs only read permissions).")
        if self.api_key.startswith("pk_"):
            raise BadConfiguration(f"The key is a publishable key, which cannot read data. {SET_KEY}.")
        if not is_header(self.api_key) or " " in self.api_key:
            raise BadConfiguration(f"The key contains characters that Stripe's keys never contain. {SET_KEY}.")
