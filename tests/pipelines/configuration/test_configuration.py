"""The configuration is what dlt would read: the same places, in the same order, whether dlt is imported or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers import ConfigTomlProvider, SecretsTomlProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from hypothesis import given
from hypothesis import strategies as st

from pipelines.configuration import reading as configuration

KEYS = (
    "sources.stripe.workers",
    "sources.stripe.stripe_secret_key",
    "sources.stripe.schema_contract",
    "sources.stripe.schema_contract.tables",
    "destination.postgres.credentials",
    "sources",
    "top",
)
READ = """
import json, sys
from pipelines.configuration.reading import configured, settings_found
try:
    read = [[configured(key, secret=secret) for key in json.loads(sys.argv[1])] for secret in (False, True)]
    found = sorted(settings_found())
except Exception as error:
    read, found = str(error), []
print(json.dumps([read, found, "dlt" in sys.modules]))
"""
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)
VALUES = st.one_of(st.integers(-5, 2**40), st.booleans(), TEXTS, st.lists(st.integers(0, 9), max_size=2))
DOCUMENTS = st.recursive(
    st.dictionaries(st.sampled_from(["sources", "destination", "top"]), VALUES, max_size=3),
    lambda inner: st.dictionaries(
        st.sampled_from(
            ["sources", "stripe", "workers", "schema_contract", "tables", "destination", "postgres", "top"]
        ),
        st.one_of(VALUES, inner),
        max_size=3,
    ),
    max_leaves=6,
)


def written(folder: Path, file: str, document: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text("\n".join(f"{name} = {toml(value)}" for name, value in document.items()), "utf-8")


def toml(value: Any) -> str:
    """A value in TOML: as JSON, but for tables."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml(inner)}" for name, inner in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def read_elsewhere(root: Path, cwd: Path, *first: str, **variables: str) -> list[Any]:
    """What an interpreter that has not imported dlt reads there, and whether it has imported dlt for it."""
    command = [sys.executable, "-c", "".join(first) + READ, json.dumps(KEYS)]
    env = {"PATH": os.environ["PATH"], "HOME": str(cwd), "PYTHONPATH": str(root), **variables}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


@given(ours=DOCUMENTS, users=DOCUMENTS)
def test_files_are_merged_and_searched_as_dlt_does(ours: dict[str, Any], users: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        project, user = Path(name, "project/.dlt"), Path(name, "user")
        for file in ("secrets.toml", "config.toml"):
            written(project, file, ours)
            written(user, file, users)
        patch.setenv("DLT_PROJECT_DIR", str(project.parent))
        patch.setattr(configuration, "_global_folder", lambda: user)
        documents = configuration._documents.__wrapped__()
        for provider in (SecretsTomlProvider(str(project), str(user)), ConfigTomlProvider(str(project), str(user))):
            for key in KEYS:
                *sections, last = key.split(".")
                found = provider.get_value(last, Any, None, *sections)[0]  # type: ignore[arg-type]
                assert configuration._at(documents[provider.name], key) == found


def test_an_interpreter_without_dlt_reads_what_dlt_reads(root: Path, tmp_path: Path) -> None:
    stripe = {"workers": 3, "schema_contract": {"tables": "freeze"}}
    written(tmp_path / ".dlt", "config.toml", {"sources": {"stripe": stripe}, "top": 1})
    written(tmp_path / ".dlt", "secrets.toml", {"sources": {"stripe": {"stripe_secret_key": "rk_test_1"}}})
    given = {"DESTINATION__POSTGRES__CREDENTIALS": "postgresql:///x", "SOURCES__STRIPE__WORKERS": "4"}
    plain = read_elsewhere(root, tmp_path, **given)
    through_dlt = read_elsewhere(root, tmp_path, "import dlt", **given)
    assert plain == [*through_dlt[:2], False]
    assert plain[0][0][:2] == ["4", "rk_test_1"]
    assert ["environment", "destination.postgres", "credentials"] in plain[1]


@pytest.mark.long
@pytest.mark.parametrize(
    ("variables", "files"),
    [
        ({"PROVIDERS__ENABLE_GOOGLE_SECRETS": "false"}, {}),
        ({"RUNTIME__SLACK_INCOMING_HOOK": "x"}, {}),
        ({}, {"config.toml": "[providers]\nenable_airflow_secrets = false"}),
        ({}, {"secrets.toml": "[runtime]\nsentry_dsn = 'x'"}),
        ({}, {".workspace": ""}),
    ],
)
def test_dlt_is_asked_where_it_may_find_more(
    root: Path, tmp_path: Path, variables: dict[str, str], files: dict[str, str]
) -> None:
    (tmp_path / ".dlt").mkdir()
    for name, text in files.items():
        (tmp_path / ".dlt" / name).write_text(text)
    assert read_elsewhere(root, tmp_path, **variables)[2] is True


def test_what_the_commands_set_themselves_is_no_reason_to_ask_dlt(root: Path, tmp_path: Path) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt/config.toml").write_text("[runtime]\ndlthub_telemetry = false")
    variables = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}
    assert read_elsewhere(root, tmp_path, **variables)[2] is False


def test_a_file_that_is_no_toml_is_named_and_not_repeated(root: Path, tmp_path: Path) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt/secrets.toml").write_text("[sources.stripe\nstripe_secret_key = 'rk_live_hidden'")
    told = "The file .dlt/secrets.toml is not valid TOML, or it cannot be read."
    assert read_elsewhere(root, tmp_path)[0] == told
    assert read_elsewhere(root, tmp_path, "import dlt")[0] == told


def test_a_secret_is_read_from_the_files_of_docker_and_kubernetes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configuration, "SECRET_FILES", tmp_path)
    (tmp_path / "sources--stripe--stripe-secret-key").write_text("rk_test_file\n")
    (tmp_path / "database--url").mkdir()
    (tmp_path / "database--url/database--url").write_text("postgresql:///x")
    assert configuration._of_environment("sources.stripe.stripe_secret_key", secret=True) == "rk_test_file\n"
    assert configuration._of_environment("sources.stripe.stripe_secret_key", secret=False) is None
    assert configuration._of_environment("database.url", secret=True) == "postgresql:///x"


def test_the_folder_of_the_user_is_dlts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    context = Container()[PluggableRunContext].context
    for home in (tmp_path, tmp_path / "none"):
        for user in (0, 1_000):
            for data in (None, str(tmp_path / "data")):
                with monkeypatch.context() as patch:
                    patch.setenv("HOME", str(home))
                    patch.setattr(os, "geteuid", lambda user=user: user)
                    if data is not None:
                        patch.setenv("XDG_DATA_HOME", data)
                    assert str(configuration._global_folder()) == context.global_dir
