"""Caches the content of the page: all open pages share one reading of the database.

If the database is down or slow, the page shows the earlier content, and says so. Knows no HTTP server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines.commands.freshness import ago
from pipelines.configuration.settings import Settings
from pipelines.warehouse.problems import explained, is_database_error
from sources.errors import ConnectorError
from sources.stripe_api.provider import STRIPE
from webhook_sink.database import SharedDatabase
from webhook_sink.pages.reading import AnswersReader, Asked, Facts, read_facts, utc_now
from webhook_sink.pages.stripe_side import StripeSide, ask_stripe
from webhook_sink.pages.verdict import findings

ALL = Asked()
FRESH = 1.0
"""Seconds for which pages share a reading of the database."""

PATIENCE = 5.0
"""Seconds after which the page is shown without the database's answer."""

STRIPE_FRESH = 300.0
"""Seconds after which Stripe is asked again, while a page is open."""

SLOW = f"It has not answered within {PATIENCE:.0f} seconds. Check whether it is overloaded, or a lock is held."


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read, and the database's problem; with a problem, `facts` are earlier ones."""

    facts: Facts | None
    problem: str | None = None


class Watch:
    """Reads the database and asks Stripe, at limited intervals. Belongs to one event loop."""

    def __init__(self, settings: Settings, database: SharedDatabase) -> None:
        self._settings, self._database = settings, database
        self._answers = AnswersReader(settings.dataset)
        self._readings: dict[tuple[Asked, int], tuple[float, asyncio.Task[Seen]]] = {}
        self._last: Facts | None = None
        self.stripe: StripeSide | None = None
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = float("-inf")

    async def see(self, asked: Asked, version: int = 0) -> Seen:
        """A reading that is at most a second old, and not older than this `version` of the caller's state."""
        self._ask_stripe()
        now = time.monotonic()
        self._readings = {
            name: (at, task) for name, (at, task) in self._readings.items() if not task.done() or now - at < FRESH
        }
        key = asked, version
        if key not in self._readings:
            self._readings[key] = now, asyncio.create_task(self._read(asked))
        try:
            return await asyncio.wait_for(asyncio.shield(self._readings[key][1]), PATIENCE)
        except TimeoutError:
            return Seen(self._last, SLOW)

    def read_now(self, asked: Asked = ALL) -> Seen:
        """Like `see`, without an event loop."""
        try:
            with self._database.opened() as database:
                dataset = self._settings.dataset
                facts = read_facts(database, dataset, STRIPE.catalogue, STRIPE.name, asked, utc_now())
                self._last = replace(facts, answers=self._answers.read(database))
            return Seen(self._last)
        except ConnectorError as error:
            return Seen(self._last, str(error))
        except Exception as error:
            if not is_database_error(error):
                raise
            return Seen(self._last, explained(error))

    async def _read(self, asked: Asked) -> Seen:
        return await asyncio.to_thread(self.read_now, asked)

    def _ask_stripe(self) -> None:
        if time.monotonic() - self._asked_at < STRIPE_FRESH or (self._asking and not self._asking.done()):
            return

        async def ask() -> None:
            self.stripe = await asyncio.to_thread(ask_stripe, self._settings)
            self._asked_at = time.monotonic()

        self._asking = asyncio.create_task(ask())


def shown(settings: Settings, seen: Seen, stripe: StripeSide | None, asked: Asked = ALL) -> dict[str, Any]:
    """The values for the page's templates, except those of a visit."""
    facts = seen.facts
    found = findings(facts, seen.problem, stripe)
    is_empty = facts is not None and facts.is_empty and seen.problem is None
    looks: Mapping[bool, str] = {True: "bad", False: "warning"}
    look = looks[any(finding.state == "problem" for finding in found)] if found else "busy" if is_empty else "good"
    return {
        "dataset": settings.dataset,
        "facts": facts,
        "database_problem": seen.problem,
        "stripe": stripe,
        "findings": found,
        "look": look,
        "headline": _headline(facts, len(found), look),
        "lead": _lead(facts),
        "asked": asked,
        "has_ledger": settings.destination == "postgres",
        "now": utc_now(),
        "base": "",
        "visit": None,
        "live": None,
        "notice": None,
        "chosen": None,
        "jobs": (),
        "queue": 0,
        "ties": 0,
        "types": facts.recent.types if facts and facts.recent else (),
        "is_file": False,
    }


def _headline(facts: Facts | None, found: int, look: str) -> str:
    if facts is None:
        return "The database does not answer"
    if facts.is_empty:
        return "Nothing was loaded yet"
    if look == "good":
        return "Everything is up to date"
    return f"{found} thing{'' if found == 1 else 's'} need{'s' if found == 1 else ''} attention"


def _lead(facts: Facts | None) -> str:
    if facts is None:
        return "The page keeps trying."
    if facts.is_empty:
        return "Press Sync now, or run stripe-elt full. Both load the account, and later runs load new objects."
    reached = [account["age_seconds"] for account in facts.accounts if account["age_seconds"] is not None]
    if not reached:
        return "No account was read to its end yet."
    behind = max(0, max(reached))
    tables = sum(table["status"] in ("complete", "skipped") for table in facts.tables)
    accounts = f" of {len(facts.accounts)} accounts" if len(facts.accounts) > 1 else ""
    return (
        f"The tables{accounts} are right up to {ago(behind)} ago. {tables} of {len(facts.tables)} lists are complete."
    )
