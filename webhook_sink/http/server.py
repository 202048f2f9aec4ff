"""Serves the app with uvicorn: starts the process, handles signals, and ends it."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from pipelines.configuration.settings import Settings
from pipelines.terminal.process import stops
from pipelines.warehouse.postgres.libpq import postgres_conninfo
from sources.errors import BadConfiguration
from webhook_sink.endpoints.providers import Served, served_by
from webhook_sink.http.protocol import BoundedProtocol, Bounds, WaitingClients
from webhook_sink.http.routes import app_of
from webhook_sink.settings import SinkSettings

if TYPE_CHECKING:
    from webhook_sink.jobs import Jobs

GRACE_SECONDS = 30
COLLECT_AFTER = (50_000, 20, 20)
"""Parsed events are many small objects without cycles. At the default of 700, the collector visits each several
times."""


def serve(settings: Settings, sink_settings: SinkSettings) -> None:
    """Serves until a signal, then finishes accepted requests. Raises the sink's error if it cannot start."""
    gc.freeze()  # modules and classes stay, so the collector need not visit them again
    gc.set_threshold(*COLLECT_AFTER)
    try:
        _until_a_signal(lambda: _serve(settings, sink_settings), sink_settings)
    finally:
        gc.unfreeze()  # otherwise DuckDB's module reports the frozen objects as leaks at exit


def _until_a_signal(serving: Callable[[], Coroutine[Any, Any, None]], sink_settings: SinkSettings) -> None:
    """Runs a server in an event loop. Raises BadConfiguration if it cannot listen."""
    try:
        with asyncio.Runner(loop_factory=uvicorn.Config("webhook_sink", log_config=None).get_loop_factory()) as runner:
            runner.run(serving())
    except SystemExit:  # raised by uvicorn if it cannot listen, after a line in its log
        raise BadConfiguration(
            f"The server cannot listen on port {sink_settings.port} of {sink_settings.host}: see the line above. If"
            " another program has the port, such as a sink that is still running, stop it, or choose another port with"
            " --port or WEBHOOK_SINK__PORT."
        ) from None


async def _serve(settings: Settings, sink_settings: SinkSettings) -> None:
    given = {"destination": "postgres", "log_format": settings.log_format}
    served = served_by(settings, sink_settings, **given)
    server = server_of(served, sink_settings)
    if (hang_up := getattr(signal, "SIGHUP", None)) in stops():  # uvicorn handles the other two
        asyncio.get_running_loop().add_signal_handler(hang_up, lambda: setattr(server, "should_exit", True))
    await server.serve()
    for sink in (provider.sink for provider in served):
        if sink.failure is not None and not sink.is_optional:
            raise sink.failure


def server_of(served: Sequence[Served], sink_settings: SinkSettings) -> uvicorn.Server:
    """A server for sinks, with the management API and the status page if they are on. Ends if one cannot start.

    Requests that end before they have a path are counted by the first sink.
    """
    app = app_of(
        served,
        sink_settings,
        on_failure=lambda: setattr(server, "should_exit", True),
        is_ending=lambda: server.should_exit,
    )
    server = _server(app, sink_settings, served[0].sink.metrics.count_refusal)
    return server


def serve_page(settings: Settings, sink_settings: SinkSettings) -> None:
    """Serves the status page alone, on either database, until a signal. Raises BadConfiguration."""
    server, jobs = page_server_of(settings, sink_settings)
    try:
        _until_a_signal(server.serve, sink_settings)
    finally:
        jobs.close()


def page_server_of(settings: Settings, sink_settings: SinkSettings) -> tuple[uvicorn.Server, Jobs]:
    """A server for the status page alone, and its jobs.

    Raises BadConfiguration without a password, `DatabaseProblem` without the address of a database.
    """
    from webhook_sink.http.page import page_routes
    from webhook_sink.jobs import Jobs

    if not sink_settings.page_passwords:
        raise BadConfiguration(
            "The status page needs a password: set STRIPE_SINK_PASSWORD (page_password in the section [webhook_sink] of"
            " .dlt/secrets.toml) to one of at least 12 characters. For a page without a server, use --html FILE."
        )
    if settings.destination == "postgres":
        # the database may be down, but must have an address
        postgres_conninfo(settings.database_url, settings.database_ca)
    jobs = Jobs(settings)
    app = Starlette(routes=page_routes(settings, sink_settings, jobs, None, lambda: server.should_exit))
    server = _server(app, sink_settings, lambda reason: None)
    return server, jobs


def _server(app: ASGIApp, sink_settings: SinkSettings, count_refusal: Callable[[str], None]) -> uvicorn.Server:
    bounds = Bounds(
        headers=sink_settings.header_limit,
        header_seconds=sink_settings.header_timeout,
        body_seconds=sink_settings.body_timeout,
        idle_seconds=sink_settings.idle_timeout,
        connections=sink_settings.connections,
        bodies=sink_settings.bodies_megabytes * 1_048_576,
    )
    clients = WaitingClients(bounds, count_refusal)
    return uvicorn.Server(_config(app, clients, host=sink_settings.host, port=sink_settings.port))


def _config(app: ASGIApp, clients: WaitingClients, *, host: str, port: int) -> uvicorn.Config:
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
