"""Signatures of Orb's webhooks: what the SDK accepts, we accept, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orb
from hypothesis import given
from hypothesis import strategies as st

from simulator.orb.deliveries import signature
from sources.events import BadSignature
from sources.orb_api.events.webhook import verify

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
SDK = orb.Orb(api_key="none")


@given(
    body=TEXTS,
    secret=TEXTS,
    signed_with=st.one_of(st.none(), TEXTS),
    scheme=st.sampled_from(["v1", "v1", "v0", "V1"]),
    others=st.lists(st.sampled_from(["v1=", "v1=00", "v0=11", "x", "="]), max_size=2),
    seconds=st.sampled_from([0, -299, 299, -301, 301, 10**9]),
    form=st.sampled_from(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f+00:00", "%Y-%m-%dT%H:%M:%SZ", "no time"]),
)
def test_what_the_sdk_accepts_is_accepted(
    body: str, secret: str, signed_with: str | None, scheme: str, others: list[str], seconds: int, form: str
) -> None:
    now = datetime.now(UTC)
    timestamp = f"{now + timedelta(seconds=seconds):{form}}"
    made = signature(body.encode(), [signed_with or secret], timestamp).replace("v1=", f"{scheme}=")
    header = " ".join([*others, made])
    assert is_accepted_here(body, header, timestamp, secret, now) == is_accepted_by_the_sdk(
        body, header, timestamp, secret
    )


def is_accepted_here(body: str, header: str, timestamp: str, secret: str, now: datetime) -> bool:
    try:
        verify(body.encode(), [header, timestamp], [secret], tolerance=300, now=now.timestamp())
    except BadSignature:
        return False
    return True


def is_accepted_by_the_sdk(body: str, header: str, timestamp: str, secret: str) -> bool:
    headers = {"X-Orb-Signature": header, "X-Orb-Timestamp": timestamp}
    try:
        SDK.webhooks.verify_signature(body, headers, secret=secret)
    except ValueError:
        return False
    return True
