"""A provider of billing data as one value: everything that the pipelines and the sink need to know about its API.

`sources/stripe_api/provider.py` is Stripe's. The provider's name decides where things are kept: dlt's stored schema has
this name, and the names of the sink's tables and metrics begin with it. Knows no provider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from sources.catalogue import Catalogue, Params, Parent, Resource
from sources.changes import Change, Ignored, ObjectRef, Retrieved
from sources.columns.columns import Columns
from sources.columns.conversion_counts import ConversionCounts
from sources.events import Event
from sources.fetch import fetch
from sources.fetch.event_log import Pieces
from sources.fetch.limiter import Limiter
from sources.fetch.pager import Convert
from sources.fetch.progress import Progress
from sources.fetch.values import Page
from sources.rows import Row, Stamp


@dataclass(frozen=True, slots=True)
class Account:
    """The account whose objects are read. `now` is the time on the provider's clock, in unix seconds, `requests` the
    number of requests that were sent to find it.
    """

    id: str
    now: int
    requests: int


class Client(fetch.Client, Protocol):
    """A client that a session opens and closes."""

    limiter: Limiter

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def witness_clock(self, name: str, now: float) -> None:
        """Adds a clock with which the dates of answers are compared; it shows `now`, in unix seconds."""
        ...


class Reader(Protocol):
    """The function that starts to read lists. See `sources.stripe_api.paging.plan.fetch`."""

    def __call__(
        self,
        client: Any,
        resources: Sequence[Resource],
        *,
        convert: Convert,
        until: int,
        since: int = 0,
        progress: Mapping[str, Progress] | None = None,
        parents: Callable[[Parent, str | None], Iterator[tuple[str, ...]]] | None = None,
        workers: int = 16,
        requests_budget: int | None = None,
    ) -> fetch.Fetch:
        """Reads the objects created in `[since, until)`, unix seconds, that `progress` does not cover."""
        ...


class Retriever(Protocol):
    """The function that retrieves single objects, in batches. See `sources.stripe_api.objects.retrieve.retrieve`."""

    def __call__(
        self,
        client: Any,
        refs: Iterable[ObjectRef],
        account_id: str,
        *,
        workers: int = 8,
        entries: ConversionCounts | None = None,
    ) -> Iterator[list[Retrieved]]:
        """Objects that no row can hold are recorded in `entries`."""
        ...


class Verifier(Protocol):
    """The function that verifies webhooks. See `sources.stripe_api.events.webhook.verify`."""

    def __call__(
        self, body: bytes, headers: Sequence[str], secrets: Sequence[str], *, tolerance: float, now: float
    ) -> None:
        """Raises BadSignature unless one of the secrets signed the body at most `tolerance` seconds before `now`.

        `headers` are the values of the provider's `signature_headers`; "" for a missing one.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Provider:
    """The functions and data of one provider.

    `api_version` returns the API version that the catalogue describes, "" if the API has no versions. `open_client`
    takes the settings; `read_account` takes an open client, and the account's id if the settings have it. `converter`
    returns the conversion of one account's pages into Arrow tables. `newest_page` reads one page: the newest objects of
    a pass over a list that are dated in `[since, until)`, unix seconds, with their embedded lists complete. `pieces`
    reads the log of events. `gone` returns the rows of a deleted object, given its table and id. `change_of` returns
    the change that an event reports, given the event, its API version and the account; `rows_of` makes rows of a
    change. `verify` checks the signature of a webhook, from the headers `signature_headers` (lower case); `read_event`
    parses its body. `answer_seconds` is set if the provider waits for an answer for less time than the database may
    take: it is the limit in seconds. `account_ids` is a regular expression for ids of accounts. `related` returns the
    objects that an object names by their ids; None if events name none. Errors are those of `sources/errors.py` and
    `sources/events.py`.
    """

    name: str
    catalogue: Catalogue
    api_version: Callable[[], str]
    open_client: Callable[[Any], Any]
    read_account: Callable[[Any, str | None], Account]
    converter: Callable[[str, Columns, ConversionCounts], Convert]
    fetch: Reader
    newest_page: Callable[[Any, Resource, Params, int, int], Page]
    retrieve: Retriever
    gone: Callable[[str, str, Stamp], dict[str, list[Row]]]
    pieces: Pieces
    change_of: Callable[[Mapping[str, Any], str, str], Change | Ignored]
    rows_of: Callable[[Change, str, ConversionCounts | None], dict[str, list[Row]]]
    verify: Verifier
    read_event: Callable[[bytes], Event]
    signature_headers: tuple[bytes, ...]
    account_ids: str
    related: Callable[[Mapping[str, Any]], list[ObjectRef]] | None = None
    answer_seconds: float | None = None
