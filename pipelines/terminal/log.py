"""The log on stderr: lines of text for people, or of JSON for log collectors. Contains no value of a row.

Knows no settings: commands choose the format.
"""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import threading
from collections import deque
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

import orjson

LogFormat = Literal["text", "json"]

OURS = ("stripe_elt", "uvicorn.error")
QUIET = ("psycopg", "psycopg.pool")
"""Loggers that report expected conflicts and outages; their callers report those themselves."""
RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}
"""The fields of every log record; all other fields of a record were passed as `extra`."""


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


class UnhurriedHandler(logging.Handler):
    """Writes lines to a descriptor in a thread of its own, so that logging never waits for the reader.

    The lines of `gathering` seconds are written together, because waking the thread for each line would cost the sink a
    twentieth of its time. Warnings and errors are written at once, with the lines before them.

    If nobody reads, up to `most` lines wait and further ones are left out; once lines can be written again, one line
    says how many were left out. At the end of the process, waiting lines have `patience` seconds.
    """

    def __init__(self, descriptor: int, most: int = 10_000, patience: float = 1.0, gathering: float = 0.05) -> None:
        super().__init__()
        self._descriptor, self._most, self._patience, self._gathering = descriptor, most, patience, gathering
        self._lines: deque[str] = deque()
        self._left_out, self._is_writing, self._is_urgent = 0, False, threading.Event()
        self._changed = threading.Condition()
        threading.Thread(target=self._write_all, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queues a record, or counts it as left out."""
        line = self.format(record)
        with self._changed:
            if len(self._lines) < self._most:
                self._lines.append(line)
                self._changed.notify_all()
            else:
                self._left_out += 1
        if record.levelno >= logging.WARNING:
            self._is_urgent.set()

    def flush(self) -> None:
        """Waits until everything is written, at most `patience` seconds."""
        self._is_urgent.set()
        with self._changed:
            self._changed.wait_for(lambda: not self._lines and not self._is_writing, self._patience)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._lines)
            self._is_urgent.wait(self._gathering)
            with self._changed:
                self._is_urgent.clear()
                lines, left_out = list(self._lines), self._left_out
                self._lines.clear()
                self._left_out, self._is_writing = 0, True
            if left_out:
                said = {"msg": LEFT_OUT, "levelname": "WARNING", "name": "stripe_elt", "lines": left_out}
                lines.append(self.format(logging.makeLogRecord(said)))
            self._write("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))

    def _write(self, text: bytes) -> None:
        """Writes all of the text, however long it takes. Gives up if the reader has closed the pipe or the disk is
        full.
        """
        while text:
            try:
                text = text[os.write(self._descriptor, text) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError:
                return


LEFT_OUT = "lines of the log were left out, because nobody read the earlier lines"


def log_to_stderr(level: int, kind: LogFormat, *, waits: bool = True) -> None:
    """Sends the records of all loggers to stderr: ours from `level` on, those of others from warnings on.

    With `waits`, logging waits until a line is written; a service must not wait for its log.
    """
    handler = logging.StreamHandler(sys.stderr) if waits else UnhurriedHandler(2)
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
    """File, line and function of each frame: a traceback without values, which could be customers' data."""
    trace = record.exc_info[2] if record.exc_info else None
    frames: list[str] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return frames
