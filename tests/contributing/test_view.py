"""What docs/contributing/view.md says, done in a copy: the view and the column are there after a load."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from simulator import Simulator

ROOT = Path(__file__).resolve().parents[2]


def test_a_file_makes_a_view_and_a_file_makes_a_column(simulator: Callable[..., Simulator], tmp_path: Path) -> None:
    page = (ROOT / "docs/contributing/view.md").read_text("utf-8")
    files = re.findall(r"`(\w+\.sql)`", page)
    texts = [dedent(block) for block in re.findall(r"```sql\n(.*?)\n   ```", page, flags=re.DOTALL)]
    for folder in ("sources", "pipelines"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file, text in zip(files, texts, strict=True):
        (tmp_path / "pipelines/models/stripe_current" / file).write_text(f"{text}\n", "utf-8")
    sim = simulator(seed=1, customers=6, running=False)
    environment = {
        **os.environ,
        "STRIPE_SECRET_KEY": sim.key,
        "SOURCES__STRIPE__API_BASE": sim.url,
        "SOURCES__STRIPE__SANDBOX_RATE": "inf",
        "SOURCES__STRIPE__MAX_CLOCK_SKEW": "inf",
    }
    command = [sys.executable, "pipelines/stripe_full.py", "--resources", "customers", "subscriptions", "charges"]
    ran = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    running = {obj["customer"] for obj in sim.account.objects("subscriptions") if obj["ended_at"] is None}
    without = {obj["id"] for obj in sim.account.objects("customers")} - running
    cards = {obj["id"]: obj["payment_method_details"]["card"]["country"] for obj in sim.account.objects("charges")}
    with duckdb.connect(str(tmp_path / "stripe_data.duckdb")) as file:
        ids = file.execute("select id from stripe_current.customers_without_subscription").fetchall()
        assert {id for (id,) in ids} == without
        assert dict(file.execute("select id, card_country from stripe_current.charges").fetchall()) == cards
        about = "select comment from duckdb_views() where view_name = 'customers_without_subscription'"
        assert "whose subscriptions have all ended. [" in file.execute(about).fetchall()[0][0]
    assert without
