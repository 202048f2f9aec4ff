"""The report: its screen, its JSON and its page say what the views say, and its options say what is wrong with them."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from pipelines.models.metrics.build import Build
from pipelines.models.report.answers import Answers, Reader
from pipelines.models.report.page import page
from pipelines.models.report.screen import change, money, percent, screen
from pipelines.stripe_sync import sync_once
from pipelines.sync.stripe_api.settings import SyncSettings
from sources.errors import BadConfiguration
from tests.databases import Database
from tests.models.loaded import connected, fill
from tests.models.test_build import case
from tests.pipelines.mirror import Mirror
from tests.processes import run

CHROMIUM, PAPER = shutil.which("chromium"), 718
"""The width of A4 between its margins, in CSS pixels."""
NASTY = "</script><img src=https://evil.example/x onerror=alert(1)>"
NAME = "Ada Lovelace"
COUNTED = "select currency, sum(mrr), count(*) from stripe_metrics.customers_now group by 1"


def answers(database: Database, **chosen: Any) -> list[Answers]:
    with connected(database) as connection:
        Build(connection, "stripe").run()
        return Reader(connection, "stripe").read(**chosen)


def report(database: Database, *options: str, cwd: Path) -> Any:
    where = ["--destination", database.kind]
    where += ["--duckdb-path", database.address] if database.kind == "duckdb" else []

    script = str(Path(__file__).resolve().parents[2] / "pipelines/stripe_report.py")
    return run(script, *where, *options, cwd=cwd, env={**os.environ, **database.environment})


def test_the_report_says_what_the_views_say(destination: Database, tmp_path: Path) -> None:
    fill(destination, case("10"))
    printed = report(destination, "--json", cwd=tmp_path)
    assert (printed.returncode, printed.stderr) == (0, "")
    (one,) = json.loads(printed.stdout)
    ((currency, mrr, customers),) = destination.query(COUNTED)
    assert (one["currency"], one["headline"]["mrr"], one["headline"]["customers"]) == (currency, mrr, customers)
    assert one["past_due"] == {"mrr": 10000, "subscriptions": 1, "recoverable": 10000, "invoices": 1}
    assert [row["closing"] for row in one["rows"]["mrr"]] == [25000, 20000, 20000]
    assert {row["month"]: row["net"] for row in one["rows"]["balance"]} == {
        "2026-01-01": 24185, "2026-02-01": 5360, "2026-03-01": 9680,
    }  # fmt: skip
    assert one["insights"][0]["severity"] == "high"

    text = report(destination, cwd=tmp_path).stdout
    assert re.search(r"^MRR\s+USD 200\.00\s+\+0\.0 %\s+–$", text, re.MULTILINE)
    assert (
        "Past due: USD 100.00 of MRR in 1 subscription; USD 100.00 in 1 failed invoice can still be recovered." in text
    )

    february = report(destination, "--month", "2026-02", "--currency", "USD", cwd=tmp_path).stdout
    assert re.search(r"^churn\s+USD -50\.00\s+1$", february, re.MULTILINE)

    tables = report(destination, "--build", "--full", cwd=tmp_path)
    assert re.fullmatch(r"All metrics were built in \S+ seconds: see the schema stripe_metrics\.\n", tables.stdout)


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--month", "May"], "it must be a month, such as 2026-05"),
        (["--month", "2031-01"], "The metrics have no month 2031-01 of acct_case: they go from 2026-01 to 2026-06."),
        (["--currency", "chf"], "The tables have no amount in the currency"),
        (["--html", "no/such/folder/page.html"], "The page cannot be written to the file that --html names"),
    ],
)
def test_an_option_that_cannot_work_is_one_paragraph(options: list[str], words: str, tmp_path: Path) -> None:
    database = Database("duckdb", str(tmp_path / "data.duckdb"))
    fill(database, case("11"))
    ended = report(database, *options, cwd=tmp_path)
    assert ended.returncode == 2
    assert words in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


@pytest.fixture
def file(tmp_path: Path) -> Database:
    """A DuckDB file: what a page is made of has been read by then, on either database in one way."""
    return Database("duckdb", str(tmp_path / "data.duckdb"))


class Loaded(HTMLParser):
    """What a browser would fetch for a page: the values of attributes that name a source."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        places = ("src", "href", "xlink:href", "action", "data", "srcset", "poster", "style")
        self.names += [value or "" for name, value in attrs if name in places]


@pytest.mark.long
def test_the_page_opens_from_disk_and_its_figures_are_the_views(file: Database) -> None:
    tables = case("15")
    tables["prices"][0]["nickname"] = NASTY
    del tables["customers"]
    fill(file, tables)
    file.query("create table stripe.customers (_account_id text, id text, name text)")
    file.query("insert into stripe.customers values ('acct_case', 'cus_a', ?)", [NAME])
    (one,) = answers(file, names=True)
    text = page([one])
    assert len(text.encode()) < 1_500_000
    assert NASTY not in text
    assert html.escape(NASTY) in text
    assert f"cus_a ({NAME})" in text
    assert NAME not in str(answers(file))
    assert [name for name in Loaded(text).names if "//" in name] == []
    assert re.search(r"url\((?!#)|@import", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)) is None
    assert "default-src 'none'" in text
    assert text.count("<script") == text.count("</script>") == len(specs(text)) + 1
    movements = specs(text)["acct-case-usd-movements"]["data"]["values"]
    views = file.query("select new, reactivation, expansion, contraction, churn from stripe_metrics.mrr_monthly")
    assert round(100 * sum(row["mrr"] for row in movements)) == sum(map(sum, views))
    assert money(one, one.headline["mrr"]) in text


