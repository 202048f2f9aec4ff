"""Generates `snapshot.json`, the fields of every table with their types, from the installed `orb-billing` SDK.

    python -m sources.orb_api.generate.snapshot             # write it
    python -m sources.orb_api.generate.snapshot --check     # exit 1 and print the differing lines if it is stale

The output is deterministic: sorted, one line for each field, no times and no paths. Run it after each upgrade of the
SDK.
"""

from __future__ import annotations

import json
import re
import sys
import typing
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from sources.catalogue import ColumnType, Table
from sources.generated import write_or_check
from sources.orb_api.catalogue.events import SUBJECTS
from sources.orb_api.catalogue.fields import SNAPSHOT
from sources.orb_api.catalogue.lists import LISTS
from sources.orb_api.catalogue.tables import TABLES
from sources.orb_api.generate.sdk import Operation, Shape, event_models, item_of, members, operations, shapes, version

COMMAND = "python -m sources.orb_api.generate.snapshot"

# Orb shows money and quantities of credits as strings. The SDK types them as `str`, so only field names identify them.
DECIMAL_NAME = re.compile(
    r"(^|_)(amount|balance|subtotal|threshold|total|cost_basis)$|^amount_due$|_refunded$|^credits_applied$"
)
KINDS: Mapping[type, ColumnType] = {int: "bigint", float: "double", bool: "bool", datetime: "timestamp"}

DOCUMENTED: Mapping[str, Mapping[str, ColumnType]] = {
    "webhook_events": {
        "created_at": "timestamp",
        "delivery_attempts": "json",
        "id": "text",
        "is_delivered": "bool",
        "payload": "json",
        "type": "text",
    },
}
"""Objects that Orb's documentation describes and the SDK lacks."""

OURS: Mapping[str, Mapping[str, ColumnType]] = {
    "alert_events": {
        "created_at": "timestamp",
        "id": "text",
        "properties": "json",
        "subject_id": "text",
        "subject_type": "text",
        "type": "text",
    },
}
"""Tables whose columns are ours: an event's own fields, and the type and id of the object that it is about."""


def column_type(name: str, shape: Shape) -> ColumnType:
    """The type of the column for a field."""
    kinds = {_kind(name, annotation) for annotation in shape.annotations}
    if kinds == {"timestamp", "text"}:  # a timestamp or a word: "end_of_term"
        return "text"
    return kinds.pop() if len(kinds) == 1 else "json"


def model_of(table: str) -> Any:
    """The SDK's model of a table's objects. Raises KeyError for a table whose objects the SDK lacks."""
    return _models()[table]


def snapshot() -> str:
    """The snapshot's text."""
    tables: dict[str, Mapping[str, ColumnType]] = {}
    required: dict[str, list[str]] = {}
    for table in sorted(TABLES, key=lambda table: table.name):
        if (by_hand := DOCUMENTED.get(table.name) or OURS.get(table.name)) is not None:
            tables[table.name], required[table.name] = by_hand, sorted(by_hand)
            continue
        found = shapes(model_of(table.name))
        required[table.name] = sorted(name for name, shape in found.items() if shape.is_required)
        columns = {
            name: column_type(name, found[name])
            for name in found.keys() - {embedded.field for embedded in table.embedded}
        }
        kept: dict[str, ColumnType] = {name: "text" for name, _ in table.kept}
        tables[table.name] = dict(sorted((columns | kept).items()))
    references = {name: ids for name, columns in tables.items() if (ids := _references(columns))}
    content = {"sdk_version": version(), "tables": tables, "required": required, "references": references}
    return json.dumps(content, indent=1) + "\n"


def main(argv: Sequence[str] | None = None, path: Path = SNAPSHOT) -> int:
    """Writes the snapshot to a file, or checks the file with `--check`. Returns the exit code."""
    return write_or_check(argv, COMMAND, "Fields of every table, from the installed SDK.", path, snapshot())


def _kind(name: str, annotation: Any) -> ColumnType:
    if annotation is str:
        return "decimal" if DECIMAL_NAME.search(name) else "text"
    if annotation is date:
        return "timestamp"
    if typing.get_origin(annotation) is typing.Literal:
        return "text" if all(isinstance(argument, str) for argument in typing.get_args(annotation)) else "json"
    return KINDS.get(annotation, "json")


@cache
def _models() -> dict[str, Any]:
    """Models by table: first those of lists, then of embedded objects, then of objects that only events show."""
    listed = {operation.path: operation for operation in operations()}
    found = {line.table: _listed(listed[line.path]) for line in reversed(LISTS) if line.path in listed}
    for table in TABLES:
        for embedded in table.embedded:
            found[embedded.table] = item_of(_annotation(found[table.name], embedded.field))
    for event_type, model in event_models().items():
        field, table_name = SUBJECTS.get(event_type.partition(".")[0], ("", ""))
        if table_name and table_name not in found:
            found[table_name] = _annotation(model, field)
    return found


def _listed(operation: Operation) -> Any:
    """The model of a list's objects."""
    return operation.model if operation.is_list else item_of(_annotation(operation.model, "data"))


def _annotation(model: Any, field: str) -> Any:
    (member,) = members(model)
    return member.model_fields[field].annotation


def _references(columns: Mapping[str, ColumnType]) -> dict[str, str]:
    """Columns named after another table's objects: `invoice_id` holds the id of an invoice."""
    tables: dict[str, Table] = {f"{table.objects[0]}_id": table for table in TABLES}
    return {name: tables[name].name for name, kind in columns.items() if kind == "text" and name in tables}


if __name__ == "__main__":
    sys.exit(main())
