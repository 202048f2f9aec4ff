"""The toy's billing API over real HTTP: one list, two plans a page, a key that it knows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

KEY, PAGE = "toy_key", 2


@contextmanager
def toy_api(plans: list[dict[str, Any]]) -> Iterator[str]:
    """Serves these plans, which may change meanwhile; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            if self.headers["Authorization"] != f"Token {KEY}":
                self._answer(401, {"error": "unknown key"})
            elif address.path != "/plans":
                self._answer(404, {"error": "no such list"})
            else:
                start = int(parse_qs(address.query).get("cursor", ["0"])[0])
                end = start + PAGE
                self._answer(200, {"plans": plans[start:end], "cursor": str(end) if end < len(plans) else None})

        def _answer(self, status: int, body: Any) -> None:
            content = orjson.dumps(body)
            self.send_response_only(status)
            self.send_header("Date", formatdate(usegmt=True))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing is said."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
