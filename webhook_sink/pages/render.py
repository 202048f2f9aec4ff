"""The status page as HTML, from templates that escape everything. Knows no database and no HTTP server."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from pipelines.commands.freshness import ago
from pipelines.models.report.screen import change, money, percent
from webhook_sink.commit.recent import COUNTED, SEARCHED, STATUSES
from webhook_sink.pages.verdict import ADVICE, many

if TYPE_CHECKING:
    from jinja2 import Environment, Template

SECTIONS = ("verdict", "connections", "answers", "activity", "tables", "queue", "events", "checks", "left_out")
"""The parts of the page that change while it is open: names of blocks in page.html, which are their ids as well."""

SOON = 90
"""Seconds that are shown as "just now"."""

COMMANDS: Mapping[str, str] = {
    "sync": "Load",
    "sync_daily": "Sync",
    "sync_weekly": "Sync, a week back",
    "sync_monthly": "Sync, a month back",
    "sync_single": "One object",
    "replay": "Replay",
    "stripe_sync": "Scheduled sync",
    "stripe_sync lists": "Lists of the sync",
    "stripe_full": "Full load",
    "stripe_check": "Check",
    "stripe_object": "Objects",
}
LOOKS: Mapping[str, str] = {
    **dict.fromkeys(("complete", "processed"), "good"),
    **dict.fromkeys(("running", "queued", "processing"), "busy"),
    **dict.fromkeys(("partial", "interrupted", "warning"), "warning"),
    **dict.fromkeys(("error", "failed", "killed", "problem"), "bad"),
}
"""Status -> CSS class; any other status is "quiet"."""


def text_of(file: str) -> str:
    """A file of this folder."""
    return (resources.files("webhook_sink.pages") / file).read_text("utf-8")


def page(values: Mapping[str, Any], *, is_file: bool = False) -> str:
    """The whole page. As a file, it contains its style and has no forms."""
    style = text_of("style.css") if is_file else None
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() if style else None
    return _template("page.html").render(values, style=style, style_digest=digest)


def sections(values: Mapping[str, Any]) -> dict[str, str]:
    """The parts of the page that change, by their ids."""
    template = _template("page.html")
    context = template.new_context({**values, "style": None, "style_digest": None})
    return {name: "".join(template.blocks[name](context)).strip() for name in SECTIONS}


def login(values: Mapping[str, Any]) -> str:
    """The form for the password."""
    return _template("login.html").render(values, style=None, style_digest=None)


def _template(name: str) -> Template:
    return _environment().get_template(name)


# --- what templates call ----------------------------------------------------------------------------------------------


def moment(value: datetime | None) -> str:
    """`2026-03-01 14:05:09`, in UTC."""
    return "–" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def iso(value: datetime) -> str:
    """For the attribute `datetime`."""
    return value.astimezone(UTC).isoformat(timespec="seconds")


def since(seconds: float | None) -> str:
    """How long ago: `just now`, `5 minutes ago`."""
    if seconds is None:
        return "never"
    return "just now" if seconds < SOON else f"{ago(seconds)} ago"


def lasting(seconds: float | None) -> str:
    """A duration: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60:02d} min"


def number(value: int | None) -> str:
    """`1,234`."""
    return "–" if value is None else f"{value:,}"


def said_of(asked: Any) -> str:
    """The options of a run in one short line: `customers`, `cus_1`, `sample 100`."""
    given = json.loads(asked) if isinstance(asked, str) else asked
    if not given:
        return ""
    named = given.get("object") or given.get("resources") or given.get("ids") or ""
    text = ", ".join(map(str, named)) if isinstance(named, list) else str(named)
    more = [f"{name} {value}" for name, value in given.items() if name in ("since", "until", "sample") and value]
    words = [text, *more, *(["from the beginning"] if given.get("full_refresh") else [])]
    line = ", ".join(word for word in words if word)
    return line if len(line) <= 60 else f"{line[:59]}…"


def line_of(values: Sequence[float], width: int = 120, height: int = 32) -> str:
    """The points of a line through values, for an SVG of this size."""
    low, high = min(values), max(values)
    span, step = (high - low) or 1, width / max(1, len(values) - 1)
    return " ".join(
        f"{place * step:.1f},{height - 2 - (value - low) / span * (height - 4):.1f}"
        for place, value in enumerate(values)
    )


def bars_of(runs: Sequence[Mapping[str, Any]], height: int = 32) -> list[dict[str, Any]]:
    """The durations of runs as bars of an SVG, oldest first, each with the run's status."""
    longest = max((run["seconds"] or 0 for run in runs), default=0) or 1
    return [
        {
            "x": place * 6,
            "height": (tall := max(3.0, round((run["seconds"] or 0) / longest * height, 1))),
            "y": height - tall,
            "look": LOOKS.get(run["status"], "quiet"),
        }
        for place, run in enumerate(reversed(runs))
    ]


def monthly(rows: Iterable[Mapping[str, Any]]) -> list[float]:
    """MRR by month."""
    return [float(row["closing"]) for row in rows if row["closing"] is not None]


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # a sink without a page does not need it

    made = Environment(
        loader=FunctionLoader(text_of), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters.update(
        moment=moment, iso=iso, since=since, lasting=lasting, number=number, said=said_of, line=line_of, bars=bars_of,
        monthly=monthly, percent=percent,
    )  # fmt: skip
    made.globals.update(
        COMMANDS=COMMANDS, LOOKS=LOOKS, ADVICE=ADVICE, STATUSES=STATUSES, COUNTED=COUNTED, SEARCHED=SEARCHED, many=many,
        money=money, change=change,
    )  # fmt: skip
    macros = made.get_template("macros.html").module
    made.globals.update({name: getattr(macros, name) for name in ("time", "pill", "told")})
    return made
