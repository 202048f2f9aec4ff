"""Killed (SIGKILL) at any moment, the next process goes on and loses nothing: loads, scheduled runs, the sink."""

from __future__ import annotations

import os
import random
import signal
from collections import deque
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests import processes
from tests.providers.conftest import Made
from tests.providers.provider_case import ProviderCase
from tests.webhook_sink.commit.test_survival import Request, Storm, assert_all_there
from tests.webhook_sink.conftest import ACCOUNT, NOW, Stored
from tests.webhook_sink.test_commands import serving


class Killing(deque[Any]):
    """A log of requests that kills a process when it has so many."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.pid = most, 0

    def append(self, request: Any) -> None:
        super().append(request)
        if len(self) == self.most:
            os.kill(self.pid, signal.SIGKILL)

    def started(self, pid: int) -> None:
        self.pid = pid


@pytest.mark.long
@pytest.mark.timeout(300)
def test_load_killed_at_ten_random_instants_ends_equal(case: ProviderCase, mirrored: Made, root: Path) -> None:
    mirror, chance = mirrored(customers=60), random.Random(20)
    environment = mirror.environment | {mirror.variable("package_rows"): "300", mirror.variable("workers"): "4"}
    command = (f"pipelines/{case.name}_full.py", "--resources", "core")
    mirror.pass_time(60)
    instants = [chance.uniform(0.0, 0.4 * (1 + attempt)) for attempt in range(10)]  # a whole run may take a second
    ended = [processes.run(*command, cwd=root, env=environment, kill_after=instant) for instant in instants]
    assert -signal.SIGKILL in [process.returncode for process in ended]
    finished = processes.run(*command, cwd=root, env=environment)
    assert finished.returncode == 0, finished.stderr
    assert mirror.differences(["core"]) == []
    assert set(mirror.statuses().values()) == {"complete"}
    assert mirror.destination.tables(f"{mirror.settings.dataset}_staging") == set()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_scheduled_run_killed_ten_times_in_each_of_its_parts_ends_equal(
    case: ProviderCase, mirrored: Made, root: Path
) -> None:
    mirror, chance = mirrored(customers=24), random.Random(8)
    life = case.live(mirror)
    life.begin(*case.interrupted)
    mirror.pass_time(120)
    life.hourly()
    environment = mirror.environment | {mirror.variable("package_rows"): "50", mirror.variable("workers"): "2"}
    command = f"pipelines/{case.name}_sync.py"
    assert sum(len(part.kills) for part in case.parts) == 10
    for part in case.parts:
        life.tell_in(part.style)
        for _ in range(40):
            if part.finds != "nothing" or case.tells_all:
                life.step()
            life.change(chance.choice(case.storm), chance.randrange(24))
            mirror.pass_time(chance.choice((0, 0, 1, 20)))
        if part.finds == "deletions":
            life.vanish()
        mirror.pass_time(part.seconds)
        for most in part.kills:
            mirror.log_to(log := Killing(most))
            ended = processes.run(command, *part.options, cwd=root, env=environment, started=log.started)
            assert ended.returncode == -signal.SIGKILL, (part, most, len(log), ended.stderr)
        mirror.log_to(deque())
        ended = processes.run(command, *part.options, cwd=root, env=environment)
        assert ended.returncode == 0, ended.stderr
        assert part.finds == "changes" or mirror.differences(case.interrupted) == [], part
    statuses = mirror.statuses()
    statuses.pop(case.log, None)
    assert set(statuses.values()) == {"complete"}
    assert mirror.destination.tables(f"{mirror.settings.dataset}_staging") == set()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_no_acknowledged_event_is_missing_after_a_sink_is_killed(
    case: ProviderCase, stored: Stored, postgres_url: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    monkeypatch.setenv(case.secret_variable, case.secret)
    monkeypatch.setenv(f"SOURCES__{case.name.upper()}__ACCOUNT_ID", ACCOUNT)
    monkeypatch.setenv("WEBHOOK_SINK__TOLERANCE", "2000000000")

    def request(number: int) -> Request:
        body = orjson.dumps(case.rename(f"evt_{number}", f"cus_{number}", "Ada", NOW))
        return case.path, body, dict(case.sign(body, NOW))

    storm, chance = Storm("http://127.0.0.1:9", request), random.Random(4)
    with storm.blowing():
        for _ in range(3):
            with serving(root) as (process, url):
                storm.url = url
                storm.wait_for(chance.randrange(20, 400))
                process.kill()
    assert len(storm.acknowledged) > 60
    assert_all_there(stored, storm.acknowledged, case.name)
