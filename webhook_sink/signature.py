"""Stripe's signature over the raw bytes of a webhook: https://docs.stripe.com/webhooks/signature.

The comparison is the SDK's, timing-safe; the age is checked here, so that the clock can be given. Knows no HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence

from stripe import SignatureVerificationError, WebhookSignature


class BadSignature(Exception):
    """The body was not signed with any of the secrets, or too long ago."""


def verify(body: bytes, header: str | None, secrets: Sequence[str], *, tolerance: float, now: float) -> None:
    """Returns when one of the secrets signed the body, at most `tolerance` seconds before `now` (unix seconds).

    Raises BadSignature. Any of the header's `v1` signatures may match, because several stand while a secret rolls.
    """
    if not header:
        raise BadSignature("there is no Stripe-Signature header")
    signed_at = _timestamp(header)
    if not any(_is_signed(body, header, secret) for secret in secrets):
        raise BadSignature("no signature in Stripe-Signature matches a webhook secret")
    if signed_at < now - tolerance:
        raise BadSignature("the signature is too old")


def _timestamp(header: str) -> int:
    stamp = next((part[2:] for part in header.split(",") if part.startswith("t=")), "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 16):
        raise BadSignature("Stripe-Signature has no timestamp")
    return int(stamp)


def _is_signed(body: bytes, header: str, secret: str) -> bool:
    try:
        WebhookSignature.verify_header(body, header, secret, tolerance=None)
    except (SignatureVerificationError, ValueError, TypeError):
        # Not UTF-8 (ValueError), or a signature that is not ASCII, which the comparison refuses (TypeError).
        return False
    return True
