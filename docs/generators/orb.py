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
            (_resource_row(one) for one in resources if one.not_loaded is None),
        ),
        "## Never loaded",
        table(
            ("Operation", "Path", "Reason"),
            ((code(one.name), code(one.path), one.not_loaded or "") for one in resources if one.not_loaded),
        ),
        "## Tables",
        "They are in the dataset `orb`. [Tables](tables.md) explains the types and our own columns, which begin with an"
        " underscore. Amounts are in major units (`10.00`).",
        *(_table_section(one) for one in CATALOGUE.tables.values() if _is_filled(one)),
    )


def _resource_row(one: Resource) -> tuple[str, ...]:
    passes = [code(*("=".join(pair) for pair in params)) for params in one.passes if params]
    by = code(one.created_field) if one.created != "none" and one.created_field else ""
    core = "yes" if "core" in one.groups else "" if one.groups else "only in `all`"
    parents = [_link(parent.table) for parent in one.parents] + ([code(one.each.param)] if one.each else [])
    return code(one.name), code(one.path), _link(one.table), core, by, ", ".join(parents), ", then ".join(passes)


def _link(name: str) -> str:
    return f"[`{name}`](#{name})"


def _is_filled(one: Table) -> bool:
    """Whether a load or events fill a table."""
    if one.name in FROM_EVENTS:
        return True
    listed = (each.table for each in CATALOGUE.resources.values() if each.not_loaded is None)
    return any(one.name in CATALOGUE.filled_with(name) for name in listed)


def _table_section(one: Table) -> str:
    facts = [f"Key {code(*one.key, '_account_id')}."]
    if one.parent and one.name in CATALOGUE.filled_with(one.parent):
        facts.append(f"Arrives embedded in {_link(one.parent)}; `_parent_id` is its row there.")
    elif one.parent:
        facts.append(f"Listed for each row of {_link(one.parent)}; `_parent_id` is that row.")
    if one.name in FROM_EVENTS:
        facts.append("Events alone fill it.")
    rows = [(code(name), kind) for name, kind in fields_of(one.name).items()]
    return "\n\n".join([f"## {one.name}", " ".join(facts), table(("Column", "Type"), rows)])
