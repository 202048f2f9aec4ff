"""The app with all that the settings turn on: webhooks, the management API, the status page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.routing import BaseRoute

from pipelines.configuration.settings import Settings
from webhook_sink.http.app import App
from webhook_sink.http.management import management_routes
from webhook_sink.http.page import page_routes
from webhook_sink.jobs import Jobs
from webhook_sink.receiver import Receiver
from webhook_sink.settings import SinkSettings


def app_of(
    receiver: Receiver,
    settings: Settings,
    sink_settings: SinkSettings,
    more: Sequence[BaseRoute] = (),
    *,
    on_failure: Callable[[], None],
    is_ending: Callable[[], bool] = lambda: False,
) -> App:
    """The app, with `more` routes. `is_ending` tells whether its server is about to end: then streams end."""
    if not sink_settings.page_passwords:
        return App(receiver, sink_settings.paths, more, on_failure=on_failure)
    jobs = Jobs(settings)
    routes: list[BaseRoute] = [*more]
    routes += page_routes(settings, sink_settings, jobs, receiver.sink, is_ending)
    if sink_settings.api_key:
        routes += management_routes(receiver.sink, jobs, sink_settings.api_key)
    return App(receiver, sink_settings.paths, routes, on_failure=on_failure, on_stop=jobs.close)
