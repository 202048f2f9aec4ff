"""Faults that tests and benchmarks ask for: which requests go wrong, and how. Knows no table.

faults.add(path_prefix="/v1/charges", status=500, times=2)       # the next two requests for charges
faults.add(kind="cut", every=10)                                 # every tenth answer ends in the middle
faults.add(status=500, holding="cus_123")                        # the page with this object, for good
faults.add(kind="throttle", reason="endpoint-rate", probability=0.05)
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

Kind = Literal[
    "status",
    "throttle",
    "lock_timeout",
    "drop",
    "reset",
    "cut",
    "error_200",
    "not_json",
    "half_json",
    "empty",
    "slow",
    "replace",
]
"""How it goes wrong: an error status; 429; lock_timeout; the connection closed or reset without an answer; a body
shorter than its Content-Length; a 200 with an error in it; a 200 that is HTML; a 200 whose JSON ends in the middle; a
200 without a body; a late answer; a 200 in which bytes
(`old`, `new`), or an entry of a list, are replaced."""
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(slots=True)
class Fault:
    """Which requests fail (all conditions must hold), and how.

    After the first `skip` matching requests, every `every`-th fails with `probability`, at most `times` times. `path`
    is the whole path, `query` are parameters that the request must have, `holding` is the id of an object that the
    answer must contain. `new` replaces the bytes `old` of the answer; `entries` (id -> JSON) replace entries of its
    list. `met` counts the requests that failed.
    """

    kind: Kind = "status"
    path_prefix: str = "/"
    path: str | None = None
    method: str | None = None
    status: int = 500
    times: int | None = None
    skip: int = 0
    every: int = 1
    probability: float = 1.0
    query: Mapping[str, str] = field(default_factory=dict)
    holding: str | None = None
    reason: str | None = "global-rate"
    delay: float = 0.0
    old: bytes = b""
    new: bytes = b""
    entries: Mapping[str, bytes] = field(default_factory=dict)
    met: int = 0
    seen: int = 0


class Faults:
    """The active faults; `seed` makes their probabilities repeatable."""

    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(f"faults/{seed}")
        self._faults: list[Fault] = []

    def add(self, kind: str = "status", **conditions: Any) -> Fault:
        """Adds a fault: the fields of Fault by name. Raises ValueError for an unknown kind or an unknown field."""
        if kind not in KINDS:
            raise ValueError(f"unknown kind of fault {kind!r}: one of {', '.join(KINDS)}")
        unknown = conditions.keys() - {name for name in Fault.__slots__ if name not in ("met", "seen")}
        if unknown:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
        fault = Fault(cast(Kind, kind), **conditions)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """All faults end."""
        with self._lock:
            self._faults = []

    def __bool__(self) -> bool:
        return bool(self._faults)

    def meet(self, method: str, path: str, query: Mapping[str, object], body: bytes) -> Fault | None:
        """The first fault that matches a request whose answer would be `body`; None if there is none."""
        with self._lock:
            return next((fault for fault in self._faults if self._meets(fault, method, path, query, body)), None)

    def _meets(self, fault: Fault, method: str, path: str, query: Mapping[str, object], body: bytes) -> bool:
        if fault.times is not None and fault.met >= fault.times:
            return False
        if not path.startswith(fault.path_prefix) or fault.path not in (None, path):
            return False
        if fault.method not in (None, method):
            return False
        if any(query.get(name) != value for name, value in fault.query.items()):
            return False
        if fault.holding is not None and b'"id":"%s"' % fault.holding.encode() not in body:
            return False
        fault.seen += 1
        if fault.seen <= fault.skip or (fault.seen - fault.skip) % fault.every:
            return False
        if fault.probability < 1.0 and self._random.random() >= fault.probability:
            return False
        fault.met += 1
        return True
