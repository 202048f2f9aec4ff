"""The report on a load of objects, and the message of syncs about resources that an account lacks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from pipelines.commands.cli import ALL_WELL, SOME_FAILED, counted, say, say_what_differs
from pipelines.loading.session import Session
from pipelines.sync.objects import Loaded
from pipelines.terminal.output import Report
from sources.columns.conversion_counts import left_out


def say_lacking(names: Collection[str]) -> None:
    """Prints which resources the account lacks, which makes a run with --strict fail; nothing if `names` is empty."""
    if names:
        say(f"The account or the key lacks these resources, which is an error with --strict: {', '.join(names)}.")


def report_objects(session: Session, load: Callable[[], Sequence[Loaded]]) -> Report:
    """Loads objects in a session, ends its run, and prints what was loaded and what could not be stored."""
    try:
        loaded = load()
    except KeyboardInterrupt:
        session.end("interrupted")
        raise
    except Exception as error:
        session.end("error", str(error))
        raise
    rejected = session.counts.rejected()
    problem = left_out(rejected, is_load=True) if rejected else None
    session.end("partial" if rejected else "complete", problem)
    for obj in loaded:
        print(f"{obj.id}: {session.settings.dataset}.{obj.table}{', deleted' if obj.is_deleted else ''}")
    print(f"{counted(session.rows, 'row')}, {counted(session.spending.spent, 'request')}.")
    say_what_differs(session.counts)
    if problem is not None:
        say(problem)
    told = {
        "loaded": [{"id": obj.id, "table": obj.table, "deleted": obj.is_deleted} for obj in loaded],
        "rows": session.rows,
        "requests": session.spending.spent,
        "error": problem,
    }
    return Report(SOME_FAILED if rejected else ALL_WELL, told)
