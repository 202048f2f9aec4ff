"""Settings: where they come from, in which order, and what cannot be set."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

from pipelines.configuration.fields import environment_name
from pipelines.configuration.privacy import read_privacy
from pipelines.configuration.settings import Settings, read_settings
from pipelines.sync.stripe_api.settings import SyncSettings, read_sync_settings
from pipelines.warehouse.postgres.libpq import postgres_conninfo
from sources.errors import BadConfiguration
from sources.stripe_api.catalogue import CATALOGUE
from tests import processes
from webhook_sink.settings import SinkSettings, read_sink_settings


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a `.dlt` that dlt reads afresh, and has forgotten afterwards."""
    monkeypatch.delenv("SOURCES__STRIPE__MAX_CLOCK_SKEW", raising=False)  # the suite's own, not a default
    (tmp_path / ".dlt").mkdir()
    monkeypatch.setenv("DLT_PROJECT_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for file in (tmp_path / ".dlt").iterdir():
        file.unlink()
    reload_dlt()


def reload_dlt() -> None:
    Container()[PluggableRunContext].reload_providers()


def test_defaults_are_those_of_the_class(project: Path) -> None:
    reload_dlt()
    assert read_settings() == Settings()


def test_given_beats_environment_beats_files(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / ".dlt/config.toml").write_text('[sources.stripe]\ndataset = "from_file"\nworkers = 3\nmax_retries = 9\n')
    (project / ".dlt/secrets.toml").write_text('[sources.stripe]\nstripe_secret_key = "rk_test_file"\n')
    monkeypatch.setenv("SOURCES__STRIPE__WORKERS", "4")
    reload_dlt()
    settings = read_settings(dataset="given")
    assert (settings.dataset, settings.workers, settings.max_retries) == ("given", 4, 9)
    assert settings.stripe_secret_key == "rk_test_file"


def test_short_variable_names_beat_dlts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "rk_live_short")
    monkeypatch.setenv("SOURCES__STRIPE__STRIPE_SECRET_KEY", "rk_test_long")
    reload_dlt()
    assert read_settings().stripe_secret_key == "rk_live_short"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", "many"),
        ("workers", "0"),
        ("rate_limit_share", "0"),
        ("rate_limit_share", "1.5"),
        ("max_retries", "-1"),
        ("destination", "snowflake"),
        ("max_retry_delay", "-1"),
        ("max_retry_delay", "nan"),
        ("initial_retry_delay", "-1"),
        ("log_format", "xml"),
        ("connect_timeout", "0"),
        ("read_timeout", "0"),
        ("package_seconds", "nan"),
        ("dataset", "a-b; drop"),
        ("dataset", "1st"),
        ("dataset", "pg_stripe"),
        ("dataset", "information_schema"),
        ("dataset", "a" * 29),
        ("api_base", "localhost:12111"),
        ("package_rows", "2.5"),
        ("workers", "[1, 2]"),
    ],
)
def test_impossible_value_names_the_setting(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(environment_name(name, Settings.section), value)
    reload_dlt()
    with pytest.raises(BadConfiguration, match=environment_name(name, Settings.section)):
        read_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("path", "webhooks"),
        ("path", ","),
        ("path", "/webhooks,/health"),
        ("path", "/sync/single/x"),
        ("path", "/hook?a=1"),
        ("pool_size", "0"),
        ("pool_keepalive", "-1"),
        ("backfill_related", "maybe"),
    ],
)
def test_impossible_value_names_the_sinks_setting(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(environment_name(name, "webhook_sink"), value)
    reload_dlt()
    with pytest.raises(BadConfiguration, match=environment_name(name, "webhook_sink")):
        read_sink_settings()


@pytest.mark.parametrize(
    ("said", "meant"), [("true", True), ("Yes", True), ("1", True), ("false", False), ("off", False)]
)
def test_setting_that_is_on_or_off(project: Path, monkeypatch: pytest.MonkeyPatch, said: str, meant: bool) -> None:
    monkeypatch.setenv("WEBHOOK_SINK__BACKFILL_RELATED", said)
    reload_dlt()
    assert read_sink_settings().backfill_related is meant


@pytest.mark.parametrize(
    ("key", "rate"), [("sk_live_1", 50.0), ("rk_live_1", 50.0), ("sk_test_1", 12.5), ("rk_test_1", 12.5)]
)
def test_half_of_the_accounts_limit_is_known_from_the_key(key: str, rate: float) -> None:
    assert Settings(stripe_secret_key=key).account_rate == rate


def test_rates_can_be_unlimited(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__STRIPE__LIVE_RATE", "inf")
    reload_dlt()
    assert read_settings(stripe_secret_key="sk_live_1").account_rate == float("inf")


def test_secrets_are_in_no_repr() -> None:
    settings = Settings(stripe_secret_key="sk_live_secret", database_url="postgresql://u:secret@h/d", database_ca="x")
    assert "secret@" not in repr(settings)
    assert "sk_live" not in repr(settings)


# --- names ------------------------------------------------------------------------------------------------------------


def test_names_without_their_section_are_other_programs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [each.name for kind in (Settings, SyncSettings, SinkSettings) for each in fields(kind)]
    short = {"STRIPE_SECRET_KEY", "DUCKDB_PATH", "DATABASE_URL", "DATABASE_CA", "ORB_WEBHOOK_SECRET"}
    for name in names:
        if name.upper() not in short:
            monkeypatch.setenv(name.upper(), "elsewhere")
        monkeypatch.setenv(f"SOURCES__{name.upper()}", "elsewhere")
    (project / ".dlt/config.toml").write_text('workers = 3\nport = 1\n[sources]\ndataset = "elsewhere"\n')
    reload_dlt()
    assert read_settings() == Settings()
    assert read_sync_settings() == SyncSettings()
    assert read_sink_settings() == SinkSettings()


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("SOURCES__STRIPE__WORKERZ", "workers"),
        ("SOURCES__STRIPE__STRIPE_SECRET", "stripe_secret_key"),
        ("SYNC__EVENTS_LAGG", "events_lag"),
        ("WEBHOOK_SINK__PORTT", "port"),
    ],
)
def test_variable_of_our_sections_that_nobody_reads_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, variable: str, nearest: str
) -> None:
    monkeypatch.setenv(variable, "sk_live_1")
    reload_dlt()
    with pytest.raises(BadConfiguration) as raised:
        read_all()
    assert variable in str(raised.value)
    assert nearest in str(raised.value)
    assert "sk_live_1" not in str(raised.value)


