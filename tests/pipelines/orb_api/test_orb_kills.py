"""Orb's scheduled run, killed (SIGKILL) in the middle of each of its parts: the next one ends with equal tables."""

from __future__ import annotations

import os
import random
import signal
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import processes
from tests.pipelines.orb_api.test_orb_sync import change
from tests.pipelines.orb_mirror import OrbMirror

ROOT = Path(__file__).resolve().parent.parent.parent.parent
Made = Callable[..., OrbMirror]
LISTS = ("default", "credit_ledger_entries", "licenses")
KILLS = (("new", (1, 4, 12)), ("changes", (3, 9, 40)), ("everything", (4, 14, 30, 60)))
"""What a run reads, and with which of its requests it is killed: the first kill falls into the events."""


class Killing(deque[str]):
    """A log of requests that kills a process when it has so many."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.pid = most, 0

    def append(self, request: str) -> None:
        super().append(request)
        if len(self) == self.most:
            os.kill(self.pid, signal.SIGKILL)

    def started(self, pid: int) -> None:
        self.pid = pid


@pytest.mark.long
@pytest.mark.timeout(300)
def test_killed_ten_times_in_events_nightly_and_weekly_reads_it_ends_equal(orb_mirrored: Made) -> None:
    mirror, chance = orb_mirrored(customers=24), random.Random(8)
    account = mirror.sim.account
    account.update("customers", account.objects("customers")[0]["id"], {}, "customer.edited")
    mirror.pass_time(3_600)
    mirror.load(*LISTS)
    environment = mirror.environment | {"SOURCES__ORB__WORKERS": "2", "SOURCES__ORB__PACKAGE_ROWS": "50"}
    run = (str(ROOT / "pipelines/orb_sync.py"), "--reads")
    for what, kills in KILLS:
        account.style = "standard" if what == "new" else "expanded"  # objects to read back: more than one request
        for number in range(30):
            change(account, chance, f"{what}{number}")
            for table in ("customers", "subscriptions"):
                one = chance.choice(account.objects(table))
                account.update(table, one["id"], {"metadata": {"n": f"{number}"}}, f"{table.removesuffix('s')}.edited")
        mirror.pass_time(120)
        for most in kills:
            log = mirror.sim.log = Killing(most)
            ended = processes.run(*run, what, cwd=ROOT, env=environment, started=log.started)
            assert ended.returncode == -signal.SIGKILL, (what, most, len(log), ended.stderr)
        mirror.sim.log = deque()
        ended = processes.run(*run, what, cwd=ROOT, env=environment)
        assert ended.returncode == 0, ended.stderr
        if what == "everything":
            assert mirror.differences(LISTS) == []
    statuses = "select distinct status from orb.sync_status where resource <> 'webhook_events'"
    assert mirror.destination.query(statuses) == [("complete",)]
    assert mirror.destination.tables("orb_staging") == set()
