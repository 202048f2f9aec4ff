"""Requests of Stripe's API: paths with their ids filled in, and the endpoint that limits count them by. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from sources.catalogue import Params, Resource
from sources.fetch.values import Request

_ID = re.compile(r"(?<=/)[^/]*\d[^/]*")
_PLACEHOLDER = re.compile(r"\{[^}]*\}")


def request(template: str, params: Params = (), ids: Mapping[str, str] | None = None, **others: object) -> Request:
    """A request of a path with placeholders, which the ids fill: ("/v1/invoices/{id}/lines", (), {"id": "in_1"})."""
    path = _PLACEHOLDER.sub(lambda name: _segment((ids or {})[name[0][1:-1]]), template)
    return Request(path, params, endpoint_of(template), **others)  # type: ignore[arg-type]


def endpoint_of(path: str) -> str:
    """What limits count a path by: the path without ids and names of placeholders, "/v1/invoices/{}/lines"."""
    version, rest = path[:3], path[3:]
    return version + _ID.sub("{}", _PLACEHOLDER.sub("{}", rest))


def endpoint_rates(resources: Iterable[Resource]) -> dict[str, float]:
    """The limits, in requests a second, of those endpoints that have one of their own; for the limiter."""
    return {endpoint_of(one.path): one.rate for one in resources if one.rate is not None}


def _segment(id: str) -> str:
    """An id as a segment of a path: users choose some ids, and a path must not lead elsewhere."""
    return quote(id, safe="", errors="surrogatepass") if id.strip(".") else id.replace(".", "%2E")
