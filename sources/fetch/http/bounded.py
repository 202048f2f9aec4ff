"""The bounds of one answer: the deadline for its last byte, and its size.

A socket's time-out bounds each read alone, so a server that sends a byte at a time could hold a request for ever. These
bounds hold for all reads of an answer together: its status line, its headers, its body. Knows no URL and no pool.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

MAX_HEAD = 1 << 20  # bytes of status lines and headers; Stripe's are about two thousand
MAX_BODY = 64 << 20  # bytes of a body, as it comes and decompressed; 100 large invoices are about three million
MAX_MEMBERS = 16  # parts of a gzip file, one behind the other; servers send one
PLAIN = ("", "identity")
GZIP = ("gzip", "x-gzip")


class TooLate(Exception):
    """The deadline passed before the answer's last byte arrived. It is no OSError, so that urllib3 does not wrap it."""


class TooLarge(Exception):
    """The answer is larger than any answer of a provider. The message names the part: `headers`, `body`."""


class Garbled(Exception):
    """The body cannot be decompressed. The message says why."""


@dataclass(slots=True)
class Deadline:
    """`at` is the time on `clock` by which an answer must be complete. Times are in seconds."""

    at: float
    clock: Callable[[], float]

    def left(self) -> float:
        """The seconds that are left. Raises TooLate if none are left."""
        left = self.at - self.clock()
        if left <= 0:
            raise TooLate
        return left


class BoundedReader(io.RawIOBase):
    """Reads from a socket, within the deadline and the size limit.

    `raw` is the reader that `sock.makefile` has made, unbuffered. `allow_body` is called once the headers are read.
    """

    def __init__(self, raw: io.RawIOBase, sock: Any, deadline: Deadline) -> None:
        self._raw, self._sock, self._deadline = raw, sock, deadline
        self._timeout: float | None = sock.gettimeout()
        self._left, self._part = MAX_HEAD, "headers"

    def allow_body(self) -> None:
        """From now on, the size limit is that of a body."""
        self._left, self._part = MAX_BODY + MAX_HEAD, "body"

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Receives some bytes. Raises TooLate, TooLarge, and the socket's errors."""
        left = self._deadline.left()
        if self._timeout is None or left < self._timeout:
            self._timeout = left
            self._sock.settimeout(left)
        try:
            received = cast(int, self._raw.readinto(buffer))
        except TimeoutError:
            self._deadline.left()
            raise
        self._left -= received
        if self._left < 0:
            raise TooLarge(self._part)
        return received

    def close(self) -> None:
        """Closes the socket's reader."""
        if not self.closed:
            self._raw.close()
        super().close()


def decompressed(body: bytes, coding: str) -> bytes:
    """The decompressed body; `coding` is its `Content-Encoding`. Raises Garbled, and TooLarge before memory is used for
    it.
    """
    coding = coding.strip().lower()
    if coding in PLAIN:
        return body
    if coding not in GZIP:
        raise Garbled("it is compressed in a format that was not requested")
    parts: list[bytes] = []
    room = MAX_BODY
    while body:
        if len(parts) == MAX_MEMBERS:
            raise Garbled("its gzip has too many parts")
        member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            parts.append(member.decompress(body, room + 1))
        except zlib.error:
            raise Garbled("it is not valid gzip") from None
        room -= len(parts[-1])
        if room < 0:
            raise TooLarge("body")
        if not member.eof:
            raise Garbled("its gzip ends too early")
        body = member.unused_data.lstrip(b"\0")  # padding between members, or after the last
    return parts[0] if len(parts) == 1 else b"".join(parts)
