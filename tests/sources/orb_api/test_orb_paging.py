"""Paging Orb's lists over HTTP, from a simulated account that refuses a cursor with other parameters."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from simulator.orb import OrbSimulator
from sources.catalogue import Resource
from sources.errors import BrokenPage, RequestRefused, SkipResource
from sources.fetch.fetch import Chunk, Failed
from sources.fetch.limiter import Limiter
from sources.fetch.pager import Converted, Horizon, Listing, Pager, Survey
from sources.fetch.progress import Progress
from sources.fetch.values import Page
from sources.fetch.windows import Window, merge
from sources.orb_api.catalogue import CATALOGUE
from sources.orb_api.client.client import Client
from sources.orb_api.client.settings import ClientSettings
from sources.orb_api.paging.lists import ListPager, WindowPager
from sources.orb_api.paging.pages import ORB_BEGAN
from sources.orb_api.paging.plan import fetch

NOW = 1_790_000_000
RESOURCES = CATALOGUE.resources


@pytest.fixture(scope="module")
def sim() -> Iterator[OrbSimulator]:
    with OrbSimulator(seed=4, customers=40, now=NOW, running=False) as simulator:
        yield simulator


@pytest.fixture
def client(sim: OrbSimulator) -> Iterator[Client]:
    settings = ClientSettings(api_key=sim.key, api_base=sim.url, max_retries=1)
    with Client(settings, Limiter(None, None), sleep=lambda seconds: None) as opened:
        sim.log.clear()
        yield opened
    sim.faults.clear()
    sim.api.lacks.clear()
    sim.api.largest.clear()


def small(name: str, limit: int = 4) -> Resource:
    return replace(RESOURCES[name], limit=limit)


def ids(sim: OrbSimulator, table: str) -> list[str]:
    return sorted(obj["id"] for obj in sim.account.objects(table))


class Driven:
    """Pagers that are driven by hand: which of them asks next, and when a window is divided, is the test's."""

    def __init__(self, client: Client, *pagers: Pager) -> None:
        self.client, self.found, self.progress = client, list[str](), Progress()
        self.steps = [(pager, step) for pager in pagers for step in pager.begin()]

    def advance(self, place: int = 0) -> None:
        pager, step = self.steps.pop(place)
        assert step.request is not None
        try:
            turn = pager.turn(step, self.client.attempt(step.request))
        except RequestRefused as error:
            again = pager.refused(step, error)
            if again is None:
                raise
            turn = again
        self.found += [obj["id"] for listing in turn.listings for obj in listing.objects]
        self.progress = self.progress.apply(turn.advance)
        self.steps += [(pager, each) for each in (*turn.at_once, *turn.then)]

    def finish(self) -> None:
        while self.steps:
            self.advance()


def window_pager(resource: Resource) -> WindowPager:
    return WindowPager(resource, "key", resource.passes[0], Window(0, NOW), Survey(Horizon(ORB_BEGAN)))


def list_pager(resource: Resource, progress: Progress | None = None) -> ListPager:
    before = (progress or Progress()).listed.get("key")
    return ListPager(resource, "key", resource.passes[0], before, 0)


# --- windows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_however_a_window_is_divided_every_object_comes_once_and_the_windows_tile(
    sim: OrbSimulator, client: Client, seed: int
) -> None:
    chance, name = random.Random(seed), ("customers", "invoices", "subscriptions")[seed % 3]
    first = window_pager(small(name, chance.randint(2, 9)))
    driven, parts = Driven(client, first), [first]
    while driven.steps:
        driven.advance(chance.randrange(len(driven.steps)))
        if (older := chance.choice(parts).split()) is not None:
            parts.append(older)
            driven.steps += [(older, step) for step in older.begin()]
    table = sim.account.objects(name)
    expected = sorted(each["id"] for each in table if each.get("status") != "draft" or name != "invoices")
    assert sorted(driven.found) == expected
    assert driven.progress.covered["key"] == (Window(0, NOW),)
    assert len(parts) > 1
    assert all(part.is_done for part in parts)


