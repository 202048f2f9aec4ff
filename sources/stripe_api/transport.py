"""HTTP itself: one pool of connections to one host, GET requests, and nothing else. Knows no list and no limit.

Failures without an answer become Unreachable or BrokenPage. Redirects are not followed: the key goes to one host only.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
import urllib.request
import weakref
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import stripe
import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    SSLError,
    TimeoutError,
)

from sources.stripe_api.errors import BadConfiguration, BrokenPage, RetryLater, Unreachable
from sources.stripe_api.replies import Reply


class Transport:
    """A pool of kept-alive connections to `base`. Thread-safe. Times in seconds."""

    def __init__(
        self,
        base: str,
        headers: Mapping[str, str],
        *,
        connect_timeout: float,
        read_timeout: float,
        connections: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base, self._headers, self._clock = base, dict(headers), clock
        self._timeout = urllib3.Timeout(connect=connect_timeout, read=read_timeout)
        self._open: weakref.WeakSet[HTTPConnection] = weakref.WeakSet()
        self._lock = threading.Lock()  # of the set above
        try:
            self._pools = _pools(base, connections)
            self._watch(self._pools.connection_from_url(base))
        except (LocationParseError, ValueError):
            raise BadConfiguration("SOURCES__STRIPE__API_BASE, or the proxy of the environment, is no URL.") from None

    def get(self, path: str, query: str) -> Reply:
        """The answer to GET, with whatever status. Raises Unreachable, or BrokenPage where the body was cut off."""
        url = f"{self._base}{path}{'&' if '?' in path else '?'}{query}" if query else self._base + path
        started = self._clock()
        elapsed = None
        try:
            response = self._pools.request(
                "GET",
                url,
                headers=self._headers,
                timeout=self._timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            elapsed = self._clock() - started
            return Reply(path.partition("?")[0], response.status, response.headers, response.read(), elapsed)
        except (HTTPError, OSError) as error:
            failure = _failure(error, path.partition("?")[0], self._base, began=elapsed is not None)
            raise failure from stripe.APIConnectionError(str(failure))  # type: ignore[no-untyped-call]

    def abort(self) -> None:
        """Cuts every open connection, so that threads that wait for an answer stop waiting."""
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
        """Keeps in sight which connections the pool makes: only so can they be cut while another thread waits."""
        opened, lock = self._open, self._lock

        class Watched(pool.ConnectionCls):  # type: ignore[misc]
            def connect(self) -> None:
                super().connect()
                with lock:
                    opened.add(self)

        pool.ConnectionCls = Watched


def is_loopback(base: str) -> bool:
    """Whether a URL leads to this very machine."""
    host = urlsplit(base).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def _pools(base: str, connections: int) -> urllib3.PoolManager:
    """Connections to the host, through the proxy that the environment names (HTTPS_PROXY, NO_PROXY) if any."""
    split = urlsplit(base)
    options: dict[str, Any] = {"num_pools": 2, "maxsize": connections, "block": False}
    if split.scheme == "https":
        options["ssl_context"] = _certificates()
    proxy = urllib.request.getproxies().get(split.scheme)
    if not proxy or is_loopback(base) or urllib.request.proxy_bypass(split.hostname or ""):
        return urllib3.PoolManager(**options)
    found = urlsplit(proxy)
    secret = f"{found.username or ''}:{found.password or ''}" if found.username else None
    return urllib3.ProxyManager(proxy, proxy_headers=urllib3.make_headers(proxy_basic_auth=secret), **options)


def _certificates() -> ssl.SSLContext:
    """The system's authorities (SSL_CERT_FILE may name others) and, for machines that have none, the SDK's."""
    context = ssl.create_default_context()
    context.load_verify_locations(stripe.ca_bundle_path)
    return context


def _failure(error: Exception, path: str, base: str, *, began: bool) -> RetryLater:
    """What went wrong, in words: the library's own texts are not for people."""
    host = urlsplit(base).netloc
    if began and isinstance(error, ProtocolError):
        return BrokenPage(f"The answer to GET {path} broke off before its end. Run again later.")
    reasons: tuple[tuple[type[Exception], str, str], ...] = (
        (ProxyError, "the proxy of the environment (HTTPS_PROXY) does not connect", "See its address"),
        (SSLError, "its certificate is not trusted", "See SSL_CERT_FILE"),
        (NameResolutionError, "its name is not known", "See SOURCES__STRIPE__API_BASE and the network"),
        (NewConnectionError, "it refused the connection", "See SOURCES__STRIPE__API_BASE and the network"),
        (ConnectTimeoutError, "it did not accept a connection in time", "See SOURCES__STRIPE__CONNECT_TIMEOUT"),
        (TimeoutError, "it did not answer in time", "See SOURCES__STRIPE__READ_TIMEOUT"),
    )
    for kind, what, advice in reasons:
        if isinstance(error, kind):
            return Unreachable(f"{host} could not be reached for GET {path}: {what}. {advice}, and run again later.")
    return Unreachable(f"{host} dropped the connection of GET {path} without an answer. Run again later.")
