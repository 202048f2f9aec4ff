"""Generates `snapshot.json`, column types and references of every table, from the installed `stripe` SDK's source.

    python -m sources.stripe_api.generate.snapshot             # write it
    python -m sources.stripe_api.generate.snapshot --check     # exit 1 and print the differing lines if it is stale

The output is deterministic: sorted, one line for each column, no times and no paths. Run it after each upgrade of the
SDK.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sources.catalogue import ColumnType, Table
from sources.generated import write_or_check
from sources.stripe_api.catalogue import CATALOGUE, TABLES
from sources.stripe_api.catalogue.fields import SNAPSHOT
from sources.stripe_api.generate.sdk import Field, Kind, Sdk

COMMAND = "python -m sources.stripe_api.generate.snapshot"

KINDS: Mapping[Kind, ColumnType] = {
    "string": "text",
    "integer": "bigint",
    "number": "double",
    "boolean": "bool",
    "decimal": "decimal",
    "expandable": "text",
}

# The SDK types timestamps as int (v1, unix seconds) or str (v2, RFC 3339). They are recognised by the field's name or
# by the first words of its documentation; neither alone finds all of them.
MOMENT_NAME = re.compile(
    r"^(created|updated|date|start|end)$|_(at|date|on|time|start|end|until|anchor|by|after)$",
)
MOMENT_DOC = re.compile(
    r"seconds since the unix epoch|unix timestamp|epoch seconds|\btimestamp\b"
    r"|^(the )?(time|date) (at|on|after|that|when|in|the)\b",
    re.IGNORECASE,
)
MOMENT_NAME_V2 = re.compile(r"^(created|updated)$|_(at|date)$")
MILLISECONDS = re.compile(r"measured in milliseconds", re.IGNORECASE)


def column_type(object_name: str, field: Field) -> ColumnType:
    """Type of the column for a field of an object class."""
    if field.type.kind == "integer" and _is_moment(field):
        return "timestamp"
    if field.type.kind == "string" and object_name.startswith("v2.") and MOMENT_NAME_V2.search(field.name):
        return "timestamp"
    return KINDS.get(field.type.kind, "json")


def table_columns(sdk: Sdk, table: Table) -> dict[str, ColumnType]:
    """Columns of a table: the fields of all its objects, without embedded lists (they have tables of their own),
    `deleted` (which becomes `_deleted_at`) and hidden fields (never requested).

    A field with different types in two objects is json.
    """
    classes = sdk.object_classes()
    absent = {"deleted", *table.hidden, *(embedded.field for embedded in table.embedded)}
    found: dict[str, ColumnType] = {name: "text" for name, _ in table.kept}
    for object_name in table.objects:
        for name, field in sdk.fields(classes[object_name]).items():
            kind = column_type(object_name, field)
            found[name] = kind if found.get(name, kind) == kind else "json"
    return {name: found[name] for name in sorted(found.keys() - absent)}


def table_references(sdk: Sdk, table: Table) -> dict[str, str]:
    """Columns that hold the id of an object of another table -> the names of the tables that it can be in.

    These are the ids that Stripe can expand, and fields named after an object.
    """
    classes = sdk.object_classes()
    objects = {ref: name for name, ref in classes.items()}
    columns = table_columns(sdk, table)
    found = {name: " ".join(sorted(CATALOGUE.tables_of_object(name))) for name, _ in table.kept}
    for object_name in table.objects:
        for name, field in sdk.fields(classes[object_name]).items():
            expanded = field.type.refs if field.type.kind == "expandable" else ()
            named = [objects[ref] for ref in expanded] or [name]
            if columns.get(name) == "text" and (
                tables := {table for each in named for table in CATALOGUE.tables_of_object(each)}
            ):
                found[name] = " ".join(sorted(tables))
    return {name: found[name] for name in sorted(found)}


def snapshot(sdk: Sdk) -> str:
    """The snapshot's text."""
    tables = {name: table_columns(sdk, TABLES[name]) for name in sorted(TABLES)}
    references = {name: found for name in sorted(TABLES) if (found := table_references(sdk, TABLES[name]))}
    content = {
        "api_version": sdk.api_version,
        "sdk_version": sdk.version,
        "tables": tables,
        "references": references,
    }
    return json.dumps(content, indent=1) + "\n"


def main(argv: Sequence[str] | None = None, path: Path = SNAPSHOT) -> int:
    """Writes the snapshot to a file, or checks the file with `--check`. Returns the exit code."""
    about = "Column types and references of every table, from the installed SDK."
    return write_or_check(argv, COMMAND, about, path, snapshot(Sdk()))


def _is_moment(field: Field) -> bool:
    """Whether a field is a timestamp. Milliseconds (one field has them) stay integers."""
    if MILLISECONDS.search(field.doc):
        return False
    return bool(MOMENT_NAME.search(field.name) or MOMENT_DOC.search(field.doc))


if __name__ == "__main__":
    sys.exit(main())
