"""Makes `descriptions.json`, one sentence on each table and column, from the docstrings of the installed `stripe` SDK.

    python -m sources.stripe_api.generate.descriptions            # write it
    python -m sources.stripe_api.generate.descriptions --check    # exit 1 where it is stale, with the lines that differ

Databases get them as comments, and docs/reference/tables.md shows them. Run it after each upgrade of the SDK.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from sources.generated import write_or_check
from sources.stripe_api.catalogue import TABLES, Table
from sources.stripe_api.catalogue.fields import DESCRIPTIONS, fields_of
from sources.stripe_api.generate.sdk import Sdk

COMMAND = "python -m sources.stripe_api.generate.descriptions"

_LINK = re.compile(r"\[([^\]]+)\]\([^)\s]*\)?")
_KIND = re.compile(r"^(Closed|Open) Enum\. ")
_TAG = re.compile(r"<[^>]+>")
_END = re.compile(r"(?<!e\.g)(?<!i\.e)(?<!etc)(?<!vs)[.!?](?=\s+[A-Z`\"'(<]|$)")


def sentence(doc: str) -> str:
    """The first sentence of a docstring, without links and tags, on one line; empty where there is none."""
    text = " ".join(_TAG.sub("", _LINK.sub(r"\1", doc.partition("\n\n")[0])).split())
    text = _KIND.sub("", text)
    end = _END.search(text)
    text = (text[: end.start()] if end else text).rstrip(" .:;").removesuffix(", one of")
    return f"{text[0].upper()}{text[1:]}." if text else ""


def described(sdk: Sdk, table: Table) -> tuple[str, dict[str, str]]:
    """A sentence on a table, and one on each column that the snapshot knows. What the SDK is silent on is named."""
    classes, known = sdk.object_classes(), fields_of(table.name)
    about, columns = "", dict(table.kept)
    for object_name in table.objects:
        words = object_name.replace("v2.", "").replace(".", " ").replace("_", " ")
        about = about or sentence(sdk.doc(classes[object_name])) or f"Objects of the type {words}."
        for name, field in sdk.fields(classes[object_name]).items():
            if name in known and name not in columns:
                columns[name] = sentence(field.doc) or f"The {name.replace('_', ' ')} of the {words}."
    return about, {name: columns[name] for name in sorted(columns)}


def descriptions(sdk: Sdk) -> str:
    """The file's text."""
    found = {name: described(sdk, TABLES[name]) for name in sorted(TABLES)}
    content = {name: {"": about, **columns} for name, (about, columns) in found.items()}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def main(argv: Sequence[str] | None = None, path: Path = DESCRIPTIONS) -> int:
    """Write the descriptions to a file, or check the one that is there. Returns the exit code."""
    return write_or_check(argv, COMMAND, "One sentence on each table and column.", path, descriptions(Sdk()))


if __name__ == "__main__":
    sys.exit(main())
