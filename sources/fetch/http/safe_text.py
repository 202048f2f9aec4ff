"""Removes from an API's text what must not be logged. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_KEY = re.compile(r"\b(?:[srpe]k|whsec|ephkey)_[\w*]+|\b\w+_secret_\w+")
_ACCOUNT = re.compile(r"acct_\w+", re.ASCII)
_MAIL = re.compile(r"\S+@\S+")
_URL = re.compile(r"https?://(?!(?:[\w-]+\.)*stripe\.com\b)\S+")
_DIGITS = re.compile(r"(?<![\w])\+?\d[\d ().-]{6,}\d")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"|`([^`]*)`|“([^”]*)”")
NAME = re.compile(r"[\w.\-/\[\]{}:]{1,80}")


def safe(text: str, sent: Iterable[str | None] = ()) -> str:
    """An API's text without keys, addresses, numbers and quoted values; quoted names and ids stay.

    `sent` are values of settings, which an API may repeat when it refuses them: of these, only ids of accounts stay.
    """
    parts = {part for value in sent if value for part in (value, *value.split("/"))}
    for part in sorted(filter(None, parts), key=len, reverse=True):
        if not _ACCOUNT.fullmatch(part):
            text = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", "…", text)
    text = _QUOTED.sub(lambda quoted: quoted[0] if NAME.fullmatch(quoted[0][1:-1]) else "'…'", text)
    for hidden in (_KEY, _MAIL, _URL, _DIGITS):
        text = hidden.sub("…", text)
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:299] + "…"
