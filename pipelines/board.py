"""What a run has done so far, resource by resource: numbers only, for whoever shows them. Knows no terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from pipelines.state import Status


@dataclass(frozen=True, slots=True)
class Line:
    """One resource. `share` is the part of its window that is loaded, 0 to 1; `note`: why it was skipped or failed."""

    resource: str
    status: Status = "queued"
    rows: int = 0
    requests: int = 0
    seconds: float = 0.0
    share: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """The whole run. Rates are over the whole run; `seconds_left` is None until there is something to reckon from."""

    rows: int
    requests: int
    seconds: float
    finished: int
    resources: int
    seconds_left: float | None

    @property
    def rows_per_second(self) -> float:
        """Rows loaded a second."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def requests_per_second(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds else 0.0


class Board:
    """The lines of a run. Thread-safe: the loader writes, a display reads."""

    def __init__(self, resources: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()
        self._lines = {name: Line(name) for name in resources}

    def set(self, resource: str, **changes: object) -> None:
        """Replaces fields of a resource's line."""
        with self._lock:
            self._lines[resource] = replace(self._lines[resource], **changes)  # type: ignore[arg-type]

    def lines(self) -> list[Line]:
        """All lines, in the order in which the resources were named."""
        with self._lock:
            return list(self._lines.values())

    def totals(self) -> Totals:
        """Sums over the lines, and the time left by the share of the windows that is covered."""
        lines = self.lines()
        seconds = self._clock() - self._started
        share = sum(1.0 if _is_over(line) else line.share for line in lines) / len(lines) if lines else 1.0
        return Totals(
            rows=sum(line.rows for line in lines),
            requests=sum(line.requests for line in lines),
            seconds=seconds,
            finished=sum(map(_is_over, lines)),
            resources=len(lines),
            seconds_left=seconds * (1 - share) / share if share > 0 else None,
        )


def _is_over(line: Line) -> bool:
    return line.status in ("complete", "error", "skipped")
