"""Reading resources with threads over HTTP, from a simulated account. No test waits for a clock."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from simulator.http.limits import Budget
from sources.catalogue import Parent, Resource
from sources.errors import (
    AuthenticationFailed,
    BadConfiguration,
    BrokenPage,
    ServerFailed,
    SkipResource,
    Throttled,
)
from sources.fetch.fetch import Chunk, Failed, Fetch, Finished
from sources.fetch.limiter import Limiter
from sources.fetch.pager import Converted, Listing
from sources.fetch.progress import Progress
from sources.fetch.values import Reply, Request
from sources.rows import Stamp
from sources.stripe_api.catalogue import RESOURCES, TABLES, select
from sources.stripe_api.client.client import Client
from sources.stripe_api.client.settings import ClientSettings
from sources.stripe_api.objects.rows import explode, set_marker
from sources.stripe_api.paging.plan import fetch

if TYPE_CHECKING:
    from simulator import Simulator

Start = Callable[..., "Simulator"]
Key = tuple[str, ...]
NOW = 1_750_000_000


@dataclass
class Reader:
    """Reads a simulated account, and keeps what was handed over as rows by table."""

    sim: Simulator
    limiter: Limiter = field(default_factory=lambda: Limiter(None, None))
    max_retries: int = 5
    client: type[Client] = Client
    key: str | None = None
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    listings: list[tuple[str, Listing]] = field(default_factory=list)
    progress: dict[str, Progress] = field(default_factory=dict)
    chunks: list[Chunk] = field(default_factory=list)
    ends: dict[str, Finished | Failed] = field(default_factory=dict)

    def convert(self, resource: Resource, listings: Sequence[Listing]) -> Converted:
        """The tables carry the number of the row, as the plainest thing that says what was consumed."""
        found: dict[str, list[dict[str, Any]]] = {}
        for listing in listings:
            self.listings.append((resource.name, replace(listing, objects=[dict(obj) for obj in listing.objects])))
            stamp = Stamp(self.sim.account.id, listing.as_of, "list")
            for name, rows in explode(resource.table, listing.objects, stamp, parent_id=listing.parent_id).items():
                found.setdefault(name, []).extend(rows)
            if listing.whole and listing.parent_id is not None:
                found.setdefault(resource.table, []).append(set_marker(resource.table, listing.parent_id, stamp))
        tables = {}
        for name, rows in found.items():
            first = len(self.rows[name])
            self.rows[name] += rows
            tables[name] = pa.table({"row": list(range(first, first + len(rows)))})
        return tables, sum(map(len, found.values()))

    def parents(self, parent: Parent, after: str | None) -> Iterator[tuple[str, ...]]:
        """Parents as a database would give them, from the account itself."""
        held = sorted(self.sim.account.rows(parent.table), key=lambda row: row.key[0])
        for each in held:
            also = tuple(each.object.get(column) for _, column in parent.also)
            if each.key[0].startswith(parent.prefix) and None not in also and (after is None or each.key[0] > after):
                yield (each.key[0], *map(str, also))

    def fetch(self, resources: Sequence[Resource], **options: Any) -> Fetch:
        settings = ClientSettings(self.key or self.sim.key, self.sim.url, max_retries=self.max_retries)
        client = self.client(settings, self.limiter, chance=lambda: 0.0)
        chosen: dict[str, Any] = {"until": NOW + 1, "parents": self.parents, "workers": 8, **options}
        return fetch(client, resources, convert=self.convert, progress=self.progress, **chosen)

    def take(self, fetching: Fetch, most: int | None = None) -> Reader:
        """Consumes so many chunks, or all, applying their progress."""
        for each in fetching:
            if isinstance(each, Chunk):
                self.chunks.append(each)
                self.progress[each.resource] = self.progress.get(each.resource, Progress()).apply(each.advance)
                if most is not None and len(self.chunks) >= most:
                    break
            else:
                self.ends[each.resource] = each
        return self

    def read(self, resources: Sequence[Resource], **options: Any) -> Reader:
        with self.fetch(resources, **options) as fetching:
            return self.take(fetching)

    def keys(self, *, consumed: bool = False) -> dict[str, set[Key]]:
        """The keys of the rows by table, without set markers; `consumed`: only of rows in chunks that were taken."""
        taken: dict[str, list[dict[str, Any]]] = defaultdict(list)
        if consumed:
            for chunk in self.chunks:
                for name, table in chunk.tables.items():
                    taken[name] += [self.rows[name][row] for row in table["row"].to_pylist()]
        found = taken if consumed else self.rows
        return {name: {key_of(name, row) for row in rows if row["_source"] != "set"} for name, rows in found.items()}


def key_of(table: str, row: dict[str, Any]) -> Key:
    return tuple(str(row.get(name)) for name in TABLES[table].key)


def truth(sim: Simulator, names: Sequence[str]) -> dict[str, set[Key]]:
    held = sim.account.truth(names)
    return {
        table: {tuple(str(row.object.get(name, row.parent)) for name in TABLES[table].key) for row in rows.values()}
        for table, rows in held.items()
        if rows
    }


def small(resources: Sequence[Resource], limit: int = 4) -> list[Resource]:
    """The same lists in small pages."""
    return [
        replace(resource, limit=min(limit, resource.limit))
        if resource.limit and not resource.range_params
        else resource
        for resource in resources
    ]


def missing(sim: Simulator, names: Sequence[str], got: Mapping[str, set[Key]]) -> dict[str, set[Key]]:
    return {table: left for table, keys in truth(sim, names).items() if (left := keys - got.get(table, set()))}


@pytest.fixture
def sim(simulator: Start) -> Simulator:
    return simulator(customers=20, now=NOW, running=False)


CORE = ["customers", "charges", "invoices", "prices", "payment_methods", "subscriptions", "balance_transactions"]


# --- everything ------------------------------------------------------------------------------------------------------


def test_every_object_of_every_resource_arrives(sim: Simulator) -> None:
    resources = select(["all"])
    names = [resource.name for resource in resources]
    reader = Reader(sim).read(small(resources))
    assert {name: keys for name, keys in reader.keys().items() if keys} == truth(sim, names)
    failed = {name: end for name, end in reader.ends.items() if isinstance(end, Failed)}
    assert all(isinstance(end.error, SkipResource) for end in failed.values())
    assert reader.ends.keys() == set(names)
    chunked = {name: sum(chunk.requests for chunk in reader.chunks if chunk.resource == name) for name in names}
    for name, end in reader.ends.items():
        assert chunked[name] == end.requests or isinstance(end, Failed)
    assert sum(end.requests for end in reader.ends.values()) == sim.service.requests.total()


def test_second_run_asks_only_for_what_is_newer(sim: Simulator) -> None:
    resources = [resource for resource in select(["default"]) if resource.newest_first and resource.kind == "root"]
    reader = Reader(sim).read(resources)
    before = {table: len(rows) for table, rows in reader.rows.items()}
    sim.service.reset()
    reader.read(resources)
    assert {table: len(rows) for table, rows in reader.rows.items()} == before
    windowed = {f"GET {resource.path}" for resource in resources if resource.created != "none"}
    assert not windowed & sim.service.requests.keys()
    sim.clock.advance(100)
    customer = sim.account.create(
        "customers", {**sim.account.objects("customers")[0], "id": "cus_new", "created": NOW + 50}
    )
    reader.read(resources, until=NOW + 100)
    assert [row["id"] for row in reader.rows["customers"][before["customers"] :]] == [customer["id"]]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_run_that_is_given_up_at_any_chunk_goes_on_there(sim: Simulator, seed: int) -> None:
    names = [*CORE, "events", "checkout_sessions", "customer_balance_transactions", "invoice_line_items"]
    resources, chance = small(select(names)), random.Random(seed)
    first = Reader(sim)
    for _ in range(6):
        with first.fetch(resources) as fetching:
            first.take(fetching, len(first.chunks) + chance.randrange(1, 15))
    first.read(resources)
    assert missing(sim, names, first.keys(consumed=True)) == {}


def test_pages_of_one_list_come_in_its_order(sim: Simulator) -> None:
    (listed,) = select(["payment_methods"])
    reader = Reader(sim).read(small([*select(["charges"]), replace(listed, passes=((),))]))
    pages = [listing.objects for name, listing in reader.listings if name == "payment_methods"]
    created = [each["created"] for page in pages for each in page]
    assert len(pages) > 4
    assert created == sorted(created, reverse=True)


# --- embedded lists --------------------------------------------------------------------------------------------------


def test_embedded_lists_are_completed_before_their_page_is_handed_over(sim: Simulator) -> None:
    line = sim.account.objects("invoice_line_items")[0]
    invoice = sim.account.objects("invoices")[0]
    lines = [{**line, "id": f"il_{n:04d}"} for n in range(235)]
    sim.account.update("invoices", invoice["id"], {"lines": {"object": "list", "data": lines, "has_more": False}})
    reader = Reader(sim).read(small(select(["invoices"])))
    own = [row for row in reader.rows["invoice_line_items"] if row["_parent_id"] == invoice["id"]]
    assert sorted(row["id"] for row in own if row["_source"] != "set") == [line["id"] for line in lines]
    assert sum(row["_source"] == "set" for row in own) == 1
    assert missing(sim, ["invoices"], reader.keys()) == {}


def test_list_of_an_owner_that_has_gone_stays_open_and_nothing_else_suffers(sim: Simulator) -> None:
    line, (first, *others) = sim.account.objects("invoice_line_items")[0], sim.account.objects("invoices")
    lines = [{**line, "id": f"il_{n:04d}"} for n in range(30)]
    sim.account.update("invoices", first["id"], {"lines": {"object": "list", "data": lines, "has_more": False}})
    reader, send = Reader(sim), Client.send

    class Late(Client):
        """The invoice is deleted after its page was made and before its lines are asked for."""

        def send(self, request: Request) -> Reply:
            if request.path == f"/v1/invoices/{first['id']}/lines" and sim.account.get("invoices", first["id"]):
                sim.account.delete("invoices", first["id"])
            return send(self, request)

    reader.client = Late
    reader.read(select(["invoices"]))
    assert isinstance(reader.ends["invoices"], Finished)
    assert (first["id"],) in reader.keys()["invoices"]
    assert not [
        row for row in reader.rows["invoice_line_items"] if row["_source"] == "set" and row["_parent_id"] == first["id"]
    ]
    assert {(other["id"],) for other in others} <= reader.keys()["invoices"]


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    "kind",
    ["status", "throttle", "lock_timeout", "drop", "reset", "cut", "error_200", "not_json", "half_json", "empty"],
)
def test_passing_failures_lose_nothing(sim: Simulator, kind: str) -> None:
    fault = sim.faults.add(kind=kind, every=7, times=8, reason="endpoint-rate")
    reader = Reader(sim, max_retries=10).read(small(select(CORE)))
    assert fault.met == 8
    assert missing(sim, CORE, reader.keys()) == {}
    assert all(isinstance(end, Finished) for end in reader.ends.values())


@pytest.mark.parametrize(
    ("kind", "error"), [("status", ServerFailed), ("throttle", Throttled), ("half_json", BrokenPage)]
)
def test_page_that_fails_for_good_makes_its_resource_an_error(
    sim: Simulator, kind: str, error: type[Exception]
) -> None:
    charge = sim.account.objects("charges")[3]
    sim.faults.add(kind=kind, path_prefix="/v1/charges", holding=charge["id"])
    reader = Reader(sim, max_retries=2).read(small(select(CORE)))
    end = reader.ends.pop("charges")
    assert isinstance(end, Failed)
    assert isinstance(end.error, error)
    assert all(isinstance(other, Finished) for other in reader.ends.values())
    assert (charge["id"],) not in reader.keys(consumed=True)["charges"]
    others = [name for name in CORE if name != "charges"]
    assert missing(sim, others, reader.keys()) == {}
    sim.faults.clear()
    again = reader.read(small(select(CORE)))
    assert missing(sim, CORE, again.keys(consumed=True)) == {}


def test_products_that_the_account_lacks_are_skipped(simulator: Start) -> None:
    sim = simulator(customers=3, now=NOW, running=False, lacks=["Issuing", "Treasury"])
    reader = Reader(sim).read(select(["default"]))
    skipped = {name for name, end in reader.ends.items() if isinstance(end, Failed)}
    assert {"issuing_cards", "treasury_financial_accounts"} <= skipped
    assert all(isinstance(end.error, SkipResource) for end in reader.ends.values() if isinstance(end, Failed))
    assert isinstance(reader.ends["customers"], Finished)


def test_wrong_key_stops_all_and_is_raised(sim: Simulator) -> None:
    reader = Reader(sim, key="sk_test_wrong")
    with pytest.raises(AuthenticationFailed), reader.fetch(select(["default"])) as fetching:
        reader.take(fetching)
    assert threads() == 0
    assert sim.service.requests.total() < 20


def test_conversion_that_fails_is_its_resources_failure(sim: Simulator) -> None:
    reader = Reader(sim)

    def convert(resource: Resource, listings: Sequence[Listing]) -> Converted:
        if resource.name == "charges":
            raise ValueError("no such column")
        return plain(resource, listings)

    plain, reader.convert = reader.convert, convert  # type: ignore[method-assign]
    reader.read(small(select(CORE)))
    failed = reader.ends["charges"]
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, ValueError)
    assert isinstance(reader.ends["customers"], Finished)


def test_limits_are_kept_to_without_a_refusal_and_refusals_are_survived(simulator: Start) -> None:
    sim = simulator(customers=20, now=NOW, running=False, rate_limits=Budget(rate=400, endpoint_rate=150))
    kept = Reader(sim, limiter=Limiter(None, None), max_retries=50).read(small(select(CORE), 20))
    assert missing(sim, CORE, kept.keys()) == {}


def test_concurrency_refusals_are_survived(simulator: Start) -> None:
    sim = simulator(customers=10, now=NOW, running=False, latency=0.002, rate_limits=Budget(concurrency=2))
    reader = Reader(sim, max_retries=50).read(small(select(CORE), 20))
    assert missing(sim, CORE, reader.keys()) == {}


# --- a moving account ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["products", "customers", "plans"])
def test_cursors_that_are_deleted_under_way_lose_no_other(sim: Simulator, name: str) -> None:
    reader = Reader(sim)
    gone: list[str] = []

    def convert(resource: Resource, listings: Sequence[Listing]) -> Converted:
        last = listings[-1].objects[-1]["id"]  # what the next page begins after
        if len(gone) < 2 and sim.account.get(name, last) is not None:
            sim.account.delete(name, last)
            gone.append(last)
        return plain(resource, listings)

    plain, reader.convert = reader.convert, convert  # type: ignore[method-assign]
    reader.read(small(select([name]), 2), workers=1)
    assert isinstance(reader.ends[name], Finished)
    assert missing(sim, [name], reader.keys()) == {}


def test_dense_second_is_read_to_its_end(sim: Simulator) -> None:
    one = sim.account.objects("charges")[0]
    for n in range(60):
        sim.account.create("charges", {**one, "id": f"ch_dense_{n:03d}", "created": NOW - 5000}, event=False)
    reader = Reader(sim)
    for _ in range(8):
        with reader.fetch(small(select(["charges"]), 7)) as fetching:
            reader.take(fetching, len(reader.chunks) + 12)
    reader.read(small(select(["charges"]), 7))
    assert missing(sim, ["charges"], reader.keys(consumed=True)) == {}


# --- children --------------------------------------------------------------------------------------------------------


def test_children_come_whole_with_their_parent(sim: Simulator) -> None:
    reader = Reader(sim).read(small(select(["customer_balance_transactions", "invoice_line_items"]), 2))
    for name, parent in (("customer_balance_transactions", "customers"), ("invoice_line_items", "invoices")):
        listings = [listing for resource, listing in reader.listings if resource == name]
        ids = sorted(row.key[0] for row in sim.account.rows(parent))
        assert [listing.parent_id for listing in listings] == ids
        assert all(listing.whole for listing in listings)
        chunks = [chunk for chunk in reader.chunks if chunk.resource == name]
        assert len(chunks) < 4, "many parents share a chunk"
        assert reader.progress[name].reached.finished


def test_children_of_two_parents_are_asked_for_by_pairs_and_days(sim: Simulator) -> None:
    reader = Reader(sim).read(select(["billing_meter_event_summaries"]))
    assert isinstance(reader.ends["billing_meter_event_summaries"], Finished)
    pairs = len(sim.account.rows("billing_meters")) * len(sim.account.rows("customers"))
    assert sim.service.requests.total() == pairs
    assert not any(listing.whole for _, listing in reader.listings)


def test_parent_that_was_deleted_meanwhile_has_no_list(sim: Simulator) -> None:
    reader = Reader(sim)
    gone = sim.account.objects("customers")[3]["id"]
    known = list(reader.parents(RESOURCES["customer_tax_ids"].parents[0], None))
    sim.account.delete("customers", gone)
    reader.parents = lambda parent, after: iter(known)  # type: ignore[method-assign]
    reader.read(select(["customer_tax_ids"]))
    assert isinstance(reader.ends["customer_tax_ids"], Finished)
    assert gone not in {listing.parent_id for _, listing in reader.listings}


def test_children_need_their_parents(sim: Simulator) -> None:
    with pytest.raises(BadConfiguration, match="customer_tax_ids"):
        Reader(sim).fetch(select(["customer_tax_ids"]), parents=None)


def test_parents_that_cannot_be_read_are_their_resources_failure(sim: Simulator) -> None:
    reader = Reader(sim)

    def parents(parent: Parent, after: str | None) -> Iterator[tuple[str, ...]]:
        raise SkipResource("the parents were never loaded")

    reader.read(select(["customer_tax_ids", "charges"]), parents=parents)
    failed = reader.ends["customer_tax_ids"]
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, SkipResource)
    assert isinstance(reader.ends["charges"], Finished)


# --- threads ---------------------------------------------------------------------------------------------------------


def threads() -> int:
    return sum(
        thread.name.startswith("stripe-") and thread.name != "stripe-simulator" for thread in threading.enumerate()
    )


def test_no_thread_is_left_after_the_end(sim: Simulator) -> None:
    Reader(sim).read(select(CORE))
    assert threads() == 0


def test_consumer_who_goes_away_leaves_no_thread(sim: Simulator) -> None:
    reader = Reader(sim)
    with reader.fetch(small(select(["default"]))) as fetching:
        reader.take(fetching, 3)
    assert threads() == 0
    assert list(fetching) == []


def test_interrupt_leaves_no_thread(sim: Simulator) -> None:
    def interrupt(fetching: Fetch) -> None:
        next(fetching)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Reader(sim).fetch(small(select(["default"]))) as fetching:
        interrupt(fetching)
    assert threads() == 0


def test_close_does_not_wait_for_answers(simulator: Start) -> None:
    sim = simulator(customers=3, now=NOW, running=False, latency=60.0)
    fetching = Reader(sim).fetch(select(["default"]))
    with fetching:
        while fetching.requests < 4:
            threading.Event().wait(0.001)
    assert threads() == 0


def test_what_waits_for_the_consumer_is_bounded(sim: Simulator) -> None:
    reader = Reader(sim)
    with reader.fetch(small(select(["default"])), max_rows=30, workers=4) as fetching:
        queues = fetching._queues
        while queues._asking or queues._answers or queues._rows < 30:
            threading.Event().wait(0.001)
        assert fetching.requests < 60
        reader.take(fetching)
    names = [resource.name for resource in select(["default"])]
    assert missing(sim, names, reader.keys(consumed=True)) == {}


def test_requests_budget_is_kept_and_the_rest_goes_on_next_time(sim: Simulator) -> None:
    reader = Reader(sim)
    resources = small(select(CORE))
    runs = 0
    while not all(isinstance(reader.ends.get(resource.name), Finished) for resource in resources):
        sim.service.reset()
        with reader.fetch(resources, requests_budget=25) as fetching:
            reader.take(fetching)
        assert sim.service.requests.total() <= 25
        runs += 1
    assert runs > 3
    assert missing(sim, CORE, reader.keys(consumed=True)) == {}


def test_budget_that_is_too_small_for_a_page_of_cut_lists_still_leads_to_the_end(sim: Simulator) -> None:
    line = sim.account.objects("invoice_line_items")[0]
    for place, invoice in enumerate(sim.account.objects("invoices")[:12]):
        lines = [{**line, "id": f"il_{place:02d}_{n:02d}"} for n in range(15)]
        sim.account.update("invoices", invoice["id"], {"lines": {"object": "list", "data": lines, "has_more": False}})
    reader, runs = Reader(sim), 0
    while not isinstance(reader.ends.get("invoices"), Finished):
        reader.read(select(["invoices"]), requests_budget=15, workers=1)
        runs += 1
        assert runs < 20
    assert missing(sim, ["invoices"], reader.keys(consumed=True)) == {}


def test_budget_that_ends_on_the_way_up_from_a_bookmark_skips_nothing(sim: Simulator) -> None:
    reader = Reader(sim).read(select(["quotes"]))
    line = sim.account.objects("quote_line_items")[0]
    for place in range(5):
        lines = (
            [{**line, "id": f"li_{place}_{n:02d}"} for n in range(15)] if place % 2 else [line | {"id": f"li_{place}"}]
        )
        items = {"object": "list", "data": lines, "has_more": False}
        sim.account.create("quotes", sim.make("quotes", line_items=items))
        sim.clock.advance(60)
    runs = 0
    while missing(sim, ["quotes"], reader.keys(consumed=True)):
        reader.read(select(["quotes"]), requests_budget=2, workers=1, until=NOW + 3600)
        runs += 1
        assert runs < 10


def test_snapshot_tells_how_far_each_resource_has_come(sim: Simulator) -> None:
    reader = Reader(sim)
    with reader.fetch(small(select([*CORE, "issuing_cards"]))) as fetching:
        reader.take(fetching)
        views = {view.resource: view for view in fetching.snapshot()}
    assert list(views) == [resource.name for resource in select([*CORE, "issuing_cards"])]
    assert all(view.status == "complete" and view.share == 1.0 for view in views.values())
    assert views["charges"].requests == reader.ends["charges"].requests
    assert sum(view.rows for view in views.values()) == sum(len(rows) for rows in reader.rows.values())
