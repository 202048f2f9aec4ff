"""How to reach an API: key, server, time-outs, retries. Values are checked before anything is sent."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar
from urllib.parse import urlsplit

from sources.errors import BadConfiguration
from sources.fetch.http.api_name import ApiName


@dataclass(frozen=True)
class Reach:
    """How to reach an API. Times are in seconds; up to `connections` connections are kept open.

    `max_clock_skew` is how far an answer's date may be from the nearest known clock (`ClockGuard`).

    `compression` requests gzip, which costs 0.1 ms a page and saves five sixths of the bytes. None means yes, except
    for a server on this machine. Raises BadConfiguration, which names the setting, for values that cannot work.
    """

    api: ClassVar[ApiName]

    api_key: str = field(repr=False)
    api_base: str
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
        self.check_key()
        self._check_base()

    @property
    def is_live(self) -> bool:
        """Whether the key is that of an account with real money."""
        raise NotImplementedError

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of every request."""
        compressed = self.compression if self.compression is not None else not is_loopback(self.api_base)
        return {
            "Authorization": f"Bearer {self.api_key}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip" if compressed else "identity",
        }

    def check_key(self) -> None:
        """Raises BadConfiguration if this cannot be a key of this API."""
        raise NotImplementedError

    def _check_base(self) -> None:
        setting, example = self.api.setting("api_base"), next(f.default for f in fields(self) if f.name == "api_base")
        parts = re.fullmatch(
            r"(https?)://(?:\[[0-9a-fA-F:.]+\]|[^/?#\s@\[\]:]+)(?::\d{1,5})?(/[^?#\s]*)?", self.api_base
        )
        if parts is None:
            raise BadConfiguration(
                f"Set {setting} to a URL such as {example}: the present value is not a URL, or it contains a user, a"
                " query or a fragment."
            )
        if (parts[2] or "").rstrip("/").endswith(("/v1", "/v2")):
            raise BadConfiguration(f"Set {setting} without /v1 at its end, because paths already begin with /v1.")
        if parts[1] == "http" and self.is_live and not is_loopback(self.api_base):
            raise BadConfiguration(
                f"A live key is never sent over plain http to another machine. Set {setting} to an https URL."
            )


def reach_of(settings: Any) -> dict[str, Any]:
    """The fields of a `Reach` except the key, from the settings (`pipelines.configuration.settings.CommonSettings`)."""
    own = (
        "api_base",
        "max_retries",
        "initial_retry_delay",
        "max_retry_delay",
        "connect_timeout",
        "read_timeout",
        "request_deadline",
        "max_clock_skew",
    )
    return {name: getattr(settings, name) for name in own} | {"connections": settings.workers}


def is_header(value: str) -> bool:
    """Whether an HTTP header can contain a text."""
    return value.isascii() and value.isprintable()


def is_loopback(base: str) -> bool:
    """Whether a URL leads to this very machine."""
    host = urlsplit(base).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False
