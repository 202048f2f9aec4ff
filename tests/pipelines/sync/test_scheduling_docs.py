"""The pages on scheduling: their links, settings, options, resources, columns and figures are true."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from pipelines.check.report import TABLE
from pipelines.configuration.fields import environment_name
from pipelines.configuration.settings import SECTION, Settings
from pipelines.sync.lists import Last
from pipelines.sync.stripe_api.cadence import due_lists
from pipelines.sync.stripe_api.settings import SECTION as SYNC_SECTION
from pipelines.sync.stripe_api.settings import SyncSettings
from sources.catalogue import GROUPS
from sources.stripe_api.catalogue import RESOURCES, select
from tests import processes

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted((ROOT / "docs/scheduling").glob("*.md"))
DAY = 86_400


def options(text: str) -> set[str]:
    return set(re.findall(r"(?<=[\s\[`])--[a-z-]+", text))


def known_options() -> set[str]:
    found: set[str] = set()
    for script in ("stripe_full.py", "stripe_sync.py", "stripe_check.py", "stripe_object.py"):
        found |= options(processes.run(f"pipelines/{script}", "--help", cwd=ROOT).stdout)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_files_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    linked = re.findall(r"\]\((?!https?://)([^)\s#]+)\)", text)
    named = re.findall(r"`((?:tests|pipelines|docs|benchmarks)/[\w./-]+)`", text)
    assert [link for link in linked if not (page.parent / link).exists()] == []
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_settings_and_options_exist() -> None:
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    names = {environment_name(each.name, SECTION) for each in fields(Settings)}
    names |= {environment_name(each.name, SYNC_SECTION) for each in fields(SyncSettings)}
    names |= {environment_name("schema_contract", SECTION)}
    assert set(re.findall(r"\b[A-Z]+__\w+\b", text)) <= names
    assert options(re.sub(r"^airflow .*$", "", text, flags=re.MULTILINE)) <= known_options()  # its own are others'
    for given in re.findall(r"--resources ([\w,]+)", text):
        assert set(given.split(",")) <= {*RESOURCES, *GROUPS}


def test_the_columns_of_the_report_are_all_named() -> None:
    page = (ROOT / "docs/scheduling/check.md").read_text("utf-8")
    columns = re.findall(r"(\w+) (?:text|timestamptz|boolean|bigint|\{json\})", TABLE)
    assert [name for name in columns if f"`{name}`" not in page] == []


def test_the_figures_of_a_month_add_up() -> None:
    """The number of lists a day is the cadences'; the sum is that of the table, which the simulator has counted."""
    page = (ROOT / "docs/scheduling/cost.md").read_text("utf-8")
    resources = [
        resource for resource in select() if resource.gate is None or "Sigma" not in resource.gate
    ]  # refused in test mode
    last = {resource.name: Last(0, "complete") for resource in resources}
    due = due_lists(resources, last, DAY, SyncSettings(), set())
    assert f"the {sum(len(listing.resource.passes) for listing in due)} lists of the default resources" in page
    figures = [int(number.replace(",", "")) for number in re.findall(r"\| \**([\d,]+)\** \|$", page, re.MULTILINE)]
    assert figures[-1] == sum(figures[:-1]) < 3_000
    assert f"`--resources core` has {len(select(['core']))} of the lists" in page
