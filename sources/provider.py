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
    """The account whose objects are read; `now` is the provider's clock, in unix seconds, when it was asked."""

    id: str
    now: int
    requests: int


class Client(fetch.Client, Protocol):
    """A client that a session opens and closes."""

    limiter: Limiter

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def witness_clock(self, name: str, now: float) -> None:
        """Another clock that answers' dates are compared with: `now` is what it shows, in unix seconds."""
        ...


class Reader(Protocol):
    """Begins to read lists. See `sources.stripe_api.paging.plan.fetch`."""

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
        """Objects created in `[since, until)`, unix seconds, of which `progress` leaves something to read."""
        ...


class Retriever(Protocol):
    """Retrieves single objects, in batches. See `sources.stripe_api.objects.retrieve.retrieve`."""

    def __call__(
        self,
        client: Any,
        refs: Iterable[ObjectRef],
        account_id: str,
        *,
        workers: int = 8,
        entries: ConversionCounts | None = None,
    ) -> Iterator[list[Retrieved]]:
        """Objects that no row can hold are noted in `entries`."""
        ...


class Verifier(Protocol):
    """Verifies webhooks. See `sources.stripe_api.events.webhook.verify`."""

    def __call__(
        self, body: bytes, headers: Sequence[str], secrets: Sequence[str], *, tolerance: float, now: float
    ) -> None:
        """Raises BadSignature unless one of the secrets signed the body at most `tolerance` seconds before `now`.

        `headers` are the values of the provider's `signature_headers`; "" for one that did not come.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Provider:
    """What a provider gives.

    `api_version` is the version of the API whose shapes the catalogue describes, "" if the API has no versions.
    `open_client` takes the settings, `read_account` an open client and the account's id where the settings tell it.
    `converter` makes the conversion of one account's pages into Arrow tables. `newest_page` reads a page of a list with
    the newest objects of one of its passes that are dated in `[since, until)`, unix seconds, with all that is in them.
    `pieces` reads the log of events. `gone` gives the rows of an object of a table of which only the id is known, and
    that it is deleted. `change_of` says what an event tells, in
    which version of the API for which account; `rows_of` makes rows of that. `verify` checks the signature
    of a webhook, which is in the headers `signature_headers` (lower case); `read_event` reads its body, and
    `answer_seconds` are the seconds within which the provider wants its answer, where it waits for less than the
    database may take. `account_ids` is a regular expression for ids of accounts. `related` gives the objects that an
    object names by their ids, None where no event's object names any. Errors are those of `sources/errors.py` and
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
