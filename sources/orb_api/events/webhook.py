"""Reads an event from the bytes of a webhook, and verifies Orb's signature over them. Pure; knows no row.

The first word of an event's type decides which field has its object, if any. Signatures are HMACs of SHA-256 over
`v1:<timestamp>:<body>` (https://docs.withorb.com/integrations-and-exports/webhooks), which are compared in constant
time; the tests compare with the SDK's.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from sources.events import MOST_TIMES, BadEvent, BadSignature, Event, parsed, word
from sources.orb_api.catalogue import CATALOGUE
from sources.orb_api.catalogue.events import subject_of
from sources.orb_api.objects.changes import second_of

SIGNATURE, TIMESTAMP = b"x-orb-signature", b"x-orb-timestamp"
ANSWER_SECONDS = 4.0
"""Seconds in which the sink answers. Orb waits for five, which include the way of request and answer through the
network."""

OBJECT_LEVEL = 2  # the depth of an event's object: the event, the object


def read_event(body: bytes) -> Event:
    """The event in a body. Raises BadEvent if it is not an event. Orb's events show neither an account nor a mode."""
    fields, is_cut = parsed(body, OBJECT_LEVEL)
    if not isinstance(fields, dict) or not isinstance(fields.get("created_at"), str):
        raise BadEvent("the body is not an event")
    id, type, created = word(fields, "id"), word(fields, "type"), second_of(fields)
    if created is None:
        raise BadEvent("the event's created_at is not a time")
    field, table = subject_of(type)
    obj = fields.get(field)
    return Event(
        id=id,
        type=type,
        created=created,
        account=None,
        livemode=None,
        api_version=None,
        thin=False,
        object=obj if isinstance(obj, dict) else None,
        fields=fields,
        body=body,
        is_cut=is_cut,
        kind=CATALOGUE.tables[table].objects[0] if table else None,
    )


def verify(body: bytes, headers: Sequence[str], secrets: Sequence[str], *, tolerance: float, now: float) -> None:
    """Checks that one of the secrets signed the body at most `tolerance` seconds before or after `now`, unix seconds.

    Raises BadSignature if none did. `headers` are X-Orb-Signature, with one or more `v1=…` between blanks or commas,
    and X-Orb-Timestamp. If a header arrives several times, every signature is tried with every timestamp.
    """
    signatures, timestamps = headers
    if not signatures or not timestamps:
        missing = "X-Orb-Timestamp" if signatures else "X-Orb-Signature"
        raise BadSignature(f"there is no {missing} header")
    made = [signature[3:].encode() for signature in signatures.replace(",", " ").split() if signature.startswith("v1=")]
    times = list(dict.fromkeys(timestamp.strip() for timestamp in timestamps.split(",")))[:MOST_TIMES]
    found = [time for time in times if any(_is_signed(body, time, made, secret) for secret in secrets)]
    if not found:
        raise BadSignature("no signature in X-Orb-Signature matches a webhook secret")
    seconds = [second for time in found if (second := _second(time)) is not None]
    if not seconds:
        raise BadSignature("X-Orb-Timestamp is not a time")
    if min(abs(now - second) for second in seconds) > tolerance:
        raise BadSignature(f"the signature is too {'new' if max(seconds) > now else 'old'}")


def _second(text: str) -> float | None:
    """The unix second of an ISO 8601 time (in UTC if it has no zone); None for any other text."""
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None


def _is_signed(body: bytes, timestamp: str, made: Sequence[bytes], secret: str) -> bool:
    if not secret.strip():  # anybody could sign with it
        return False
    signed = f"v1:{timestamp}:".encode() + body
    expected = hmac.digest(secret.encode(), signed, "sha256").hex().encode()
    return any(hmac.compare_digest(signature, expected) for signature in made)
