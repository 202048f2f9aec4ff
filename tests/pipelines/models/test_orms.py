"""What docs/orms.md shows: the views as mapped classes, with keys and relationships."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from docs.sessions import ROOT
from pipelines.models.relations import Relation, key_of_view, relations
from pipelines.models.views import live_views
from sources.columns.columns import all_columns
from sources.stripe_api.catalogue import CATALOGUE, TABLES
from tests.pipelines.mirror import Mirror

VIEWS = live_views("stripe", "stripe", CATALOGUE, {name: all_columns(CATALOGUE, name) for name in TABLES})


def test_each_view_has_a_key_of_its_own_columns() -> None:
    keys = {name: key_of_view(CATALOGUE, VIEWS[name]) for name in TABLES}
    assert all(set(key) <= VIEWS[name].columns.keys() for name, key in keys.items())
    assert keys["customers"] == ("id", "_account_id")
    assert keys["quote_line_items"] == ("id", "quote_id", "_account_id")
    assert keys["balances"] == ("_account_id",)


def test_relations_name_rows_by_columns_that_the_views_have() -> None:
    found = set(relations(CATALOGUE, VIEWS))
    assert {each.column for each in found if each.column not in VIEWS[each.view].columns} == set()
    assert {
        Relation("invoices", "customer", "customers"),
        Relation("invoices", "subscription_id", "subscriptions"),
        Relation("subscription_items", "price_id", "prices"),
        Relation("subscription_items", "subscription", "subscriptions"),
        Relation("quote_line_items", "quote_id", "quotes"),
        Relation("discounts", "coupon_id", "coupons"),
    } <= found
    assert not any(each.column == "default_source" for each in found)  # of a customer: in one of several tables


@pytest.mark.long
@pytest.mark.parametrize("destination", ["postgres"], indirect=True)
@pytest.mark.filterwarnings("ignore:Cannot correctly sort tables")  # invoices and subscriptions name each other
def test_the_pages_classes_follow_ids_to_rows_and_back(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.begin("customers", "products", "prices", "subscriptions", "invoices")
    described, _, generated = re.findall(r"```python\n(.*?)```", (ROOT / "docs/orms.md").read_text("utf-8"), re.DOTALL)
    page: dict[str, Any] = {}
    exec(described + generated, page)
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(mirror.destination.address))
    try:
        classes = page["mapped"](engine)
        account = mirror.sim.account
        names = {obj["id"]: obj["name"] for obj in account.objects("customers")}
        lines: dict[str, set[str]] = {}
        for row in account.rows("invoice_line_items"):
            lines.setdefault(str(row.parent), set()).add(row.object["id"])
        with Session(engine) as session:
            invoices = session.scalars(select(classes.invoices)).all()
            assert len(invoices) == len(account.objects("invoices")) > 0
            for invoice in invoices[:20]:
                assert invoice.customer_row.name == names[invoice.customer]
                assert {each.id for each in invoice.invoice_line_items_by_invoice} == lines[invoice.id]
            customer = invoices[0].customer_row
            assert invoices[0] in customer.invoices_by_customer
            item = session.scalars(select(classes.subscription_items)).first()
            assert item.price_id_row.product_row.id == item.product_id
            assert item in item.subscription_row.subscription_items_by_subscription
        (tmp_path / "models_of_stripe.py").write_text(page["source_of_models"](engine))
        monkeypatch.syspath_prepend(str(tmp_path))
        module = vars(importlib.import_module("models_of_stripe"))
        with Session(engine) as session:
            invoice = session.scalars(select(module["Invoices"])).first()
            assert invoice.customers.name == names[invoice.customer]
            assert invoice in invoice.customers.invoices
            assert invoice.subscriptions.customers is invoice.customers
    finally:
        engine.dispose()


# --- Prisma -----------------------------------------------------------------------------------------------------------

PRISMA = {
    "String": "character varying text",
    "BigInt": "bigint",
    "Int": "integer",
    "Float": "double precision",
    "Boolean": "boolean",
    "DateTime": "timestamp with time zone",
    "Decimal": "numeric",
    "Json": "jsonb",
}
"""Prisma's types, and what Postgres calls them: https://www.prisma.io/docs/orm/overview/databases/postgresql."""


