"""Folders of load packages: gone afterwards, and those of killed runs gone with the next run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipelines.loading.working_folders import YOUNG, remove_abandoned, working_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def age(folder: Path) -> None:
    os.utime(folder, (0, folder.stat().st_mtime - 2 * YOUNG))


def test_folder_is_private_and_gone_afterwards() -> None:
    with working_folder() as folder:
        (folder / "rows.csv").write_text("a customer's")
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_folder_that_a_killed_run_left_is_removed(temporary: Path) -> None:
    code = (
        "import os; from pipelines.loading.working_folders import working_folder as f\n"
        "with f() as folder: (folder / 'rows.csv').write_text('x'); print(folder, flush=True); os.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "TMPDIR": str(temporary)}
    killed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    folder = Path(killed.stdout.strip())
    assert (folder / "rows.csv").exists()
    remove_abandoned()
    assert folder.exists(), "it may be so young that its run has not locked it yet"
    age(folder)
    remove_abandoned()
    assert not folder.exists()


def test_folders_in_use_links_and_files_stay(temporary: Path) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (temporary / "stripe-elt-link").symlink_to(elsewhere)
    (temporary / "stripe-elt-ca-1.pem").write_text("a certificate")
    with working_folder() as folder:
        age(folder)
        remove_abandoned()
        assert folder.exists()
    assert elsewhere.exists()
    assert (temporary / "stripe-elt-ca-1.pem").exists()
