"""A list of Stripe's in memory, with the rules that paging rests on: order, cursors, windows, page sizes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sources.catalogue import Resource
from sources.errors import ObjectMissing
from sources.fetch.values import Page, Request


def windowed(name: str = "charges", limit: int = 3, **fields: Any) -> Resource:
    """A list that takes `created`."""
    return Resource(
        **{
            "name": name,
            "path": f"/v1/{name}",
            "table": name,
            "objects": ("charge",),
            "kind": "root",
            "created": "unix",
            "limit": limit,
            "newest_first": True,
            "created_field": "created",
            **fields,
        }
    )


def plain(name: str = "quotes", limit: int = 3, **fields: Any) -> Resource:
    """A list that takes no `created`, though its objects show it and come newest first."""
    return windowed(name, limit, created="none", **fields)


@dataclass
class ModelList:
    """Objects by id with the second of their creation, in the order in which they were made."""

    objects: dict[str, int] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)
    now: int = 10_000

    @classmethod
    def of(cls, seconds: Iterable[int]) -> ModelList:
        """A list whose objects were created in these seconds."""
        model = cls()
        for second in sorted(seconds):
            model.add(second)
        return model

    def add(self, second: int) -> str:
        """A new object, newer than all others of its second."""
        id = f"obj_{len(self.objects):05d}"
        self.objects[id] = second
        return id

    def answer(self, request: Request) -> Page:
        """The page that a request gets. Raises ObjectMissing for a cursor that is not there."""
        self.asked.append(request)
        params = dict(request.params)
        gte, lt = int(params.get("created[gte]", 0)), int(params.get("created[lt]", 2**40))
        newest_first = sorted(self.objects, key=lambda id: (self.objects[id], id), reverse=True)
        after, before = params.get("starting_after"), params.get("ending_before")
        for name, id in (("starting_after", after), ("ending_before", before)):
            if id is not None and id not in self.objects:
                raise ObjectMissing(f"No such object: '{id}'", param=name, code="resource_missing", status=400)
        shown = [id for id in newest_first if gte <= self.objects[id] < lt]
        limit = int(params["limit"])
        if after is not None:
            shown = [id for id in shown if self._place(id) < self._place(after)]
        if before is not None:
            newer = [id for id in shown if self._place(id) > self._place(before)]
            return self._page(newer[-limit:], len(newer) > limit)
        return self._page(shown[:limit], len(shown) > limit)

    def _place(self, id: str) -> tuple[int, str]:
        return self.objects[id], id

    def _page(self, ids: list[str], has_more: bool) -> Page:
        objects = [{"id": id, "object": "charge", "created": self.objects[id]} for id in ids]
        return Page(objects, has_more, None, self.now, 1, 100, "req_1")