def models() -> dict[str, list[str]]:
    text = (ROOT / "docs/prisma/schema.prisma").read_text("utf-8")
    found = re.findall(r"^model (\w+) \{\n(.*?)\n\}", text, re.MULTILINE | re.DOTALL)
    return {name: [line.strip() for line in lines.splitlines()] for name, lines in found}


def test_prisma_has_a_model_for_each_view_and_both_ends_of_each_relation() -> None:
    assert models().keys() == TABLES.keys()
    ends: dict[str, list[tuple[str, str]]] = {}
    for name, lines in models().items():
        fields = [line.split()[0] for line in lines if not line.startswith("@@")]
        assert len(set(fields)) == len(fields)
        for line in lines:
            if related := re.search(r'^\w+ (\w+)(\?|\[\]) @relation\("(\w+)"', line):
                ends.setdefault(related[3], []).append((related[2], name if related[2] == "?" else related[1]))
                for field in re.findall(r"fields: \[(.*?)\]", line):
                    assert set(field.split(", ")) <= set(fields)
    assert ends
    assert [name for name, both in ends.items() if len(both) != 2 or both[0][1] != both[1][1]] == []


NAME = r"[A-Za-z]\w*"  # Prisma allows no underscore at the beginning
LINE = re.compile(
    rf"{NAME} {NAME}(\?|\[\])?( @(map\(\"\w+\"\)|db\.\w+(\(\d+(, \d+)?\))?"
    rf"|relation\(\"\w+\"(, fields: \[[\w, ]+\], references: \[[\w, ]+\](, \w+: \"?\w+\"?)*)?\)))*"
    r"|@@id\(\[[\w, ]+\](, map: \"\w+\")?\)|@@schema\(\"\w+\"\)|"
)


def test_prismas_lines_are_of_its_grammar_and_relations_name_whole_keys() -> None:
    """What the next test asks of Prisma itself, which is no Python package: it runs with Node alone."""
    keys = {
        name: set(re.findall(r"@@id\(\[(.*?)\]", "\n".join(lines))[0].split(", ")) for name, lines in models().items()
    }
    for name, lines in models().items():
        assert [line for line in lines if not LINE.fullmatch(line)] == []
        types = {line.split()[1].rstrip("?[]") for line in lines if line and not line.startswith("@@")}
        assert types <= PRISMA.keys() | keys.keys(), name
        for line in lines:
            if found := re.search(r"^\w+ (\w+)\?.*fields: \[(.*?)\], references: \[(.*?)\]", line):
                assert set(found[3].split(", ")) == keys[found[1]], line
                assert found[2].count(",") == found[3].count(",")


VALIDATED = """
const { validate } = require(process.argv[1] + "/node_modules/@prisma/prisma-schema-wasm")
const schema = require("fs").readFileSync(0, "utf8")
validate(JSON.stringify({ prismaSchema: [["schema.prisma", schema]] }))
"""


@pytest.mark.skipif(
    "PRISMA_SCHEMA_WASM" not in os.environ or shutil.which("node") is None,
    reason="There is no Node, or PRISMA_SCHEMA_WASM names no folder with Prisma's validator: see docs/orms.md",
)
def test_prismas_validator_takes_the_schema() -> None:
    schema = (ROOT / "docs/prisma/schema.prisma").read_text("utf-8")
    command = ["node", "-e", VALIDATED, os.environ["PRISMA_SCHEMA_WASM"]]
    for text, is_valid in ((schema, True), (schema.replace(" BigInt", " Bigint", 1), False)):
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is is_valid, done.stderr


@pytest.mark.parametrize("destination", ["postgres"], indirect=True)
def test_prismas_fields_are_the_columns_of_the_views(mirror: Mirror) -> None:
    mirror.begin("customers", "products", "prices", "subscriptions", "invoices")
    columns: dict[str, dict[str, str]] = {}
    for view, column, kind in mirror.destination.query(
        "select table_name, column_name, data_type from information_schema.columns"
        " where table_schema = 'stripe_current'"
    ):
        columns.setdefault(view, {})[column] = kind
    assert len(columns) > 6
    for name, kinds in columns.items():
        fields = [re.match(r"(\w+) (\w+)\??(?: @map\(\"(\w+)\"\))?", line) for line in models()[name]]
        told = {found[3] or found[1]: found[2] for found in fields if found and found[2] in PRISMA}
        assert told.keys() == kinds.keys()
        assert [column for column, kind in kinds.items() if kind not in PRISMA[told[column]]] == []