def specs(text: str) -> Mapping[str, Any]:
    """The charts of a page, by their place."""
    found = re.findall(r'<script type="application/json" id="([^"]+)">(.*?)</script>', text)
    return {place: json.loads(spec) for place, spec in found}


@pytest.mark.long
def test_each_currency_has_its_part_of_the_page_which_fetches_nothing_and_fits_on_paper(
    file: Database, tmp_path: Path
) -> None:
    fill(file, case("01"))
    both = answers(file, names=True)  # of customers whose names were never loaded
    assert [each.currency for each in both] == ["jpy", "kwd"]
    text = page(both)
    assert re.findall('<main id="([^"]+)">', text) == ["acct-case-jpy", "acct-case-kwd"]
    assert "<option" in text
    assert "JPY 3,833" in text
    assert "KWD 25.000" in text
    assert [answer.currency for answer in answers(file, currency="KWD")] == ["kwd"]
    written = tmp_path / "page.html"
    written.write_text(text, "utf-8")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        shown = browser.new_page(viewport={"width": PAPER, "height": 1000})
        asked: list[str] = []
        shown.on("request", lambda request: asked.append(request.url))
        shown.on("console", lambda said: asked.append(said.text))
        shown.goto(written.as_uri())
        shown.select_option("#choice", "acct-case-kwd")
        assert shown.locator("main:visible .vega-embed svg").count() > 3
        assert shown.locator("main:visible details:visible").count() > 3
        shown.emulate_media(media="print")
        assert shown.locator("main:visible").get_attribute("id") == "acct-case-kwd"
        assert shown.locator("label:visible, details:visible").count() == 0
        places = [each.bounding_box() or {} for each in shown.locator("main:visible section").all()]
        assert len({round(place["x"]) for place in places}) == 2
        long = "for (const one of document.querySelectorAll('td:not(.short)')) one.textContent = 'cus_'.repeat(20)"
        shown.evaluate(f"() => {{ {long} }}")
        assert shown.evaluate("() => document.documentElement.scrollWidth") <= PAPER
        browser.close()
    assert asked == [written.as_uri()]


@pytest.mark.long
def test_without_subscriptions_there_is_revenue(destination: Database) -> None:
    tables = {name: rows for name, rows in case("10").items() if name in ("charges", "refunds", "disputes")}
    for row in tables["charges"]:
        row["_as_of"] = row["created"]
    fill(destination, tables)
    (one,) = answers(destination)
    assert "There are no subscriptions that count" in screen(one)
    assert [row["collected"] for row in one.rows["revenue"]] == [25000, 20000, 10000]
    if destination.kind == "duckdb":
        assert "No subscription counts yet" in (text := page([one]))
        assert "USD 250.00" in text


def test_nothing_at_all_is_said(tmp_path: Path) -> None:
    database = Database("duckdb", str(tmp_path / "data.duckdb"))
    fill(database, {"subscriptions": []}, like=case("10"))
    ended = report(database, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "There are no subscriptions and no payments yet." in ended.stderr


def test_a_report_of_no_file_makes_none(tmp_path: Path) -> None:
    ended = report(Database("duckdb", str(tmp_path / "data.duckdb")), cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "There are no subscriptions and no payments yet. Load them with `stripe-elt full` first." in ended.stderr
    assert not (tmp_path / "data.duckdb").exists()


def test_without_the_library_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(BadConfiguration, match=re.escape("pip install 'stripe-elt[report]'")):
        page([])


@pytest.mark.parametrize(
    ("write", "values", "wanted"),
    [(percent, (None,), "–"), (percent, (0.725,), "72.5 %"), (change, (110, 100), "+10.0 %"), (change, (1, 0), "–")],
)
def test_figures_are_written_for_people(write: Callable[..., str], values: tuple[Any, ...], wanted: str) -> None:
    assert write(*values) == wanted


def test_a_sync_builds_the_metrics_where_that_is_set(mirrored: Callable[..., Mirror]) -> None:
    mirror = mirrored()
    mirror.begin("subscriptions", "prices")
    assert sync_once(mirror.settings, SyncSettings()) == 0
    assert mirror.destination.tables("stripe_metrics") == set()
    mirror.pass_time(3600)
    assert sync_once(mirror.settings, SyncSettings(after_sync="metrics")) == 0
    paying = mirror.destination.value("select count(*) from stripe_metrics.customers_now")
    active = [obj for obj in mirror.sim.account.objects("subscriptions") if obj["status"] == "active"]
    assert paying == len({each["customer"] for each in active}) > 0
