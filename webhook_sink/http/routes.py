"""Builds the app with everything that the settings turn on: webhooks, the management API, the status page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from starlette.routing import BaseRoute

from pipelines.configuration.settings import Settings
from webhook_sink.endpoints.providers import Served
from webhook_sink.http.app import App
from webhook_sink.http.management import management_routes
from webhook_sink.http.orb_management import orb_management_routes
from webhook_sink.http.page import page_routes
from webhook_sink.jobs import Jobs
from webhook_sink.receiver import Receiver
from webhook_sink.settings import SinkSettings
from webhook_sink.sink import Sink

MANAGEMENT: Mapping[str, Callable[[Sink, Jobs, str], list[BaseRoute]]] = {
    "stripe": management_routes,
    "orb": orb_management_routes,
}
"""The management API of each provider that has one."""


def app_of(
    served: Sequence[Served],
    sink_settings: SinkSettings,
    more: Callable[[Sequence[Receiver]], Sequence[BaseRoute]] = lambda receivers: (),
    *,
    patience: float = 0.0,
    on_failure: Callable[[], None],
    is_ending: Callable[[], bool] = lambda: False,
) -> App:
    """The app, with `more` routes. `is_ending` says whether its server is about to end: then streams end.

    A webhook waits for at most `patience` seconds for a sink that is starting. The status page is Stripe's.
    """
    receivers = [Receiver(provider.sink, sink_settings, patience=patience) for provider in served]
    by_path = {path: receiver for provider, receiver in zip(served, receivers, strict=True) for path in provider.paths}
    routes: list[BaseRoute] = [*more(receivers)]
    begun: list[Jobs] = []
    for provider in served if sink_settings.page_passwords else ():
        jobs = Jobs(provider.settings)
        begun.append(jobs)
        if isinstance(provider.settings, Settings):
            routes += page_routes(provider.settings, sink_settings, jobs, provider.sink, is_ending)
        add = MANAGEMENT.get(provider.sink.provider.name)
        if sink_settings.api_key and add is not None:
            # before Stripe's paths, because some of those have a placeholder
            routes[:0] = add(provider.sink, jobs, sink_settings.api_key)

    def close() -> None:
        for jobs in begun:
            jobs.close()

    return App(by_path, routes, on_failure=on_failure, on_stop=close)
