"""Serves the app with uvicorn: how the process starts, takes signals and ends."""

from __future__ import annotations

import asyncio
import gc
import signal
from functools import partial

import uvicorn

from pipelines.configuration.settings import Settings
from pipelines.terminal.process import stops
from sources.errors import BadConfiguration
from webhook_sink.http.app import App
from webhook_sink.http.management import management_routes
from webhook_sink.http.protocol import BoundedProtocol, Bounds, WaitingClients
from webhook_sink.receiver import Receiver
from webhook_sink.settings import SinkSettings
from webhook_sink.sink import Sink

GRACE_SECONDS = 30
COLLECT_AFTER = (50_000, 20, 20)
"""Parsed events are many small objects without cycles. At the usual 700 the collector visits each several times."""


def serve(settings: Settings, sink_settings: SinkSettings) -> None:
    """Serves until a signal, and finishes what was accepted by then. Raises the reason if the sink cannot start."""
    gc.freeze()  # modules and classes stay, and the collector need not visit them again
    gc.set_threshold(*COLLECT_AFTER)
    try:
        with asyncio.Runner(loop_factory=uvicorn.Config("webhook_sink", log_config=None).get_loop_factory()) as runner:
            runner.run(_serve(settings, sink_settings))
    except SystemExit:  # uvicorn's way to say that it cannot listen, after a line in its log
        raise BadConfiguration(
            f"The sink cannot listen on port {sink_settings.port} of {sink_settings.host}: see the line above. If"
            " another program has the port, such as a sink that is still running, stop it, or choose another port with"
            " --port or WEBHOOK_SINK__PORT."
        ) from None
    finally:
        gc.unfreeze()  # or DuckDB's module reports the frozen objects as leaks when the process ends


async def _serve(settings: Settings, sink_settings: SinkSettings) -> None:
    sink = Sink(settings, sink_settings, takes_webhooks=True)
    server = server_of(sink, settings, sink_settings)
    if (hang_up := getattr(signal, "SIGHUP", None)) in stops():  # uvicorn takes the other two
        asyncio.get_running_loop().add_signal_handler(hang_up, lambda: setattr(server, "should_exit", True))
    await server.serve()
    if sink.failure is not None:
        raise sink.failure


def server_of(sink: Sink, settings: Settings, sink_settings: SinkSettings) -> uvicorn.Server:
    """A server for the sink, with the management API if there is a key for it. Ends if the sink cannot start."""
    app = App(
        Receiver(sink, sink_settings),
        sink_settings.paths,
        management_routes(sink, settings, sink_settings.api_key) if sink_settings.api_key else (),
        on_failure=lambda: setattr(server, "should_exit", True),
    )
    bounds = Bounds(
        headers=sink_settings.header_limit,
        header_seconds=sink_settings.header_timeout,
        body_seconds=sink_settings.body_timeout,
        idle_seconds=sink_settings.idle_timeout,
        connections=sink_settings.connections,
        bodies=sink_settings.bodies_megabytes * 1_048_576,
    )
    clients = WaitingClients(bounds, sink.metrics.count_refusal)
    server = uvicorn.Server(_config(app, clients, host=sink_settings.host, port=sink_settings.port))
    return server


def _config(app: App, clients: WaitingClients, *, host: str, port: int) -> uvicorn.Config:
    """uvicorn with httptools within our bounds, uvloop if it is installed, no access log, and no server header."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,
        proxy_headers=False,  # nothing depends on who the client is
        log_config=None,
        http=partial(BoundedProtocol, clients=clients),  # type: ignore[arg-type]
        ws="none",
        timeout_keep_alive=clients.bounds.idle_seconds,  # type: ignore[arg-type]  # uvicorn passes it to call_later
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=GRACE_SECONDS,
        backlog=4_096,
    )
