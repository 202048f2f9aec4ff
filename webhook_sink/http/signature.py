"""Verifies Stripe's signature over the raw bytes of a webhook: https://docs.stripe.com/webhooks/signature.

The SDK compares signatures, in constant time. The age is checked here, with a clock that is passed in. Knows no HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence

from stripe import SignatureVerificationError, WebhookSignature

MOST_TIMES = 4
"""How many timestamps have their signatures checked. Each costs an HMAC over the whole body."""


class BadSignature(Exception):
    """The body was not signed with any of the secrets, or it was signed too long ago."""


def verify(body: bytes, header: str | None, secrets: Sequence[str], *, tolerance: float, now: float) -> None:
    """Checks that one of the secrets signed the body at most `tolerance` seconds before `now`, in unix seconds.

    Raises BadSignature if none did. `header` may be several headers joined by commas, with blanks around them: each
    signature is checked with the timestamp `t` before it. Any `v1` may match, because there are several while a secret
    is rolled.
    """
    if not header:
        raise BadSignature("there is no Stripe-Signature header")
    times = [
        int(timestamp)
        for timestamp, signed in _by_timestamp(header).items()
        if any(_is_signed(body, signed, secret) for secret in secrets)
    ]
    if not times:
        raise BadSignature("no signature in Stripe-Signature matches a webhook secret")
    if max(times) < now - tolerance:
        raise BadSignature("the signature is too old")


def _by_timestamp(header: str) -> dict[str, str]:
    """The first timestamps, and for each the header that Stripe would have sent: `t=…,v1=…`, without blanks."""
    parts = [part.strip() for part in header.split(",")]
    places = [place for place, part in enumerate(parts) if part.startswith("t=")]
    headers: dict[str, str] = {}
    for start, end in zip([0, *places[1:]], [*places[1:], len(parts)], strict=False) if places else ():
        own = parts[start:end]
        timestamp = next(part for part in own if part.startswith("t="))[2:]
        is_number = timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16
        if is_number and (timestamp in headers or len(headers) < MOST_TIMES):
            headers[timestamp] = ",".join([headers[timestamp], *own] if timestamp in headers else own)
    if not headers:
        raise BadSignature("Stripe-Signature has no timestamp")
    return headers


def _is_signed(body: bytes, header: str, secret: str) -> bool:
    try:
        WebhookSignature.verify_header(body, header, secret, tolerance=None)
    except (SignatureVerificationError, ValueError, TypeError):
        # The body is not UTF-8 (ValueError), or the signature is not ASCII, which the comparison refuses (TypeError).
        return False
    return True
