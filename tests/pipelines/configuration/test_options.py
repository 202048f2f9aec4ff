"""What the scripts take on their command lines, and what they refuse before they do anything."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.commands.cli import seconds, whole_number
from tests import processes


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("250", 250)])
def test_whole_numbers(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", "", "²"])
def test_what_is_no_whole_number_of_one_or_more(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="whole number, 1 or more"):
        whole_number(text)


@pytest.mark.parametrize("text", ["0", "0.5", "-5", "nan", "inf", "x", ""])
def test_what_is_no_number_of_seconds(text: str) -> None:
    """A round every no seconds would be a storm of requests."""
    with pytest.raises(argparse.ArgumentTypeError, match="number of seconds, 1 or more"):
        seconds(text)
    assert seconds("1.5") == 1.5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["stripe_sync.py", "--requests-budget", "0"], "it must be a whole number, 1 or more"),
        (["orb_sync.py", "--follow", "0"], "it must be a number of seconds, 1 or more"),
        (["stripe_sync.py", "--follow", "0"], "it must be a number of seconds, 1 or more"),
        (["stripe_check.py", "--sample", "0"], "it must be a whole number, 1 or more"),
        (["stripe_check.py", "--since", "2026-02-01", "--until", "2026-01-01"], "--since must be before --until"),
        (
            ["stripe_check.py", "--json", "no/such/folder/report.json"],
            "cannot be written to the file that --json names",
        ),
        (["stripe_full.py", "--since", "2026-02-01", "--until", "2026-01-01"], "--since must be before --until"),
        (["stripe_full.py", "--resources", "custmer"], "did you mean 'customers'"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    arguments: Sequence[str], says: str, root: Path, tmp_path: Path
) -> None:
    environment = os.environ | {
        "STRIPE_SECRET_KEY": "sk_test_unused",
        "SOURCES__STRIPE__API_BASE": "http://127.0.0.1:9",
    }
    script, *options = arguments
    ran = processes.run(str(root / "pipelines" / script), *options, cwd=tmp_path, env=environment)
    assert ran.returncode == 2
    assert says in " ".join(ran.stderr.split())
    assert "Traceback" not in ran.stderr
    assert list(tmp_path.iterdir()) == []
