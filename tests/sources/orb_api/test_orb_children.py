"""Paging Orb's lists that need a request for each parent, and its sums of events for each hour, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from simulator.orb import OrbSimulator
from sources.catalogue import Parent, Resource
from sources.errors import BadConfiguration, BrokenPage, RequestRefused, SkipResource
from sources.fetch.pager import Pager, Step, Turn
from sources.fetch.parents.rows import ParentIds
from sources.fetch.progress import Progress, Reached
from sources.orb_api.client.client import Client, limiter_of
from sources.orb_api.paging.children import ChildPager
from sources.orb_api.paging.pages import endpoint
from sources.orb_api.paging.volumes import VolumePager
from tests.sources.orb_api.test_orb_paging import NOW, RESOURCES, ids, read
from tests.sources.orb_api.test_orb_paging import client as client
from tests.sources.orb_api.test_orb_paging import sim as sim

LEDGER, BLOCKS, ALERTS = (RESOURCES[name] for name in ("credit_ledger_entries", "credit_blocks", "subscription_alerts"))
VOLUMES = RESOURCES["event_volumes"]


def parents_of(sim: OrbSimulator) -> ParentIds:
    """What the tables would say: the ids of parents, and the currencies that are known."""

    def parents(parent: Parent, after: str | None) -> Iterator[tuple[str, ...]]:
        known = ids(sim, parent.table) if parent.table else ["USD", "credits", "tokens"]
        return iter([(each,) for each in known if each > (after or "")])

    return parents


class Driven:
    """A pager that is driven by hand, one step after the other."""

    def __init__(self, client: Client, pager: Pager) -> None:
        self.client, self.pager = client, pager
        self.found, self.hours, self.progress = list[str](), list[str](), Progress()
        self.steps: list[Step] = pager.begin()

    def advance(self) -> None:
        step = self.steps.pop(0)
        try:
            answer = step.parents() if step.request is None else self.client.attempt(step.request)
            turn: Turn | None = self.pager.turn(step, answer)
        except RequestRefused as error:
            turn = self.pager.refused(step, error)
        assert turn is not None
        self.take(turn)
        while turn.hands_over:
            turn = self.pager.handed_over()
            self.take(turn)

    def take(self, turn: Turn) -> None:
        self.steps += [*turn.at_once, *turn.then]
        self.progress = self.progress.apply(turn.advance)
        for each in (obj for listing in turn.listings for obj in listing.objects):
            (self.found if "id" in each else self.hours).append(each.get("id") or each["timeframe_start"])

    def finish(self) -> None:
        while self.steps:
            self.advance()


def test_a_list_that_needs_parents_is_refused_without_them(client: Client) -> None:
    with pytest.raises(BadConfiguration, match="separate list for each parent"):
        read(client, BLOCKS)


@pytest.mark.parametrize("resource", [LEDGER, BLOCKS, RESOURCES["licenses"]], ids=lambda each: each.name)
def test_the_lists_of_all_parents_are_read_with_every_currency(
    sim: OrbSimulator, client: Client, resource: Resource
) -> None:
    found, failed = read(client, replace(resource, limit=1), parents=parents_of(sim))
    assert failed == {}
    assert sorted(found[resource.name]) == ids(sim, resource.table)
    assert len(ids(sim, resource.table)) > 20


def test_a_page_of_a_parents_list_that_is_too_large_is_asked_for_by_halves_down_to_one(
    sim: OrbSimulator, client: Client
) -> None:
    for largest, ends in ((1, {}), (0, {LEDGER.name: RequestRefused})):
        sim.api.largest["credit_ledger_entries"] = largest
        found, failed = read(client, LEDGER, parents=parents_of(sim))
        assert {name: type(error) for name, error in failed.items()} == ends
    sim.api.largest["credit_ledger_entries"] = 1
    sim.log.clear()
    found, _ = read(client, LEDGER, parents=parents_of(sim))
    assert sorted(found[LEDGER.name]) == ids(sim, "credit_ledger_entries")
    assert sum("limit=100" in request for request in sim.log) <= 20  # those that were under way at once


def test_a_parents_cursor_that_is_refused_begins_its_list_again(sim: OrbSimulator, client: Client) -> None:
    pager = ChildPager(replace(LEDGER, limit=1), Reached(None, False), parents_of(sim))
    driven = Driven(client, pager)
    while "cursor" not in "".join(sim.log):
        driven.advance()
    sim.clock.advance(86_500)
    driven.finish()
    assert pager.is_done
    assert sorted(driven.found) == ids(sim, "credit_ledger_entries")  # each of them once, in spite of it


def test_a_parents_list_that_is_broken_or_off_stops_itself_only(sim: OrbSimulator, client: Client) -> None:
    sim.api.lacks.add("licenses")
    sim.faults.add("replace", path="/v1/alerts", old=b"pagination_metadata", new=b"pagination")
    found, failed = read(client, RESOURCES["licenses"], ALERTS, LEDGER, parents=parents_of(sim))
    assert {name: type(error) for name, error in failed.items()} == {"licenses": SkipResource, ALERTS.name: BrokenPage}
    assert "has no pagination_metadata" in str(failed[ALERTS.name])
    assert sorted(found[LEDGER.name]) == ids(sim, "credit_ledger_entries")


def test_credits_are_asked_for_at_the_pace_of_their_own_limit(sim: OrbSimulator) -> None:
    limiter = limiter_of(100.0)
    assert limiter.rate(endpoint(LEDGER)) == pytest.approx(limiter.rate() / 10)
    assert endpoint(LEDGER) == endpoint(BLOCKS) == "ledger"
    assert endpoint(VOLUMES) == "analytics"
    assert limiter_of(float("inf")).rate("ledger") == float("inf")


def test_sums_of_events_are_read_in_ranges_of_a_page_and_go_on_where_they_were_cut(
    sim: OrbSimulator, client: Client
) -> None:
    sim.api.largest["event_volumes"] = 60
    killed = Driven(client, VolumePager(VOLUMES, "", None, 0, NOW))
    while len(sim.log) < 12:
        killed.advance()
    saved = Progress.from_json(killed.progress.to_json())
    resumed = Driven(client, VolumePager(VOLUMES, "", saved.listed[""], 0, NOW))
    resumed.finish()
    shown = killed.hours + resumed.hours
    assert sorted(shown) == sorted(obj["timeframe_start"] for obj in sim.account.objects("event_volumes"))
    assert 0 < len(killed.hours) < len(shown) == len(set(shown))
