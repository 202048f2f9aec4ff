"""The few writing requests that are served: webhook endpoints, and deletions.

All others are refused as unrecognized: tests change the account directly or through `/_simulator/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from simulator.account.account import Account
from simulator.account.objects import Object
from simulator.api import refusals
from simulator.api.routes import Match
from simulator.http.deliveries import Deliveries


class Writes:
    """Answers POST and DELETE. `plain` creates an object with empty fields."""

    def __init__(self, plain: Callable[[str], Object], deliveries: Deliveries) -> None:
        self._plain, self._deliveries = plain, deliveries

    def answer(self, account: Account, found: Match, values: Mapping[str, Any]) -> bytes:
        """The answer's JSON. Raises Refusal."""
        route = found.route
        if route.kind == "create":
            return self._create(account, values)
        *parents, id = found.values.values()
        row = account.tables[route.table].get(id, "/".join(parents) or None)
        if row is None:
            raise refusals.not_found(route.objects[0] if route.objects else route.table, id, "id")
        if route.kind == "update":
            account.update(route.table, id, _fields(values))
            return account.views.of(route.table, row)
        if route.table == "subscriptions":
            now = account.clock.seconds()
            account.update(route.table, id, {"status": "canceled", "canceled_at": now, "ended_at": now})
            return account.views.of(route.table, row)
        gone = account.delete(route.table, id, parent=row.parent)
        self._deliveries.secrets.pop(id, None)
        return orjson.dumps({"id": gone.id, "object": gone.object, "deleted": True})

    def _create(self, account: Account, values: Mapping[str, Any]) -> bytes:
        """Creates a webhook endpoint. Only this answer shows its secret."""
        now = account.clock.seconds()
        id, secret = account.ids.of("webhook_endpoint"), account.ids.new("whsec_", 32)
        made = self._plain("webhook_endpoint") | {"id": id, "created": now, "livemode": account.livemode}
        made |= {"status": "enabled", "metadata": {}} | _fields(values)
        if values.get("connect"):
            made["metadata"]["connect"] = "true"
        made.pop("secret", None)
        account.create("webhook_endpoints", made, at=now)
        self._deliveries.secrets[id] = [secret]
        return orjson.dumps(made | {"secret": secret})


def _fields(values: Mapping[str, Any]) -> Object:
    """The fields of the object that the parameters set; `disabled` sets its status."""
    fields = {name: value for name, value in values.items() if name not in ("connect", "disabled", "expand")}
    if "disabled" in values:
        fields["status"] = "disabled" if values["disabled"] else "enabled"
    return fields
