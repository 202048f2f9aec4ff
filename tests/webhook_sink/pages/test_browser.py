"""The status page in a real Chromium: by keyboard, live, with axe, light and dark, on a phone, with 2,000 rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from pipelines.state import STATEMENTS
from tests.webhook_sink.conftest import settings_for
from tests.webhook_sink.pages.page_client import PASSWORD, Client, served_page

PROGRAM = shutil.which("chromium")
ROWS = 2_000
pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed (Debian: apt-get install chromium)"),
    pytest.mark.timeout(240),
]


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def shown(postgres_url: str) -> Iterator[Callable[[int], Client]]:
    """`shown(rows)`: the page of a dataset with so many resources of 20 accounts, one of them in error."""
    with ExitStack() as stack:

        def start(rows: int) -> Client:
            with psycopg.connect(postgres_url) as connection:
                connection.execute("create schema stripe")
                for statement in STATEMENTS.values():
                    connection.execute(statement.format(dataset="stripe", json="jsonb").encode())
                connection.execute(
                    "insert into stripe.sync_runs select 'run_' || i, 'stripe_sync', now() - i * interval '1 hour',"
                    " now() - i * interval '59 minutes', 'complete', i, i from generate_series(1, 30) as i"
                )
                connection.execute(
                    "insert into stripe.sync_status (resource, _account_id, status, window_end, error, updated_at)"
                    " select 'resource_' || i / 20, 'acct_' || i %% 20, case i when 7 then 'error' else 'complete' end,"
                    " now(), case i when 7 then 'no permission' end, now() from generate_series(0, %s) as i",
                    [rows - 1],
                )
                connection.execute(
                    "insert into stripe.sync_accounts (_account_id, livemode, events_status)"
                    " select 'acct_' || i, false, 'complete' from generate_series(0, 19) as i"
                )
            return stack.enter_context(served_page(settings_for(postgres_url)))

        yield start


@dataclass
class Opened:
    """A page in the browser, and what the browser has complained of."""

    page: Page
    errors: list[str] = field(default_factory=list)


def opened(browser: Browser, client: Client, **options: Any) -> Opened:
    """The page, after the password was typed."""
    found = Opened(browser.new_context(**options).new_page())
    found.page.on("pageerror", lambda error: found.errors.append(str(error)))
    found.page.on("console", lambda said: found.errors.append(said.text) if said.type == "error" else None)
    found.page.goto(client.url)
    found.page.wait_for_selector("#password:focus")
    found.page.keyboard.type(PASSWORD)
    found.page.keyboard.press("Enter")
    found.page.wait_for_selector("#headline")
    return found


def complaints(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:120]}" for each in found for node in each["nodes"]]


def overflow(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.long
def test_page_is_used_by_keyboard_and_changes_while_it_is_open(
    browser: Browser, shown: Callable[[int], Client], postgres_url: str
) -> None:
    client = shown(ROWS)
    found = opened(browser, client, reduced_motion="reduce")
    page = found.page
    page.wait_for_selector("#live:not([hidden])")
    rows = page.locator("#tables tbody tr")
    assert rows.count() == ROWS
    page.fill("#tables input", "acct_7")
    assert page.locator("#tables tbody tr:visible").count() == ROWS // 20
    page.focus("#tables input")
    with psycopg.connect(postgres_url) as connection:
        connection.execute("update stripe.sync_status set status = 'skipped' where resource = 'resource_9'")
    page.wait_for_selector("#tables .pill.quiet:visible")
    assert page.locator("#tables tbody tr:visible").count() == ROWS // 20, "the filter stays"
    assert page.evaluate("document.activeElement.type") == "search", "the focus stays"
    page.goto(client.url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert found.errors == []
    page.locator("text=Check now").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    assert "STRIPE_SECRET_KEY" in page.inner_text("[role=alert]")
    page.click("text=Sign out")
    page.wait_for_selector("#password")
    assert complaints(page) == []


@pytest.mark.long
def test_axe_has_no_complaint_nothing_is_too_wide_and_it_is_whole_without_script(
    browser: Browser, shown: Callable[[int], Client]
) -> None:
    client = shown(40)
    for scheme, width in (("light", 1_240), ("dark", 1_240), ("light", 360)):
        viewport = {"width": width, "height": 800}
        found = opened(browser, client, color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
        assert found.page.locator("text=no permission").count() >= 1
        assert (scheme, width, complaints(found.page), overflow(found.page), found.errors) == (scheme, width, [], 0, [])
    found.page.emulate_media(media="print")
    assert [found.page.locator(each).first.is_visible() for each in ("#do", ".bar", "#headline")] == [
        False,
        False,
        True,
    ]
    plain = opened(browser, client, java_script_enabled=False).page
    assert plain.locator("#tables tbody tr").count() == 40
    assert "Reload the page" in plain.inner_text("footer")
    plain.click("text=Sync now")
    plain.wait_for_selector("[role=alert]")
    assert "STRIPE_SECRET_KEY" in plain.inner_text("[role=alert]")
