"""Completes the embedded lists of a page, which Stripe cuts at about ten entries. Starts no thread, sends no request.

A page with incomplete lists is held back until the rest of each list has been read, including lists embedded in the
rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from sources.catalogue import Embedded, Params, Table
from sources.errors import ObjectMissing, RequestRefused
from sources.fetch.http.client import request
from sources.fetch.pager import Step
from sources.fetch.values import Object, Page, Request
from sources.fetch.window_pager import RESTARTS
from sources.stripe_api.paging.conventions import cursor_after, expansions

Tables = Mapping[str, Table]
PAGE_SIZE = 100


@dataclass(slots=True, eq=False)
class Gap:
    """An incomplete embedded list: `listed` is Stripe's list object, which is filled in place.

    `expand` are the parameters that request its objects with their own embedded lists.
    """

    listed: dict[str, Any]
    embedded: Embedded
    owner_id: str
    expand: Params
    restarts: int = 0


class Completion:
    """The gaps of one page; `step` is the step that requested it.

    With `goes_up`, gaps are completed, and parts handed over, from the page's last object upwards.
    """

    def __init__(self, table: str, tables: Tables, step: Step, page: Page, *, goes_up: bool = False) -> None:
        self.step, self.page, self._table, self._tables, self._goes_up = step, page, table, tables, goes_up
        self.gaps = list(gaps(table, self._in_order(), tables))

    @property
    def is_done(self) -> bool:
        """Whether the page can be handed over."""
        return not self.gaps

    def part(self) -> Page | None:
        """The page up to the first object with a gap; None if the page's first object has one."""
        objects = list(takewhile(lambda obj: not any(gaps(self._table, [obj], self._tables)), self._in_order()))
        if self._goes_up:
            objects.reverse()
        return replace(self.page, objects=objects, has_more=True, next_page=None) if objects else None

    def _in_order(self) -> Sequence[Object]:
        return self.page.objects[::-1] if self._goes_up else self.page.objects

    def begin(self) -> list[Step]:
        """The first request for each gap."""
        return [Step(_request(gap), gap) for gap in self.gaps]

    def turn(self, step: Step, page: Page) -> list[Step]:
        """Adds a page to its embedded list; returns further steps."""
        gap: Gap = step.tag
        cursor = cursor_after(page, _cursor(gap)) if page.has_more else None
        gap.listed["data"] += page.objects
        found = list(gaps(gap.embedded.table, page.objects, self._tables))
        self.gaps += found
        steps = [Step(_request(gap), gap) for gap in found]
        if cursor is not None:
            return [Step(_request(gap), gap), *steps]
        gap.listed["has_more"] = False
        self.gaps.remove(gap)
        return steps

    def refused(self, step: Step, error: RequestRefused) -> list[Step] | None:
        """If the cursor's object is deleted, reads that list from its start. If the list's owner is deleted, its list
        stays cut.
        """
        gap: Gap = step.tag
        if not isinstance(error, ObjectMissing):
            return None
        if error.param == "starting_after" and gap.restarts < RESTARTS:
            gap.listed["data"], gap.restarts = [], gap.restarts + 1
            return [Step(_request(gap), gap)]
        if error.param == "starting_after":
            return None
        self.gaps.remove(gap)
        return []

    def pass_by(self, step: Step) -> str:
        """Leaves a list cut that cannot be read to its end. It is then not whole, so none of its rows is marked as
        deleted.
        """
        gap: Gap = step.tag
        self.gaps.remove(gap)
        return gap.owner_id


def gaps(table: str, objects: Sequence[Object], tables: Tables) -> Iterator[Gap]:
    """The incomplete embedded lists in objects of a table, at any depth."""
    described = tables.get(table)
    if described is None or not described.embedded:
        return
    for obj in objects:
        for embedded in described.embedded:
            listed = _at(obj, embedded.field)
            entries = listed.get("data") if isinstance(listed, dict) else None
            if not isinstance(entries, list):
                continue
            owner = obj.get(described.key[0] if described.key else "id")
            if listed.get("has_more") is True and isinstance(owner, str):
                yield Gap(listed, embedded, owner, expansions(embedded.table, tables))
            if entries:  # most are empty
                yield from gaps(embedded.table, [entry for entry in entries if isinstance(entry, dict)], tables)


def _at(obj: Object, path: str) -> Any:
    value: Any = obj
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _cursor(gap: Gap) -> str | None:
    entries = gap.listed["data"]
    last = entries[-1].get("id") if entries and isinstance(entries[-1], dict) else None
    return last if isinstance(last, str) else None


def _request(gap: Gap) -> Request:
    cursor = _cursor(gap)
    own = tuple((name, value.replace("{id}", gap.owner_id)) for name, value in gap.embedded.params)
    after: Params = (("starting_after", cursor),) if cursor is not None else ()
    size: Params = (("limit", str(PAGE_SIZE)),)
    return request(gap.embedded.path, (*size, *own, *gap.expand, *after), {"id": gap.owner_id})
