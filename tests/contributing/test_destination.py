"""What docs/contributing/destination.md says, done in a copy: the new destination is loaded and loaded again."""

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


def put(path: Path, before: str, after: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, after), "utf-8")


def test_a_file_and_two_words_make_a_destination(simulator: Callable[..., Simulator], tmp_path: Path) -> None:
    page = (ROOT / "docs/contributing/destination.md").read_text("utf-8")
    file, literal, line = (dedent(block) for block in re.findall(r"```python\n(.*?)\n   ```", page, flags=re.DOTALL))
    for folder in ("sources", "pipelines"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pipelines/warehouse/lake_database.py").write_text(f"{file}\n", "utf-8")
    put(tmp_path / "pipelines/configuration/settings.py", 'Destination = Literal["duckdb", "postgres"]', literal)
    session = tmp_path / "pipelines/loading/session.py"
    opened = '    "duckdb": _open_duckdb,'
    put(session, opened, f"    {line.strip()}\n{opened}")
    imported = "from pipelines.warehouse.database import"
    put(session, imported, f"from pipelines.warehouse.lake_database import open_lake\n{imported}")
    sim = simulator(seed=1, customers=3)
    environment = {
        **os.environ,
        "STRIPE_SECRET_KEY": sim.key,
        "SOURCES__STRIPE__API_BASE": sim.url,
        "SOURCES__STRIPE__SANDBOX_RATE": "inf",
        "SOURCES__STRIPE__MAX_CLOCK_SKEW": "inf",
    }
    command = [sys.executable, "pipelines/stripe_full.py", "--destination", "lake", "--resources", "customers"]
    for _ in range(2):
        ran = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
    with duckdb.connect(str(tmp_path / "stripe_lake.duckdb")) as lake:
        assert lake.execute("select count(*) from stripe.customers").fetchall() == [(3,)]
