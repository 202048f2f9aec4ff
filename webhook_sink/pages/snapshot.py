"""Writes the status page to a file, as it is now: without forms, a server, or requests to Stripe."""

from __future__ import annotations

from pathlib import Path

from pipelines.configuration.settings import Settings
from sources.errors import BadConfiguration, ConnectorError
from webhook_sink.database import SharedDatabase
from webhook_sink.pages import render
from webhook_sink.pages.watch import Watch, shown


class DatabaseSilent(ConnectorError):
    """The database does not answer, so there is nothing to show."""


def write_snapshot(settings: Settings, file: str) -> str:
    """Writes the page, and returns its headline. An existing file stays as it is until the new one is complete.

    Raises DatabaseSilent, and BadConfiguration for a file that cannot be written.
    """
    database = SharedDatabase(settings)
    try:
        seen = Watch(settings, database).read_now()
    finally:
        database.close()
    if seen.facts is None:
        raise DatabaseSilent(seen.problem or "The database does not answer.")
    values = shown(settings, seen, None) | {"is_file": True}
    path = Path(file)
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(render.page(values, is_file=True), "utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BadConfiguration(
            f"The page cannot be written to the file that --html names: {error.strerror}."
        ) from error
    return str(values["headline"])
