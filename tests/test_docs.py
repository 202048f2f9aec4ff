"""The documentation is true: what it shows is run (docs/sessions.py), what it names exists, the reference is current.

A ```sh block is not run, but its make targets, scripts, options and resources must exist.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

import demo
from docs.picture import PICTURE, mark
from docs.sessions import PAGES, ROOT, blocks, groups, in_a_shell, shown, tidy
from pipelines.configuration.fields import environment_name
from pipelines.configuration.orb_settings import OrbSettings
from pipelines.configuration.settings import SECTION, Settings
from pipelines.state import OWN_TABLES
from pipelines.sync.stripe_api.settings import SECTION as SYNC_SECTION
from pipelines.sync.stripe_api.settings import SyncSettings
from sources.catalogue import GROUPS
from sources.privacy_rules import privacy_of
from sources.stripe_api.catalogue import CATALOGUE, RESOURCES, TABLES
from tests import processes
from tests.databases import KINDS, Database
from tests.test_coming_from import understood
from webhook_sink.settings import SECTION as SINK_SECTION
from webhook_sink.settings import SinkSettings

SETTINGS = (
    (Settings, SECTION),
    (OrbSettings, OrbSettings.section),
    (SyncSettings, SYNC_SECTION),
    (SinkSettings, SINK_SECTION),
)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(page: Path, language: str) -> str:
    return "".join(text for kind, text in blocks(page) if kind == language)


# --- what is generated ------------------------------------------------------------------------------------------------


def test_reference_and_config_are_current() -> None:
    command = [sys.executable, "docs/generate_reference.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_picture_is_of_what_the_report_says() -> None:
    """It says what it was made of, so that another release of what draws makes no difference."""
    assert mark() in PICTURE.read_text("utf-8"), "run make docs"
    assert PICTURE.stat().st_size < 150_000
    assert "http" not in PICTURE.read_text("utf-8").replace("http://www.w3.org/", "")


# --- what is named ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "docs/reference").glob("*.md"))], ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)\s]+)\)", page.read_text("utf-8"))
    assert [link for link in links if not target_exists(page, link)] == []


def target_exists(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return False
    headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE) if anchor else []
    return not anchor or anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "coming_from.md"], ids=name)
def test_settings_that_are_shown_exist(page: Path) -> None:
    known = {"TEST_DATABASE_URL", "RUNTIME__DLTHUB_TELEMETRY", environment_name("schema_contract", SECTION)}
    for kind, section in SETTINGS:
        known |= {environment_name(each.name, section) for each in fields(kind)}
        known |= {each.metadata[name] for each in fields(kind) for name in ("env", "also")}
    named = re.findall(r"\b(?:[A-Z]+__\w+|[A-Z_]+_(?:URL|KEY|PATH|CA|SECRET))\b", page.read_text("utf-8"))
    assert {each for each in named if each not in known and not is_of_privacy(each)} == set()


def is_of_privacy(variable: str) -> bool:
    """Whether a variable is one of the section `[privacy]`."""
    section, *path = variable.lower().split("__")
    if section != "privacy" or path in (["salt"], ["salt_file"]):
        return section == "privacy"
    privacy_of(CATALOGUE, {tuple(path): "drop"}, None)
    return True


def test_the_privacy_settings_that_are_shown_are_accepted() -> None:
    (block,) = [text for kind, text in blocks(ROOT / "docs/privacy.md") if kind == "toml"]

    def paths(settings: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
        for key, value in settings.items():
            yield from paths(value, (*above, key)) if isinstance(value, dict) else [((*above, key), value)]

    given = dict(paths(tomllib.loads(block)["privacy"]))
    assert len(given) == 5
    assert privacy_of(CATALOGUE, given, "a salt of sixteen characters").is_on


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:sources|pipelines|simulator|tests|docs|benchmarks|webhook_sink)/[\w./-]+)`", page.read_text()
    )
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_tables_that_are_shown_exist(page: Path) -> None:
    known = {*TABLES, *OWN_TABLES, "stripe_webhook_events", "stripe_webhook_rereads"}
    assert set(re.findall(r"\bstripe(?:_current)?\.([a-z_]+)\b(?!\()", text_of(page, "sql"))) - known == set()


@pytest.mark.parametrize("page", [page for page in PAGES if text_of(page, "sh")], ids=name)
def test_commands_that_are_shown_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in text_of(page, "sh").splitlines():
        command = line.split("#")[0]
        assert set(re.findall(r"\bmake ([a-z]+)", command)) <= targets
        for script in re.findall(r"\bpython (\S+\.py)", command):
            assert options(command) <= options(run(f"python {script} --help", ROOT, {})), command
        for words in re.findall(r"\bstripe-elt ([^>|&]+)", command):
            assert understood(shlex.split(words)), command
        names = re.findall(r"--resources ([\w,]+)", command)
        assert {each for given in names for each in given.split(",")} <= {*RESOURCES, *GROUPS}


def options(text: str) -> set[str]:
    return set(re.findall(r"(?<=[\s\[])--[a-z-]+", text))


def run(command: str, folder: Path, environment: dict[str, str]) -> str:
    """What a command prints: of the project's own scripts as `processes` runs them, of all else as a shell does."""
    words = shlex.split(command)
    given = list(itertools.takewhile(lambda word: re.fullmatch(r"[A-Z_]+=.*", word), words))
    python, *arguments = words[len(given) :]
    log = folder / "load.log"
    if silent := arguments[-3:] == [">", log.name, "2>&1"]:
        del arguments[-3:]
    if python != "python" or "-c" in arguments or set(" ".join(arguments)) & set("<>|&;$*`"):
        return in_a_shell(command, folder, environment)
    settings = os.environ | environment | dict(each.split("=", 1) for each in given)
    printed = processes.run(*arguments, cwd=folder, env=settings, together=True).stdout
    if silent:
        log.write_text(printed)
    return "" if silent else tidy(printed)


# --- what is run ------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("pages", groups(), ids=lambda pages: name(pages[0]))
def test_sessions_give_what_is_shown(pages: list[Path], tmp_path: Path) -> None:
    for page, each in shown(pages, tmp_path, run):
        assert each.is_true, f"{name(page)}: {each.asked}\nprints now (make docs writes it to the page):\n{each.got}"


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("shown", "resources"),
    [(demo.STRIPE, "subscriptions prices charges"), (demo.ORB, "customers subscriptions invoices plans prices")],
    ids=["stripe", "orb"],
)
def test_tour_has_the_same_answers_in_both_databases(
    shown: demo.Demo, resources: str, duckdb_path: Path, postgres_url: str
) -> None:
    load = f"python pipelines/{shown.script} --resources {resources} --destination"
    with shown.account(0) as simulator:
        places = {"DATABASE_URL": postgres_url, "DUCKDB_PATH": str(duckdb_path)}
        for kind in KINDS:
            assert "complete" in run(f"{load} {kind}", ROOT, shown.environment(simulator) | places)
    postgres = Database("postgres", make_conninfo(postgres_url, options="-c timezone=UTC"))
    for question in demo.questions((ROOT / "docs" / shown.tour).read_text("utf-8")):
        answer = demo.answer(str(duckdb_path), question.statement)
        columns = [column.strip() for column in answer.split("\n")[0].split("|")]
        assert demo.text_table(columns, postgres.query(question.statement)) == answer, question.comment
