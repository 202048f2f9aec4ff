"""Receives webhooks: verifies the signature over the raw bytes, commits the event, and says what to answer.

The HTTP app and `process_webhook` both use it. Answers contain no traceback, no secret and nothing of the body. For
providers, any 2xx means success; after any other answer they send the event again, Stripe for up to three days:
https://docs.stripe.com/webhooks. If a provider does not wait as long as the database may take, it is answered 503 in
time. The event may still be committed afterwards, and counts as a duplicate when it arrives again. Knows no HTTP
server.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sources.errors import ConnectorError
from sources.events import BadEvent, BadSignature, Event
from webhook_sink.commit.batch import Outcome
from webhook_sink.commit.writer import QueueFull
from webhook_sink.settings import SinkSettings
from webhook_sink.sink import Sink

log = logging.getLogger("stripe_elt.sink")

ENCODED = (
    "the body is {}. The provider sends plain UTF-8, so a proxy before the sink must have changed it. Have the"
    " proxy pass the body on byte for byte, because the signature covers it."
)
CODINGS = frozenset(("gzip", "x-gzip", "deflate", "compress", "br", "zstd"))
"""Content codings: https://www.iana.org/assignments/http-parameters/http-parameters.xhtml#content-coding."""
_BEGINNINGS: Mapping[bytes, str] = {
    b"\x1f\x8b": "compressed with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"\x78\x01": "compressed with deflate",
    b"\x78\x5e": "compressed with deflate",
    b"\x78\x9c": "compressed with deflate",
    b"\x78\xda": "compressed with deflate",
    b"\xef\xbb\xbf": "preceded by a byte order mark",
    b"\xff\xfe": "written in UTF-16 or UTF-32",
    b"\xfe\xff": "written in UTF-16 or UTF-32",
    b"\0": "written in UTF-16 or UTF-32",
    b"{\0": "written in UTF-16 or UTF-32",
}


LARGE = 262_144
"""Signatures of longer bodies, in bytes, are checked in a thread: each takes milliseconds, during which other webhooks
would wait."""


class Answer(NamedTuple):
    """The answer to a webhook: the HTTP status, the text of the body, and the outcome in one word.

    `outcome` is an `Outcome`, or the reason of a refusal. `event` is None if the body holds none.
    """

    status: int
    text: str
    outcome: str
    event: Event | None = None


ANSWERS: dict[Outcome, tuple[int, str]] = {
    "committed": (200, ""),
    "duplicate": (200, ""),
    "failed": (500, "the event was kept, but could not be processed"),
    "unavailable": (503, "the database is not available"),
}


class Refused(Exception):
    """A webhook that is refused: the status and text of the answer, and the reason for the metrics."""

    def __init__(self, status: int, reason: str, text: str) -> None:
        super().__init__(text)
        self.answer = Answer(status, text, reason)


class Receiver:
    """Receives webhooks for a sink. A webhook waits for at most `patience` seconds for a sink that is starting."""

    def __init__(self, sink: Sink, settings: SinkSettings, *, patience: float = 0.0) -> None:
        self.sink, self.body_limit = sink, settings.body_limit
        self._tolerance, self._answer_seconds = settings.tolerance, sink.provider.answer_seconds
        self._patience = min(patience, self._answer_seconds or patience)

    async def ready(self) -> None:
        """Returns if the sink can accept an event now. Raises Refused."""
        if not self.sink.is_ready and self._patience:
            self.sink.start_once()
            try:
                await asyncio.wait_for(self.sink.opened(), self._patience)
            except ConnectorError as error:
                raise Refused(503, "starting", "the sink could not start: its log says why") from error
            except TimeoutError:
                pass
        if not self.sink.is_ready:
            raise Refused(503, "starting", "the sink is starting")
        if self.sink.writer.is_full:
            raise Refused(503, "full", "too many events are waiting")

    async def take(self, body: bytes, signed: Sequence[str], coding: str = "", began: float | None = None) -> Answer:
        """Commits the event in a body. Raises Refused.

        `signed` are the values of the headers with the signature, `coding` is the Content-Encoding. `began` is the
        start of the request on the clock of `time.perf_counter`, in seconds; None for now.
        """
        sink = self.sink
        if len(body) > self.body_limit:
            raise Refused(413, "size", "the body is too long")
        try:
            if len(body) > LARGE:
                await asyncio.to_thread(self._verify, body, signed)
            else:
                self._verify(body, signed)
            event = sink.provider.read_event(body)
        except BadSignature as error:
            raise Refused(400, "signature", _reason(str(error), body, coding)) from None
        except BadEvent as error:
            raise Refused(400, "body", _reason(str(error), body, coding)) from None
        try:
            committing = sink.submit(event)
        except QueueFull:
            raise Refused(503, "full", "too many events are waiting") from None
        if self._answer_seconds is None:
            outcome = await committing
        else:
            waited = time.perf_counter() - began if began is not None else 0.0
            outcome = await _in_time(committing, self._answer_seconds - waited)
        return Answer(*ANSWERS[outcome], outcome, event)

    def _verify(self, body: bytes, signed: Sequence[str]) -> None:
        """Raises BadSignature."""
        sink = self.sink
        sink.provider.verify(body, signed, sink.secrets, tolerance=self._tolerance, now=sink.clock())

    async def process(self, body: bytes, signed: Sequence[str]) -> Answer:
        """The answer to a webhook. Never raises."""
        started = time.perf_counter()
        try:
            await self.ready()
            answer = await self.take(body, signed, began=started)
        except Exception as error:
            answer = self.refusal(error)
        self.note(answer, started)
        return answer

    def refusal(self, error: Exception) -> Answer:
        """The answer to an error: that of Refused, and 500 for unexpected errors."""
        if isinstance(error, Refused):
            self.sink.metrics.count_refusal(error.answer.outcome)
            return error.answer
        log.exception("an unexpected error occurred while a webhook was processed", exc_info=error)
        return Answer(500, "internal error", "error")

    def note(self, answer: Answer, started: float) -> None:
        """Measures and logs an answered webhook. `started` is on the clock of `time.perf_counter`, seconds."""
        seconds = time.perf_counter() - started
        self.sink.metrics.latency.observe(seconds)
        if log.isEnabledFor(logging.INFO):
            event = answer.event
            fields: dict[str, object] = {"event": event.id, "type": event.type} if event else {}
            fields |= {"status": answer.status, "outcome": answer.outcome, "ms": round(seconds * 1_000, 1)}
            log.info("webhook", extra=fields)


async def _in_time(committing: asyncio.Future[Outcome], seconds: float) -> Outcome:
    """The outcome of an event; `unavailable` if it is not known after `seconds`."""

    def give_up() -> None:
        if not committing.done():
            committing.set_result("unavailable")

    timer = asyncio.get_running_loop().call_later(max(seconds, 0.0), give_up)
    try:
        return await committing
    finally:
        timer.cancel()


def _reason(reason: str, body: bytes, coding: str) -> str:
    """Why a body is refused; if it looks re-encoded by a proxy, that is the reason."""
    encoding = encoding_of(body, coding)
    return f"{reason}: {ENCODED.format(encoding)}" if encoding else reason


def encoding_of(body: bytes, coding: str) -> str | None:
    """The encoding of a body that is not plain UTF-8; otherwise None.

    `coding` is the Content-Encoding. Only proxies encode bodies, and then no signature matches.
    """
    for beginning, encoding in _BEGINNINGS.items():
        if body.startswith(beginning):
            return encoding
    named = coding.strip().lower()
    return f"compressed with {named}" if named in CODINGS else None
