"""A provider with one list and one event type: what docs/contributing/provider.md shows. Its API is `toy_api.py`.

The list has pages with a `cursor`; objects have no `object` field, so that `status` is the witness of a whole one.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn, Self

import orjson

from sources.catalogue import Catalogue, EventType, Params, Resource, Table
from sources.changes import Change, Ignored, Retrieved
from sources.columns.arrow import arrow_tables
from sources.columns.columns import Columns
from sources.columns.conversion_counts import ConversionCounts
from sources.errors import AuthenticationFailed, ServerFailed
from sources.events import BadEvent, BadSignature, Event
from sources.fetch.event_log import NoEvents
from sources.fetch.fetch import MAX_BYTES, MAX_ROWS, Fetch
from sources.fetch.http.api_name import ApiName
from sources.fetch.http.transport import Transport
from sources.fetch.limiter import Limiter
from sources.fetch.pager import Convert, Converted, Horizon, Listing, Step, Survey, Turn
from sources.fetch.progress import Listed
from sources.fetch.schedule import ResourceRun, Schedule
from sources.fetch.values import Page, Reply, Request, as_of
from sources.provider import Account, Provider
from sources.rows import Row, Stamp

PLANS = Resource("plans", "/plans", "plans", ("plan",), "root", groups=("core", "default"))
CATALOGUE = Catalogue(
    resources={"plans": PLANS},
    tables={"plans": Table("plans", ("plan",), key=("plan_id",), witness="status")},
    fields=lambda table: {"plan_id": "text", "status": "text", "seats": "bigint"},
    types={"plan.changed": EventType("plans")},
)


class ToyClient:
    """Sends one GET at a time; nothing is retried."""

    def __init__(self, settings: Any) -> None:
        self.limiter = Limiter(None, None)
        headers = {"Authorization": f"Token {settings.stripe_secret_key}"}
        self._transport = Transport(
            settings.api_base,
            headers,
            api=ApiName("Toy", "sources.stripe"),
            connect_timeout=5,
            read_timeout=5,
            request_deadline=5,
            connections=2,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def send(self, request: Request) -> Reply:
        reply = self._transport.get(request.path, "&".join(map("=".join, request.params)))
        if reply.status == 401:
            raise AuthenticationFailed("The toy's API does not know this key.")
        if reply.status != 200:
            raise ServerFailed(f"{reply.where} failed.", status=reply.status)
        self.limiter.succeeded(request.endpoint)
        return reply

    def parse(self, request: Request, reply: Reply) -> Page:
        body = orjson.loads(reply.body)
        return Page(body["plans"], bool(body["cursor"]), body["cursor"], as_of(reply), 1, len(reply.body), None)

    def retry_delay(self, attempts: int, error: Exception) -> float | None:
        return None

    def abort(self) -> None:
        self._transport.abort()

    def witness_clock(self, name: str, now: float) -> None:
        """The toy believes its server's clock."""


class Pages:
    """The pages of the list, one after the other, each time from the first."""

    goes_up = is_done = False

    def begin(self) -> list[Step]:
        return [Step(Request(PLANS.path, (), PLANS.path))]

    def turn(self, step: Step, answer: Page) -> Turn:
        self.is_done = not answer.has_more
        then = [Step(Request(PLANS.path, (("cursor", answer.next_page),), PLANS.path))] if answer.next_page else []
        return Turn([], [Listing(answer.objects, answer.as_of)], Listed("", None, None, self.is_done, 0), then)

    def refused(self, step: Step, error: Exception) -> None:
        """A refusal is an error."""

    def handed_over(self) -> Turn:
        return Turn()

    def pass_by(self, step: Step) -> None:
        """No list of a single object."""


def fetch(client: ToyClient, resources: Sequence[Resource], *, convert: Convert, workers: int = 1, **_: Any) -> Fetch:
    runs = [
        ResourceRun(resource, resource.path, None, [Pages()], Survey(Horizon(0)))  # type: ignore[list-item]
        for resource in resources
    ]
    schedule = Schedule(runs, client.limiter, None)
    return Fetch(client, schedule, convert, workers, MAX_ROWS, MAX_BYTES, time.monotonic)


def row(plan: Row, account_id: str, at: int, source: str) -> Row:
    return {**plan, "_account_id": account_id, "_as_of": at, "_source": source}


def converter(account_id: str, columns: Columns, counts: ConversionCounts) -> Convert:
    def convert(resource: Resource, listings: Sequence[Listing]) -> Converted:
        rows = [row(obj, account_id, listing.as_of, "list") for listing in listings for obj in listing.objects]
        return arrow_tables({"plans": rows}, columns, counts=counts), len(rows)

    return convert


def change_of(event: Mapping[str, Any], api_version: str, account_id: str) -> Change | Ignored:
    if event.get("type") not in CATALOGUE.types:
        return Ignored(str(event.get("type")), "no table holds its object")
    plan = event["plan"]
    return Change("plans", (plan["plan_id"],), None, event["created"], None, False, plan)


def rows_of(change: Change, account_id: str, entries: ConversionCounts | None) -> dict[str, list[Row]]:
    return {change.table: [row(change.object, account_id, change.at, "event")]}


def retrieve(client: Any, refs: Any, account_id: str, **_: Any) -> Iterator[list[Retrieved]]:
    yield [Retrieved(ref, "unreadable", why="the toy's API shows no single plan") for ref in refs]


def newest_page(client: ToyClient, resource: Resource, chosen: Params, since: int, until: int) -> Page:
    request = Request(resource.path, chosen, resource.path)
    return client.parse(request, client.send(request))


def gone(table: str, id: str, stamp: Stamp) -> dict[str, list[Row]]:
    return {table: [{**row({"plan_id": id}, stamp.account_id, stamp.as_of, stamp.source), "_deleted_at": stamp.as_of}]}


def pieces(*_: Any) -> NoReturn:
    raise NoEvents("The toy's API has no log of events.")


def verify(body: bytes, headers: Sequence[str], secrets: Sequence[str], *, tolerance: float, now: float) -> None:
    """The toy signs the body alone: HMAC-SHA256 in hexadecimal."""
    signed = [hmac.new(secret.encode(), body, "sha256").hexdigest() for secret in secrets]
    if not any(hmac.compare_digest(each, headers[0]) for each in signed):
        raise BadSignature("no signature in Toy-Signature matches a webhook secret")


def read_event(body: bytes) -> Event:
    try:
        fields = orjson.loads(body)
        id, type, created, plan = fields["id"], fields["type"], fields["created"], fields["plan"]
    except (ValueError, KeyError, TypeError):
        raise BadEvent("the body is not an event of the toy's") from None
    return Event(id, type, created, None, None, None, False, plan, fields, body)


TOY = Provider(
    name="toy",
    catalogue=CATALOGUE,
    api_version=lambda: "",
    open_client=ToyClient,
    read_account=lambda client, told: Account(told or "toy_account", int(time.time()) - 1, 0),
    converter=converter,
    fetch=fetch,
    newest_page=newest_page,
    retrieve=retrieve,
    gone=gone,
    pieces=pieces,
    change_of=change_of,
    rows_of=rows_of,
    verify=verify,
    read_event=read_event,
    signature_headers=(b"toy-signature",),
    account_ids=r"toy_\w+",
)
