"""uvicorn around the app: how the process begins, takes signals and ends."""

from __future__ import annotations

import asyncio
import gc
import signal
from functools import partial

import uvicorn

from pipelines.process import stops
from pipelines.settings import Settings
from webhook_sink.http.app import App
from webhook_sink.http.management import management_routes
from webhook_sink.http.protocol import BoundedProtocol, Bounds, Waiting
from webhook_sink.settings import SinkSettings
from webhook_sink.sink import Sink

GRACE_SECONDS = 30
COLLECT_AFTER = (50_000, 20, 20)
"""Parsed events are many small objects without cycles: the usual 700 has the collector look at each several times."""


def serve(settings: Settings, options: SinkSettings) -> None:
    """Serves until SIGTERM or SIGINT; what was accepted by then is finished. Raises what makes the sink hopeless."""
    gc.freeze()  # modules and classes stay: the collector need not look at them again
    gc.set_threshold(*COLLECT_AFTER)
    try:
        with asyncio.Runner(loop_factory=uvicorn.Config("webhook_sink", log_config=None).get_loop_factory()) as runner:
            runner.run(_serve(settings, options))
    finally:
        gc.unfreeze()  # at the end of the process DuckDB's module would report what is frozen as leaked


async def _serve(settings: Settings, options: SinkSettings) -> None:
    sink = Sink(settings, options, takes_webhooks=True)
    routes = management_routes(sink) if options.api_key else []
    server = uvicorn.Server(
        config_of(App(sink, routes, on_failure=lambda: setattr(server, "should_exit", True)), options)
    )
    if (hang_up := getattr(signal, "SIGHUP", None)) in stops():  # uvicorn takes the other two
        asyncio.get_running_loop().add_signal_handler(hang_up, lambda: setattr(server, "should_exit", True))
    await server.serve()
    if sink.failure is not None:
        raise sink.failure


def config_of(app: App, options: SinkSettings) -> uvicorn.Config:
    """uvicorn with httptools within our bounds, uvloop where it is there, no access log, and no word about itself."""
    return uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        access_log=False,
        proxy_headers=False,  # nothing asks who the client is
        log_config=None,
        http=partial(BoundedProtocol, waiting=Waiting(_bounds(options), app.count_refusal)),  # type: ignore[arg-type]
        ws="none",
        timeout_keep_alive=options.idle_timeout,  # type: ignore[arg-type]  # seconds for call_later
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=GRACE_SECONDS,
        backlog=4_096,
    )


def _bounds(options: SinkSettings) -> Bounds:
    return Bounds(
        headers=options.header_limit,
        header_seconds=options.header_timeout,
        body_seconds=options.body_timeout,
        idle_seconds=options.idle_timeout,
        connections=options.connections,
        bodies=options.bodies_megabytes * 1_048_576,
    )
