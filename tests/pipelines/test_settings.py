"""Settings: where they come from, in which order, and what cannot be set."""

from __future__ import annotations

from pathlib import Path

import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

from pipelines.settings import Settings, environment_name, read_settings
from sources.stripe_api.errors import BadConfiguration


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a `.dlt` that dlt reads afresh."""
    (tmp_path / ".dlt").mkdir()
    monkeypatch.setenv("DLT_PROJECT_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


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
    ],
)
def test_impossible_value_names_the_setting(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(environment_name(name), value)
    reload_dlt()
    with pytest.raises(BadConfiguration, match=environment_name(name)):
        read_settings()


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
