"""What somebody has pasted into the wrong place is in no message: each option and setting, with each secret."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.accounts import each_account
from pipelines.objects import _tables
from pipelines.settings import SECTION, Settings, environment_name, read_settings
from pipelines.sync_settings import SECTION as SYNC_SECTION
from pipelines.sync_settings import SyncSettings, read_sync_settings
from sources.stripe_api.catalogue import select
from sources.stripe_api.contract import contract_of
from sources.stripe_api.errors import BadConfiguration, RequestRefused, StripeSourceError, looks_secret, shown
from webhook_sink.endpoints import Endpoints, _check_url
from webhook_sink.settings import SECTION as SINK_SECTION
from webhook_sink.settings import SinkSettings, read_sink_settings

if TYPE_CHECKING:
    from simulator import Simulator

SECRETS = (
    "sk_live_51Habcdef0123456789ABCDEFG",
    "rk_test_51Habcdef0123456789",
    "whsec_abcdef0123456789",
    "postgresql://owner:open-sesame@db.example:5432/app",
    "https://user:open-sesame@proxy.example",
    "host=db.example password=open-sesame",
    "c29tZSBsb25nIHRva2VuIHRoYXQgbm9ib2R5IHNob3VsZCBzZWU5",
)
SCRIPTS = ("stripe_full", "stripe_sync", "stripe_check", "stripe_object", "stripe_part")
READERS: tuple[tuple[str, type, Callable[[], Any]], ...] = (
    (SECTION, Settings, read_settings),
    (SYNC_SECTION, SyncSettings, read_sync_settings),
    (SINK_SECTION, SinkSettings, read_sink_settings),
)


def parsers() -> Iterator[tuple[list[str], argparse.ArgumentParser]]:
    """Each command's parser, those of its subcommands included, with the words that lead there."""
    for module in (*(f"pipelines.{name}" for name in SCRIPTS), "webhook_sink.__main__"):
        yield from below([], importlib.import_module(module)._parser())


def below(words: list[str], parser: argparse.ArgumentParser) -> Iterator[tuple[list[str], argparse.ArgumentParser]]:
    yield words, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                yield from below([*words, name], each)


def attempts(secret: str) -> Iterator[tuple[argparse.ArgumentParser, list[str]]]:
    for _, parser in parsers():
        yield parser, [secret]
        yield parser, [f"--no-such-option={secret}"]
        for action in parser._actions:
            for option in action.option_strings[-1:]:
                yield parser, [option, secret]
                yield parser, [f"{option}={secret}"]


@pytest.mark.parametrize("secret", SECRETS)
def test_no_option_repeats_a_secret(secret: str, capsys: pytest.CaptureFixture[str]) -> None:
    tried = 0
    for parser, arguments in attempts(secret):
        with suppress(SystemExit):
            parser.parse_args(arguments)
        tried += 1
    said = "".join(capsys.readouterr())
    assert tried > 80
    assert "usage:" in said
    assert secret not in said
    assert "open-sesame" not in said


@pytest.mark.parametrize("secret", [*SECRETS, "hunter2-is-no-number"])
def test_no_setting_repeats_its_value(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = 0
    for section, kind, read in READERS:
        for each in fields(kind):
            if each.metadata["secret"]:
                continue
            with monkeypatch.context() as around:
                around.setenv(environment_name(each.name, section), secret)
                message = refusal(read)
            assert secret not in message
            assert "open-sesame" not in message
            if message:
                refused += 1
                assert environment_name(each.name, section) in message
    assert refused > 25


def refusal(read: Callable[[], Any]) -> str:
    try:
        read()
    except BadConfiguration as error:
        return str(error)
    return ""


@pytest.mark.parametrize("secret", SECRETS)
def test_no_name_account_or_contract_repeats_a_secret(secret: str) -> None:
    for attempt in (
        lambda: select([secret]),
        lambda: list(each_account(Settings(stripe_secret_key="sk_test_1", stripe_account=secret))),
        lambda: contract_of(secret),
        lambda: contract_of({secret: "freeze"}),
        lambda: _tables("x_1", secret),
        lambda: _check_url(secret),
    ):
        with pytest.raises(StripeSourceError) as raised:
            attempt()
        assert secret not in str(raised.value)
        assert "open-sesame" not in str(raised.value)


def test_no_endpoint_that_is_not_found_repeats_a_secret(simulator: Callable[..., Simulator]) -> None:
    sim = simulator(seed=1, customers=1, running=False)
    endpoints = Endpoints(Settings(stripe_secret_key=sim.key, api_base=sim.url))
    for secret in SECRETS:
        with pytest.raises(RequestRefused) as raised:
            endpoints.delete(secret)
        assert secret not in str(raised.value)
        assert "open-sesame" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["custmers", "cus_NffrFeUfNV2Hib", "2025-01-31T12:00:00Z", "pi_3MtwBwLkdIwHu7ix28a3tqPa"]
)
def test_names_and_ids_are_shown(name: str) -> None:
    assert shown(name) == repr(name)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["sk_live_", "rk_test_", "whsec_", "postgres://u:"]),
    st.text("abcdefXYZ0123456789", min_size=8, max_size=40),
    st.text(max_size=10),
    st.text(max_size=10),
)
def test_a_secret_is_found_wherever_it_stands(prefix: str, rest: str, before: str, after: str) -> None:
    text = f"{before} {prefix}{rest}{after}"
    assert looks_secret(text)
    assert rest not in shown(text)
