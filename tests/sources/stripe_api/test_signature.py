"""Signatures of webhooks: what the SDK accepts, we accept, and nothing else."""

from __future__ import annotations

import hashlib
import hmac

from hypothesis import example, given
from hypothesis import strategies as st
from stripe import SignatureVerificationError, WebhookSignature

from sources.events import BadSignature
from sources.stripe_api.events.webhook import verify

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)


def signature(body: str, secret: str, timestamp: int) -> str:
    return hmac.new(secret.encode(), f"{timestamp}.{body}".encode(), hashlib.sha256).hexdigest()


@given(
    body=TEXTS.filter(bool),
    secret=TEXTS,
    signed_with=st.one_of(st.none(), TEXTS),
    scheme=st.sampled_from(["v1", "v0", "V1"]),
    before=st.lists(st.sampled_from(["v1=", "v1=00", "v1=é", "v0=11", "x", "=", ""]), max_size=2),
)
@example(body="{}", secret=" ", signed_with=None, scheme="v1", before=[])
def test_what_the_sdk_accepts_is_accepted(
    body: str, secret: str, signed_with: str | None, scheme: str, before: list[str]
) -> None:
    made = signature(body, secret if signed_with is None else signed_with, 1_760_000_000)
    header = ",".join(["t=1760000000", *before, f"{scheme}={made}"])
    assert is_accepted_here(body, header, secret) == is_accepted_by_the_sdk(body, header, secret)


def is_accepted_here(body: str, header: str, secret: str) -> bool:
    try:
        verify(body.encode(), [header], [secret], tolerance=300, now=1_760_000_000)
    except BadSignature:
        return False
    return True


def is_accepted_by_the_sdk(body: str, header: str, secret: str) -> bool:
    pairs = [pair for pair in header.split(",") if pair.isascii() and "=" in pair]  # the SDK raises errors of Python's
    try:
        WebhookSignature.verify_header(body, ",".join(pairs), secret, tolerance=None)
    except SignatureVerificationError:
        return False
    return True
