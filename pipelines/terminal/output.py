"""The output of a command on stdout: text for people, or one JSON document. Knows no command."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, NamedTuple, TextIO


class Report(NamedTuple):
    """The result of a command: its exit code, and its report as JSON values for `--json`."""

    code: int
    value: Any


@contextmanager
def text_elsewhere(*, as_json: bool, quiet: bool) -> Iterator[TextIO]:
    """Returns the real stdout, for the JSON document. Text that the block prints goes to stderr; if `quiet`, it is
    dropped.
    """
    stdout = sys.stdout
    with open(os.devnull, "w") as nowhere:
        if quiet:
            with redirect_stdout(nowhere):
                yield stdout
        elif as_json:
            with redirect_stdout(sys.stderr):
                yield stdout
        else:
            yield stdout


def write_json(value: Any, file: TextIO) -> None:
    """Writes the document in UTF-8, whatever the file's encoding."""
    file.flush()
    text = json.dumps(value, indent=2, default=str, ensure_ascii=False) + "\n"
    if (raw := getattr(file, "buffer", None)) is not None:
        raw.write(text.encode("utf-8", "backslashreplace"))
    else:
        file.write(text)
    file.flush()
