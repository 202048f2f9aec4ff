"""Servers that never end, send too much, or speak something else: each is refused in time, and named rightly.

Real sockets, real TLS. The deadline's clock is injected: it moves at each look, so that no test waits.
"""

from __future__ import annotations

import functools
import gzip
import itertools
import socket
import ssl
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sources.errors import BrokenPage, RetryLater, Unreachable
from sources.fetch.limiter import Limiter
from sources.stripe_api.client.client import Client
from sources.stripe_api.client.settings import ClientSettings

CERTIFICATES = Path(__file__).resolve().parents[1] / "certificates"
DATE = b"Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
HEAD = b"HTTP/1.1 200 OK\r\n" + DATE
PAGE = b'{"object": "list", "data": [{"id": "cus_1"}], "has_more": false}'

Answer = Callable[[], Iterable[bytes]]


@contextmanager
def serving(answer: Answer, certificate: str | None = None, tls: ssl.TLSVersion | None = None) -> Iterator[str]:
    """A server whose answers are these pieces, each sent by itself, as far as the client takes them: its address."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            try:
                with connection if certificate is None else secured(connection, certificate, tls) as spoken:
                    spoken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    spoken.recv(65536)
                    for piece in answer():
                        spoken.sendall(piece)
            except OSError:
                connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def secured(connection: socket.socket, certificate: str, tls: ssl.TLSVersion | None) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if tls is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = tls
    context.load_cert_chain(CERTIFICATES / f"{certificate}.pem", CERTIFICATES / "key.pem")
    return context.wrap_socket(connection, server_side=True)


def clock(step: float) -> Callable[[], float]:
    """A clock that moves by `step` seconds whenever it is looked at."""
    return itertools.count(0.0, step).__next__


def failure(address: str, *, step: float = 0.0, scheme: str = "http") -> RetryLater:
    """What a client raises who asks there."""
    settings = ClientSettings("sk_test_1", f"{scheme}://{address}", max_retries=0, compression=True)
    with Client(settings, Limiter(None, None), clock=clock(step)) as client, pytest.raises(RetryLater) as caught:
        client.page("/v1/customers")
    assert not isinstance(caught.value, BrokenPage) or "127.0.0.1" in str(caught.value)
    return caught.value


def objects(base: str) -> list[dict[str, object]]:
    """What a page there holds."""
    with Client(ClientSettings("sk_test_1", base), Limiter(None, None)) as client:
        return client.page("/v1/customers").objects


def body(raw: bytes, *headers: bytes) -> Answer:
    head = HEAD + b"".join(line + b"\r\n" for line in headers)
    return lambda: [head + b"Content-Length: %d\r\n\r\n" % len(raw) + raw]


# --- without end -----------------------------------------------------------------------------------------------------


def drip(start: bytes, endless: bytes) -> Answer:
    return lambda: itertools.chain([start], itertools.repeat(endless, 1_000_000))


DRIPS = {
    "a body": drip(HEAD + b"Content-Length: 60000000\r\n\r\n", b"a"),
    "a body without a length": drip(HEAD + b"\r\n", b"a"),
    "chunks": drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    "trailers": drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a:b\r\n"),
    "a compressed body": drip(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 60000000\r\n\r\n", b"a"),
    "a header": drip(HEAD + b"X: ", b"a"),
    "a status line": drip(b"", b"H"),
    "interim answers": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("dripping", DRIPS.values(), ids=DRIPS)
def test_answer_that_drips_is_given_up_at_the_deadline(dripping: Answer) -> None:
    with serving(dripping) as address:
        error = failure(address, step=30.0)
    assert isinstance(error, Unreachable)
    assert "did not end within 180 seconds" in str(error)
    assert "SOURCES__STRIPE__REQUEST_DEADLINE" in str(error)


def test_answer_that_drips_through_tls_is_given_up_too(trusting: None) -> None:
    with serving(DRIPS["a body"], "right") as address:
        assert "did not end within 180 seconds" in str(failure(address, step=30.0, scheme="https"))


def test_proxy_that_drips_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")) as address:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{address}")
        assert "did not end within 180 seconds" in str(failure("stripe.invalid", step=30.0, scheme="https"))


def test_deadline_ends_a_single_read() -> None:
    """The last read waits no longer than is left, whatever the time-out of a read."""
    silent = threading.Event()

    def answer() -> Iterator[bytes]:
        yield HEAD + b"Content-Length: 10\r\n\r\n"
        silent.wait(30)

    with serving(answer) as address:
        settings = ClientSettings("sk_test_1", f"http://{address}", max_retries=0, request_deadline=0.1)
        with pytest.raises(Unreachable, match=r"did not end within 0\.1 seconds"):
            Client(settings, Limiter(None, None)).page("/v1/customers")
        silent.set()


# --- too much --------------------------------------------------------------------------------------------------------


@functools.cache
def bomb() -> bytes:
    """Four hundred megabytes of nothing, as gzip."""
    packer = zlib.compressobj(1, wbits=31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(400)) + packer.flush()


BOMBS = {
    "gzip": (lambda: body(bomb(), b"Content-Encoding: gzip"), "at most 64 MB of body"),
    "x-gzip": (lambda: body(bomb(), b"Content-Encoding: x-gzip"), "at most 64 MB of body"),
    "two of gzip": (lambda: body(gzip.compress(PAGE) + bomb(), b"Content-Encoding: gzip"), "at most 64 MB of body"),
    "many of gzip": (lambda: body(gzip.compress(b"") * 9_999, b"Content-Encoding: gzip"), "too many parts"),
    "gzip in gzip": (lambda: body(gzip.compress(bomb()), b"Content-Encoding: gzip, gzip"), "not requested"),
    "deflate": (lambda: body(zlib.compress(PAGE), b"Content-Encoding: deflate"), "not requested"),
    "brotli": (lambda: body(b"\x0b\x02\x80hello\x03", b"Content-Encoding: br"), "not requested"),
    "a length": (lambda: lambda: [HEAD + b"Content-Length: 9999999999999\r\n\r\n{"], "at most 64 MB of body"),
    "a chunk": (lambda: lambda: [HEAD + b"Transfer-Encoding: chunked\r\n\r\n7fffffffffff\r\n{"], "ended too early"),
    "headers": (lambda: lambda: [b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"] * 50_000, "at most 1 MB of headers"),
}


@pytest.mark.parametrize(("answer", "said"), BOMBS.values(), ids=BOMBS)
def test_answer_that_is_too_large_is_not_taken_into_memory(answer: Callable[[], Answer], said: str) -> None:
    sent = answer()
    tracemalloc.start()
    try:
        with serving(sent) as address:
            error = failure(address)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(error, BrokenPage)
    assert said in str(error)
    assert peak < 150_000_000


def test_body_without_a_length_is_read_up_to_the_bound() -> None:
    with serving(lambda: itertools.chain([HEAD + b"\r\n"], itertools.repeat(bytes(1 << 20), 80))) as address:
        assert "at most 64 MB of body" in str(failure(address))


@pytest.mark.parametrize(
    "raw",
    [PAGE, gzip.compress(PAGE), gzip.compress(PAGE[:9]) + gzip.compress(PAGE[9:]), gzip.compress(PAGE) + b"\0" * 9],
    ids=["plain", "gzip", "gzip in two parts", "gzip and padding"],
)
@pytest.mark.parametrize("way", ["length", "chunks", "end"])
def test_whole_answers_are_read_as_ever(raw: bytes, way: str) -> None:
    head = HEAD + (b"" if raw == PAGE else b"Content-Encoding: GZIP\r\n")
    if way == "length":
        head += b"Content-Length: %d\r\n" % len(raw)
    elif way == "chunks":
        head += b"Transfer-Encoding: chunked\r\n"
    parts = [b"%x\r\n%s\r\n" % (1, raw[at : at + 1]) for at in range(len(raw))] + [b"0\r\n\r\n"]
    with serving(lambda: [head + b"\r\n", *(parts if way == "chunks" else [raw])]) as address:
        assert objects(f"http://{address}") == [{"id": "cus_1"}]


# --- something else --------------------------------------------------------------------------------------------------


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' authority is one that this machine trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.pem"))


def raw(*pieces: bytes) -> Answer:
    return lambda: pieces


BROKEN = {
    "garbled gzip": (body(gzip.compress(PAGE)[:20] + b"garbage", b"Content-Encoding: gzip"), "cannot be decompressed"),
    "no gzip": (body(PAGE, b"Content-Encoding: gzip"), "cannot be decompressed: it is not valid gzip"),
    "half a gzip": (body(gzip.compress(PAGE)[:30], b"Content-Encoding: gzip"), "its gzip ends too early"),
    "too many headers": (raw(HEAD + b"X: y\r\n" * 150 + b"\r\n"), "too many or too long headers"),
    "too long a header": (raw(HEAD + b"X: " + b"y" * 70_000 + b"\r\n\r\n"), "too many or too long headers"),
    "too long a status": (raw(b"HTTP/1.1 200 " + b"y" * 70_000 + b"\r\n\r\n"), "too many or too long headers"),
    "two lengths": (raw(HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n{}  "), "contradict each other"),
    "another protocol": (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "is not HTTP"),
    "another version": (raw(b"HTTP/2.0 200 OK\r\n\r\n"), "is not HTTP"),
    "half a body": (raw(HEAD + b"Content-Length: 10\r\n\r\n{}"), "ended too early"),
    "half a chunk": (raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{}"), "ended too early"),
    "no last chunk": (raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"), "ended too early"),
    "a chunk's size is none": (raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}"), "its chunks are malformed"),
}


@pytest.mark.parametrize(("answer", "said"), BROKEN.values(), ids=BROKEN)
def test_answer_that_is_broken_is_called_so(answer: Answer, said: str) -> None:
    with serving(answer) as address:
        error = failure(address)
    assert isinstance(error, BrokenPage)
    assert said in str(error)


def test_connection_without_an_answer_is_called_dropped() -> None:
    with serving(raw()) as address:
        error = failure(address)
    assert isinstance(error, Unreachable)
    assert "it dropped the connection without an answer" in str(error)


OLD = ssl.TLSVersion.TLSv1_1
TLS = {
    "unknown authority": (
        "right",
        None,
        False,
        ["not signed by an authority that this machine trusts", "SSL_CERT_FILE"],
    ),
    "expired": ("expired", None, True, ["has expired", "clock of this machine"]),
    "not valid yet": ("future", None, True, ["is not valid yet", "clock of this machine"]),
    "another address": ("other", None, True, ["for another IP address", "SOURCES__STRIPE__API_BASE"]),
    "plain http": (None, None, True, ["does not use TLS", "SOURCES__STRIPE__API_BASE"]),
    "old version": ("right", OLD, True, ["no version of TLS that this machine accepts", "SOURCES__STRIPE__API_BASE"]),
}


@pytest.mark.parametrize(("certificate", "tls", "trusted", "said"), TLS.values(), ids=TLS)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_tls_that_fails_is_named_by_its_cause(
    monkeypatch: pytest.MonkeyPatch, certificate: str | None, tls: ssl.TLSVersion | None, trusted: bool, said: list[str]
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.pem"))
    with serving(raw(HEAD), certificate, tls) as address:
        error = failure(address, scheme="https")
    assert isinstance(error, Unreachable)
    assert [words for words in said if words not in str(error)] == []


def test_certificate_of_another_host_is_named(trusting: None) -> None:
    with serving(raw(HEAD), "other") as address:
        error = failure(address.replace("127.0.0.1", "localhost"), scheme="https")
    assert "for another host name" in str(error)


def test_right_certificate_is_trusted(trusting: None) -> None:
    with serving(body(PAGE), "right") as address:
        assert objects(f"https://{address}") == [{"id": "cus_1"}]


def test_tls_that_breaks_off_in_the_body_is_no_matter_of_trust(trusting: None) -> None:
    with serving(raw(HEAD + b"Content-Length: 100\r\n\r\n{"), "right") as address:
        assert "ended too early" in str(failure(address, scheme="https"))


def test_host_that_has_no_address_is_named() -> None:
    assert "its name is not known" in str(failure("no-such-host.invalid"))


PROXIES = {
    "user wanted": (
        raw(b"HTTP/1.1 407 Who\r\n\r\n"),
        "refused to connect (HTTP 407) because it requires a user and a password",
    ),
    "refusal": (raw(b"HTTP/1.1 403 No\r\n\r\n"), "the proxy refused to connect (HTTP 403)"),
}


@pytest.mark.parametrize(("answer", "said"), PROXIES.values(), ids=PROXIES)
def test_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch, answer: Answer, said: str) -> None:
    with serving(answer) as address:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{address}")
        error = failure("stripe.invalid", scheme="https")
    assert said in str(error)
    assert "HTTPS_PROXY" in str(error)


@pytest.mark.parametrize(
    ("proxy", "said"),
    [("http://127.0.0.1:1", "the proxy refused"), ("http://no-such-host.invalid:1", "the proxy's name is not known")],
)
def test_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, proxy: str, said: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    error = str(failure("stripe.invalid", scheme="https"))
    assert said in error
    assert "HTTPS_PROXY" in error


def test_proxy_whose_own_certificate_is_not_trusted_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(raw(HEAD), "right") as address:
        monkeypatch.setenv("HTTPS_PROXY", f"https://{address}")
        assert "the proxy's certificate is not signed" in str(failure("stripe.invalid", scheme="https"))