@pytest.mark.parametrize("name", ["colour", "hunter2", "S3cretPw"])
def test_name_that_is_near_to_none_is_not_repeated(project: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for section in ("sources.stripe", "sync", "webhook_sink"):
        (project / ".dlt/config.toml").write_text(f"[{section}]\n{name} = 1\n")
        reload_dlt()
        with pytest.raises(BadConfiguration, match="Its settings are: ") as raised:
            read_all()
        assert f"… in the section [{section}] of .dlt/config.toml ({len(name)} letters" in str(raised.value)
        assert name not in str(raised.value)
    (project / ".dlt/config.toml").write_text("")
    monkeypatch.setenv(f"SOURCES__STRIPE__{name.upper()}", "x")
    reload_dlt()
    with pytest.raises(BadConfiguration, match=r"no setting SOURCES__STRIPE__… \(. letters.* Its settings are: ac"):
        read_all()


@pytest.mark.parametrize(
    "line",
    [
        *("workers = [1, 2]", "workers = 1.9", "workers = true", "workers = { a = 1 }", "connect_timeout = [1]"),
        *("dataset = ['a']", "stripe_account = false", f"read_timeout = 1{'0' * 400}"),
    ],
)
def test_value_of_another_type_names_the_setting(project: Path, line: str) -> None:
    (project / ".dlt/config.toml").write_text(f"[sources.stripe]\n{line}\n")
    reload_dlt()
    with pytest.raises(BadConfiguration, match=f"setting {line.split()[0]} is not a (whole number|number|text)"):
        read_all()


@pytest.mark.parametrize("file", ["config.toml", "secrets.toml"])
@pytest.mark.parametrize(
    ("section", "name", "nearest"),
    [("sources.stripe", "rate_limit_shar", "rate_limit_share"), ("webhook_sink", "hots", "host")],
)
def test_name_in_a_file_that_nobody_reads_is_refused(
    project: Path, file: str, section: str, name: str, nearest: str
) -> None:
    (project / ".dlt" / file).write_text(f'[{section}]\n{name} = "x"\n')
    reload_dlt()
    with pytest.raises(BadConfiguration, match=f"{name} in the section .*{section}.* of .dlt/{file}.*{nearest}"):
        read_all()


@pytest.mark.parametrize(
    "text",
    [
        "[webhook_snik]\nport = 8081\n",
        "[sources.strip]\nworkers = 2\n",
        "[source.stripe]\ndataset = 'x'\n",
        "[Sources.Stripe]\nworkers = 2\n",
        "[Webhook_Sink]\nport = 8081\n",
        "[stripe]\nworkers = 2\n",
        "[sources]\ndataset = 'x'\n",
        "dataset = 'x'\n",
    ],
)
def test_section_that_is_nearly_ours_is_said_and_stops_nothing(
    project: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (project / ".dlt/config.toml").write_text(text)
    reload_dlt()
    assert read_all() == (Settings(), SyncSettings(), SinkSettings())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Did you mean" in caplog.text


def test_name_that_is_nearly_one_of_dlts_credentials_is_said(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    (project / ".dlt/secrets.toml").write_text(
        "[destination.postgres]\ncredential = 'hush'\n[destination.postgres.credentials]\n"
        "hostt = 'hush'\nhost = '127.0.0.1'\ndatabase = 'd'\nusername = 'u'\n[destination.postgres.hush]\nhosst = 1\n"
    )
    reload_dlt()
    assert "host=127.0.0.1" in postgres_conninfo(read_settings().database_url, None)
    assert caplog.messages == [
        f"The setting {name} in the section [{section}] of .dlt/secrets.toml is not read. Did you mean {near}?"
        for name, section, near in (
            ("credential", "destination.postgres", "credentials"),
            ("hostt", "destination.postgres.credentials", "host"),
        )
    ]


def test_argument_of_the_source_is_said_not_to_be_an_option(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (project / ".dlt/config.toml").write_text('[sources.stripe]\nresources = ["customers"]\n')
    for name in ("SINCE", "UNTIL", "FULL_REFRESH"):
        monkeypatch.setenv(f"SOURCES__STRIPE__{name}", "hush")
    reload_dlt()
    assert read_all() == (Settings(), SyncSettings(), SinkSettings())
    assert {re.findall(r"setting ([^\s,]+).* option (\S+) instead\.", said)[0] for said in caplog.messages} == {
        ("resources", "--resources"),
        ("SOURCES__STRIPE__SINCE", "--since"),
        ("SOURCES__STRIPE__UNTIL", "--until"),
        ("SOURCES__STRIPE__FULL_REFRESH", "--full-refresh"),
    }
    assert "hush" not in caplog.text


def test_what_belongs_to_others_is_left_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (project / ".dlt/config.toml").write_text(
        'other = 1\n[sources.stripe]\nschema_contract = "freeze"\n'
        '[sources.stripe.schema]\nnaming = "snake_case"\n[sources.stripe_analytics]\nworkers = 2\n'
        "[sources.shopify]\nworkers = 2\n[pipelines.stripe]\ndev_mode = true\n[load]\nworkers = 4\n"
        '[destination.postgres.credentials]\nhost = "localhost"\n'
    )
    monkeypatch.setenv("SYNC__GATEWAY", "another program's")
    monkeypatch.setenv("SOURCES__STRIPE__SCHEMA_CONTRACT__COLUMNS", "freeze")
    reload_dlt()
    assert read_all() == (Settings(), SyncSettings(), SinkSettings())
    assert caplog.records == []


def read_all() -> tuple[Settings, SyncSettings, SinkSettings]:
    return read_settings(), read_sync_settings(), read_sink_settings()


# --- surroundings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "environment", "says"),
    [
        ({"config.toml": "[sources.stripe\nworkers = 2"}, {}, "The file .dlt/config.toml is not valid TOML"),
        ({"secrets.toml": 'stripe_secret_key = "sk_live_1'}, {}, "The file .dlt/secrets.toml is not valid TOML"),
        ({"config.toml": b"\xff\xfe"}, {}, "The file .dlt/config.toml is not valid TOML, or it cannot be read"),
        ({}, {"RUNTIME__SENTRY_DSN": "https://x@sentry.invalid/1"}, "does not accept: RUNTIME__SENTRY_DSN or one in"),
    ],
)
def test_configuration_that_dlt_cannot_read_is_one_paragraph(
    tmp_path: Path, root: Path, files: dict[str, str | bytes], environment: dict[str, str], says: str
) -> None:
    (tmp_path / ".dlt").mkdir()
    for name, content in files.items():
        (tmp_path / ".dlt" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    ran = command(tmp_path, root, **environment)
    assert ran.returncode == 2
    assert says in " ".join(ran.stderr.split())
    assert "Traceback" not in ran.stderr
    assert "sk_live_1" not in ran.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RUNTIME__LOG_LEVEL", "verbose"),
        ("RUNTIME__REQUEST_TIMEOUT", "30s"),
        ("RUNTIME__LOG_FORMAT", "hush"),
        ("RUNTIME__DLTHUB_TELEMETRY", "hush"),
        ("PROVIDERS__ENABLE_AWS_SECRETS", "hush"),
        ("PROVIDERS__ENABLE_GOOGLE_SECRETS", "true"),
    ],
)
def test_setting_of_dlt_that_dlt_does_not_take_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with monkeypatch.context() as around:
        around.setenv(name, value)
        del Container()[PluggableRunContext]
        with pytest.raises(BadConfiguration) as raised:
            read_settings()
    del Container()[PluggableRunContext]  # which dlt has kept, half made
    assert f"does not accept: {name}" in str(raised.value)
    assert value not in str(raised.value)


@pytest.mark.parametrize(
    "environment",
    [
        {"HOME": "<unset>"},
        {"HOME": "/no/such/folder", "TMPDIR": "/no/such/folder"},
        {"DLT_PROJECT_DIR": "/no/such/folder", "DLT_DATA_DIR": "/proc/nothing", "DLT_LOCAL_DIR": "/no/such"},
        {"XDG_DATA_HOME": "/no/such/folder", "HOME": "/"},
    ],
)
def test_folders_that_are_not_there_stop_nothing(tmp_path: Path, root: Path, environment: dict[str, str]) -> None:
    ran = command(tmp_path, root, **environment)
    assert "127.0.0.1:9 could not be reached" in ran.stderr  # it had come as far as Stripe
    assert "Traceback" not in ran.stderr


def test_settings_are_those_of_the_folder_where_a_command_is_started(tmp_path: Path, root: Path) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt/config.toml").write_text('[sources.stripe]\ndataset = "Wrong"\n')
    ran = command(tmp_path, root)
    assert (ran.returncode, "setting dataset" in ran.stderr) == (2, True)


def command(folder: Path, root: Path, **changed: str) -> subprocess.CompletedProcess[str]:
    """`stripe_full.py`, started in a folder; Stripe cannot be reached."""
    environment = os.environ | {
        "STRIPE_SECRET_KEY": "sk_test_1",
        "SOURCES__STRIPE__API_BASE": "http://127.0.0.1:9",
        "SOURCES__STRIPE__MAX_RETRIES": "0",
        "DLT_PROJECT_DIR": str(folder),
    }
    environment = {name: value for name, value in (environment | changed).items() if value != "<unset>"}
    script = str(root / "pipelines/stripe_full.py")
    return processes.run(script, "--resources", "products", cwd=folder, env=environment)


# --- people's data ----------------------------------------------------------------------------------------------------


def test_privacy_is_read_from_files_and_the_environment_which_wins(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = '[privacy]\npeople = "drop"\ncharges.billing_details.email = "hash"\ncharges.receipt_email = "hash"\n'
    (project / ".dlt/config.toml").write_text(rules)
    (project / ".dlt/secrets.toml").write_text('[privacy]\nsalt = "a salt of sixteen characters"\n')
    reload_dlt()
    monkeypatch.setenv("PRIVACY__CHARGES__RECEIPT_EMAIL", "keep")
    row = {"id": "ch_1", "billing_details": {"email": "ada@example.com", "name": "Ada"}, "receipt_email": "a@b.c"}
    (treated,) = read_privacy(CATALOGUE).rows("charges", [row])
    assert treated["receipt_email"] == "a@b.c"
    assert treated["billing_details"]["name"] is None
    assert treated["billing_details"]["email"].startswith("hash:")
    monkeypatch.setenv("PRIVCY__PEOPLE", "hash")
    with pytest.raises(BadConfiguration, match=r"section \[privcy\] in the environment. Did you mean \[privacy\]\?"):
        read_privacy(CATALOGUE)


def test_a_salt_file_that_is_missing_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIVACY__PEOPLE", "hash")
    monkeypatch.setenv("PRIVACY__SALT_FILE", str(project / "none"))
    with pytest.raises(BadConfiguration, match="PRIVACY__SALT_FILE names cannot be read"):
        read_privacy(CATALOGUE)
