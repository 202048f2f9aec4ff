"""`/_simulator/…`: controls for tests that run the simulator as a process of its own. Bodies and answers are JSON.

GET  /_simulator/state      account, key, clock, rows by table, requests by endpoint, answers by status
GET  /_simulator/log        the last requests
POST /_simulator/reset      clears counters and log; ends faults
POST /_simulator/advance    {"seconds": 3600}
POST /_simulator/mutate     {"action": "create|update|delete", "table": …, "id": …, "object": {…}, "parent": …}
POST /_simulator/fault      the fields of a Fault, bytes as text: {"path": "/v1/charges", "status": 500, "times": 2}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson

from simulator.api.api import Answer, Request

if TYPE_CHECKING:
    from simulator.simulator import Simulator

PREFIX = "/_simulator/"


class Control:
    """Answers the control requests of a simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def answer(self, request: Request) -> Answer:
        """The answer to a control request: 200, 400 with what is wrong, or 404."""
        action = getattr(self, f"_{request.method}_{request.path.removeprefix(PREFIX)}".lower(), None)
        if action is None:
            return Answer(404, orjson.dumps({"error": f"no control {request.method} {request.path}"}))
        try:
            given = orjson.loads(request.body) if request.body else {}
            return Answer(200, orjson.dumps(action(given), default=bytes.decode))
        except (ValueError, KeyError, TypeError) as error:
            return Answer(400, orjson.dumps({"error": str(error)}))

    def _get_state(self, given: Mapping[str, Any]) -> object:
        sim = self._simulator
        with sim.account.lock:
            return {
                "account": sim.account.id,
                "key": sim.key,
                "now": sim.clock.time(),
                "rows": {name: len(table) for name, table in sim.account.tables.items()},
                "requests": dict(sim.service.requests),
                "statuses": {str(status): count for status, count in sim.service.statuses.items()},
            }

    def _get_log(self, given: Mapping[str, Any]) -> object:
        return [asdict(exchange) for exchange in self._simulator.service.log]

    def _post_reset(self, given: Mapping[str, Any]) -> object:
        self._simulator.service.reset()
        self._simulator.faults.clear()
        return {}

    def _post_advance(self, given: Mapping[str, Any]) -> object:
        self._simulator.clock.advance(float(given["seconds"]))
        return {"now": self._simulator.clock.time()}

    def _post_fault(self, given: Mapping[str, Any]) -> object:
        texts = {name: given[name].encode() for name in ("old", "new") if name in given}
        entries = {id: text.encode() for id, text in given.get("entries", {}).items()}
        return asdict(self._simulator.faults.add(**{**given, **texts, "entries": entries}))

    def _post_mutate(self, given: Mapping[str, Any]) -> object:
        account, table, parent = self._simulator.account, given["table"], given.get("parent")
        match given["action"]:
            case "create":
                return account.create(table, given["object"], parent=parent)
            case "update":
                return account.update(table, given["id"], given["object"], parent=parent)
            case "delete":
                return asdict(account.delete(table, given["id"], parent=parent))
        raise ValueError(f"no action {given['action']!r}: create, update or delete")
