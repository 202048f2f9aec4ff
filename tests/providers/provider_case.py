"""A provider as a value of the tests: how its account is simulated, lives, is mirrored and told of, and goes wrong.

Each rule that holds for all providers is one test of this folder, with a provider as its parameter. What differs
between providers is a field here. A further provider is a further value in `cases.py`.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.configuration.settings import CommonSettings
from sources.provider import Provider
from tests.databases import Database
from tests.pipelines.account_mirror import AccountMirror, Object
from tests.webhook_sink.conftest import Served

Events = list[Object]
LIVE, DELETED = "_deleted_at is null", "_deleted_at is not null"


@dataclass(frozen=True)
class State:
    """What an invoice was at one second: deleted, or alive with these lines."""

    deleted: bool
    lines: frozenset[str]
    memo: str


@dataclass(frozen=True)
class Damage:
    """A way in which a row is damaged behind everybody's back, and what a check calls it.

    `done` is a statement about `{table}` with the row's id as its parameter, `among` the condition that rows meet.
    """

    table: str
    done: str
    drift: str
    among: str = LIVE


@dataclass(frozen=True)
class Part:
    """A part of the scheduled run that can be killed.

    `style` is that of the events before it, `options` are those of its script, and `seconds` pass before it is due. It
    is killed with its first, third… request, as `kills` says, in one run after the other. `finds` says what it finds
    besides what events tell of: other changes, or also what is deleted. All tables equal the account when it is
    through, unless it `finds` changes alone.
    """

    style: str
    options: Sequence[str]
    seconds: int
    kills: Sequence[int]
    finds: Literal["nothing", "changes", "deletions"] = "nothing"


class AccountLife(ABC):
    """What happens in one simulated account. `told` are the events since it was last emptied, with whole objects."""

    def __init__(self, mirror: AccountMirror[Any]) -> None:
        self.mirror = mirror
        self.told: Events = []

    @abstractmethod
    def begin(self, *lists: str) -> None:
        """The first load. The log of events reaches behind it, and tells of a deletion after it if it tells of any."""

    @abstractmethod
    def tell_in(self, style: str) -> None:
        """The style of the payloads in the log of events from now on."""

    @abstractmethod
    def body(self, event: Object, style: str) -> bytes:
        """The body of a webhook that tells of an event in a style."""

    @abstractmethod
    def tell_all(self) -> None:
        """Tells of every object of the case's `stormy` lists, none of which has changed."""

    @abstractmethod
    def add_customer(self) -> str:
        """A customer signs up; her id."""

    @abstractmethod
    def alter(self, table: str, changes: Mapping[str, Any]) -> str:
        """Changes the first object of a table without an event; its id."""

    @abstractmethod
    def step(self) -> None:
        """One of the changes that a business brings about, with or without an event."""

    @abstractmethod
    def change(self, what: str, which: int) -> None:
        """A change of one of the case's `storm`, of the object in a place, which an event tells."""

    @abstractmethod
    def vanish(self) -> None:
        """An object is deleted, and no event tells of it."""

    @abstractmethod
    def hourly(self) -> None:
        """The scheduled run of an hour."""

    @abstractmethod
    def nightly(self, night: int) -> None:
        """What else happens in a night before everything has to be equal."""


@dataclass(frozen=True)
class ProviderCase:
    """A provider in the tests."""

    provider: Provider
    simulate: Callable[..., AbstractContextManager[Any]]
    """Starts a simulator: `simulate(seed=1, customers=8, now=…, running=False, bulk=0)`."""
    mirror: Callable[[Any, Database], AccountMirror[Any]]
    live: Callable[[AccountMirror[Any]], AccountLife]

    # Lists
    lived: Sequence[str]
    """Those that a life changes."""
    stormy: Sequence[str]
    """Those that the changes of a `storm` concern."""
    untold: Sequence[str]
    """Tables that no event fills, though their objects are inside those of the stormy lists."""
    interrupted: Sequence[str]
    """Those of a scheduled run that is killed."""
    broken: str
    """One that can fail while the others are read."""
    log: str
    """The log of events."""
    request_id: str
    """How the ids begin that the provider gives requests, "" where it gives none."""

    # Changes, and what goes wrong
    storm: Sequence[str]
    """The changes of `AccountLife.change`, the more frequent ones several times."""
    styles: Sequence[str]
    """Styles of payloads: whole ones first, the one that is believed least last."""
    tells_all: bool
    """Whether events tell of every change of `AccountLife.step`."""
    unseen: Mapping[str, Mapping[str, Any]]
    """By table, changes of an object of which no event tells and which a full refresh finds."""
    parts: Sequence[Part]
    damages: Sequence[Damage]
    faults: Sequence[str]
    """Failures of requests that succeed when they are made again."""

    # Webhooks
    serve: Callable[[str], AbstractContextManager[Callable[..., Served]]]
    sink_settings: Callable[[str], CommonSettings]
    """Of a sink without a key, by the database's URL."""
    path: str
    secret: str
    secret_variable: str
    sign: Callable[[bytes, int], Mapping[str, str]]
    """The headers of a webhook that is sent at a second, signed with `secret`."""
    rename: Callable[[str, str, str, int], Object]
    """An event with this id that tells of a customer with an id and a name, at a second."""
    history: Callable[[str, Sequence[State]], Events]
    """The events of an invoice, a second apart."""
    memo: str
    """The column of an invoice that shows its memo."""
    tells_deletions: bool
    """Whether events tell of the deletion of an invoice."""

    @property
    def name(self) -> str:
        """The provider's name."""
        return self.provider.name


def corrupt(mirror: AccountMirror[Any], damages: Sequence[Damage], chance: random.Random) -> set[tuple[str, str, str]]:
    """Damages a row in each of these ways, no row twice; gives what a check has to find."""
    schema, found, taken = mirror.settings.dataset, set[tuple[str, str, str]](), set[tuple[str, str]]()
    with mirror.destination.asked() as query:
        for damage in damages:
            table = f"{schema}.{damage.table}"
            rows = [id for (id,) in query(f"select id from {table} where {damage.among} order by id")]
            free = [id for id in rows if (damage.table, id) not in taken]
            assert free, damage
            id = chance.choice(free)
            query(damage.done.format(table=table), [id])
            taken.add((damage.table, id))
            found.add((damage.table, id, damage.drift))
    return found
