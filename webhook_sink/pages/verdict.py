"""Finds what needs attention on the status page, and says what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.commands.freshness import ago
from webhook_sink.commit.recent import COUNTED
from webhook_sink.pages.reading import Facts
from webhook_sink.pages.stripe_side import StripeSide

State = Literal["problem", "warning"]
LATE = 26 * 3_600
"""Seconds after which an account is late. Lists without events are read once a day, and a run takes some time."""

NAMED = 5
ADVICE: Mapping[str, str] = {
    "error": "Remove the cause, then load this table again.",
    "skipped": "Nothing has to be done. To load it, give the key read permission for it.",
    "partial": "Some objects were left out: see the list of objects that could not be stored.",
    "interrupted": "The next sync continues from there.",
    "running": "It is being read now.",
}
"""What to do about a resource, by its status."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that needs attention: what it is, and what to do."""

    state: State
    what: str
    advice: str


def findings(facts: Facts | None, database_problem: str | None, stripe: StripeSide | None) -> list[Finding]:
    """Everything that needs attention, the most serious first."""
    found = [*_of_connections(facts, database_problem, stripe), *(_of_facts(facts) if facts else ())]
    return sorted(found, key=lambda finding: finding.state != "problem")


def _of_connections(facts: Facts | None, database_problem: str | None, stripe: StripeSide | None) -> Iterator[Finding]:
    if database_problem is not None:
        shown = " The page shows what it knew before." if facts else ""
        yield Finding("problem", f"The database does not answer.{shown}", database_problem)
    if stripe is None:
        return
    if stripe.problem is not None:
        yield Finding("problem", "Stripe does not answer, or refuses the key.", stripe.problem)
    elif not stripe.has_key:
        yield Finding("warning", "There is no key to read with.", "Set STRIPE_SECRET_KEY, and start again.")
    for endpoint in stripe.endpoints or ():
        if endpoint.status != "enabled":
            yield Finding(
                "problem",
                f"The webhook endpoint {endpoint.url} is {endpoint.status}.",
                "Enable it in Stripe's Dashboard.",
            )


def _of_facts(facts: Facts) -> Iterator[Finding]:
    for account in facts.accounts:
        yield from _of_account(account)
    broken = [table for table in facts.tables if table["status"] == "error"]
    for table in broken[:NAMED]:
        yield Finding("problem", f"{table['resource']} could not be read.", table["error"] or ADVICE["error"])
    if len(broken) > NAMED:
        yield Finding(
            "problem", f"{len(broken) - NAMED} more tables could not be read.", "The table below has their errors."
        )
    ended = next((run for run in facts.runs if run["status"] != "running"), None)
    if ended is not None and ended["status"] in ("error", "killed") and not broken:
        advice = ended["error"] or "Its process ended before it was done. The next run continues from there."
        yield Finding("warning", f"The last run ({ended['command']}) ended as {ended['status']}.", advice)
    recent = facts.recent
    if recent is not None and recent.failed:
        yield Finding(
            "problem",
            f"{many(recent.failed, 'event')} could not be processed.",
            "The list of events says why. Remove the cause, then press Replay.",
        )
    if recent is not None and recent.late:
        yield Finding(
            "warning",
            f"{many(recent.late, 'object')} could not be read again at the first attempt.",
            "The sink keeps trying. Check whether the key may read them.",
        )
    if facts.left_out:
        yield Finding(
            "warning",
            "Some objects could not be stored.",
            "The list at the end of the page names them with the reason.",
        )
    for check in facts.checks[:1]:
        drift = check["missing"] + check["stale"] + check["vanished"]
        if drift and not check["is_repaired"]:
            yield Finding("warning", f"The last check found {many(drift, 'wrong row')}.", "Press Check now to repair.")


def _of_account(account: Mapping[str, Any]) -> Iterator[Finding]:
    seconds = account["age_seconds"]
    if seconds is not None and seconds > LATE:
        yield Finding(
            "problem",
            f"{account['account']} is {ago(seconds)} behind.",
            "Press Sync now, and check whether the scheduler still runs `stripe-elt sync`.",
        )
    if "events" in account["errors"]:
        yield Finding("problem", "Events could not be applied.", account["errors"]["events"] or ADVICE["error"])
    elif account["events"] == "skipped":
        yield Finding(
            "warning",
            f"The key may not read the events of {account['account']}.",
            "Updates and deletions arrive only with webhooks and checks. Give the key read permission for events.",
        )


def many(count: int, noun: str) -> str:
    """A number with its noun: `1 event`, `2 events`, `10,000 or more events`."""
    shown = f"{count:,} or more" if count >= COUNTED else f"{count:,}"
    return f"{shown} {noun}{'' if count == 1 else 's'}"