def test_a_divided_window_keeps_the_bounds_of_its_first_page(sim: OrbSimulator, client: Client) -> None:
    pager = window_pager(small("customers"))
    driven = Driven(client, pager)
    driven.advance()
    assert pager.split() is not None
    driven.finish()
    asked = [re.sub(r"&cursor=.*", "", request) for request in sim.log]
    assert len(set(asked)) == 1
    assert pager.gte > 0


def test_a_refused_cursor_begins_again_at_the_top_of_what_is_left(sim: OrbSimulator, client: Client) -> None:
    driven = Driven(client, window_pager(small("customers")))
    driven.advance()
    driven.advance()
    sim.clock.advance(86_500)
    driven.finish()
    assert sorted(set(driven.found)) == ids(sim, "customers")
    assert max(Counter(driven.found).values()) <= 2  # those of the last second before the cursor, at most
    assert driven.progress.covered["key"] == (Window(0, NOW),)
    begun = [request for request in sim.log if "cursor" not in request]
    assert len(begun) == 2
    assert begun[0] != begun[1]


def test_a_cursor_that_is_always_refused_is_an_error_in_the_end(sim: OrbSimulator, client: Client) -> None:
    class Stuck(WindowPager):
        def cursor_after(self, page: Page) -> str:
            self._query.cursor = "none of Orb's"
            return self._query.cursor

    unordered = replace(small("customers"), newest_first=False)
    driven = Driven(client, Stuck(unordered, "key", (), Window(0, NOW), Survey(Horizon(ORB_BEGAN))))
    with pytest.raises(RequestRefused, match="cursor is not valid"):
        driven.finish()


@pytest.mark.parametrize("make", [window_pager, list_pager])
@pytest.mark.parametrize("largest", [60, 3, 1])
def test_a_page_that_is_too_large_is_asked_for_by_halves(
    sim: OrbSimulator, client: Client, make: Any, largest: int
) -> None:
    name = "customers" if make is window_pager else "event_backfills"
    sim.api.largest[name] = largest
    driven = Driven(client, make(RESOURCES[name]))
    driven.finish()
    assert sorted(driven.found) == ids(sim, name)
    limits = [int(request.partition("limit=")[2].partition("&")[0]) for request in sim.log]
    assert limits[0] == 100
    assert limits == sorted(limits, reverse=True)
    assert min(limits) in (50, 3, 1)


def test_a_page_of_one_object_that_is_too_large_is_an_error(sim: OrbSimulator, client: Client) -> None:
    sim.api.largest["customers"] = 0
    with pytest.raises(RequestRefused, match="too large"):
        Driven(client, window_pager(RESOURCES["customers"])).finish()


def test_the_limit_falls_under_a_cursor_too(sim: OrbSimulator, client: Client) -> None:
    driven = Driven(client, window_pager(small("customers", 16)))
    driven.advance()
    sim.api.largest["customers"] = 5
    driven.finish()
    assert sorted(driven.found) == ids(sim, "customers")
    assert len([request for request in sim.log if "cursor" not in request]) == 1


# --- lists ------------------------------------------------------------------------------------------------------------


def test_a_list_that_was_broken_off_goes_on_and_then_reads_what_has_come_to_its_top(
    sim: OrbSimulator, client: Client
) -> None:
    killed = Driven(client, list_pager(small("event_backfills", 3)))
    killed.advance()
    saved = Progress.from_json(killed.progress.to_json())
    new = sim.account.create("event_backfills", sim.account.objects("event_backfills")[0] | {"id": "brandnew"})
    try:
        sim.log.clear()
        resumed = Driven(client, list_pager(small("event_backfills", 3), saved))
        resumed.finish()
        assert sorted({*killed.found, *resumed.found}) == ids(sim, "event_backfills")
        assert new["id"] in resumed.found
        assert "cursor" in sim.log[0]
        assert resumed.progress.listed["key"].finished
    finally:
        sim.account.delete("event_backfills", "brandnew")


