"""What is Orb's own in a full load: equal tables, drafts, its settings, its errors, and Stripe's tables beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.configuration.orb_settings import OrbSettings, read_orb_settings
from simulator.orb.account import moment
from sources.errors import BadConfiguration
from sources.privacy import HASHED
from tests import processes
from tests.databases import Database
from tests.pipelines.mirror import START, Mirror
from tests.pipelines.orb_mirror import OrbMirror

ROOT = Path(__file__).resolve().parents[3]
Made = Callable[..., OrbMirror]
DAY = 86_400


def test_drafts_are_read_each_time_and_other_invoices_by_their_date(orb_mirrored: Made) -> None:
    mirror = orb_mirrored()
    account = mirror.sim.account
    mirror.run("core")
    draft = next(obj for obj in account.objects("invoices") if obj["status"] == "draft")
    assert draft["invoice_date"] > account.now()
    account.update("invoices", draft["id"], {"total": "77.70"})
    mirror.sim.log.clear()
    mirror.run("invoices", "invoice_drafts")
    assert mirror.differences(["invoices"]) == []
    assert len(mirror.sim.log) == 3  # the key, one window, and the drafts

    account.update("invoices", draft["id"], {"status": "issued", "issued_at": draft["invoice_date"]})
    mirror.pass_time(40 * DAY)
    mirror.run("invoices", "invoice_drafts")
    assert mirror.differences(["invoices"]) == []


def test_since_and_until_load_their_window_and_no_more(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=30)
    created = sorted(obj["created_at"] for obj in mirror.sim.account.objects("customers"))
    since, until = START - 400 * DAY, START - 100 * DAY
    mirror.run("customers", since=since, until=until)
    shown = {row["created_at"].timestamp() for row in mirror.rows("customers", live=True)}
    assert len(shown) == sum(moment(since) <= each < moment(until) for each in created)
    assert all(since <= second < until for second in shown)


def test_money_and_moments_have_their_types(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=2)
    mirror.run("invoices", "license_types")
    kinds = dict(
        mirror.destination.query(
            "select column_name, lower(data_type) from information_schema.columns"
            " where table_schema = 'orb' and table_name = 'invoices'"
        )
    )
    assert kinds["total"].startswith(("numeric", "decimal"))
    assert kinds["invoice_date"] == "timestamp with time zone"
    shown = mirror.destination.value("select sum(total) from orb_current.invoices")
    listed = [obj for obj in mirror.sim.account.objects("invoices") if obj["status"] != "draft"]
    assert round(float(shown), 2) == round(sum(float(each["total"]) for each in listed), 2)


def test_stripe_and_orb_are_loaded_into_one_database_side_by_side(mirror: Mirror, orb_mirrored: Made) -> None:
    mirror.load("customers")
    orb = orb_mirrored()
    assert orb.run("customers").failed == []
    assert mirror.differences(["customers"]) == []
    assert orb.differences(["customers"]) == []
    orb.changes["dataset"] = "stripe"
    with pytest.raises(BadConfiguration, match="has the tables of stripe"):
        orb.run("customers")
    assert mirror.destination.query("select distinct command from stripe.sync_runs") == [("stripe_full",)]


def test_peoples_data_is_hashed_wherever_orb_repeats_it(orb_mirrored: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIVACY__SALT", "salt of the tests, long enough")
    monkeypatch.setenv("PRIVACY__PEOPLE", "hash")
    monkeypatch.setenv("PRIVACY__CHARGES__RECEIPT_EMAIL", "drop")  # a field of Stripe's, which Orb's load leaves alone
    mirror = orb_mirrored()
    first = mirror.sim.account.objects("customers")[0]
    mirror.sim.account.update("customers", first["id"], {"email": "ada@hush.example"}, "customer.edited")
    mirror.run("customers", "subscriptions", "webhook_events")
    assert all(
        HASHED.fullmatch(row["email"]) and HASHED.fullmatch(row["name"]) for row in mirror.rows("customers", live=True)
    )
    for table in ("customers", "subscriptions", "webhook_events"):
        said = "".join(map(str, mirror.rows(table, live=True)))
        assert said
        assert "ada@hush.example" not in said
        assert "@example.com" not in said


# --- the command ------------------------------------------------------------------------------------------------------


class Ran:
    """A run of the command that has ended: what it said in one line."""

    def __init__(self, mirror: OrbMirror, *arguments: str, **changed: str) -> None:
        environment = {name: value for name, value in (mirror.environment | changed).items() if value}
        command = (str(ROOT / "pipelines/orb_full.py"), *(arguments or ("--resources", "customers", "items")))
        done = processes.run(*command, cwd=ROOT, env=environment)
        self.code, self.out = done.returncode, done.stdout
        self.told = " ".join(f"{done.stderr} {done.stdout}".split())
        assert "Traceback" not in self.told
        for secret in (mirror.sim.key, "test_wrong", "live4711"):
            assert secret not in self.told

    def ends(self, code: int, *words: str) -> None:
        assert self.code == code, self.told
        assert [each for each in words if each not in self.told] == [], self.told


@pytest.fixture
def on_duckdb(orb_mirrored: Made, destination: Database) -> OrbMirror:
    return orb_mirrored(customers=3)


@pytest.mark.parametrize("destination", ["duckdb"], indirect=True)
def test_what_people_get_wrong_is_one_paragraph_and_loses_nothing(on_duckdb: OrbMirror) -> None:
    mirror = on_duckdb
    Ran(mirror, ORB_API_KEY="").ends(2, "There is no key for Orb's API. Set ORB_API_KEY")
    Ran(mirror, ORB_API_KEY="test_wrong").ends(2, "Orb refused the key for GET /v1/ping", "Set ORB_API_KEY")
    Ran(mirror, ORB_API_KEY="live4711", SOURCES__ORB__API_BASE="http://orb.example").ends(
        2, "A live key is never sent over plain http", "SOURCES__ORB__API_BASE"
    )
    Ran(mirror, SOURCES__ORB__API_BASE="http://127.0.0.1:9").ends(2, "could not be reached", "SOURCES__ORB__API_BASE")
    Ran(mirror, SOURCES__ORB__WORKRS="2").ends(2, "SOURCES__ORB__WORKRS", "Did you mean workers?")
    Ran(mirror, "--resources", "custmers").ends(2, "did you mean 'customers'?", "docs/reference/orb.md")
    Ran(mirror, "--resources", "invoice_summaries").ends(2, "is never loaded")
    Ran(mirror, "--dataset", "Orb!").ends(2, "The setting dataset has an invalid value", "SOURCES__ORB__DATASET")
    assert not Path(mirror.destination.address).exists() or mirror.destination.tables("orb") == set()

    mirror.sim.api.lacks.add("items")
    mirror.sim.api.largest["customers"] = 2
    Ran(mirror).ends(0, "skipped", "Ask Orb to switch the feature on")
    mirror.sim.api.lacks.clear()
    mirror.sim.faults.add("replace", path="/v1/items", old=b"pagination_metadata", new=b"pagination")
    Ran(mirror).ends(1, "has no pagination_metadata")
    mirror.sim.faults.clear()
    mirror.pass_time(60)
    Ran(mirror).ends(0, "items")
    assert mirror.differences(["customers", "items"]) == []


@pytest.mark.parametrize("destination", ["duckdb"], indirect=True)
def test_a_dry_run_says_what_would_be_asked_and_asks_nothing(on_duckdb: OrbMirror) -> None:
    Ran(on_duckdb, "--dry-run").ends(0, "15 lists: at least 19 requests", "Nothing was sent")
    assert not on_duckdb.sim.log


# --- settings ---------------------------------------------------------------------------------------------------------


def test_what_orbs_section_lacks_is_read_from_stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ORB_API_KEY": "test_1",
        "SOURCES__STRIPE__DESTINATION": "postgres",
        "SOURCES__STRIPE__WORKERS": "3",
        "SOURCES__STRIPE__DATASET": "other",
        "SOURCES__STRIPE__ACCOUNT_ID": "acct_1",
        "SOURCES__ORB__WORKERS": "5",
        "DATABASE_URL": "postgresql://127.0.0.1/x",
    }.items():
        monkeypatch.setenv(name, value)
    settings = read_orb_settings()
    assert (settings.destination, settings.workers, settings.database_url) == (
        "postgres",
        5,
        os.environ["DATABASE_URL"],
    )
    assert (settings.dataset, settings.account_id, settings.configured_account) == ("orb", "orb", "orb")
    assert not settings.is_live
    assert settings.account_rate == 25.0
    assert read_orb_settings(dataset="mine").dataset == "mine"


@pytest.mark.parametrize(
    ("name", "value"),
    [("ACCOUNT_ID", "\x07"), ("LIVE_RATE", "0"), ("API_BASE", "orb"), ("WORKERS", "0"), ("MAX_RETRIES", "many")],
)
def test_a_setting_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"SOURCES__ORB__{name}", value)
    with pytest.raises(BadConfiguration, match=re.escape(f"SOURCES__ORB__{name}")):
        read_orb_settings()


def test_no_secret_is_in_what_settings_show() -> None:
    shown: Any = OrbSettings(orb_api_key="test_secret4711", database_url="postgresql://u:secret4711@h/d")
    assert "4711" not in repr(shown)
