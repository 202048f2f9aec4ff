"""Stripe's signature over the raw bytes of a webhook: https://docs.stripe.com/webhooks/signature.

The comparison is the SDK's, timing-safe; the age is checked here, so that the clock can be given. Knows no HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence

from stripe import SignatureVerificationError, WebhookSignature

MOST_TIMES = 4
"""Timestamps whose signatures are checked: each costs an HMAC over the whole body."""


class BadSignature(Exception):
    """The body was not signed with any of the secrets, or too long ago."""


def verify(body: bytes, header: str | None, secrets: Sequence[str], *, tolerance: float, now: float) -> None:
    """Returns when one of the secrets signed the body, at most `tolerance` seconds before `now` (unix seconds).

    `header` may be several headers that were joined by commas, with blanks around them: the signatures of each are
    looked at, those behind a `t` with that timestamp. Raises BadSignature. Any `v1` may match, because several stand
    while a secret rolls.
    """
    if not header:
        raise BadSignature("there is no Stripe-Signature header")
    signed = _signed(header)
    matching = [int(at) for at, one in signed.items() if any(_is_signed(body, one, secret) for secret in secrets)]
    if not matching:
        raise BadSignature("no signature in Stripe-Signature matches a webhook secret")
    if max(matching) < now - tolerance:
        raise BadSignature("the signature is too old")


def _signed(header: str) -> dict[str, str]:
    """The timestamps, at most `MOST_TIMES` -> each with its signatures as Stripe writes them, without blanks."""
    parts = [part.strip() for part in header.split(",")]
    times = [place for place, part in enumerate(parts) if part.startswith("t=")]
    found: dict[str, str] = {}
    for start, end in zip([0, *times[1:]], [*times[1:], len(parts)], strict=False) if times else ():
        own = parts[start:end]
        at = next(part for part in own if part.startswith("t="))[2:]
        if at.isascii() and at.isdigit() and len(at) < 16 and (at in found or len(found) < MOST_TIMES):
            found[at] = ",".join([found[at], *own] if at in found else own)
    if not found:
        raise BadSignature("Stripe-Signature has no timestamp")
    return found


def _is_signed(body: bytes, header: str, secret: str) -> bool:
    try:
        WebhookSignature.verify_header(body, header, secret, tolerance=None)
    except (SignatureVerificationError, ValueError, TypeError):
        # Not UTF-8 (ValueError), or a signature that is not ASCII, which the comparison refuses (TypeError).
        return False
    return True
