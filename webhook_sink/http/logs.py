"""Structured logs: one JSON object a line on stderr. Knows nothing of what is logged."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonLines(logging.Formatter):
    """A record as JSON: time, level, logger, message, the fields given as `extra`, and a traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {name: value for name, value in vars(record).items() if name not in PLAIN and value is not None}
        if record.exc_info and record.exc_info[0]:
            fields["error"] = record.exc_info[0].__name__
            fields["at"] = _place(record)
        return json.dumps(fields, default=str)


def configure(level: int) -> None:
    """Sends what all loggers say to stderr, as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("stripe_elt", "uvicorn.error"):
        logging.getLogger(name).setLevel(level)
    for name in ("psycopg", "psycopg.pool"):  # conflicts and outages are expected, and said in our own words
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _place(record: logging.LogRecord) -> list[str]:
    """File, line and function of each frame: a traceback without values, which could be a customer's."""
    trace = record.exc_info[2] if record.exc_info else None
    frames: list[str] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return frames
