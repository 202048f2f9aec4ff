"""Pages a list that takes a parent: one list for each parent, several at once, handed over in the parents' order.

Several parents' lists are handed over together, each whole; only a very long one is handed over in pieces. A provider
adds how a request is made, and how to continue after a page. Starts no thread and sends no request.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from sources.catalogue import Catalogue, Params, Resource
from sources.errors import ObjectMissing, RequestRefused
from sources.fetch.pager import Listing, Step, Turn
from sources.fetch.parents.rows import ParentIds, Rows, rows_after
from sources.fetch.progress import Ids, Reached
from sources.fetch.values import Object, Page, Request
from sources.fetch.window_pager import RESTARTS

BREADTH = 16  # parents whose lists are read at once
LOADED = 500  # parents that are loaded at a time
TOGETHER = 500  # rows, or parents, that are handed over together
LONG = 5_000  # rows of one parent beyond which its list is handed over in pieces


@dataclass(slots=True)
class _List:
    """The list of one parent (or pair of parents), so far."""

    rows: Rows
    cursor: str | None = None
    pass_index: int = 0
    objects: list[Object] = field(default_factory=list)
    as_of: int | None = None
    whole: bool = True
    waits: bool = False  # long: read on only when it is first in order
    is_done: bool = False
    restarts: int = 0

    @property
    def ids(self) -> Ids:
        return tuple(row[0] for row in self.rows)


class ChildPager(ABC):
    """Pages the lists of the parents after those that an earlier run reached; of all parents if that run reached the
    last.

    `passes` returns the parameters of each pass over a parent's list. It is called once, by the worker that loads the
    first parents.
    """

    def __init__(
        self,
        resource: Resource,
        catalogue: Catalogue,
        passes: Callable[[], tuple[Params, ...]],
        before: Reached,
        parents: ParentIds,
    ) -> None:
        self.resource, self._passes_of = resource, passes
        self._passes: tuple[Params, ...] = ()
        before = Reached(None, False) if before.finished else before
        self._reached, self._within = before.parent, before.within
        self._ids = rows_after(resource, parents, before.parent)
        self._next: deque[Rows] = deque()
        self._open: deque[_List] = deque()
        self._loading = self._exhausted = self._handing_over = self._finished = False
        table = catalogue.tables.get(resource.table)
        names = [parent.table for parent in resource.parents]
        self._owner = names.index(table.parent) if table is not None and table.parent in names else None
        self._sets = table is not None and catalogue.gives_sets(resource)
        self.is_done = False

    @abstractmethod
    def request(self, ids: Mapping[str, str], params: Params, cursor: str | None) -> Request:
        """The request of a page of a parent's list: `ids` fill the path, `cursor` comes from the page before."""

    @abstractmethod
    def cursor_after(self, page: Page, request: Request, cursor: str | None) -> str:
        """The cursor for the page after this one, which `request` returned. Raises BrokenPage."""

    @property
    def goes_up(self) -> bool:
        """Never."""
        return False

    def begin(self) -> list[Step]:
        """Loads the first parents."""
        return [self._load()]

    def turn(self, step: Step, answer: Page | list[Rows]) -> Turn:
        """What follows from a page, or from parents that have been loaded."""
        if isinstance(answer, Page):
            return self._go_on(self._page(step.tag, answer))
        self._loading = False
        self._exhausted = len(answer) < LOADED
        self._next.extend(answer)
        return self._go_on([])

    def refused(self, step: Step, error: RequestRefused) -> Turn | None:
        """If a cursor has expired, reads that parent's list again. A parent that was deleted has no list."""
        listed: _List = step.tag
        if listed.cursor is None and isinstance(error, ObjectMissing):
            listed.objects, listed.whole, listed.is_done = [], False, True
            return self._go_on([])
        if listed.cursor is None or listed.restarts >= RESTARTS:
            return None
        listed.cursor, listed.objects, listed.as_of, listed.pass_index = None, [], None, 0
        listed.restarts += 1
        return Turn(at_once=[self._step(listed)])

    def again(self, step: Step) -> Step:
        """The same page of a parent's list again, with the present parameters."""
        return self._step(step.tag)

    def pass_by(self, step: Step) -> tuple[str, Turn]:
        """Leaves out a parent whose list cannot be read."""
        listed: _List = step.tag
        listed.objects, listed.whole, listed.is_done = [], False, True
        return "/".join(listed.ids), self._go_on([])

    def handed_over(self) -> Turn:
        """The next lists in the parents' order, if any are ready."""
        self._handing_over = False
        return self._go_on([])

    # --- lists -------------------------------------------------------------------------------------------------------

    def _page(self, listed: _List, page: Page) -> list[Step]:
        """Adds a page to a parent's list; returns the step for its next page, if any."""
        if page.has_more:
            listed.cursor = self.cursor_after(page, self._request(listed), listed.cursor)
        self._fill(listed, page.objects)
        listed.objects += page.objects
        listed.as_of = page.as_of if listed.as_of is None else min(listed.as_of, page.as_of)
        if page.has_more:
            listed.waits = len(listed.objects) >= LONG
            return [] if listed.waits else [self._step(listed)]
        if listed.pass_index + 1 < len(self._passes):
            listed.pass_index, listed.cursor = listed.pass_index + 1, None
            return [self._step(listed)]
        listed.is_done = True
        return []

    def _go_on(self, at_once: list[Step]) -> Turn:
        """Begins the lists of further parents, loads more parents, and hands over lists that are complete and first in
        order.
        """
        while self._next and sum(not pages.is_done for pages in self._open) < BREADTH and self._held < 4 * LONG:
            at_once.append(self._step(self._begin_list(self._next.popleft())))
        if len(self._next) < LOADED // 2 and not self._loading and not self._exhausted:
            at_once.append(self._load())
        turn = Turn(at_once=at_once)
        if not self._handing_over and not self._finished:
            self._hand_over(turn)
            self._handing_over = turn.hands_over
        self.is_done = self._finished and not self._handing_over
        return turn

    def _hand_over(self, turn: Turn) -> None:
        """Moves complete lists from the front into the turn once there are enough, or a piece of the first list if it
        is long.
        """
        ready = [pages for pages in self._front() if pages.is_done]
        rows = sum(len(pages.objects) for pages in ready)
        following = next(islice(self._open, len(ready), None), None)
        is_last = self._exhausted and not self._next and following is None
        waited_for = bool(ready) and following is not None and following.waits
        if is_last or waited_for or rows >= TOGETHER or len(ready) >= TOGETHER:
            for pages in ready:
                self._open.popleft()
                turn.listings += self._listing(pages)
                self._reached = pages.ids
            turn.advance, self._finished = Reached(self._reached, is_last), is_last
        elif self._open and self._open[0].waits:
            first = self._open[0]
            first.whole = False
            turn.listings += self._listing(first)
            first.objects, first.waits = [], False
            turn.advance = Reached(self._reached, False, (first.ids, first.cursor or ""))
            turn.then.append(self._step(first))

    def _front(self) -> Iterator[_List]:
        for pages in self._open:
            if not pages.is_done:
                return
            yield pages

    def _listing(self, listed: _List) -> list[Listing]:
        if listed.as_of is None or (not listed.objects and not (listed.whole and self._sets)):
            return []
        parent_id = listed.ids[self._owner] if self._owner is not None else None
        return [Listing(listed.objects, listed.as_of, parent_id, listed.whole and self._sets)]

    def _fill(self, listed: _List, objects: list[Object]) -> None:
        """Writes a request's parameters (`Parent.fills`) into its objects, which do not show them."""
        asked = list(zip(self.resource.parents, listed.ids, strict=True))
        if (each := self.resource.each) is not None:
            asked.append((each, dict(self._passes[listed.pass_index])[each.param]))
        for parent, value in asked:
            for obj in objects if parent.fills else ():
                obj[parent.fills.rpartition(".")[2]] = value

    def _begin_list(self, rows: Rows) -> _List:
        listed = _List(rows)
        if self._within is not None:
            ids, cursor = self._within
            if ids == listed.ids and len(self._passes) == 1:
                listed.cursor, listed.whole = cursor, False
            self._within = None
        self._open.append(listed)
        return listed

    @property
    def _held(self) -> int:
        return sum(len(pages.objects) for pages in self._open)

    # --- steps -------------------------------------------------------------------------------------------------------

    def _load(self) -> Step:
        self._loading = True
        return Step(None, parents=self._rows)

    def _rows(self) -> list[Rows]:
        """The next parents. One worker calls this at a time."""
        self._passes = self._passes or self._passes_of()
        return list(islice(self._ids, LOADED))

    def _step(self, listed: _List) -> Step:
        return Step(self._request(listed), listed)

    def _request(self, listed: _List) -> Request:
        ids: dict[str, str] = {}
        params = list(self._passes[listed.pass_index])
        for parent, row in zip(self.resource.parents, listed.rows, strict=True):
            if parent.where == "path":
                ids[parent.param] = row[0]
            else:
                params.append((parent.param, row[0]))
            params += [(name, value) for (name, _), value in zip(parent.also, row[1:], strict=True)]
        return self.request(ids, tuple(params), listed.cursor)
