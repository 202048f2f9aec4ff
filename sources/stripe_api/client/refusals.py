"""Maps Stripe's error answers to the errors of `errors.py`, with messages for people. Pure.

The statuses and codes: https://docs.stripe.com/api/errors, https://docs.stripe.com/error-codes,
https://docs.stripe.com/rate-limits. There is no code for a product that the account lacks: only the text says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sources.errors import (
    AuthenticationFailed,
    BadConfiguration,
    BrokenPage,
    ConnectorError,
    ObjectMissing,
    RequestRefused,
    RetryLater,
    ServerFailed,
    SkipResource,
    Throttled,
)
from sources.fetch.http.safe_text import NAME, safe
from sources.fetch.values import Reply
from sources.json_text import decode

DENIED = (
    "unrecognized request url",
    "not set up to use",
    "only available in testmode",
    "only available in livemode",
    "not enabled",
    "not available in",
    "isn't available in",
    "not authorized",
    "permission would allow",
    "must be enrolled",
    "have you onboarded",
    "no longer supported",
)
"""Parts of Stripe's texts, in lower case, for an account that lacks the product of a list."""

SET_KEY = "Set STRIPE_SECRET_KEY, or stripe_secret_key in .dlt/secrets.toml, to a secret or restricted key"
SET_BASE = "Check SOURCES__STRIPE__API_BASE, and any proxy on the way"


def error_of(reply: Reply, denied: Sequence[str] = (), sent: Iterable[str | None] = ()) -> ConnectorError:
    """The error for an answer whose status is not 200.

    `denied` are texts that mean, for this list, that the account lacks its product; `sent` are values of settings that
    the request contained.
    """
    found = decode(reply.body)
    error = found.get("error") if isinstance(found, dict) else None
    fields: dict[str, Any] = error if isinstance(error, dict) else {}
    text = safe(str(fields.get("message") or fields.get("user_message") or ""), sent)
    code, param = _name(fields.get("code")), _name(fields.get("param"))
    kind, message = _kind(reply, isinstance(error, dict), code, text, denied)
    raised = kind(message, request_id=reply.request_id, status=reply.status, code=code, param=param)
    if isinstance(raised, RetryLater):
        raised.retry_after = _seconds(reply.headers.get("Retry-After"))
    return raised


def throttle_reason(reply: Reply, code: str | None) -> str | None:
    """The `reason` of a 429 for `Limiter.throttled`: Stripe's header; None if the object is locked."""
    reason = reply.headers.get("Stripe-Rate-Limited-Reason")
    return reason or (None if code == "lock_timeout" else "endpoint-rate")


def _kind(
    reply: Reply, from_stripe: bool, code: str | None, text: str, denied: Sequence[str]
) -> tuple[type[ConnectorError], str]:
    """The class and the message: what happened, to which request, what to do."""
    status, where = reply.status, reply.where
    said = f": {text.rstrip('.')}. " if text else ". "
    if status == 429:
        why = reply.headers.get("Stripe-Rate-Limited-Reason") or code
        why = f" ({_name(why)})" if why else ""
        advice = "Lower SOURCES__STRIPE__RATE_LIMIT_SHARE, or run when other programs use the account less."
        return Throttled, f"Stripe throttled {where}{why}, and no retries are left. {advice}"
    if status >= 500 or status in (408, 409, 424, 425):
        return ServerFailed, f"Stripe failed to answer {where}, and no retries are left{said}Run again later."
    if 300 <= status < 400:
        return RequestRefused, (
            f"{where} was redirected. Redirects are not followed, because they could send the key to another"
            f" server. {SET_BASE}."
        )
    if status == 401 or code in ("secret_key_required", "api_key_expired", "platform_api_key_expired"):
        return AuthenticationFailed, f"Stripe refused the key for {where}{said}{SET_KEY}."
    if not from_stripe:
        return (
            BrokenPage,
            f"{where} was refused, but not by Stripe: the body is not one of Stripe's errors. {SET_BASE}.",
        )
    if code == "account_invalid":
        advice = (
            "Set SOURCES__STRIPE__STRIPE_ACCOUNT or SOURCES__STRIPE__STRIPE_CONTEXT to an account that the"
            " key may act for."
        )
        return BadConfiguration, f"Stripe refused the account in {where}{said}{advice}"
    if "api version" in text.lower():
        return BadConfiguration, (
            f"Stripe refused the API version of {where}{said}Set SOURCES__STRIPE__STRIPE_VERSION to a version"
            " that Stripe accepts."
        )
    if code == "resource_missing" or text.startswith("No such "):
        return ObjectMissing, f"Stripe does not know the object that {where} requests{said}It may have been deleted."
    if status == 403 or any(sign in text.lower() for sign in (*DENIED, *(known.lower() for known in denied))):
        advice = "Give the key the permission, or the account the product, to load it."
        return SkipResource, f"Stripe does not let this account or key use {where}{said}{advice}"
    return RequestRefused, f"Stripe refused {where}{said}If the parameters are wrong, please report it."


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and NAME.fullmatch(value) else None


def _seconds(value: str | None) -> float | None:
    """Retry-After in seconds. A date, which Stripe does not send, is ignored."""
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
