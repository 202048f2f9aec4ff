"""An event as a provider sends it to a webhook, and how its body is parsed. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sources.json_text import TooLarge, parse, shallow

WORD = re.compile(r"[\x21-\x7e]{1,255}")
MOST_TIMES = 4
"""How many timestamps of a request are checked. Each check costs an HMAC over the whole body."""


class BadEvent(Exception):
    """The body is not an event of the provider. The message repeats nothing from the body."""


class BadSignature(Exception):
    """The body was not signed with any of the secrets, or it was signed too long ago."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it arrived. `created` is in unix seconds, `account` the connected account that it is about, if any.

    `livemode` is None if the event does not show it. `object` is a snapshot event's object, or a thin event's
    `related_object` (`id`, `type`, `url`) if it has one. `fields` is the whole event, parsed; `body` is the signed
    bytes, for the ledger. If `is_cut`, the event could only be parsed in part: `fields` and `object` identify the
    event, but do not show its object's state.
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
    kind: str | None = None

    @property
    def object_id(self) -> str | None:
        """The object's id, if it has one that is text."""
        return _text(self.object, "id")

    @property
    def object_type(self) -> str | None:
        """The provider's name for the object's type (`charge`)."""
        return self.kind or _text(self.object, "type" if self.thin else "object")


def parsed(body: bytes, level: int) -> tuple[Any, bool]:
    """The parsed body, and False. If the JSON is nested too deep or has a number out of range: its upper levels, and
    True.

    Raises BadEvent if the body is not JSON.
    """
    try:
        try:
            return parse(body), False
        except TooLarge:
            return parse(shallow(body, level)), True
    except ValueError:
        raise BadEvent("the body is not JSON") from None


def word(fields: Mapping[str, Any], name: str) -> str:
    """The text of a field that must be a name, which is visible ASCII. Raises BadEvent if it is not."""
    value = fields.get(name)
    if not isinstance(value, str) or not WORD.fullmatch(value):
        raise BadEvent(f"the event's {name} is not a name")
    return value


def _text(fields: Mapping[str, Any] | None, name: str) -> str | None:
    value = (fields or {}).get(name)
    return value if isinstance(value, str) and value and "\0" not in value and value.isprintable() else None
