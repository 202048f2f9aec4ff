"""The log on stderr: lines of text, or of JSON, without a value of a row."""

from __future__ import annotations

import json
import logging
import os
import re
import sys

import pytest

from pipelines.terminal.log import LEFT_OUT, JsonLines, TextLines, UnhurriedHandler


def record(error: bool = False) -> logging.LogRecord:
    logger = logging.getLogger("stripe_elt.tests")
    try:
        raise ValueError("a customer's address")
    except ValueError:
        trace = sys.exc_info() if error else None
    fields = {"status": 200, "event": "evt_1", "left": None}
    return logger.makeRecord(logger.name, logging.INFO, __file__, 1, "%d done", (3,), trace, extra=fields)


def test_a_line_of_json_has_the_fields_that_were_given() -> None:
    line = json.loads(JsonLines().format(record()))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line == {"level": "info", "logger": "stripe_elt.tests", "message": "3 done", "status": 200, "event": "evt_1"}


def test_a_line_of_json_holds_what_the_fast_writer_cannot() -> None:
    odd = logging.makeLogRecord({"msg": "odd", "big": 2**70, "half": "\ud800"})
    assert json.loads(JsonLines().format(odd))["big"] == 2**70


def test_a_line_of_text_has_them_at_its_end() -> None:
    assert re.fullmatch(r"[\d-]+ [\d:.]+ INFO 3 done event=evt_1 status=200", TextLines().format(record()))


@pytest.mark.parametrize("lines", [JsonLines(), TextLines()], ids=["json", "text"])
def test_an_error_is_named_without_what_it_says(lines: logging.Formatter) -> None:
    line = lines.format(record(error=True))
    assert "ValueError" in line
    assert "test_log.py" in line
    assert "address" not in line
    assert "\n" not in line


@pytest.mark.parametrize("ending", ["warning", "flush"])
def test_lines_are_written_together_once_one_is_urgent_or_the_process_ends(ending: str) -> None:
    reading, writing = os.pipe()
    handler = UnhurriedHandler(writing, gathering=3_600.0)
    handler.setFormatter(JsonLines())
    for number in range(3):
        handler.handle(logging.makeLogRecord({"msg": "x", "levelno": logging.INFO, "number": number}))
    if ending == "warning":
        handler.handle(logging.makeLogRecord({"msg": "x", "levelno": logging.WARNING, "number": 3}))
    else:
        handler.flush()
    numbers = [json.loads(line)["number"] for line in os.read(reading, 65_536).splitlines()]
    assert numbers == list(range(4 if ending == "warning" else 3))


def test_who_logs_does_not_wait_for_a_pipe_that_nobody_reads() -> None:
    """More than a pipe holds: what is too much is left out and counted, and the rest arrives once somebody reads."""
    reading, writing = os.pipe()
    handler = UnhurriedHandler(writing, most=500, patience=0.05)
    handler.setFormatter(JsonLines())
    for number in range(5_000):
        handler.handle(logging.makeLogRecord({"msg": "x" * 500, "levelno": logging.INFO, "number": number}))
    handler.flush()
    text, numbers, left_out = b"", list[int](), 0
    while len(numbers) + left_out < 5_000:  # the count may come in parts, each time that a line can be written
        text += os.read(reading, 65_536)
        lines = [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]
        numbers = [line["number"] for line in lines if "number" in line]
        left_out = sum(line["lines"] for line in lines if line["message"] == LEFT_OUT)
    assert len(numbers) + left_out == 5_000
    assert numbers[:100] == list(range(100))
    assert numbers == sorted(set(numbers))
    assert left_out > 1_000
