"""What somebody has pasted into the wrong place is in no message: each option and setting, with each secret."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.commands.accounts import each_account
from pipelines.configuration.fields import environment_name
from pipelines.configuration.settings import SECTION, Settings, read_settings
from pipelines.sync.stripe_api.objects import _tables
from pipelines.sync.stripe_api.settings import SECTION as SYNC_SECTION
from pipelines.sync.stripe_api.settings import SyncSettings, read_sync_settings
from pipelines.warehouse.postgres.conninfo import options_of
from sources.columns.contract import contract_of
from sources.errors import BadConfiguration, ConnectorError, RequestRefused, looks_secret, shape, shown
from sources.stripe_api.catalogue import CATALOGUE, select
from sources.stripe_api.catalogue.prefixes import shown_id
from webhook_sink.endpoints.endpoints import Endpoints, check_url
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
    "hunter2",
    "S3cret'Pw",
    "Tr0ub4dor:3/x",
)
SCRIPTS = ("stripe_full", "stripe_sync", "stripe_check", "stripe_object", "stripe_part", "stripe_report")
READERS: tuple[tuple[str, type, Callable[[], Any]], ...] = (
    (SECTION, Settings, read_settings),
    (SYNC_SECTION, SyncSettings, read_sync_settings),
    (SINK_SECTION, SinkSettings, read_sink_settings),
)


def parsers() -> Iterator[tuple[list[str], argparse.ArgumentParser]]:
    """Each command's parser, those of its subcommands included, with the words that lead there."""
    for module in (*(f"pipelines.{name}" for name in SCRIPTS), "webhook_sink.__main__", "simulator.cli", "demo"):
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
        yield parser, [f"-h{secret}"]
        yield parser, [f"--{secret}"]
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
    assert tried > 100
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
        lambda: _tables(CATALOGUE, "x_1", secret),
        lambda: check_url(secret, "Stripe", "https://host/webhooks"),
        lambda: options_of(f"postgresql://h/d?{quote(secret, safe='')}=1", "DATABASE_URL"),
    ):
        with pytest.raises(ConnectorError) as raised:
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


def test_what_is_nearly_a_known_name_is_shown_with_it() -> None:
    for near, known in (("custmers", "customers"), ("Invoices", "invoices"), ("--resourcs", "--resources")):
        assert shown(near, [known, "payouts"]) == repr(near)
    for far in ("hunter2", "customers=hunter2", "payouts hunter2", "payouts:x"):
        assert shown(far, ["customers", "payouts"]) == shape(far)
    with pytest.raises(BadConfiguration, match="There is no resource 'custmers'; did you mean 'customers'"):
        select(["custmers"])
    assert [shown_id(id) for id in ("cus_NffrFeUfNV2Hib", "hunter2")] == ["'cus_NffrFeUfNV2Hib'", shape("hunter2")]


@pytest.mark.parametrize(
    ("text", "is_made_of"),
    [
        ("hunter2", "(7 letters and digits)"),
        ("a", "(1 letter)"),
        ("2025-01-31", "(10 digits and other characters)"),
        ("p\udcff w1", "(5 letters, digits and other characters)"),
        ("", "(0 characters)"),
    ],
)
def test_what_a_text_is_made_of(text: str, is_made_of: str) -> None:
    assert shape(text) == is_made_of


def test_error_of_an_option_names_the_option_and_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    for module, arguments, says in (
        (
            "pipelines.stripe_full",
            ["--destination", "hunter2"],
            "--destination: invalid choice: (7 letters and digits)",
        ),
        ("pipelines.stripe_full", ["--destination", "hunter2"], "(choose from 'duckdb', 'postgres')"),
        ("pipelines.stripe_full", ["--resourcs", "hunter2"], "unrecognized arguments: '--resourcs' (7 letters and"),
        ("webhook_sink.__main__", ["serve", "--port", "hunter2"], "--port: invalid int value: (7 letters and digits)"),
        ("webhook_sink.__main__", ["servee"], "invalid choice: 'servee' (choose from 'serve',"),
        ("simulator.cli", ["--lacks", "isuing_cards"], "did you mean issuing_cards?"),
        ("pipelines.stripe_object", ["cus_\udcff"], "argument ID: it contains bytes that are not UTF-8"),
        ("webhook_sink.__main__", ["replay", "--type", "\udcff"], "it contains bytes that are not UTF-8"),
    ):
        with pytest.raises(SystemExit):
            importlib.import_module(module)._parser().parse_args(arguments)
        assert says in capsys.readouterr().err
    taken = importlib.import_module("pipelines.stripe_full")._parser().parse_args(["--duckdb-path", "\udcff"])
    assert taken.duckdb_path == "\udcff"  # names of files are bytes


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
