"""The interface between a run and its pagers: steps (requests to send), and turns (what follows from an answer).

A pager is the state of paging one list, or one window of it. It receives answers one at a time, and returns the next
requests and the objects to hand over. It sends nothing, waits for nothing and knows no thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from sources.catalogue import Resource
from sources.errors import RequestRefused
from sources.fetch.progress import Advance
from sources.fetch.values import Object, Page, Request

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects to convert together: those of one page, or of one parent's list. `as_of` is in unix seconds.

    `whole` says that they are all the children that `parent_id` had at `as_of`.
    """

    objects: list[Object]
    as_of: int
    parent_id: str | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A request to send or, if `request` is None, parents to load. `tag` is for the pager: it identifies the step's
    list.
    """

    request: Request | None
    tag: Any = None
    parents: Callable[[], Any] = list


@dataclass(slots=True)
class Turn:
    """What follows from an answer: steps to take at once, objects to hand over, and steps to take after that."""

    at_once: list[Step] = field(default_factory=list)
    listings: list[Listing] = field(default_factory=list)
    advance: Advance | None = None
    then: list[Step] = field(default_factory=list)

    @property
    def hands_over(self) -> bool:
        """Whether there is anything for the consumer: objects, or progress without objects."""
        return bool(self.listings) or self.advance is not None


class Pager(Protocol):
    """Pages one list, or a part of it."""

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to request or to hand over."""
        ...

    @property
    def goes_up(self) -> bool:
        """Whether it pages upwards, towards newer objects: the next page follows the first object of a page, not the
        last.
        """
        ...

    def begin(self) -> list[Step]:
        """The first steps."""
        ...

    def turn(self, step: Step, answer: Any) -> Turn:
        """What follows from a step's page (or parents). Raises BrokenPage."""
        ...

    def refused(self, step: Step, error: RequestRefused) -> Turn | None:
        """How to continue after a refusal, such as that of a deleted cursor; None if the refusal is an error."""
        ...

    def handed_over(self) -> Turn:
        """What follows once the last turn's objects have been handed over."""
        ...

    def pass_by(self, step: Step) -> tuple[str, Turn] | None:
        """Leaves out a single object's list that cannot be read.

        Returns the object's id, and what follows; None if the step belongs to no such list.
        """
        ...


class Divisible(ABC):
    """A pager of one window of a list that can give a part of its window to another pager.

    `[gte, lt)`, times of creation in unix seconds, is not covered yet.
    """

    gte: int
    lt: int
    is_divisible: bool

    @property
    @abstractmethod
    def floor(self) -> int:
        """The second in which the window's oldest object is likely to be."""

    @property
    @abstractmethod
    def expected(self) -> float:
        """An estimate of the objects that are left."""

    @abstractmethod
    def split(self) -> Pager | None:
        """Splits off the older part of what is left, as a new pager; None if either part would be empty."""


class Completion(Protocol):
    """Reads the rest of the lists that are embedded in a page's objects, before the page is handed over.

    `page` is that page, `step` the step that requested it.
    """

    step: Step
    page: Page

    @property
    def is_done(self) -> bool:
        """Whether the page can be handed over."""
        ...

    def part(self) -> Page | None:
        """The page up to the first incomplete object; None if the page's first object is incomplete."""
        ...

    def begin(self) -> list[Step]:
        """The first steps."""
        ...

    def turn(self, step: Step, page: Page) -> list[Step]:
        """Adds a page to its embedded list; returns further steps. Raises BrokenPage."""
        ...

    def refused(self, step: Step, error: RequestRefused) -> list[Step] | None:
        """How to continue after a refusal; None if the refusal is an error."""
        ...

    def pass_by(self, step: Step) -> str:
        """Leaves out an embedded list that cannot be read to its end. Returns the id of its object."""
        ...


@dataclass(slots=True)
class Horizon:
    """The second before which nothing has been found so far. It only decides what is read first; older seconds are read
    too.
    """

    second: int


@dataclass(slots=True)
class Survey:
    """How densely objects lie in the windows of one resource so far: `found` objects in `seconds` seconds."""

    horizon: Horizon
    found: int = 0
    seconds: int = 0

    @property
    def per_second(self) -> float:
        """Objects a second; infinite before anything is known."""
        return self.found / self.seconds if self.seconds else inf


Converted: TypeAlias = "tuple[Mapping[str, pa.Table], int]"
"""Arrow tables by table name, and the number of rows in them without set markers, which are not stored as rows."""

Convert: TypeAlias = "Callable[[Resource, Sequence[Listing]], Converted]"
"""Converts listings of a resource, each with its own `as_of` and parent. It is called from one thread, which is not the
consumer's, and may change the objects."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows to store together, with the advance to save after them. `requests` were sent since the last chunk.

    An advance without rows covers a range without objects. Rows without an advance are part of a second, or of a list,
    whose rest has not been read yet.
    """

    resource: str
    tables: Mapping[str, pa.Table]
    rows: int
    nbytes: int
    requests: int
    advance: Advance | None


@dataclass(frozen=True, slots=True)
class Finished:
    """The resource has been read to its end, and all its chunks were delivered before. `requests` and `seconds` are
    totals.
    """

    resource: str
    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The resource ended with `error`. Its chunks delivered before are valid, and their progress is kept."""

    resource: str
    error: Exception
    requests: int
    seconds: float


Delivery: TypeAlias = Chunk | Finished | Failed
