"""A run's record of its resources: the progress to save, and how each resource ended. Pure; knows no database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sources.catalogue import Resource
from sources.columns.conversion_counts import Rejected, left_out
from sources.errors import ConnectorError, SkipResource
from sources.fetch.fetch import Chunk, Failed, Finished
from sources.fetch.progress import Covered, Progress
from sources.fetch.values import ResourceStatus
from sources.fetch.windows import Window, WindowSet, subtract

OVERLAP = timedelta(minutes=5)  # overlap of the parents that two runs read, because writers' clocks may differ

CUT_SHORT = "The run ended before this resource was complete; the table sync_runs has the reason."


@dataclass(frozen=True, slots=True)
class ResourceProgress:
    """A resource in a run. A child resource reads the lists of parents changed `since`; `began` is when it started."""

    status: ResourceStatus
    progress: Progress
    since: datetime | None = None
    began: datetime | None = None

    def saved(self) -> ResourceStatus:
        """The row of `sync_status`."""
        progress = self.progress.to_json()
        if self.began is not None:
            progress["parents"] = [self.since.isoformat() if self.since else None, self.began.isoformat()]
        start, end = _bounds(self.progress.covered.values())
        return replace(self.status, progress=progress, window_start=start, window_end=end)


def progress_of(resource: Resource, saved: ResourceStatus | None, now: datetime, latest: int) -> ResourceProgress:
    """The progress with which a run starts: the saved progress, or none.

    Windows beyond `latest` (unix seconds) come from a wrong clock and are read again.
    """
    stored = saved.progress if saved else {}
    progress = Progress.from_json(stored).until(latest) if stored else Progress()
    status = ResourceStatus(resource.name)
    if not resource.parents:
        return ResourceProgress(status, progress)
    since, began = stored.get("parents") or (None, None)
    if began is None:
        return ResourceProgress(status, progress, None, now)
    if not progress.reached.finished:
        return ResourceProgress(status, progress, _moment(since), _moment(began))
    last = None if resource.range_params else datetime.fromisoformat(began) - OVERLAP
    return ResourceProgress(status, progress, last, now)


def reopened(saved: Mapping[str, Any], again: Window) -> Mapping[str, Any]:
    """The saved progress without a range, which the run then reads again; lists without ranges are read whole."""
    if not saved:
        return saved
    progress = Progress.from_json(saved)
    covered = {key: subtract(windows, [again]) for key, windows in progress.covered.items()}
    kept = {name: value for name, value in saved.items() if name != "parents"}
    return {**kept, **replace(progress, covered=covered, listed={}, reached=Progress().reached).to_json()}


class Journal:
    """The progress of a run by resource name. It only records what has been committed.

    `in_part` are resources whose lists were read to the end, but objects were left out.
    """

    def __init__(self, entries: Iterable[ResourceProgress]) -> None:
        self._entries = {entry.status.resource: entry for entry in entries}
        self._staying: set[str] = set()
        self.in_part: list[str] = []

    def entry(self, resource: str) -> ResourceProgress:
        """The present entry of a resource."""
        return self._entries[resource]

    def progress(self) -> dict[str, Progress]:
        """Progress by resource name."""
        return {name: entry.progress for name, entry in self._entries.items()}

    def statuses(self, resources: Iterable[str] | None = None) -> list[ResourceStatus]:
        """Rows of `sync_status`, for some resources or for all."""
        return [self._entries[name].saved() for name in (self._entries if resources is None else resources)]

    def committed(self, chunk: Chunk, *, stays: bool = False) -> None:
        """Records that a chunk's rows are committed. `stays`: the database refused some of them, so the progress does
        not advance and the next run tries again.

        Windows are independent of each other; the progress of a list or of an order of parents stays in place for the
        rest of this run.
        """
        entry = self._entries[chunk.resource]
        if stays:
            self._staying.add(chunk.resource)
        is_free = chunk.resource not in self._staying or (isinstance(chunk.advance, Covered) and not stays)
        progress = entry.progress.apply(chunk.advance) if is_free else entry.progress
        status = replace(
            entry.status,
            status="running",
            rows=entry.status.rows + chunk.rows,
            requests=entry.status.requests + chunk.requests,
        )
        self._entries[chunk.resource] = replace(entry, status=status, progress=progress)

    def ended(self, end: Finished | Failed, rejected: Sequence[Rejected] = ()) -> None:
        """Records that a resource has ended, and all its chunks are committed except the `rejected` objects."""
        entry = self._entries[end.resource]
        status = replace(entry.status, requests=end.requests, seconds=end.seconds, status="complete")
        if rejected:
            status = replace(status, status="error", error=left_out(rejected, is_load=True))
            if isinstance(end, Finished) and end.resource not in self._staying:
                self.in_part.append(end.resource)
        if isinstance(end, Failed):
            error = end.error
            status = replace(
                status,
                status="skipped" if isinstance(error, SkipResource) else "error",
                error=explanation(error),
                request_id=error.request_id if isinstance(error, ConnectorError) else None,
            )
        self._entries[end.resource] = replace(entry, status=status)

    def cut_short(self) -> None:
        """Records that the run ended early: resources that are not complete are in error."""
        for name, entry in self._entries.items():
            if entry.status.status in ("queued", "running"):
                self._entries[name] = replace(entry, status=replace(entry.status, status="error", error=CUT_SHORT))

    @property
    def rows(self) -> int:
        """Rows of all resources in this run."""
        return sum(entry.status.rows for entry in self._entries.values())

    @property
    def requests(self) -> int:
        """Requests of all resources in this run, as far as they are recorded."""
        return sum(entry.status.requests for entry in self._entries.values())

    def with_status(self, status: str) -> list[str]:
        """Names of the resources with this status."""
        return [name for name, entry in self._entries.items() if entry.status.status == status]


def explanation(error: Exception) -> str:
    """Why a resource failed: the message of our own errors; for other errors only the class, because their text may
    hold data.
    """
    if isinstance(error, ConnectorError):
        return str(error)
    return f"Unexpected error: {type(error).__name__}. Run the command again with --debug, and please report it."


def _bounds(passes: Iterable[WindowSet]) -> tuple[datetime | None, datetime | None]:
    """The newest window that every pass has covered."""
    newest = [windows[-1] for windows in passes if windows]
    if not newest:
        return None, None
    start, end = max(window.gte for window in newest), min(window.lt for window in newest)
    return datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
