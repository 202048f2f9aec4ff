"""docs/reference/people.md: every field in which Stripe keeps or repeats a person's data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from generators.markdown_page import code, page, table
from sources.privacy import PERSONAL
from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.catalogue.fields import shape_of


def people_page() -> str:
    """The fields that the preset `people` covers, by table."""
    rows = [
        (code(name), " ".join(code(".".join(path)) for path in paths))
        for name in TABLES
        if (paths := sorted(_people(shape_of(name))))
    ]
    return page(
        "People's data",
        "The setting `people` of the section [`[privacy]`](../privacy.md) covers these fields. Below a field that holds"
        " a whole object where it is expanded (`customer`, `latest_charge`, `last_payment_error.payment_method`), the"
        " fields of that object's own table are covered too. Arrays are passed through.",
        "They are found in Stripe's SDK by their names: `python -m sources.stripe_api.generate.shapes` writes them, and"
        " a test compares them with the installed SDK.",
        table(("Table", "Fields"), rows),
    )


def _people(shape: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in shape.items():
        if isinstance(field, Mapping):
            yield from _people(field, (*above, name))
        elif field == PERSONAL:
            yield (*above, name)
