"""API keys with their permissions, and the account that a request acts for. Knows no table's content."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass

from simulator.api import refusals


@dataclass(frozen=True, slots=True)
class Key:
    """An API key. `may_read` and `may_write` name tables; None means all tables."""

    secret: str
    may_read: frozenset[str] | None = None
    may_write: frozenset[str] | None = None
    expired: bool = False


class Keys:
    """The keys of an account. The first is the unrestricted secret key."""

    def __init__(self, livemode: bool, seed: int) -> None:
        self.mode = "live" if livemode else "test"
        self._count = seed * 1000
        self._keys: dict[str, Key] = {}
        self.secret = self._add("sk", None, None).secret

    def restricted(self, *, read: Collection[str] = (), write: Collection[str] = ()) -> str:
        """Creates a restricted key that may only read, or read and write, the named tables."""
        return self._add("rk", frozenset(read) | frozenset(write), frozenset(write)).secret

    def expire(self, secret: str) -> None:
        """Rolls a key: requests with the old key are refused from now on."""
        self._keys[secret] = Key(secret, expired=True)

    def of(self, authorization: str | None) -> Key:
        """The key of an Authorization header (Bearer, or Basic with the key as user). Raises Refusal (401, 403)."""
        secret = _secret(authorization)
        if not secret:
            raise refusals.no_key()
        if secret.startswith("pk_"):
            raise refusals.publishable_key()
        key = self._keys.get(secret)
        if key is None:
            raise refusals.wrong_key(secret)
        if key.expired:
            raise refusals.expired_key(secret)
        return key

    def _add(self, kind: str, read: frozenset[str] | None, write: frozenset[str] | None) -> Key:
        self._count += 1
        secret = f"{kind}_{self.mode}_simulated{self._count:08d}"
        self._keys[secret] = Key(secret, read, write)
        return self._keys[secret]


def permit(key: Key, table: str, object_name: str, account: str, *, write: bool = False) -> None:
    """Raises Refusal (403) if a restricted key lacks the permission."""
    allowed = key.may_write if write else key.may_read
    if allowed is not None and table not in allowed:
        permission = f"rak_{object_name.replace('.', '_')}_{'write' if write else 'read'}"
        raise refusals.no_permission(key.secret, account, permission)


def _secret(authorization: str | None) -> str:
    scheme, _, value = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""
