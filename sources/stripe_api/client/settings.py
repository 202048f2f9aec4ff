"""How to reach Stripe: the key, the server, the version, the account, patience. Checked before anything is sent."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

from sources.errors import BadConfiguration
from sources.fetch.transport import is_loopback
from sources.stripe_api.catalogue.fields import api_version
from sources.stripe_api.client.refusals import SET_KEY


@dataclass(frozen=True)
class ClientSettings:
    """How to reach Stripe. Times are in seconds; `connections` is how many are kept open.

    `max_clock_skew` bounds how far an answer's date may be from every clock that is known (`ClockGuard`).

    `compression` asks for gzip: it costs 0.1 ms a page and saves five sixths of the bytes, so it is on but for a server
    on this machine. Raises BadConfiguration, which names the setting, for what cannot work.
    """

    api_key: str = field(repr=False)
    api_base: str = "https://api.stripe.com"
    stripe_version: str | None = None
    stripe_account: str | None = None
    stripe_context: str | None = None
    max_retries: int = 5
    initial_retry_delay: float = 0.5
    max_retry_delay: float = 60.0
    connect_timeout: float = 10.0
    read_timeout: float = 80.0
    request_deadline: float = 180.0
    max_clock_skew: float = math.inf
    connections: int = 16
    compression: bool | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "api_key", self.api_key.strip())
        object.__setattr__(self, "api_base", self.api_base.strip().rstrip("/"))
        _check_key(self.api_key)
        _check_base(self.api_base, self.api_key)
        for name in ("stripe_version", "stripe_account", "stripe_context"):
            if not _is_header(getattr(self, name) or ""):
                raise BadConfiguration(
                    f"SOURCES__STRIPE__{name.upper()} contains characters that an HTTP header cannot contain."
                )

    @property
    def headers(self) -> Mapping[str, str]:
        """What every request carries."""
        compressed = self.compression if self.compression is not None else not is_loopback(self.api_base)
        headers = {
            "Authorization": f"Bearer {self.api_key}",
            "Stripe-Version": self.stripe_version or api_version(),
            "User-Agent": f"stripe-elt (stripe-python {version('stripe')} types)",
            "Accept": "application/json",
            "Accept-Encoding": "gzip" if compressed else "identity",
        }
        if self.stripe_account:
            headers["Stripe-Account"] = self.stripe_account
        if self.stripe_context:
            headers["Stripe-Context"] = self.stripe_context
        return headers


def _check_key(key: str) -> None:
    if not key:
        raise BadConfiguration(f"There is no key for Stripe's API. {SET_KEY} (it needs only read permissions).")
    if key.startswith("pk_"):
        raise BadConfiguration(f"The key is a publishable key, which cannot read data. {SET_KEY}.")
    if not _is_header(key) or " " in key:
        raise BadConfiguration(f"The key contains characters that Stripe's keys never contain. {SET_KEY}.")


def _check_base(base: str, key: str) -> None:
    match = re.fullmatch(r"(https?)://(?:\[[0-9a-fA-F:.]+\]|[^/?#\s@\[\]:]+)(?::\d{1,5})?(/[^?#\s]*)?", base)
    if match is None:
        advice = "Set SOURCES__STRIPE__API_BASE to a URL such as https://api.stripe.com"
        raise BadConfiguration(
            f"{advice}: the present value is not a URL, or it contains a user, a query or a fragment."
        )
    if (match[2] or "").rstrip("/").endswith(("/v1", "/v2")):
        raise BadConfiguration(
            "Set SOURCES__STRIPE__API_BASE without /v1 at its end, because paths already begin with /v1."
        )
    if match[1] == "http" and "_live_" in key and not is_loopback(base):
        raise BadConfiguration(
            "A live key is never sent over plain http to another machine. Set SOURCES__STRIPE__API_BASE to"
            " an https URL."
        )


def _is_header(value: str) -> bool:
    return value.isascii() and value.isprintable()
