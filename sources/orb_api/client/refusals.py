"""Maps Orb's error answers to the errors of `errors.py`, with messages for people. Pure.

Bodies of errors follow RFC 7807: https://docs.withorb.com/api-reference/error-responses. The end of their `type`
decides the class. The status alone is not enough: a missing feature and a missing object are both a 404.
"""

from __future__ import annotations

import re
from typing import Any

from sources.errors import (
    AuthenticationFailed,
    BrokenPage,
    ConnectorError,
    ObjectMissing,
    RequestRefused,
    RetryLater,
    ServerFailed,
    SkipResource,
    Throttled,
)
from sources.fetch.http.safe_text import safe
from sources.fetch.values import Reply
from sources.json_text import decode
from sources.orb_api.client.settings import SET_KEY, ClientSettings

TOO_LARGE = 413
"""The status for a page that is too large: a smaller page may succeed."""

_KIND = re.compile(r"#(\d{3}-[a-z-]{1,60})$")
SET_BASE = f"Check {ClientSettings.api.setting('api_base')}, and any proxy on the way"


def error_of(reply: Reply, api_key: str) -> ConnectorError:
    """The error for an answer whose status is not 200. Its `code` is the end of its type: "404-url-not-found"."""
    found = decode(reply.body)
    problem: dict[str, Any] = found if isinstance(found, dict) else {}
    code = _KIND.search(str(problem.get("type") or ""))
    text = safe(str(problem.get("detail") or problem.get("title") or ""), (api_key,))
    kind, message = _kind(reply, code[1] if code else None, text, is_orbs="type" in problem or "title" in problem)
    raised = kind(message, status=reply.status, code=code[1] if code else None)
    if isinstance(raised, RetryLater):
        raised.retry_after = _seconds(reply)
    return raised


def _kind(reply: Reply, code: str | None, text: str, *, is_orbs: bool) -> tuple[type[ConnectorError], str]:
    """The class and the message: what happened, to which request, what to do."""
    status, where = reply.status, reply.where
    said = f": {text.rstrip('.')}. " if text else ". "
    if status == 429:
        share = ClientSettings.api.setting("rate_limit_share")
        advice = f"Lower {share}, or run when other programs use the account less."
        return Throttled, f"Orb throttled {where}, and no retries are left. {advice}"
    if status >= 500 or status in (408, 409):
        return ServerFailed, f"Orb failed to answer {where}, and no retries are left{said}Run again later."
    if 300 <= status < 400:
        return RequestRefused, (
            f"{where} was redirected. Redirects are not followed, because they could send the key to another"
            f" server. {SET_BASE}."
        )
    if status == 401:
        return AuthenticationFailed, f"Orb refused the key for {where}{said}{SET_KEY}."
    if not is_orbs:
        return BrokenPage, f"{where} was refused, but not by Orb: the body is not one of Orb's errors. {SET_BASE}."
    if code == "404-feature-not-available" or status == 403:
        return SkipResource, f"Orb does not let this account or key use {where}{said}Ask Orb to switch the feature on."
    if code == "404-resource-not-found":
        return ObjectMissing, f"Orb does not know the object that {where} requests{said}It may have been deleted."
    return RequestRefused, f"Orb refused {where}{said}If the parameters are wrong, please report it."


def _seconds(reply: Reply) -> float | None:
    """The wait that the answer requires, in seconds, from either header that Orb's SDK knows."""
    for name, unit in (("Retry-After-Ms", 0.001), ("Retry-After", 1.0)):
        text = reply.headers.get(name, "")
        if text.isdecimal() and len(text) < 10:
            return int(text) * unit
    return None
