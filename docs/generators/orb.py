"""docs/reference/orb.md, from Orb's catalogue: its lists and its tables."""

from __future__ import annotations

from generators.markdown_page import code, page, table
from sources.catalogue import Resource, Table
from sources.orb_api.catalogue import CATALOGUE
from sources.orb_api.catalogue.fields import fields_of

FROM_EVENTS = ("alert_events", "payment_methods", "transactions")


def orb_page() -> str:
    """Every list and every table of Orb's."""
    resources = CATALOGUE.resources.values()
    return page(
        "Orb: lists and tables",
        "`--resources` of [the command for Orb](../orb.md) accepts the names of these lists, and the groups `core`,"
        " `default` and `all`. *By* is the field by which a list can be filtered: such lists are read in parallel"
        " windows, and a later run requests only what is newer. The others are read whole each time. *For each* says"
        " whose list it is, where each parent has one.",
        table(
            ("Resource", "Path", "Table", "Core", "By", "For each", "Asked with"),
            (_resource_row(resource) for resource in resources if resource.not_loaded is None),
        ),
        "## Never loaded",
        table(
            ("Operation", "Path", "Reason"),
            (
                (code(resource.name), code(resource.path), resource.not_loaded or "")
                for resource in resources
                if resource.not_loaded
            ),
        ),
        "## Tables",
        "They are in the dataset `orb`. [Tables](tables.md) explains the types and our own columns, which begin with an"
        " underscore. Amounts are in major units (`10.00`).",
        *(_table_section(filled) for filled in CATALOGUE.tables.values() if _is_filled(filled)),
    )


def _resource_row(resource: Resource) -> tuple[str, ...]:
    passes = [code(*("=".join(pair) for pair in params)) for params in resource.passes if params]
    by = code(resource.created_field) if resource.created != "none" and resource.created_field else ""
    core = "yes" if "core" in resource.groups else "" if resource.groups else "only in `all`"
    parents = [_link(parent.table) for parent in resource.parents] + (
        [code(resource.each.param)] if resource.each else []
    )
    return (
        code(resource.name),
        code(resource.path),
        _link(resource.table),
        core,
        by,
        ", ".join(parents),
        ", then ".join(passes),
    )


def _link(name: str) -> str:
    return f"[`{name}`](#{name})"


def _is_filled(filled: Table) -> bool:
    """Whether a load or events fill a table."""
    if filled.name in FROM_EVENTS:
        return True
    listed = (each.table for each in CATALOGUE.resources.values() if each.not_loaded is None)
    return any(filled.name in CATALOGUE.filled_with(name) for name in listed)


def _table_section(described: Table) -> str:
    facts = [f"Key {code(*described.key, '_account_id')}."]
    if described.parent and described.name in CATALOGUE.filled_with(described.parent):
        facts.append(f"Arrives embedded in {_link(described.parent)}; `_parent_id` is its row there.")
    elif described.parent:
        facts.append(f"Listed for each row of {_link(described.parent)}; `_parent_id` is that row.")
    if described.name in FROM_EVENTS:
        facts.append("Events alone fill it.")
    rows = [(code(name), kind) for name, kind in fields_of(described.name).items()]
    return "\n\n".join([f"## {described.name}", " ".join(facts), table(("Column", "Type"), rows)])
