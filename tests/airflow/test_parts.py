"""The parts that the DAG's tasks run: how they are cut, and that they can run at once. No Airflow."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.sync.stripe_api.parts import Task, area_of, forget_progress, list_parts
from pipelines.warehouse.problems import AlreadyRunning
from pipelines.warehouse.staging import scope_of
from sources.catalogue import Resource
from sources.stripe_api.catalogue import RESOURCES, select
from tests.airflow.conftest import OneAccount
from tests.pipelines.mirror import Mirror

DAY = 86_400
AREAS = ("money", "payments")  # for two accounts, that is enough at once for two processors


def test_children_lie_in_the_area_of_their_parents() -> None:
    filling: dict[str, set[str]] = {}
    for resource in RESOURCES.values():
        if resource.kind == "root" and not resource.not_loaded:
            filling.setdefault(resource.table, set()).add(area_of(resource))
    apart = [
        (resource.name, parent.table)
        for resource in select(["all"])
        for parent in resource.parents[:1]
        if parent.table in filling and area_of(resource) not in filling[parent.table]
    ]
    assert apart == []


def test_every_resource_is_in_one_part() -> None:
    resources = select(["all"])
    parts = list_parts("", resources, {"charges", "refunds"}, None)
    named = [name for part in parts for name in part["RESOURCES"].split(",")]
    assert sorted(named) == sorted(resource.name for resource in resources)
    assert {part["AREA"] for part in parts} == {"billing", "connect", "issuing", "money", "payments", "v2"}
    assert {(part["TOUCHED"], part["BUDGET"]) for part in parts} == {("charges,refunds", "")}


@pytest.mark.parametrize(("budget", "shares"), [(0, []), (1, ["1"]), (3, ["1", "1"]), (101, ["50", "50"])])
def test_parts_share_what_is_left_of_the_budget(budget: int, shares: list[str]) -> None:
    due: list[Resource] = [RESOURCES["quotes"], RESOURCES["payment_intents"]]
    assert [part["BUDGET"] for part in list_parts("acct_1", due, (), budget)] == shares


def test_scopes_fit_into_the_names_of_datasets() -> None:
    scopes = {scope_of(area, account) for area in ("events", "payments") for account in (None, "acct_1A", "acct_1a")}
    assert len(scopes) == 6
    assert all(len(scope) <= 26 and scope.replace("_", "").isalnum() and scope == scope.lower() for scope in scopes)


def start(mirror: Mirror, root: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "pipelines/stripe_part.py", *arguments],
        cwd=root,
        env=mirror.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answers(*started: subprocess.Popen[str]) -> list[Any]:
    """What parts told their scheduler; all of them went well."""
    ended = [(process.communicate(), process.returncode) for process in started]
    assert [(code, errors) for (_, errors), code in ended if code != 0] == []
    return [json.loads(output.splitlines()[-1]) for (output, _), _ in ended]


def lists(mirror: Mirror, root: Path, part: Task) -> subprocess.Popen[str]:
    options = {
        "--stripe-account": "ACCOUNT",
        "--area": "AREA",
        "--resources": "RESOURCES",
        "--touched": "TOUCHED",
        "--requests-budget": "BUDGET",
    }
    return start(mirror, root, "lists", "--slots", "4", *(word for k, v in options.items() for word in (k, part[v])))


def test_a_full_refresh_forgets_once(platform: Mirror, connected: Sequence[OneAccount]) -> None:
    one = connected[0]
    one.sync("quotes", "file_links")
    with one.session("stripe_sync", scope="events") as session:
        forget_progress(session, one.account_id, "first")
        assert all(status.progress == {} for status in session.state.read_resources().values())
    one.sync("quotes", "file_links")
    for name, forgets in (("first", False), ("second", True)):
        with one.session("stripe_sync", scope="events") as session:
            forget_progress(session, one.account_id, name)
            assert all((not status.progress) is forgets for status in session.state.read_resources().values())


def test_a_full_refresh_is_refused_while_a_part_reads_lists(platform: Mirror, connected: Sequence[OneAccount]) -> None:
    """Such a part would save what it had read before as read again: the refresh is refused, and tried again later."""
    one = connected[0]
    one.sync("quotes")
    with one.session("stripe_sync lists", scope=scope_of("billing", one.account_id)):
        with one.session("stripe_sync", scope="events") as session, pytest.raises(AlreadyRunning):
            forget_progress(session, one.account_id, "first")
        progress = "select progress from stripe.sync_status where resource = 'quotes'"
        assert platform.destination.value(progress) != {}


@pytest.mark.long
@pytest.mark.timeout(300)
def test_parts_that_run_at_once_do_not_touch_each_others_staging(
    platform: Mirror, connected: Sequence[OneAccount], root: Path
) -> None:
    """Two accounts begin at once in an empty database; a day later their lists are read at once."""
    (accounts,) = answers(start(platform, root, "accounts", "--stripe-account", ids(connected)))
    assert accounts == [{"ACCOUNT": account.account_id} for account in connected]
    events = [("events", "--slots", "4", "--stripe-account", part["ACCOUNT"]) for part in accounts]
    assert answers(*(start(platform, root, *event) for event in events)) == [[], []]
    platform.pass_time(DAY)
    for account in connected:
        account.sim.connected(account.account_id).create(
            "shipping_rates", account.sim.make("shipping_rates")
        )  # no event tells
    platform.pass_time(DAY)
    assert all("shipping_rates" in "".join(account.wrong([])) for account in connected)
    due = [part for parts in answers(*(start(platform, root, *event) for event in events)) for part in parts]
    assert len(due) == 12
    done = answers(*(lists(platform, root, part) for part in due if part["AREA"] in AREAS))
    assert len(done) == 2 * len(AREAS)
    assert all(each["rows"] > 0 for each in done)
    assert [account.wrong([]) for account in connected] == [[], []]
    left = [part for parts in answers(*(start(platform, root, *event) for event in events)) for part in parts]
    assert sorted(map(str, left)) == sorted(str(part) for part in due if part["AREA"] not in AREAS)
    staged = "select schema_name from information_schema.schemata where schema_name like 'stripe_staging%'"
    assert platform.destination.query(staged) == []


def ids(accounts: Sequence[OneAccount]) -> str:
    return ",".join(account.account_id for account in accounts)
