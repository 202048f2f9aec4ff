"""The status page over HTTP, on both databases: what it shows, who may see it, and what its forms do."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.configuration.settings import Settings
from pipelines.loading.session import open_database
from pipelines.models.metrics.build import Build
from pipelines.warehouse.problems import DatabaseProblem
from sources.errors import BadConfiguration
from sources.stripe_api.provider import STRIPE
from stripe_elt.commands import status
from tests.pipelines.conftest import beginnings as beginnings
from tests.pipelines.conftest import mirror as mirror
from tests.pipelines.conftest import mirrored as mirrored
from tests.pipelines.mirror import Mirror
from tests.webhook_sink.conftest import ACCOUNT, Served, Stored, event
from tests.webhook_sink.pages.page_client import PASSWORD, Client, ended, served_page
from webhook_sink.commit.ledger import create_tables
from webhook_sink.commit.recent import OPEN, SEARCHED, SHOWN, questions
from webhook_sink.http.page import HEADERS
from webhook_sink.http.server import page_server_of
from webhook_sink.pages.render import SECTIONS
from webhook_sink.settings import SinkSettings, read_sink_settings

Serve = Callable[..., Served]


def row_of(page: str, name: str) -> str:
    """The text of the table row that has a cell with this name in it."""
    rows = [" ".join(re.sub(r"<[^>]+>", " ", f"<tr{row}").split()) for row in page.split("<tr")[1:]]
    return next(row for row in rows if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", row))


# --- what it shows ----------------------------------------------------------------------------------------------------


def test_page_shows_tables_runs_checks_and_what_is_wrong_and_escapes_it(mirror: Mirror) -> None:
    mirror.begin("customers", "products", "events", synced=True)
    mirror.destination.query("update stripe.customers set name = 'x', _as_of = timestamptz '2020-01-01 00:00:00Z'")
    mirror.check("customers")
    count = mirror.destination.value("select count(*) from stripe.customers")
    mirror.destination.query(
        "update stripe.sync_status set status = 'error', error = 'no <b>right</b>' where resource = 'products'"
    )
    with served_page(mirror.settings) as client:
        client.sign_in()
        page = client.text()
        assert str(count) in row_of(page, "customers")
        assert "no &lt;b&gt;right&lt;/b&gt; Remove the cause" in row_of(page, "products")
        assert "products could not be read." in page
        assert "<b>" not in page
        assert mirror.sim.account.id in page
        assert "days behind." in page
        assert f"0 {count} 0 repaired" in row_of(page[page.index('id="checks"') :], "repaired")
        assert "complete" in row_of(page[page.index('id="runs"') :], "Scheduled sync")
        spent = mirror.destination.value("select sum(requests) from stripe.sync_runs")
        assert f'<p class="figure">{spent:,}</p>' in page
        assert mirror.row("customers", mirror.rows("customers")[0]["id"])["email"] not in page


@pytest.mark.long
def test_page_shows_the_answers_where_metrics_are_built(mirror: Mirror) -> None:
    mirror.begin("core")
    with served_page(mirror.settings) as client:
        client.sign_in()
        assert "MRR" not in client.text()
        with closing(open_database(mirror.settings)) as database:
            Build(database, "stripe").run()
        page = next(part["answers"] for part in client.stream() if "MRR" in part.get("answers", ""))
        assert re.search(r"USD [\d,]+\.\d\d", page)
        assert "<polyline" in page


def test_empty_database_says_what_to_do_first(mirror: Mirror) -> None:
    with served_page(mirror.settings) as client:
        client.sign_in()
        page = client.text()
        assert "Nothing was loaded yet" in page
        assert "stripe-elt full" in page
        assert "Nothing has run yet." in page


def test_database_that_is_down_is_said_and_the_page_stays(mirror: Mirror, tmp_path: Path) -> None:
    wrong = {
        "database_url": "host=127.0.0.1 port=1 password=never-shown",
        "duckdb_path": str(tmp_path / "no" / "x.duckdb"),
    }
    with served_page(replace(mirror.settings, **wrong)) as client:
        client.sign_in()
        page = client.text()
        assert "The database does not answer" in page
        assert "DATABASE_URL" in page or "DUCKDB_PATH" in page
        assert "never-shown" not in page


def test_duckdb_file_that_another_run_has_is_said_and_is_free_while_nobody_reads(duckdb_path: Path) -> None:
    """DuckDB lets one process write."""
    settings = Settings(destination="duckdb", duckdb_path=str(duckdb_path))
    with served_page(settings) as client:
        client.sign_in()
        assert "Nothing was loaded yet" in client.text()
        with closing(open_database(settings)):
            said = (part.get("verdict", "") for part in client.stream())
            assert any("Another run is using the DuckDB file" in each for each in said)


def test_stripe_that_does_not_answer_or_refuses_the_key_is_said(mirror: Mirror) -> None:
    def stripe_of(**changes: Any) -> str:
        with served_page(replace(mirror.settings, **changes)) as client:
            client.sign_in()
            return next(part for part in client.stream() if "Asking" not in part.get("connections", "Asking"))[
                "connections"
            ]

    assert "Answers" in stripe_of()
    assert "No answer" in stripe_of(stripe_secret_key="sk_test_wrong")
    assert "No key" in stripe_of(stripe_secret_key=None)


def test_events_can_be_filtered_and_no_payload_is_shown(serve: Serve, stored: Stored) -> None:
    served = serve(page_password=PASSWORD)
    served.deliver(
        event("customer.created", {"id": "cus_1", "object": "customer", "email": "secret@example.com"}, id="evt_1"),
        event("product.created", {"id": "prod_1", "object": "product", "name": "a secret"}, id="evt_2"),
        event("customer.updated", {"id": "cus_2", "object": "customer"}, id="evt_bad"),
    )
    stored.query("update stripe.stripe_webhook_events set status = 'failed', error = 'odd' where id = 'evt_bad'")
    client = Client(served.url)
    client.sign_in()
    page = client.text()
    assert all(id in page for id in ("evt_1", "evt_2", "evt_bad", "cus_1", "prod_1"))
    assert "secret@example.com" not in page
    assert "a secret" not in page
    assert "1 event could not be processed." in page
    failed = client.text("/?status=failed")
    assert ("evt_bad" in failed, "evt_1" in failed) == (True, False)
    products = client.text("/?type=product.created&status=processed")
    assert ("evt_2" in products, "evt_1" in products) == (True, False)
    assert "None of the last" in client.text("/?type=product.created&status=ignored")
    assert "evt_1" in client.text("/?status=nonsense&type=")


def test_questions_to_the_ledger_read_a_bounded_number_of_rows_by_an_index(postgres_url: str, stored: Stored) -> None:
    """What bounds the page at a million events: no plan depends on how many there are."""
    create_tables(postgres_url, "stripe", STRIPE)
    stored.query(
        "insert into stripe.stripe_webhook_events (id, type, account_id, livemode, created, status, received_at,"
        " attempts)"
        " select 'evt_' || i, 'type.' || i % 50, 'acct_1', false, now(), case i % 1000 when 0 then 'failed' else"
        " 'processed' end, now() - i * interval '1 second', 1 from generate_series(1, 60000) as i"
    )
    stored.query("analyze stripe.stripe_webhook_events")
    asks = [*((each, None) for each in (None, "processed", *OPEN)), (None, "type.7"), ("failed", "type.0")]
    for wanted, type in asks:
        for name, (sql, parameters) in questions("stripe", "stripe", wanted, type).items():
            ((plan,),) = stored.query(f"explain (analyze, format json) {sql}", *parameters)
            scans = list(scans_of(plan[0]["Plan"]))
            assert sum(rows for _, relation, rows in scans if relation.endswith("_events")) <= SEARCHED, (name, scans)
            kinds = {kind for kind, relation, _ in scans if relation.endswith("_events")}
            assert kinds <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}, (name, plan)
    assert SHOWN <= SEARCHED


def scans_of(plan: dict[str, Any]) -> Any:
    if "Relation Name" in plan:
        yield plan["Node Type"], plan["Relation Name"], plan["Actual Rows"] * plan["Actual Loops"]
    for below in plan.get("Plans", ()):
        yield from scans_of(below)


# --- who may see it ---------------------------------------------------------------------------------------------------


def test_page_is_off_without_a_password_and_a_short_one_is_refused(
    serve: Serve, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadConfiguration, match="STRIPE_SINK_PASSWORD"):
        page_server_of(mirror.settings, SinkSettings())
    with pytest.raises(DatabaseProblem, match=r"no Postgres to load into\. Set DATABASE_URL"):
        page_server_of(Settings(destination="postgres"), SinkSettings(page_password=PASSWORD))
    monkeypatch.setenv("STRIPE_SINK_PASSWORD", "short")
    with pytest.raises(
        BadConfiguration, match=r"page_password .* Set STRIPE_SINK_PASSWORD, or page_password .* \.dlt/secrets\.toml"
    ):
        read_sink_settings()
    assert Client(serve().url).get().status == 404


def test_password_opens_the_page_and_a_wrong_one_has_to_wait(serve: Serve) -> None:
    served = serve(page_password=PASSWORD, api_key="a key of the api")
    client = Client(served.url)
    shown = client.get()
    assert (shown.status, b"Password or API key" in shown.data, b"Activity" in shown.data) == (200, True, False)
    assert client.post("/page/login", password=PASSWORD, token="0" * 64).status == 403
    client.get()
    assert client.post("/page/login", {"Sec-Fetch-Site": "cross-site"}, password=PASSWORD).status == 403
    wrong = client.sign_in("wrong")
    assert (wrong.status, b"The password is wrong." in wrong.data) == (401, True)
    early = client.post("/page/login", password=PASSWORD)
    assert (early.status, early.headers["Retry-After"]) == (429, "1")
    for path in ("/page/live", "/page/do"):
        assert (client.get if path.endswith("live") else client.post)(path).status == 401
    other = Client(served.url)
    while (answer := other.sign_in("a key of the api")).status == 429:
        pass
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age"))
    assert "Secure" not in cookie
    assert "Secure" in other.get("/", **{"X-Forwarded-Proto": "https", "Cookie": ""}).headers["Set-Cookie"]


def test_every_answer_has_the_headers_and_signing_out_ends_the_visit_and_its_stream(serve: Serve) -> None:
    client = Client(serve(page_password=PASSWORD).url)
    client.sign_in()
    kept = client.cookie
    for path in ("/", "/page/style.css", "/page/live.js"):
        answer = client.get(path)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert (answer.status, "unsafe" in answer.headers["Content-Security-Policy"]) == (200, False)
    stream = client.stream()
    assert set(next(stream)) == set(SECTIONS)
    assert client.post("/page/logout", token="0" * 64).status == 403
    client.get()
    assert client.post("/page/logout").status == 303
    assert [part for part in stream if not set(part) <= set(SECTIONS)] == []
    client.cookie = kept
    assert b"Sign in" in client.get().data


# --- what it does -----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_jobs_of_the_page_run_show_in_sync_runs_and_refuse_a_second_start(mirror: Mirror) -> None:
    with served_page(mirror.settings) as client:
        client.sign_in()
        answer = client.post("/page/do", what="load", resource="customers")
        assert answer.status == 303
        assert (again := client.post("/page/do", what="load", resource="customers")).status == 409
        assert b"The same job is" in again.data
        page = ended(client, answer.headers["Location"])
        assert "complete" in row_of(page, "Load customers")
        assert 'class="chosen"' in page
        customer = mirror.rows("customers")[0]["id"]
        mirror.sim.account.update("customers", customer, {"name": "New"})
        for fields, shown in (
            ({"what": "object", "id": customer}, f"One object {customer}"),
            ({"what": "sync"}, "Sync"),
            ({"what": "check", "sample": "100"}, "Check sample 100"),
        ):
            page = ended(client, client.post("/page/do", **fields).headers["Location"])
            assert "complete" in row_of(page[page.index('id="runs"') :], shown)
    assert mirror.row("customers", customer)["name"] == "New"
    commands = {command for (command,) in mirror.destination.query("select command from stripe.sync_runs")}
    assert {"sync", "sync_single", "sync_daily", "stripe_check"} <= commands


WRONG_FORMS: tuple[tuple[dict[str, str], str], ...] = (
    ({"what": "load", "resource": "custmers"}, "customers"),
    ({"what": "object", "id": ""}, "Give the id of an object"),
    ({"what": "object", "id": "cus\x00"}, "Give the id of an object"),
    ({"what": "check", "sample": "-1"}, "whole number"),
    ({"what": "everything"}, "no such job"),
    ({}, "no such job"),
)


def test_form_that_cannot_be_meant_is_400_and_says_why(mirror: Mirror) -> None:
    with served_page(mirror.settings) as client:
        client.sign_in()
        for fields, said in WRONG_FORMS:
            answer = client.post("/page/do", **fields)
            assert (answer.status, said in answer.data.decode()) == (400, True)
        assert client.post("/page/do", what="sync", token="0").status == 403
        assert client.post("/page/do", what="x" * 20_000).status == 413


def test_job_that_fails_says_why_and_a_page_without_a_key_refuses(mirror: Mirror) -> None:
    with served_page(replace(mirror.settings, stripe_secret_key="sk_test_wrong")) as client:
        client.sign_in()
        page = ended(client, client.post("/page/do", what="sync").headers["Location"])
        assert re.search(r'class="notice bad"><strong>Sync</strong>[^<]*STRIPE_SECRET_KEY', page)
    with served_page(replace(mirror.settings, stripe_secret_key=None)) as client:
        client.sign_in()
        answer = client.post("/page/do", what="sync")
        assert (answer.status, b"STRIPE_SECRET_KEY" in answer.data) == (400, True)


def test_failed_events_are_replayed(serve: Serve, stored: Stored) -> None:
    served = serve(page_password=PASSWORD)
    served.deliver(event("customer.created", {"id": "cus_1", "object": "customer"}, id="evt_1"))
    stored.query("update stripe.stripe_webhook_events set status = 'failed', error = 'odd'")
    stored.query("delete from stripe.customers")
    client = Client(served.url)
    client.sign_in()
    page = ended(client, client.post("/page/do", what="replay").headers["Location"])
    assert "complete" in row_of(page, "Replay")
    assert stored.ledger()[0] == "processed"
    assert stored.value("select count(*) from stripe.customers") == 1
    assert stored.value("select _account_id from stripe.customers") == ACCOUNT


# --- the commands -----------------------------------------------------------------------------------------------------


def test_page_as_a_file_needs_no_server_no_script_and_no_form(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.begin("customers", "events", synced=True)
    for name, value in mirror.environment.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "status.html"
    assert status.main(["--html", str(file)]) == 0
    page = file.read_text()
    assert "customers" in page
    assert re.search("<form|<script|<input|href=./|https?:", page) is None
    assert "style-src &#39;sha256-" in page or "style-src 'sha256-" in page
    assert str(file) in capsys.readouterr().out
    assert status.main(["--html", str(tmp_path / "no" / "status.html")]) == 2
    assert status.main(["--serve", "--port", "0"]) == 2
    said = capsys.readouterr().err
    assert "cannot be written" in said
    assert "STRIPE_SINK_PASSWORD" in " ".join(said.split())


def test_port_in_use_is_exit_code_2(
    serve: Serve, postgres_url: str, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    monkeypatch.setenv("STRIPE_SINK_PASSWORD", PASSWORD)
    port = str(serve().port)
    assert status.main(["--destination", "postgres", "--serve", "--port", port]) == 2
    assert f"cannot listen on port {port}" in " ".join(capfd.readouterr().err.split())
