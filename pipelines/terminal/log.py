"""The log on stderr: lines of text for people, or of JSON for whatever collects logs. Holds no value of a row.

Knows no settings: commands say which of the two it is to be.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

import orjson

LogFormat = Literal["text", "json"]

OURS = ("stripe_elt", "uvicorn.error")
QUIET = ("psycopg", "psycopg.pool")
"""Loggers whose conflicts and outages are expected; whoever works with them reports them itself."""
RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}
"""What every log record has; all other fields of a record were given as `extra`."""


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: time, level, logger, message, the fields given as `extra`, and an error."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields: dict[str, object] = {
            "time": f"{_second(int(record.created))}.{int(record.msecs):03d}+00:00",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info and record.exc_info[0]:
            fields["error"] = record.exc_info[0].__name__
            fields["at"] = _frames(record)
        try:
            return orjson.dumps(fields, default=str).decode()
        except TypeError:  # a lone surrogate, or a number of more than 64 bits
            return json.dumps(fields, default=str)


class TextLines(logging.Formatter):
    """Formats a record as one line of text: time, level, message, and `name=value` for each field given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.fromtimestamp(record.created).isoformat(" ", timespec="milliseconds")
        fields = _extra(record)
        if record.exc_info and record.exc_info[0]:
            fields |= {"error": record.exc_info[0].__name__, "at": ", ".join(_frames(record))}
        words = (f"{name}={value}" for name, value in fields.items())
        return " ".join([time, record.levelname, record.getMessage(), *words])


def log_to_stderr(level: int, kind: LogFormat) -> None:
    """Sends the records of all loggers to stderr: ours from this level on, those of others from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if kind == "json" else TextLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")[:-6]


def _extra(record: logging.LogRecord) -> dict[str, object]:
    given = vars(record)
    return {name: given[name] for name in sorted(given.keys() - RECORD_FIELDS) if given[name] is not None}


def _frames(record: logging.LogRecord) -> list[str]:
    """File, line and function of each frame: a traceback without values, which could be a customer's."""
    trace = record.exc_info[2] if record.exc_info else None
    frames: list[str] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return frames
