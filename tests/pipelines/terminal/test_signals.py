"""Signals at random instants: a run that was asked to stop stops, says so in a sentence, and loses nothing.

`SIGNALS=3000 pytest tests/pipelines/terminal/test_signals.py` sends as many to each database; by default a few.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.terminal.process import NOT_BEGUN, interruptible, interrupts_held, raise_if_interrupted
from tests.pipelines.mirror import Mirror

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for a process's state")

ROOT = Path(__file__).resolve().parents[3]
STRESS = Path(__file__).with_name("signal_stress.py")
SIGNALS = int(os.environ.get("SIGNALS", "9"))
NAMES = ("customers", "products", "invoices")
COMMANDS = {
    "pipelines.stripe_full": ["--full-refresh", "--resources", *NAMES],
    "pipelines.stripe_sync": [],
    "pipelines.stripe_check": ["--resources", *NAMES],
}


def stress(mirror: Mirror, count: int) -> list[dict[str, Any]]:
    words = [word for module, arguments in COMMANDS.items() for word in ("--", module, *arguments)]
    command = [sys.executable, str(STRESS), str(count), "7", *words]
    done = subprocess.run(command, env=mirror.environment, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.long
@pytest.mark.timeout(120 + 2 * SIGNALS)
def test_a_signal_at_any_instant_ends_a_run_with_a_sentence_and_130(
    mirrored: Callable[..., Mirror],
) -> None:
    mirror = mirrored(customers=4)
    mirror.load(*NAMES)
    runs = stress(mirror, SIGNALS // len(COMMANDS))
    assert len(runs) == len(COMMANDS) * (1 + SIGNALS // len(COMMANDS))
    assert [run for run in runs if run["wrong"]] == []
    assert 130 in {run["code"] for run in runs}
    mirror.sync(*NAMES)
    assert mirror.check(*NAMES).findings == []
    assert mirror.differences(NAMES) == []


def test_a_signal_that_is_held_is_raised_afterwards() -> None:
    with interruptible():
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            raise_if_interrupted()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "command",
    [
        *([f"pipelines/stripe_{name}.py"] for name in ("full", "sync", "check", "object", "part")),
        ["-m", "webhook_sink"],
        ["-m", "pipelines.stripe_sync"],
        ["demo.py"],
    ],
    ids=" ".join,
)
def test_a_signal_in_the_first_moments_is_a_sentence(command: list[str], number: signal.Signals) -> None:
    """As soon as the process takes SIGTERM, which is with its first lines and before it imports what is slow."""
    with subprocess.Popen([sys.executable, *command], cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while not _catches(process.pid, signal.SIGTERM):
            assert process.poll() is None
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (130, f"{NOT_BEGUN}\n")


def _catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for the signal."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(status["SigCgt"], 16) >> (number - 1) & 1)
