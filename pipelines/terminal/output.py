"""What a command prints on stdout: text for people, or one JSON document and nothing else. Knows no command."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, NamedTuple, TextIO


class Report(NamedTuple):
    """What a command ends with: its exit code, and what it has to tell as a value for `--json`."""

    code: int
    value: Any


@contextmanager
def text_elsewhere(*, as_json: bool, quiet: bool) -> Iterator[TextIO]:
    """The real stdout, for the JSON document; what the block prints goes to stderr, or nowhere where it is quiet."""
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
    """Writes the document as UTF-8, whatever the file's encoding is."""
    file.flush()
    text = json.dumps(value, indent=2, default=str, ensure_ascii=False) + "\n"
    if (raw := getattr(file, "buffer", None)) is not None:
        raw.write(text.encode("utf-8", "backslashreplace"))
    else:
        file.write(text)
    file.flush()
