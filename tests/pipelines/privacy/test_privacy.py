"""With the privacy settings, nothing of a person's data reaches a table, a file or a log, whichever path wrote it."""

from __future__ import annotations

import logging
from pathlib import Path

import dlt
import pytest

from sources.privacy import HASHED
from sources.stripe_api.source import stripe_source
from tests.pipelines.mirror import Mirror
from tests.pipelines.warehouse.test_rights import received
from tests.pipelines.warehouse.test_staging import places
from tests.pipelines.warehouse.test_staging import temporary as temporary
from tests.webhook_sink.conftest import event

NAMES = ("customers", "charges", "invoices", "payment_methods", "checkout_sessions", "events")
SALT = "salt of the tests, long enough"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings that hash what is a person's, with a salt in a file."""
    (tmp_path / "salt").write_text(f"{SALT}\n")
    monkeypatch.setenv("PRIVACY__SALT_FILE", str(tmp_path / "salt"))
    monkeypatch.setenv("PRIVACY__PEOPLE", "hash")
    monkeypatch.setenv("PRIVACY__CUSTOMERS__PHONE", "drop")


@pytest.mark.usefixtures("hashed")
def test_no_path_lets_an_address_through(mirror: Mirror, temporary: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    account = mirror.sim.account
    mirror.load(*NAMES)
    first = account.objects("customers")[0]["id"]
    row = mirror.row("customers", first)
    assert HASHED.fullmatch(row["email"])
    assert row["phone"] is None
    joined = "select count(*) from stripe.invoices i join stripe.customers c on i.customer = c.id"
    assert mirror.destination.value(joined) > 0
    assert mirror.destination.value(f"{joined} where i.customer_email is distinct from c.email") == 0

    account.update("customers", first, {"email": "changed@example.com", "phone": "+49 30 901820"})
    mirror.pass_time(120)
    assert mirror.sync().rows > 0
    assert mirror.check(*NAMES).findings == []
    mirror.read(first)
    after = mirror.row("customers", first)
    assert HASHED.fullmatch(after["email"])
    assert after["email"] != row["email"]

    if mirror.destination.kind == "postgres":
        shown = dict(next(obj for obj in account.objects("customers") if obj["id"] == first))
        changed = event("customer.updated", shown, created=int(mirror.sim.clock.time()) + 1)
        changed["data"]["previous_attributes"] = {"email": account.objects("customers")[1]["email"]}
        refused = event("customer.updated", {**shown, "id": ""}, id="evt_2")
        mirror.destination.query("alter table stripe.customers add constraint odd check (id <> 'cus_odd')")
        refused_too = event("customer.updated", {**shown, "id": "cus_odd"}, id="evt_3")
        outcomes = received(mirror.destination.address, mirror.sim, changed, refused, refused_too)
        assert outcomes[0] == "committed"
        assert "failed" in outcomes
        kept = mirror.destination.value(
            "select cast(payload as text) from stripe.stripe_webhook_events where id = 'evt_1'"
        )
        assert after["email"] in kept
        assert mirror.row("customers", first)["email"] == after["email"]
    assert places(mirror, temporary) == set()
    assert "changed@example.com" not in caplog.text
    if mirror.destination.kind == "duckdb":
        content = Path(mirror.destination.address).read_bytes()
        assert not any(obj["email"].encode() in content for obj in account.objects("customers") if obj["email"])


@pytest.mark.parametrize("destination", ["duckdb"], indirect=True)  # the source is dlt's, and knows no database
@pytest.mark.usefixtures("hashed")
def test_the_dlt_source_writes_the_same(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.begin(*NAMES)
    monkeypatch.setenv("SOURCES__STRIPE__STRIPE_SECRET_KEY", mirror.sim.key)
    monkeypatch.setenv("SOURCES__STRIPE__API_BASE", mirror.sim.url)
    other = tmp_path / "other.duckdb"
    pipeline = dlt.pipeline(
        "privacy", destination=dlt.destinations.duckdb(str(other)), dataset_name="theirs", pipelines_dir=str(tmp_path)
    )
    pipeline.run(stripe_source(resources=["customers"]))
    with pipeline.sql_client() as client:
        theirs = dict(client.execute_sql("select id, email from customers") or ())
    assert theirs == {row["id"]: row["email"] for row in mirror.rows("customers")}


def test_switched_on_later_a_check_replaces_what_is_stored(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.begin("customers")
    monkeypatch.setenv("PRIVACY__CUSTOMERS__EMAIL", "drop")
    report = mirror.check("customers")
    assert {fields for finding in report.findings for fields in finding.fields} == {"email"}
    assert mirror.destination.value("select count(email) from stripe.customers") == 0
    assert mirror.check("customers").findings == []
