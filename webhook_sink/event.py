"""Reads an event from the bytes of a webhook. Pure; knows no table.

There are two kinds: snapshot events (https://docs.stripe.com/api/events/object) carry an object, and thin events
(https://docs.stripe.com/api/v2/core/events/event-types) only name one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sources.columns.coerce import FIRST_SECOND, LAST_SECOND
from sources.errors import BrokenPage
from sources.json_text import TooLarge, parse, shallow

DAY = 86_400
OBJECT_LEVEL = 3  # the depth of a snapshot's object: the event, its data, the object

_WORD = re.compile(r"[\x21-\x7e]{1,255}")
CODINGS = frozenset(("gzip", "x-gzip", "deflate", "compress", "br", "zstd"))
"""Content codings: https://www.iana.org/assignments/http-parameters/http-parameters.xhtml#content-coding."""
_BEGINNINGS: Mapping[bytes, str] = {
    b"\x1f\x8b": "compressed with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"\x78\x01": "compressed with deflate",
    b"\x78\x5e": "compressed with deflate",
    b"\x78\x9c": "compressed with deflate",
    b"\x78\xda": "compressed with deflate",
    b"\xef\xbb\xbf": "preceded by a byte order mark",
    b"\xff\xfe": "written in UTF-16 or UTF-32",
    b"\xfe\xff": "written in UTF-16 or UTF-32",
    b"\0": "written in UTF-16 or UTF-32",
    b"{\0": "written in UTF-16 or UTF-32",
}


class BadEvent(Exception):
    """The body is not an event of Stripe's. The message holds nothing of the body."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it arrived. `created` is in unix seconds, `account` the connected account that it is about, if any.

    `livemode` is None if the event does not tell. `object` is a snapshot's object, or a thin event's `related_object`
    (`id`, `type`, `url`) if it has one. `fields` is the whole event, parsed; `body` is what Stripe signed, for the
    ledger. With `is_cut`, the event could only be parsed in part: `fields` and `object` tell which event it is, but do
    not show its object's state.
    """

    id: str
    type: str
    created: int
    account: str | None
    livemode: bool | None
    api_version: str | None
    thin: bool
    object: dict[str, Any] | None
    fields: dict[str, Any]
    body: bytes
    is_cut: bool = False

    @property
    def object_id(self) -> str | None:
        """The object's id, if it has one that is text."""
        return _text(self.object, "id")

    @property
    def object_type(self) -> str | None:
        """Stripe's name for the object's type (`charge`)."""
        return _text(self.object, "type" if self.thin else "object")


def read_event(body: bytes) -> Event:
    """The event in a body. Raises BadEvent if it is not an event."""
    try:
        fields, is_cut = _parsed(body)
    except ValueError:
        raise BadEvent("the body is not JSON") from None
    if not isinstance(fields, dict) or fields.get("object") not in ("event", "v2.core.event"):
        raise BadEvent("the body is not an event")
    thin = fields["object"] == "v2.core.event"
    data = fields.get("data")
    obj = fields.get("related_object") if thin else (data.get("object") if isinstance(data, dict) else None)
    if not isinstance(obj, dict) and not (thin and obj is None):
        raise BadEvent("the event has no object")
    version = fields.get("api_version")
    return Event(
        id=_word(fields, "id"),
        type=_word(fields, "type"),
        created=_seconds(fields.get("created")),
        account=_account(fields.get("context") if thin else fields.get("account")),
        livemode=livemode if isinstance(livemode := fields.get("livemode"), bool) else None,
        api_version=version if isinstance(version, str) and _WORD.fullmatch(version) else None,
        thin=thin,
        object=obj,
        fields=fields,
        body=body,
        is_cut=is_cut,
    )


def _parsed(body: bytes) -> tuple[Any, bool]:
    """The parsed body, and False; of JSON that cannot be parsed, its upper levels, and True. Raises ValueError."""
    try:
        return parse(body), False
    except TooLarge:
        return parse(shallow(body, OBJECT_LEVEL)), True


def encoding_of(body: bytes, coding: str) -> str | None:
    """How the body is encoded, if it is not in plain UTF-8 as Stripe's are; otherwise None.

    `coding` is the Content-Encoding. Only a proxy encodes a body, and no signature matches it then.
    """
    for beginning, encoding in _BEGINNINGS.items():
        if body.startswith(beginning):
            return encoding
    named = coding.strip().lower()
    return f"compressed with {named}" if named in CODINGS else None


def refuse_future(created: int, now: float, skew: float) -> None:
    """Raises BrokenPage for an event from the future: its rows would win over every later state of their objects.

    Times in unix seconds. `skew` is the setting `max_clock_skew`. A day is always allowed, so that a machine whose
    clock is hours behind still takes true events.
    """
    if created - now > max(skew, DAY):
        raise BrokenPage(
            f"The event's creation time is {int(created - now)} seconds ahead of this machine's clock, so it was not"
            " applied. Check that the clock is set by NTP, then replay the event."
        )


def _word(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise BadEvent(f"the event's {name} is not a name")
    return value


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
    if not _WORD.fullmatch(last):
        raise BadEvent("the event's account is not an id")
    return last


def _text(fields: Mapping[str, Any] | None, name: str) -> str | None:
    value = (fields or {}).get(name)
    return value if isinstance(value, str) and value and "\0" not in value and value.isprintable() else None
