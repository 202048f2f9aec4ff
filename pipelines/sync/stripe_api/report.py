"""The report on a sync, and its exit code."""

from __future__ import annotations

from pipelines.commands.cli import ALL_WELL, SOME_FAILED, say, say_what_differs
from pipelines.sync.report import say_lacking
from pipelines.sync.stripe_api.sync import SyncOutcome
from pipelines.terminal.display import print_summary
from sources.columns.conversion_counts import left_out


def report(outcome: SyncOutcome, *, strict: bool) -> int:
    """Prints what a sync has done on stdout, and problems on stderr. Returns the exit code."""
    events = outcome.events
    print(
        f"{outcome.account_id}: {events.events:,} events, {events.applied:,} objects changed ({events.believed:,} from"
        f" their events, {events.retrieved:,} retrieved, {events.deleted:,} deleted); {outcome.rows:,} rows,"
        f" {outcome.requests:,} requests."
    )
    if outcome.resynced:
        print(
            f"{outcome.account_id}: every list was read again, and {outcome.deleted_in_gap:,} rows were found"
            " to be deleted."
        )
    for reason, count in sorted(events.doubts.items()):
        print(f"  retrieved for the reason {reason!r}: {count:,}")
    for reason, count in sorted((events.ignored + events.unreadable).items()):
        print(f"  {count:,} not stored: {reason}")
    for lists in outcome.lists:
        print_summary(lists.board, all_lines=False)
    say_what_differs(outcome.counts)
    if outcome.rejected:
        say(left_out(outcome.rejected, is_load=True))
    if outcome.stopped:
        say(outcome.stopped)
    if outcome.failed:
        say(f"These resources failed, see above: {', '.join(outcome.failed)}.")
    if strict:
        say_lacking(outcome.skipped)
    return SOME_FAILED if outcome.failed or (strict and outcome.skipped) else ALL_WELL
