"""Reads, writes and checks the files that are generated from an installed SDK.

Knows no provider.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sources.catalogue import ColumnType


@cache
def read_generated(path: Path) -> Mapping[str, Any]:
    """The content of a generated JSON file, which is read once and cached."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return MappingProxyType(content)


@cache
def fields_in(snapshot: Path, table: str) -> Mapping[str, ColumnType]:
    """The fields of a table in a provider's snapshot, sorted. Raises KeyError for a table that the snapshot lacks."""
    return MappingProxyType(read_generated(snapshot)["tables"][table])


def difference(stored: str, current: str, name: str = "snapshot.json") -> list[str]:
    """Lines that differ between a stored file and the current text; none if the file is current."""
    return list(
        difflib.unified_diff(stored.splitlines(), current.splitlines(), name, "the installed SDK", lineterm="", n=1)
    )


def write_or_check(argv: Sequence[str] | None, command: str, about: str, path: Path, current: str) -> int:
    """Writes a generated text to its file, or checks the file with `--check`. Returns the exit code, 1 if stale."""
    parser = argparse.ArgumentParser(prog=command, description=about)
    parser.add_argument("--check", action="store_true", help=f"write nothing; exit with 1 if {path.name} is stale")
    check: bool = parser.parse_args(argv).check
    if not check:
        path.write_text(current, encoding="utf-8")
        return 0
    stale = difference(path.read_text(encoding="utf-8") if path.exists() else "", current, path.name)
    if stale:
        print("\n".join([*stale, "", f"{path.name} is stale: run {command}"]), file=sys.stderr)
    return 1 if stale else 0
