"""What reading a provider's log of events yields: pieces, newest first. Knows no provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sources.errors import ConnectorError
from sources.fetch.values import Object
from sources.fetch.windows import Window


@dataclass(frozen=True, slots=True)
class Piece:
    """Events, newest first, as they were at `as_of` (unix seconds). If `done` is set, they are all events created in
    it.

    `unusable` are entries of the list that are not events: they lack an id, or a creation time within the window.
    """

    events: list[Object]
    as_of: int
    done: Window | None
    unusable: Sequence[Object] = ()


class NoEvents(ConnectorError):
    """The account has no log of events, or the key lacks the permission to read it."""


class Pieces(Protocol):
    """The function that reads a log, as `sources.stripe_api.events.reading.pieces` does."""

    def __call__(
        self, client: Any, gte: int, lt: int | None, lag: int, clock: Callable[[int], None]
    ) -> Iterator[Piece]:
        """The events created in `[gte, lt)`, unix seconds; without `lt`, up to `lag` seconds ago. Raises NoEvents."""
        ...
