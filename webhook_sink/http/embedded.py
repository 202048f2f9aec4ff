"""The sink inside another program: as an ASGI app to mount, or as one call for each webhook.

app = Starlette(lifespan=sink.lifespan, routes=[Mount("/stripe", sink)])   # where sink = create_app()
answer = process_webhook(request.body, request.headers["Stripe-Signature"])
answer = process_webhook(request.body, request.headers, provider="orb")
"""

from __future__ import annotations

import asyncio
import atexit
import difflib
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from starlette.routing import BaseRoute

from pipelines.configuration.settings import CommonSettings
from sources.errors import BadConfiguration, shown
from sources.provider import Provider
from webhook_sink.endpoints.providers import KNOWN, served_by
from webhook_sink.http.app import App
from webhook_sink.http.routes import app_of
from webhook_sink.receiver import Answer, Receiver
from webhook_sink.settings import SinkSettings, read_sink_settings
from webhook_sink.sink import Sink

log = logging.getLogger("stripe_elt.sink")

_processors: dict[tuple[int, str, frozenset[tuple[str, Any]]], Processor] = {}
_making = threading.Lock()


def create_app(**given: Any) -> App:
    """The sink as an ASGI app, which can be served, or mounted in FastAPI and Starlette.

    `given` are settings by their names in docs/reference/settings.md; the others come from the environment and `.dlt`.
    The app that mounts it needs its `lifespan` as its own. Otherwise the sink starts with the first webhook, which
    waits for it for at most `database_timeout` seconds. Raises BadConfiguration.
    """
    return app_with(lambda receivers, sink_settings: (), given)


def app_with(more: Callable[[Sequence[Receiver], SinkSettings], Sequence[BaseRoute]], given: Mapping[str, Any]) -> App:
    """The app of `create_app`, with more routes."""
    settings, sink_settings = _settings(dict(given))
    served = served_by(settings, sink_settings, **{**given, "destination": "postgres"})

    def log_failures() -> None:
        for provider in served:
            if provider.sink.failure is not None:
                _log_failure(provider.sink)

    return app_of(
        served,
        sink_settings,
        lambda receivers: more(receivers, sink_settings),
        patience=sink_settings.database_timeout,
        on_failure=log_failures,
    )


def process_webhook(
    body: bytes, signature: str | Mapping[str, str] | None, *, provider: str = "stripe", **given: Any
) -> Answer:
    """Commits the event of a webhook, and returns what to answer: its `status` and `text`.

    `body` is the raw body of the request, `signature` its header `Stripe-Signature`, or all of its headers; `given` are
    settings, as for `create_app`, and for Orb (`provider="orb"`) those of its own section. Blocks until the event is
    committed, and may be called from any thread. The first call of a process for a provider starts a sink in a thread
    of its own, which later calls share. Raises BadConfiguration, and TypeError for a body that is not bytes, because
    the signature covers the raw bytes.
    """
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError("process_webhook takes the raw body of the request as bytes")
    key = (os.getpid(), provider, frozenset(given.items()))  # a forked process does not have its parent's threads
    with _making:
        processor = _processors.get(key)
        if processor is None:
            processor = _processors[key] = Processor(given, provider)
    return processor.process(bytes(body), signature or "")


class Processor:
    """A sink in a thread of its own, for programs without an event loop."""

    def __init__(self, given: dict[str, Any], provider: str = "stripe") -> None:
        settings, sink_settings = _settings(given, provider)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="webhook-sink", daemon=True)
        self._thread.start()
        self._receiver = self._run(_made(settings, sink_settings, KNOWN[provider].provider()))
        atexit.register(self.close)

    def process(self, body: bytes, signature: str | Mapping[str, str]) -> Answer:
        """See `process_webhook`."""
        names = [name.decode() for name in self._receiver.sink.provider.signature_headers]
        if isinstance(signature, str):
            signature = {names[0]: signature}
        found = {name.lower(): value for name, value in signature.items()}
        answer: Answer = self._run(self._receiver.process(body, [found.get(name, "") for name in names]))
        return answer

    def close(self) -> None:
        """Commits the accepted events, and ends the thread."""
        if self._loop.is_running():
            self._run(self._receiver.sink.stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


async def _made(settings: CommonSettings, sink_settings: SinkSettings, provider: Provider) -> Receiver:
    sink = Sink(settings, sink_settings, provider=provider, takes_webhooks=True)
    sink.start(lambda: _log_failure(sink))
    return Receiver(sink, sink_settings, patience=sink_settings.database_timeout)


def _log_failure(sink: Sink) -> None:
    log.error("the sink cannot start: %s", sink.failure)


def _settings(given: dict[str, Any], provider: str = "stripe") -> tuple[Any, SinkSettings]:
    """The settings of both sections, the provider's and the sink's, overridden by `given`."""
    if provider not in KNOWN:
        raise BadConfiguration(f"There is no provider {shown(provider, KNOWN)}: {' or '.join(KNOWN)}.")
    kinds = KNOWN[provider].settings, SinkSettings
    of_loads, of_sink = ({field.name for field in fields(kind)} for kind in kinds)
    for name in given.keys() - of_loads - of_sink:
        near = difflib.get_close_matches(name, of_loads | of_sink, 1)
        advice = f"Did you mean {near[0]}?" if near else "docs/reference/settings.md lists them."
        raise BadConfiguration(f"There is no setting {shown(name, of_loads | of_sink)}. {advice}")
    own = {name: value for name, value in given.items() if name in of_loads}
    settings = KNOWN[provider].read_settings(**{**own, "destination": "postgres"})
    return settings, read_sink_settings(**{name: value for name, value in given.items() if name in of_sink})
