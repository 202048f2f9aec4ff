"""What a pass over the events has done, for whoever reports it. Numbers and reasons only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Report:
    """What a pass has done: numbers only, and reasons. `now` is Stripe's clock at its first request."""

    now: int | None = None
    events: int = 0
    applied: int = 0
    rows: int = 0
    believed: int = 0
    read_back: int = 0
    deleted: int = 0
    doubts: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    touched: set[str] = field(default_factory=set)
