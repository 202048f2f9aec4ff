"""Writes metrics of batch runs, and the freshness of the tables, for the textfile collector of Prometheus' node
exporter: https://github.com/prometheus/node_exporter#textfile-collector.

A run that has ended cannot be scraped, so the metrics come from the database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sources.errors import BadConfiguration

METRICS: Mapping[str, str] = {
    "stripe_elt_account_right_until_seconds": "Unix time up to which the tables of an account are right.",
    "stripe_elt_resources": "Resources of an account, by status.",
    "stripe_elt_run_started_seconds": "Unix time at which the last run of a command began.",
    "stripe_elt_run_seconds": "Duration of the last run of a command that has ended.",
    "stripe_elt_run_complete": "Whether the last run of a command that has ended was complete: 1 or 0.",
    "stripe_elt_run_rows": "Rows of the last run of a command.",
    "stripe_elt_run_requests": "Requests of the last run of a command.",
}
"""Names and meanings. All are gauges."""


def write_textfile(file: str, accounts: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]) -> None:
    """Writes the metrics atomically: a reader sees the old or the new file. Raises BadConfiguration."""
    path = Path(file)
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text_of(accounts, runs), "utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BadConfiguration(
            f"The metrics cannot be written to the file that --textfile names: {error.strerror}."
        ) from error


def text_of(accounts: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]) -> str:
    """The metrics in Prometheus' text format. `accounts` come from `account_freshness`, `runs` from `sync_runs`, newest
    first.
    """
    samples = [*_of_accounts(accounts), *_of_runs(runs)]
    lines: list[str] = []
    for name, about in METRICS.items():
        own = [sample for sample in samples if sample[0] == name]
        if own:
            lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge"]
            lines += [f"{name}{{{_labels(labels)}}} {value}" for _, labels, value in own]
    return "".join(f"{line}\n" for line in lines)


Sample = tuple[str, Mapping[str, str], float]


def _of_accounts(accounts: Sequence[Mapping[str, Any]]) -> Iterator[Sample]:
    for row in accounts:
        account = {"account": row["account"]}
        if row["reached"] is not None:
            yield "stripe_elt_account_right_until_seconds", account, row["reached"].timestamp()
        for status, count in sorted(row["resources"].items()):
            yield "stripe_elt_resources", {**account, "status": status}, count


def _of_runs(runs: Sequence[Mapping[str, Any]]) -> Iterator[Sample]:
    started: set[str] = set()
    ended: set[str] = set()
    for run in runs:
        command = {"command": run["command"]}
        if run["command"] not in started:
            started.add(run["command"])
            yield "stripe_elt_run_started_seconds", command, run["started_at"].timestamp()
        if run["command"] not in ended and run["ended_at"] is not None:
            ended.add(run["command"])
            yield "stripe_elt_run_seconds", command, (run["ended_at"] - run["started_at"]).total_seconds()
            yield "stripe_elt_run_complete", command, int(run["status"] == "complete")
            yield "stripe_elt_run_rows", command, run["rows"] or 0
            yield "stripe_elt_run_requests", command, run["requests"] or 0


def _labels(labels: Mapping[str, str]) -> str:
    escaped = {
        name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, value in labels.items()
    }
    return ",".join(f'{name}="{value}"' for name, value in escaped.items())