def test_a_saved_cursor_that_has_expired_begins_the_list_anew(sim: OrbSimulator, client: Client) -> None:
    killed = Driven(client, list_pager(small("event_backfills", 3)))
    killed.advance()
    sim.clock.advance(86_500)
    resumed = Driven(client, list_pager(small("event_backfills", 3), killed.progress))
    resumed.finish()
    assert sorted(resumed.found) == ids(sim, "event_backfills")


def test_a_list_that_was_read_to_its_end_is_read_whole_again(sim: OrbSimulator, client: Client) -> None:
    first = Driven(client, list_pager(small("license_types", 1)))
    first.finish()
    again = Driven(client, list_pager(small("license_types", 1), first.progress))
    again.finish()
    assert sorted(first.found) == sorted(again.found) == ids(sim, "license_types")


# --- a run over many lists --------------------------------------------------------------------------------------------


def nothing(resource: Resource, listings: Sequence[Listing]) -> Converted:
    ids = [obj["id"] for listing in listings for obj in listing.objects]
    return {"ids": pa.table({"id": ids})}, len(ids)


def read(client: Client, *resources: Resource, **options: Any) -> tuple[dict[str, list[str]], dict[str, Exception]]:
    """Ids by resource, and what failed."""
    found: dict[str, list[str]] = {resource.name: [] for resource in resources}
    failed: dict[str, Exception] = {}
    with fetch(client, resources, convert=nothing, until=NOW, workers=4, **options) as pages:
        for page in pages:
            if isinstance(page, Chunk) and page.tables:
                found[page.resource] += page.tables["ids"]["id"].to_pylist()
            elif isinstance(page, Failed):
                failed[page.resource] = page.error
    return found, failed


def test_every_list_is_read_with_all_that_it_hides(sim: OrbSimulator, client: Client) -> None:
    roots = [resource for resource in CATALOGUE.select(["all"]) if not (resource.parents or resource.range_params)]
    found, failed = read(client, *roots)
    assert failed == {}
    by_table: dict[str, list[str]] = {}
    for name, some in found.items():
        by_table.setdefault(RESOURCES[name].table, []).extend(some)
    assert {table: sorted(some) for table, some in by_table.items()} == {table: ids(sim, table) for table in by_table}
    assert sum(map(len, by_table.values())) > 300


def test_only_what_progress_leaves_is_read(sim: OrbSimulator, client: Client) -> None:
    covered = Progress({"": merge([Window(0, NOW - 86_400)])})
    found, failed = read(client, RESOURCES["customers"], progress={"customers": covered})
    assert (found, failed) == ({"customers": []}, {})
    assert len(sim.log) == 1
    assert "gte%5D=2026-09-20T" in sim.log[0]


def test_a_feature_that_is_off_and_a_broken_page_stop_their_own_lists_only(sim: OrbSimulator, client: Client) -> None:
    sim.api.lacks.add("license_types")
    sim.faults.add("replace", path="/v1/items", old=b"pagination_metadata", new=b"pagination")
    found, failed = read(client, *(RESOURCES[name] for name in ("license_types", "items", "plans")))
    assert {name: type(error) for name, error in failed.items()} == {
        "license_types": SkipResource,
        "items": BrokenPage,
    }
    assert "has no pagination_metadata" in str(failed["items"])
    assert sorted(found["plans"]) == ids(sim, "plans")


def test_a_page_whose_next_page_is_itself_is_broken(client: Client) -> None:
    pager = list_pager(small("license_types", 1))
    (step,) = pager.begin()
    assert step.request is not None
    page = client.attempt(step.request)
    pager.turn(step, page)
    with pytest.raises(BrokenPage, match="does not advance"):
        pager.turn(step, page)
