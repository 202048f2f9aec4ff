"""The status page for tests: served alone beside a test's database, and asked as a browser would ask."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import urllib3

from pipelines.configuration.settings import Settings
from webhook_sink.http.server import page_server_of
from webhook_sink.settings import SinkSettings

PASSWORD = "a long password of tests"


@dataclass
class Client:
    """Somebody who looks at the page. Keeps cookies, and knows the token of the last form."""

    url: str
    cookie: str = ""
    token: str = ""
    http: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False, timeout=30))

    def get(self, path: str = "/", **headers: str) -> urllib3.BaseHTTPResponse:
        return self._noted(self.http.request("GET", self.url + path, headers={"Cookie": self.cookie, **headers}))

    def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> urllib3.BaseHTTPResponse:
        body = urlencode({"token": self.token, **fields})
        sent = {"Cookie": self.cookie, **(headers or {})}
        return self._noted(self.http.request("POST", self.url + path, body=body.encode(), headers=sent, redirect=False))

    def sign_in(self, password: str = PASSWORD) -> urllib3.BaseHTTPResponse:
        self.get()
        answer = self.post("/page/login", password=password)
        if answer.status == 303:
            self.get()
        return answer

    def text(self, path: str = "/") -> str:
        answer = self.get(path)
        assert answer.status == 200, answer.data
        return answer.data.decode()

    def stream(self) -> Iterator[dict[str, str]]:
        """The parts of the page that the stream sends, message by message, to its end."""
        answer = self.http.request(
            "GET", self.url + "/page/live", headers={"Cookie": self.cookie}, preload_content=False, timeout=30
        )
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        try:
            buffer = b""
            for part in answer.stream(65_536):
                buffer += part
                *messages, buffer = buffer.split(b"\n\n")
                for message in messages:
                    if message.startswith(b"data: "):
                        yield json.loads(message.removeprefix(b"data: "))
        finally:
            answer.close()

    def _noted(self, answer: urllib3.BaseHTTPResponse) -> urllib3.BaseHTTPResponse:
        if cookie := answer.headers.get("Set-Cookie"):
            self.cookie = cookie.partition(";")[0]
        if found := re.search(rb'name="token" value="([0-9a-f]+)"', answer.data):
            self.token = found[1].decode()
        return answer


@contextmanager
def served_page(settings: Settings, **options: Any) -> Iterator[Client]:
    """`stripe-elt status --serve`, in a thread."""
    given = SinkSettings(**{"page_password": PASSWORD, "port": 0, **options})
    server, jobs = page_server_of(settings, given)
    port: list[int] = []
    started = threading.Event()

    async def main() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.005)
        port.append(server.servers[0].sockets[0].getsockname()[1])
        started.set()
        await serving

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="page", daemon=True)
    thread.start()
    assert started.wait(30)
    try:
        yield Client(f"http://127.0.0.1:{port[0]}")
    finally:
        server.should_exit = True
        thread.join()
        jobs.close()


def ended(client: Client, began: str) -> str:
    """The page once a job has ended: `began` is the address that its form was answered with."""
    while True:
        page = client.text(began.partition("#")[0])
        if "Jobs that have not ended" not in page:
            return page
