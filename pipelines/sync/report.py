"""What a load of objects tells at its end, and what each provider's syncs say of resources that an account lacks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from pipelines.commands.cli import ALL_WELL, SOME_FAILED, counted, say, say_what_differs
from pipelines.loading.session import Session
from pipelines.sync.objects import Loaded
from pipelines.terminal.output import Report
from sources.columns.conversion_counts import left_out


def say_lacking(names: Collection[str]) -> None:
    """Says which resources are missing, which makes a run with --strict fail; nothing if none is."""
    if names:
        say(f"The account or the key lacks these resources, which is an error with --strict: {', '.join(names)}.")


def report_objects(session: Session, load: Callable[[], Sequence[Loaded]]) -> Report:
    """Loads objects in a session and ends its run; says what was loaded, and what could not be stored."""
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
    for one in loaded:
        print(f"{one.id}: {session.settings.dataset}.{one.table}{', deleted' if one.is_deleted else ''}")
    print(f"{counted(session.rows, 'row')}, {counted(session.spending.spent, 'request')}.")
    say_what_differs(session.counts)
    if problem is not None:
        say(problem)
    told = {
        "loaded": [{"id": one.id, "table": one.table, "deleted": one.is_deleted} for one in loaded],
        "rows": session.rows,
        "requests": session.spending.spent,
        "error": problem,
    }
    return Report(SOME_FAILED if rejected else ALL_WELL, told)
