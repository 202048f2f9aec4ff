"""The asset of docs/scheduling/dagster.md, materialized by a real Dagster in the environment that has Airflow too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from docs.sessions import blocks
from tests.pipelines.mirror import Mirror

MATERIALIZE = """
from dagster import materialize

(event,) = materialize([stripe]).asset_materializations_for_node("stripe")
print(json.dumps({name: one.value for name, one in event.metadata.items()}))
"""


@pytest.mark.long
@pytest.mark.timeout(600)  # the first run on a machine installs the environment
def test_the_asset_of_the_page_runs_a_sync(airflow_python: Path, platform: Mirror, root: Path, tmp_path: Path) -> None:
    (code,) = (text for language, text in blocks(root / "docs/scheduling/dagster.md") if language == "python")
    here = code.replace('"/srv/stripe-elt"', repr(str(root))).replace('HOME / ".venv/bin/python"', repr(sys.executable))
    platform.load("customers")
    platform.pass_time(3_600)
    done = subprocess.run(
        [str(airflow_python), "-c", here + MATERIALIZE],
        cwd=tmp_path,
        env=platform.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["requests"] > 0
    assert platform.differences(["customers"]) == []
