"""Creates, changes and deletes webhook endpoints through the API: https://docs.withorb.com/api-reference."""

from __future__ import annotations

import secrets as chance
from typing import Any
from urllib.parse import urlsplit

import orjson

from simulator.orb.account import Account, Object
from simulator.orb.refusal import Refusal

FIELDS = ("url", "enabled_event_types", "payload_style")
PATH = "/v1/webhook_endpoints"


class Endpoints:
    """Answers writing requests. A secret is shown once, when its endpoint is created."""

    def __init__(self, account: Account, secrets: dict[str, list[str]]) -> None:
        self._account, self._secrets = account, secrets

    def write(self, method: str, path: str, body: bytes) -> Object:
        """Returns the answer. Raises Refusal."""
        id, _, action = path.removeprefix(PATH).strip("/").partition("/")
        with self._account.lock:
            if method == "POST" and not id:
                return self._create(_fields(body))
            if id not in self._account.tables["webhook_endpoints"]:
                raise Refusal("404-resource-not-found", "There is no such webhook endpoint.")
            if method == "DELETE" and not action:
                self._account.delete("webhook_endpoints", id)
                self._secrets.pop(id, None)
                return {}
            if method == "PUT" and not action:
                return self._account.update("webhook_endpoints", id, _fields(body))
            if method == "POST" and action in ("enable", "disable"):
                return self._account.update("webhook_endpoints", id, {"enabled": action == "enable"})
        raise Refusal("404-url-not-found", "There is nothing at this URL.")

    def _create(self, fields: Object) -> Object:
        if urlsplit(fields.get("url") or "").scheme not in ("http", "https"):
            raise Refusal("400-request-validation-errors", "url must be an address.")
        made: Object = {"id": self._account.new_id(), "created_at": self._account.now(), "enabled": True}
        made |= {"enabled_event_types": None, "payload_style": "standard"} | fields
        secret = chance.token_hex(24)
        self._secrets[made["id"]] = [secret]
        return self._account.create("webhook_endpoints", made) | {"secret": secret}


def _fields(body: bytes) -> Object:
    """The fields that a body sets. Raises Refusal."""
    try:
        given: Any = orjson.loads(body or b"{}")
    except ValueError:
        given = None
    if not isinstance(given, dict) or set(given) - set(FIELDS):
        raise Refusal("400-request-validation-errors", f"The body may have {', '.join(FIELDS)}.")
    if given.get("payload_style", "standard") not in ("standard", "expanded"):
        raise Refusal("400-request-validation-errors", "payload_style must be standard or expanded.")
    return given
