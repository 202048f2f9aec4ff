"""What a run over an API and its pagers have in common: steps to take, and turns that follow from answers.

A pager is the state of paging one list, or one window of it. It receives answers one at a time and says what to ask
for next and what to hand over; it sends nothing, waits for nothing and knows no thread.
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
    """Objects to convert together: of one page, or the list of one parent. `as_of` in unix seconds.

    `whole` says that these are all the children that `parent_id` had at `as_of`.
    """

    objects: list[Object]
    as_of: int
    parent_id: str | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A request to send or, without one, parents to load. `tag` is the pager's own note of what it is about."""

    request: Request | None
    tag: Any = None
    parents: Callable[[], Any] = list


@dataclass(slots=True)
class Turn:
    """What follows from an answer: steps that can go at once, what to hand over, and steps that go after that."""

    at_once: list[Step] = field(default_factory=list)
    listings: list[Listing] = field(default_factory=list)
    advance: Advance | None = None
    then: list[Step] = field(default_factory=list)

    @property
    def hands_over(self) -> bool:
        """Whether there is anything for the consumer: objects, or progress without any."""
        return bool(self.listings) or self.advance is not None


class Pager(Protocol):
    """Pages one list, or a part of it."""

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to ask and nothing to hand over."""
        ...

    @property
    def goes_up(self) -> bool:
        """Whether it goes on from the first object of a page, not from the last: up from a bookmark."""
        ...

    def begin(self) -> list[Step]:
        """The first steps."""
        ...

    def turn(self, step: Step, answer: Any) -> Turn:
        """What follows from the page (or the parents) that a step has brought. Raises BrokenPage."""
        ...

    def refused(self, step: Step, error: RequestRefused) -> Turn | None:
        """How to go on after a refusal, such as of a cursor that has been deleted; None where it is an error."""
        ...

    def handed_over(self) -> Turn:
        """What follows from the last turn's objects having been handed over."""
        ...

    def pass_by(self, step: Step) -> tuple[str, Turn] | None:
        """Leaves out the list of a single object that cannot be read: the object's id, and what follows.

        None where the step is about no such list.
        """
        ...


class Divisible(ABC):
    """A pager of a window of a list, by its objects' times of creation in unix seconds, which can share it out.

    `[gte, lt)` is what is not covered yet.
    """

    gte: int
    lt: int
    is_divisible: bool

    @property
    @abstractmethod
    def floor(self) -> int:
        """Where the objects of the window are likely to begin."""

    @property
    @abstractmethod
    def expected(self) -> float:
        """How many objects are left, as far as one can tell."""

    @abstractmethod
    def split(self) -> Pager | None:
        """Gives away the older part of what is left, as a pager of its own; None where a part would hold no second."""


class Completion(Protocol):
    """What a page waits for before it is handed over: the rest of lists that are embedded in its objects.

    `step` and `page` are what it is held back from.
    """

    step: Step
    page: Page

    @property
    def is_done(self) -> bool:
        """Whether the page can be handed over."""
        ...

    def part(self) -> Page | None:
        """The page up to the first object that is not complete, None where that is the first one."""
        ...

    def begin(self) -> list[Step]:
        """The first steps."""
        ...

    def turn(self, step: Step, page: Page) -> list[Step]:
        """Puts a page where it belongs; gives what else has to be asked. Raises BrokenPage."""
        ...

    def refused(self, step: Step, error: RequestRefused) -> list[Step] | None:
        """How to go on after a refusal; None where it is an error."""
        ...

    def pass_by(self, step: Step) -> str:
        """Leaves out an embedded list that cannot be read to its end; the id of the object that it belongs to."""
        ...


@dataclass(slots=True)
class Horizon:
    """The second before which nothing has been found so far: where to look first, never where not to look."""

    second: int


@dataclass(slots=True)
class Survey:
    """What the windows of one resource have shown so far: how many objects in how many seconds that had any."""

    horizon: Horizon
    found: int = 0
    seconds: int = 0

    @property
    def per_second(self) -> float:
        """Objects a second; infinite before anything is known."""
        return self.found / self.seconds if self.seconds else inf


Converted: TypeAlias = "tuple[Mapping[str, pa.Table], int]"
"""Arrow tables by table name, and how many of their rows will be rows in the database: set markers are not."""

Convert: TypeAlias = "Callable[[Resource, Sequence[Listing]], Converted]"
"""Converts the objects of a resource, each listing with its own `as_of` and parent. It may change the objects. Called
from one thread, which is not the consumer's."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows to store together, with the advance to save after them. `requests` were spent since the last chunk.

    An advance without rows says that there is nothing in what it covers; rows without one are of a second, or of a
    list, that is not read to its end.
    """

    resource: str
    tables: Mapping[str, pa.Table]
    rows: int
    nbytes: int
    requests: int
    advance: Advance | None


@dataclass(frozen=True, slots=True)
class Finished:
    """The resource has been read to its end; all its chunks came before. Its requests and seconds in all."""

    resource: str
    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The resource came to nothing more: `error` says why. What came before is good, and its progress stands."""

    resource: str
    error: Exception
    requests: int
    seconds: float


Delivery: TypeAlias = Chunk | Finished | Failed
