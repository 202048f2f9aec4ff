"""HTTP itself: requests through one pool of connections to one host. Knows no list and no limit.

Failures without an answer become Unreachable or BrokenPage (`connection_problem.py`). Redirects are not followed: the
key goes to one host only.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
import urllib.request
import weakref
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, LocationParseError

from sources.errors import BadConfiguration
from sources.fetch.http.api_name import ApiName
from sources.fetch.http.bounded import (
    MAX_BODY,
    BoundedReader,
    Deadline,
    Garbled,
    TooLarge,
    TooLate,
    decompressed,
)
from sources.fetch.http.connection_problem import connection_problem
from sources.fetch.reach import is_loopback
from sources.fetch.values import Reply


class Transport:
    """A pool of kept-alive connections to `base`. Thread-safe. Times in seconds.

    `read_timeout` bounds each read of an answer, `request_deadline` a request from its start to its answer's last byte.
    `authorities` is a file of certificates that are trusted besides the machine's, which may have none.
    """

    def __init__(
        self,
        base: str,
        headers: Mapping[str, str],
        *,
        api: ApiName,
        connect_timeout: float,
        read_timeout: float,
        request_deadline: float,
        connections: int,
        authorities: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base, self._headers, self._api, self._clock = base, dict(headers), api, clock
        self._timeout = urllib3.Timeout(
            connect=min(connect_timeout, request_deadline), read=min(read_timeout, request_deadline)
        )
        self._seconds = request_deadline
        self._thread = threading.local()  # its `deadline`: a thread waits for one answer at a time
        self._open: weakref.WeakSet[HTTPConnection] = weakref.WeakSet()
        self._lock = threading.Lock()  # of the set above
        try:
            self._pools = _pools(base, connections, authorities)
            self._watch(self._pools.connection_from_url(base))
        except (LocationParseError, ValueError):
            raise BadConfiguration(
                f"{api.setting('api_base')}, or the address of the proxy in the environment, is not a URL."
            ) from None

    def get(self, path: str, query: str) -> Reply:
        """The answer to GET, whatever its status. Raises Unreachable, or BrokenPage if the body was cut off."""
        return self.send("GET", path, query)

    def send(self, method: str, path: str, query: str = "", body: bytes | None = None) -> Reply:
        """The answer to a request, whose body is JSON if it has one. Raises as `get` does."""
        url = f"{self._base}{path}{'&' if '?' in path else '?'}{query}" if query else self._base + path
        path = path.partition("?")[0]
        started = self._clock()
        self._thread.deadline = Deadline(started + self._seconds, self._clock)
        elapsed = None
        try:
            response = self._pools.request(
                method,
                url,
                body=body,
                headers=self._headers if body is None else {**self._headers, "Content-Type": "application/json"},
                timeout=self._timeout,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            elapsed = self._clock() - started
            content = decompressed(_body(response), response.headers.get("Content-Encoding", ""))
            return Reply(path, response.status, response.headers, content, elapsed)
        except (HTTPError, OSError, TooLate, TooLarge, Garbled) as error:
            failure = connection_problem(
                error, path, self._base, self._seconds, began=elapsed is not None, api=self._api
            )
            raise failure from None  # the library's words can hold what was sent

    def abort(self) -> None:
        """Closes every open connection, so that threads that wait for an answer stop waiting."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            if isinstance(connection.sock, socket.socket):
                try:
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
                except OSError:
                    continue  # it was closed already

    def close(self) -> None:
        """Closes the idle connections."""
        self._pools.clear()

    def _watch(self, pool: Any) -> None:
        """Records the connections that the pool opens, so that `abort` can close them while another thread waits.

        Their reads are bounded by the deadline of the reading thread.
        """
        opened, lock, thread = self._open, self._lock, self._thread

        class Bounded(http.client.HTTPResponse):
            def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
                super().__init__(sock, *args, **options)
                self._bounds = BoundedReader(cast(Any, self.fp).detach(), sock, thread.deadline)
                self.fp = io.BufferedReader(self._bounds)

            def begin(self) -> None:
                super().begin()
                self._bounds.allow_body()

        class Watched(pool.ConnectionCls):  # type: ignore[misc]
            response_class = Bounded

            def connect(self) -> None:
                super().connect()
                with lock:
                    opened.add(self)

        pool.ConnectionCls = Watched


def _body(response: urllib3.BaseHTTPResponse) -> bytes:
    """All bytes of an answer's body, still compressed. Raises TooLarge, if possible before reading them."""
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and (len(announced) > len(str(MAX_BODY)) or int(announced) > MAX_BODY):
        response.close()
        raise TooLarge("body")
    body = response.read(MAX_BODY + 1, decode_content=False)
    if response.read(1, decode_content=False):  # also raises if the body is cut off
        response.close()
        raise TooLarge("body")
    return body


def _pools(base: str, connections: int, authorities: str | None) -> urllib3.PoolManager:
    """Connections to the host, through the proxy that the environment names (HTTPS_PROXY, NO_PROXY) if any."""
    split = urlsplit(base)
    options: dict[str, Any] = {"num_pools": 2, "maxsize": connections, "block": False}
    if split.scheme == "https":
        options["ssl_context"] = _certificates(authorities)
    proxy = urllib.request.getproxies().get(split.scheme)
    if not proxy or is_loopback(base) or urllib.request.proxy_bypass(split.hostname or ""):
        return urllib3.PoolManager(**options)
    found = urlsplit(proxy)
    secret = f"{found.username or ''}:{found.password or ''}" if found.username else None
    return urllib3.ProxyManager(proxy, proxy_headers=urllib3.make_headers(proxy_basic_auth=secret), **options)


def _certificates(authorities: str | None) -> ssl.SSLContext:
    """The system's authorities (SSL_CERT_FILE may name others) and those in the file `authorities`."""
    context = ssl.create_default_context()
    if authorities is not None:
        context.load_verify_locations(authorities)
    return context
