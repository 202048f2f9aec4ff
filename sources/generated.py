"""Files that are generated from an installed SDK: writes them, and says whether they are stale. Knows no provider."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path


def difference(stored: str, current: str, name: str = "snapshot.json") -> list[str]:
    """Lines that differ between a stored file and the current text; none where it is current."""
    return list(
        difflib.unified_diff(stored.splitlines(), current.splitlines(), name, "the installed SDK", lineterm="", n=1)
    )


def write_or_check(argv: Sequence[str] | None, command: str, about: str, path: Path, current: str) -> int:
    """Write a generated text to its file, or check the one that is there, as `argv` says. Returns the exit code."""
    parser = argparse.ArgumentParser(prog=command, description=about)
    parser.add_argument("--check", action="store_true", help=f"write nothing; exit 1 where {path.name} is stale")
    check: bool = parser.parse_args(argv).check
    if not check:
        path.write_text(current, encoding="utf-8")
        return 0
    stale = difference(path.read_text(encoding="utf-8") if path.exists() else "", current, path.name)
    if stale:
        print("\n".join([*stale, "", f"{path.name} is stale: run {command}"]), file=sys.stderr)
    return 1 if stale else 0
