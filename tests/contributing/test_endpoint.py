"""The line of docs/contributing/endpoint.md, written into a copy of the sources, declares all of an endpoint."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import json, sources
from sources.stripe_api.catalogue import CATALOGUE, RESOURCES, TABLES, select
from sources.stripe_api.objects.changes import table_of_event
from sources.stripe_api.catalogue.prefixes import tables_of_id
print(json.dumps({
    "file": sources.__file__,
    "path": RESOURCES["shop_gadgets"].path,
    "selected": [each.name for each in select() if each.name.startswith("shop_")],
    "retrieve": TABLES["shop_gadgets"].retrieve,
    "of_object": CATALOGUE.table_of_object("shop.gadget"),
    "types": {name: kind.deletes for name, kind in CATALOGUE.types.items() if kind.table == "shop_gadgets"},
    "of_id": tables_of_id("gdg_123"),
}))
"""


def test_the_line_of_the_page_declares_resource_table_event_types_and_id_prefix(tmp_path: Path) -> None:
    page = (ROOT / "docs/contributing/endpoint.md").read_text("utf-8")
    (line,) = re.findall(r"```python\s+(declare\(.*\))\s+```", page)
    shutil.copytree(ROOT / "sources", tmp_path / "sources", ignore=shutil.ignore_patterns("__pycache__"))
    area = tmp_path / "sources/stripe_api/catalogue/payments.py"
    text = area.read_text("utf-8")
    assert text.endswith("\n)\n")
    area.write_text(f"{text[:-2]}    {line},\n)\n", "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert json.loads(ran.stdout) == {
        "file": str(tmp_path / "sources/__init__.py"),
        "path": "/v1/shop/gadgets",
        "selected": ["shop_gadgets"],
        "retrieve": "/v1/shop/gadgets/{id}",
        "of_object": "shop_gadgets",
        "types": {"shop.gadget.created": False, "shop.gadget.deleted": True},
        "of_id": ["shop_gadgets"],
    }
