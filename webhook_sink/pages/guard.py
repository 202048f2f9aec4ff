"""Access to the status page: passwords, signed cookies, tokens in forms, and a delay after wrong passwords.

Nothing is stored. A cookie is signed with a key that is derived from the passwords, so it is valid after a restart and
in every process with the same settings, and invalid once a password is changed. Knows no HTTP server.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Kind = Literal["visitor", "member"]
"""`visitor`: has seen the password form. `member`: has given the password."""

LIFETIME = 12 * 3_600
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
KNOWN_CLIENTS, KNOWN_COOKIES = 1_000, 10_000
SALT = b"stripe-elt status page"


@dataclass(frozen=True, slots=True)
class Visit:
    """A cookie that we have signed. Every form has to send its `token`."""

    kind: Kind
    cookie: str
    token: str


class Guard:
    """Checks passwords and cookies. `clock` gives unix seconds."""

    def __init__(self, passwords: Sequence[str], clock: Callable[[], float] = time.time) -> None:
        self._passwords = [hashlib.sha256(password.encode()).digest() for password in passwords]
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._left: OrderedDict[str, None] = OrderedDict()

    @cached_property
    def _key(self) -> bytes:
        """The signing key. It is slow to derive, so that a cookie does not help to guess passwords."""
        return hashlib.scrypt(b"".join(self._passwords), salt=SALT, n=2**14, r=8, p=1)

    def wait(self, client: str) -> float:
        """Seconds in which this client's passwords are not checked."""
        return max(0.0, self._failures.get(client, (0, 0.0))[1] - self._clock())

    def admit(self, password: str, client: str) -> bool:
        """Whether the password is right. After a wrong one, the client has to wait, twice as long each time."""
        given = hashlib.sha256(password.encode("utf-8", "replace")).digest()
        # compares all, for constant time
        is_right = sum(hmac.compare_digest(given, password) for password in self._passwords) > 0
        failed = self._failures.pop(client, (0, 0.0))[0] + 1
        if not is_right:
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(failed - 1, 10))
            self._failures[client] = failed, self._clock() + delay
            while len(self._failures) > KNOWN_CLIENTS:
                self._failures.popitem(last=False)
        return is_right

    def begin(self, kind: Kind) -> Visit:
        """A new cookie."""
        text = f"{kind}.{int(self._clock()) + LIFETIME}.{secrets.token_urlsafe(18)}"
        return self._visit(kind, f"{text}.{self._signed('cookie', text)}")

    def visit(self, cookie: str | None) -> Visit | None:
        """The visit of a cookie; None if its signature is wrong, it is too old, or the user has signed out."""
        text, _, signature = (cookie or "").rpartition(".")
        parts = text.split(".")
        if cookie is None or cookie in self._left or len(parts) != 3:
            return None
        if not hmac.compare_digest(signature.encode(), self._signed("cookie", text).encode()):
            return None
        if int(parts[1]) <= self._clock():
            return None
        return self._visit("member" if parts[0] == "member" else "visitor", cookie)

    def is_token(self, visit: Visit, token: str) -> bool:
        """Whether the token is the visit's."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), visit.token.encode())

    def leave(self, visit: Visit) -> None:
        """Invalidates the cookie in this process."""
        self._left[visit.cookie] = None
        while len(self._left) > KNOWN_COOKIES:
            self._left.popitem(last=False)

    def _visit(self, kind: Kind, cookie: str) -> Visit:
        return Visit(kind, cookie, self._signed("form", cookie))

    def _signed(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()
