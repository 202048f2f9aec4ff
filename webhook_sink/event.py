"""The bytes of a webhook -> an Event, or what is wrong with them. Pure; knows no table.

Two shapes arrive: snapshot events (https://docs.stripe.com/api/events/object) carry an object, thin ones
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
    """The body is no event of Stripe's. The message holds nothing of the body."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it came. `created` are unix seconds; `account` is the connected account that it is about, if any.

    `livemode` is None where the event does not tell.
    `object` is the snapshot's object, or a thin event's `related_object` (`id`, `type`, `url`), None where it has none.
    `fields` is all of it as parsed, `body` what Stripe signed, for the ledger. With `is_cut` they and the object lack
    what cannot be parsed: they tell which event it is, and are no state of its object.
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
        """The object's id, where it has one that is text."""
        return _text(self.object, "id")

    @property
    def object_type(self) -> str | None:
        """Stripe's name of the object's class (`charge`)."""
        return _text(self.object, "type" if self.thin else "object")


def read_event(body: bytes) -> Event:
    """The event in a body. Raises BadEvent for anything that is none."""
    try:
        fields, is_cut = _parsed(body)
    except ValueError:
        raise BadEvent("the body is not JSON") from None
    if not isinstance(fields, dict) or fields.get("object") not in ("event", "v2.core.event"):
        raise BadEvent("the body is no event")
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
    """The body's value; of one that is JSON and cannot be parsed, its upper levels, and True. Raises ValueError."""
    try:
        return parse(body), False
    except TooLarge:
        return parse(shallow(body, OBJECT_LEVEL)), True


def encoding_of(body: bytes, coding: str) -> str | None:
    """How a body is encoded otherwise than Stripe's, which are plain UTF-8; None where it is not.

    `coding` is its Content-Encoding. Only a proxy on the way does that, and no signature matches such a body.
    """
    for beginning, what in _BEGINNINGS.items():
        if body.startswith(beginning):
            return what
    named = coding.strip().lower()
    return f"compressed with {named}" if named in CODINGS else None


def refuse_future(created: int, now: float, skew: float) -> None:
    """Raises BrokenPage for an event from the future: its rows would win over each later state of their objects.

    Unix seconds. `skew` is the setting `max_clock_skew`; a day is always allowed, so that a machine whose clock is
    hours behind takes what is true.
    """
    if created - now > max(skew, DAY):
        raise BrokenPage(
            f"The event's creation time is {int(created - now)} seconds ahead of this machine's clock, so it was not"
            " applied. Check that the clock is set by NTP, then replay the event."
        )


def _word(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise BadEvent(f"the event's {name} is no name")
    return value


def _seconds(value: Any) -> int:
    """Unix seconds of a snapshot event's integer or a thin event's RFC 3339 text."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            value = int(moment.timestamp()) if moment.tzinfo else None
        except (ValueError, OverflowError):
            value = None
    if type(value) is not int or not FIRST_SECOND <= value <= LAST_SECOND:
        raise BadEvent("the event's created is no time")
    return value


def _account(value: Any) -> str | None:
    """The account of `acct_…`, or the last one of a context's path (`org_…/acct_…`)."""
    if value is None or value == "":
        return None
    last = value.rpartition("/")[2] if isinstance(value, str) else ""
    if not _WORD.fullmatch(last):
        raise BadEvent("the event's account is no id")
    return last


def _text(fields: Mapping[str, Any] | None, name: str) -> str | None:
    value = (fields or {}).get(name)
    return value if isinstance(value, str) and value and "\0" not in value and value.isprintable() else None
