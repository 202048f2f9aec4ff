"""docs/reference/resources.md and docs/reference/tables.md, from the catalogue and the schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from generators.markdown_page import code, link, page, table
from sources.catalogue import GROUPS, Resource, Table
from sources.columns.coerce import SYSTEM_COLUMNS
from sources.columns.columns import ABOUT_OWN_COLUMNS, MORE_COLUMNS, OWN_COLUMNS
from sources.columns.layout import OTHER_FIELDS
from sources.stripe_api.catalogue import CATALOGUE, RESOURCES, TABLES
from sources.stripe_api.catalogue.fields import fields_of


def resources_page() -> str:
    """Every list operation and singleton: what `--resources` takes."""
    loaded = [each for each in RESOURCES.values() if each.not_loaded is None]
    left_out = [each for each in RESOURCES.values() if each.not_loaded is not None]
    return page(
        "Resources",
        f"`--resources` accepts the names on this page, and the groups {code(*GROUPS)}. `core` is billing and payments."
        " `default`, which applies without the option, is every list that needs no parent, with its embedded lists."
        " `all` adds the lists that cost at least one request for each parent.",
        "*Created* says whether the list can be filtered by a range of time: such lists are read in parallel windows,"
        " and a later run requests only newer objects. *Gate* is a product that an account may lack: the resource is"
        " then skipped and reported.",
        *_section("Singletons", [each for each in loaded if each.kind == "singleton"], _root_columns),
        *_section("Lists", [each for each in loaded if each.kind == "root"], _root_columns),
        *_section("Lists that need a parent", [each for each in loaded if each.kind == "child"], _child_columns),
        "## Never loaded",
        table(
            ("Operation", "Path", "Reason"),
            ((code(each.name), code(each.path), each.not_loaded or "") for each in left_out),
        ),
    )


def _section(title: str, lines: Sequence[Resource], cells: Callable[[Resource], dict[str, str]]) -> list[str]:
    rows = [cells(line) for line in lines]
    return [f"## {title}", f"{len(rows)} in all.", table(list(rows[0]), (list(row.values()) for row in rows))]


def _common(each: Resource) -> dict[str, str]:
    name = f"{code(each.name)}{' (deprecated)' if each.deprecated else ''}"
    return {"Resource": name, "Path": code(each.path), "Table": link(each.table)}


def _root_columns(each: Resource) -> dict[str, str]:
    return {
        **_common(each),
        "Core": "yes" if "core" in each.groups else "",
        "Created": "" if each.created == "none" else "yes",
        "Asked with": _passes(each),
        "Gate": each.gate or "",
    }


def _child_columns(each: Resource) -> dict[str, str]:
    parents = " and ".join(link(parent.table) for parent in each.parents)
    return {**_common(each), "One list for each of": parents, "Asked with": _passes(each), "Gate": each.gate or ""}


def _passes(each: Resource) -> str:
    """The parameters of each pass over the list; several passes where one would hide rows."""
    passes = [code(*("=".join(pair) for pair in params)) for params in each.passes if params]
    return ", then ".join(passes)


SQL_TYPES = {
    "text": ("varchar", "VARCHAR"),
    "bigint": ("bigint", "BIGINT"),
    "double": ("double precision", "DOUBLE"),
    "bool": ("boolean", "BOOLEAN"),
    "timestamp": ("timestamp with time zone", "TIMESTAMP WITH TIME ZONE"),
    "decimal": ("numeric(38,12)", "DECIMAL(38,12)"),
    "json": ("jsonb", "JSON"),
}


def tables_page() -> str:
    """Every table with its key, its origin and its columns."""
    return page(
        "Tables",
        "There is one table for each kind of object, in the dataset `stripe`. Columns have the names of Stripe's"
        " fields. A field that is not listed here becomes a new column when it first arrives. A value that does not"
        " fit its column's type goes to a second column, `<column>__v_<type>`. The sentences are from Stripe's SDK, or"
        " ours where it does not say what a table holds, and both databases show them as comments on the tables and"
        " columns.",
        table(("Type here", "Postgres", "DuckDB"), ((code(ours), *map(code, sql)) for ours, sql in SQL_TYPES.items())),
        "## Columns of every table",
        table(
            ("Column", "Type", ""),
            ((code(column), kind, ABOUT_OWN_COLUMNS[column]) for column, kind in OWN_COLUMNS.items()),
        ),
        f"A field that cannot be a column is stored, whole, in the JSON column `{OTHER_FIELDS}`, which a table gets"
        " when it first needs it. This applies to names that are not snake case or are longer than 53 characters, names"
        f" that the databases use for their own columns ({code(*sorted(SYSTEM_COLUMNS))}), and every field beyond the"
        f" {MORE_COLUMNS} columns that a table gets for fields and variants that are not listed here. A value that"
        " does not fit its column's type then goes to `<column>__v_json`. A field that has a column keeps it.",
        "Only tables with a parent have `_parent_id`: the id of the object that a row belongs to."
        " [merge.md](../merge.md) explains these columns.",
        *(_table_section(each) for each in TABLES.values()),
    )


def _table_section(each: Table) -> str:
    lists = [line for line in RESOURCES.values() if line.table == each.name and line.not_loaded is None]
    holders = [holder for holder in TABLES.values() if any(embed.table == each.name for embed in holder.embedded)]
    facts = [f"Key {code(*each.key, '_account_id')}."]
    if each.parent:
        facts.append(f"`_parent_id` is a row of {link(each.parent)}.")
    if lists:
        facts.append(f"Filled by {code(*(line.name for line in lists))}.")
    if holders:
        facts.append(f"Arrives embedded in {', '.join(link(holder.name) for holder in holders)}.")
    showing = [shown for shown in TABLES.values() if any(expanded.table == each.name for expanded in shown.expanded)]
    if showing:
        facts.append(
            f"Comes with every read of {', '.join(link(shown.name) for shown in showing)}, which keep the ids."
        )
    if showing and not lists:
        facts.append("Stripe has no list of these objects: rows also come from events.")
    if not lists and not holders and not showing:
        facts.append("Stripe has no list of these objects: rows come from events and from reads of single objects.")
    if each.shown_on_request:
        facts.append(
            f"Shown only on request, so every read contains it and no event does: {code(*each.shown_on_request)}."
        )
    if each.hidden:
        facts.append(f"Not loaded: {code(*each.hidden)} ([why](../decisions.md)).")
    said = CATALOGUE.descriptions.of(each.name)
    rows = [(code(name), kind, said[name]) for name, kind in fields_of(each.name).items()]
    return "\n\n".join([f"## {each.name}", said[""], " ".join(facts), table(("Column", "Type", ""), rows)])
