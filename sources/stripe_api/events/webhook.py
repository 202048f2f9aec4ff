"""Reads an event from the bytes of a webhook, and verifies Stripe's signature over them. Pure; knows no table.

There are two kinds: snapshot events (https://docs.stripe.com/api/events/object) carry an object, and thin events
(https://docs.stripe.com/api/v2/core/events/event-types) only name one. Signatures are HMACs of SHA-256
(https://docs.stripe.com/webhooks/signature), which are compared in constant time; the tests compare with the SDK's.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sources.catalogue import FIRST_SECOND, LAST_SECOND
from sources.events import MOST_TIMES, WORD, BadEvent, BadSignature, Event, parsed, word

OBJECT_LEVEL = 3  # the depth of a snapshot's object: the event, its data, the object


def read_event(body: bytes) -> Event:
    """The event in a body. Raises BadEvent if it is not an event."""
    fields, is_cut = parsed(body, OBJECT_LEVEL)
    if not isinstance(fields, dict) or fields.get("object") not in ("event", "v2.core.event"):
        raise BadEvent("the body is not an event")
    thin = fields["object"] == "v2.core.event"
    data = fields.get("data")
    obj = fields.get("related_object") if thin else (data.get("object") if isinstance(data, dict) else None)
    if not isinstance(obj, dict) and not (thin and obj is None):
        raise BadEvent("the event has no object")
    version = fields.get("api_version")
    return Event(
        id=word(fields, "id"),
        type=word(fields, "type"),
        created=_seconds(fields.get("created")),
        account=_account(fields.get("context") if thin else fields.get("account")),
        livemode=livemode if isinstance(livemode := fields.get("livemode"), bool) else None,
        api_version=version if isinstance(version, str) and WORD.fullmatch(version) else None,
        thin=thin,
        object=obj,
        fields=fields,
        body=body,
        is_cut=is_cut,
    )


def _seconds(value: Any) -> int:
    """Unix seconds, from the integer of a snapshot event or the RFC 3339 text of a thin one."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            value = int(moment.timestamp()) if moment.tzinfo else None
        except (ValueError, OverflowError):
            value = None
    if type(value) is not int or not FIRST_SECOND <= value <= LAST_SECOND:
        raise BadEvent("the event's created is not a time")
    return value


def _account(value: Any) -> str | None:
    """The account id, which is the last one in a thin event's context (`org_…/acct_…`)."""
    if value is None or value == "":
        return None
    last = value.rpartition("/")[2] if isinstance(value, str) else ""
    if not WORD.fullmatch(last):
        raise BadEvent("the event's account is not an id")
    return last


# --- the signature ----------------------------------------------------------------------------------------------------


def verify(body: bytes, headers: Sequence[str], secrets: Sequence[str], *, tolerance: float, now: float) -> None:
    """Checks that one of the secrets signed the body at most `tolerance` seconds before `now`, in unix seconds.

    Raises BadSignature if none did. `headers` has one element, the value of `Stripe-Signature`, or "". It may be
    several headers joined by commas and blanks: each signature is checked with the timestamp `t` before it. Any `v1`
    may match: Stripe sends several while a secret is rolled.
    """
    (header,) = headers
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
    """The first timestamps, each with its header as Stripe sends it: `t=…,v1=…`, without blanks."""
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
    if not secret.strip(" \t\r\n\f\v"):  # anybody could sign with it; the SDK refuses these too
        return False
    parts = [part.partition("=") for part in header.split(",")]
    timestamp = next(value for name, _, value in parts if name == "t")
    expected = hmac.digest(secret.encode(), f"{timestamp}.".encode() + body, "sha256").hex().encode()
    return any(hmac.compare_digest(value.encode(), expected) for name, _, value in parts if name == "v1")
