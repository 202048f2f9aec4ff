"""Everything read page by page over HTTP is what the account says it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest

from sources.catalogue import Embedded, Resource
from sources.stripe_api.catalogue import RESOURCES, TABLES, select
from sources.stripe_api.paging.conventions import expansions
from tests.simulator.conftest import NOON, Reader

Found = dict[str, dict[tuple[str, ...], tuple[str | None, dict[str, Any]]]]
DAY = 86400


class Crawler:
    """Reads resources as a patient reader would, one page after the other, and keeps rows by table and key."""

    def __init__(self, get: Reader) -> None:
        self.get = get
        self.found: Found = {table: {} for table in TABLES}

    def read(self, resource: Resource) -> None:
        expand = [(name, value.removeprefix("data.")) for name, value in expansions(resource.table, TABLES)]
        if resource.kind == "singleton":
            self.keep(resource.table, self.get(resource.path, *expand).json, None)
            return
        listed = [(name, f"data.{field}") for name, field in expand if field.count(".") < 3]
        for path, query, parent in self.places(resource):
            for chosen in resource.passes:
                for object in self.pages(resource, path, [*query, *chosen, *listed]):
                    self.keep(resource.table, object, parent)

    def places(self, resource: Resource) -> Iterator[tuple[str, list[tuple[str, object]], str | None]]:
        """The path, the parameters and the parent's id of every list of a resource."""
        above = [
            [(parent, row) for _, row in self.found[parent.table].values() if row["id"].startswith(parent.prefix)]
            for parent in resource.parents
        ]
        for chosen in product(*above):
            path, query, owner = resource.path, [], None
            for parent, row in chosen:
                also = [(name, row[column]) for name, column in parent.also]
                if any(value is None for _, value in also):
                    break
                query += also
                if parent.where == "path":
                    path = path.replace(f"{{{parent.param}}}", row["id"])
                else:
                    query.append((parent.param, row["id"]))
                if owner is None or parent.table == TABLES[resource.table].parent:
                    owner = row["id"]
            else:
                if resource.range_params:
                    bounds = (NOON // DAY * DAY - 1100 * DAY, NOON // DAY * DAY)
                    query += list(zip(resource.range_params, bounds, strict=True))
                yield path, query, owner

    def pages(self, resource: Resource, path: str, query: list[tuple[str, object]]) -> Iterator[dict[str, Any]]:
        if resource.limit is not None:
            query = [*query, ("limit", resource.limit)]
        if resource.pagination != "v2":
            yield from self.get.pages(path, *query)
            return
        answer = self.get(path, *query)
        yield from answer.json["data"]
        while following := answer.json["next_page_url"]:
            answer = self.get(following)
            yield from answer.json["data"]

    def keep(self, table: str, object: dict[str, Any], parent: str | None) -> None:
        for embedded in TABLES[table].embedded:
            self.take(object, table, embedded)
        for expanded in TABLES[table].expanded:
            entries = object[expanded.field] or []
            for each in [dict(entry) for entry in entries if "deleted" not in entry]:
                self.keep(expanded.table, each, None)
            object[expanded.field] = object[expanded.field] and [entry["id"] for entry in entries]
        for field in TABLES[table].shown_on_request:
            if object[field] is None:  # asked for, and not there
                del object[field]
        key = tuple(str(parent if name == "_parent_id" else object[name]) for name in TABLES[table].key)
        owner = (parent or object[TABLES[table].parent_field or "id"]) if TABLES[table].parent else None
        assert self.found[table].setdefault(key, (owner, object)) == (owner, object)

    def take(self, object: dict[str, Any], table: str, embedded: Embedded) -> None:
        *way, last = embedded.field.split(".")
        holder: Any = object
        for part in way:
            holder = holder and holder[part]
        if not holder:
            return
        listed, id = holder.pop(last), object[(*TABLES[table].key, "id")[0]]
        if listed["has_more"]:
            query = [(name, value.format(id=id)) for name, value in embedded.params]
            query += expansions(embedded.table, TABLES)
            listed["data"] = list(self.get.pages(embedded.path.format(id=id), *query, ("limit", 100)))
        for child in listed["data"]:
            self.keep(embedded.table, child, id)


@pytest.mark.parametrize("group", ["default", "all"])
def test_a_reader_finds_the_truth(get: Reader, group: str) -> None:
    crawler, resources = (
        Crawler(get),
        [resource for resource in select([group]) if resource.name != "scheduled_query_runs"],
    )
    for resource in resources:
        crawler.read(resource)
    truth = get.sim.account.truth([resource.name for resource in resources])
    for table in TABLES:
        assert crawler.found[table] == {key: (each.parent, each.object) for key, each in truth[table].items()}, table


def test_every_list_has_something_to_show(get: Reader) -> None:
    truth = get.sim.account.truth()
    empty = {r.table for r in RESOURCES.values() if r.not_loaded is None and not truth[r.table]}
    # One is live mode's only; calculations and transactions of tax are in no list, so nothing leads to their lines.
    assert empty == {"scheduled_query_runs", "tax_calculation_line_items", "tax_transaction_line_items"}


def test_the_same_seed_makes_the_same_account(simulate: Callable[..., Reader]) -> None:
    one, two, other = simulate(customers=8), simulate(customers=8), simulate(customers=8, seed=4)
    assert one.sim.account.truth() == two.sim.account.truth()
    assert one.sim.account.truth()["customers"].keys() != other.sim.account.truth()["customers"].keys()


def test_the_truth_knows_what_was_deleted(simulate: Callable[..., Reader]) -> None:
    account = simulate(customers=3).sim.account
    invoice = account.objects("invoices")[0]["id"]
    lines = {held.key for held in account.rows("invoice_line_items") if held.parent == invoice}
    account.delete("invoices", invoice)
    truth = account.truth()
    assert (invoice,) not in truth["invoices"]
    assert not lines & truth["invoice_line_items"].keys()
    assert account.deleted["invoices"][invoice].at == NOON


def test_every_list_goes_on_from_its_first_object(get: Reader) -> None:
    crawler, cursors = Crawler(get), set()
    for resource in select(["all"]):
        if resource.name == "scheduled_query_runs" or resource.kind == "singleton":
            continue
        crawler.read(resource)
        if resource.pagination != "cursor":
            continue
        for path, query, _ in crawler.places(resource):
            query = [*query, *resource.passes[0]]
            first, *rest = [*get(path, *query).ids, None]
            if first is not None:
                after = get(path, *query, ("starting_after", first))
                assert (after.status, after.ids[:8]) == (200, [id for id in rest if id][:8]), path
                cursors.add(resource.name)
                break
    assert {"billing_meter_event_summaries", "persons", "customers"} <= cursors
