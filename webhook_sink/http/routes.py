"""Builds the app with everything that the settings turn on: webhooks, the management API, the status page.

Modules of what is turned off are not imported: the page and its jobs would take a sixth of the time until the sink is
ready.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute

from pipelines.configuration.settings import Settings
from webhook_sink.endpoints.providers import Served
from webhook_sink.http.app import App
from webhook_sink.receiver import Receiver
from webhook_sink.settings import SinkSettings

if TYPE_CHECKING:
    from webhook_sink.jobs import Jobs


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
    if sink_settings.page_passwords:
        _add_page(routes, begun, served, sink_settings, is_ending)

    def close() -> None:
        for jobs in begun:
            jobs.close()

    return App(by_path, routes, on_failure=on_failure, on_stop=close)


def _add_page(
    routes: list[BaseRoute],
    begun: list[Jobs],
    served: Sequence[Served],
    sink_settings: SinkSettings,
    is_ending: Callable[[], bool],
) -> None:
    """Adds the status page and the management APIs to the `routes`, and their jobs to `begun`."""
    from webhook_sink.http.management import management_routes
    from webhook_sink.http.orb_management import orb_management_routes
    from webhook_sink.http.page import page_routes
    from webhook_sink.jobs import Jobs

    management = {"stripe": management_routes, "orb": orb_management_routes}
    for provider in served:
        jobs = Jobs(provider.settings)
        begun.append(jobs)
        if isinstance(provider.settings, Settings):
            routes += page_routes(provider.settings, sink_settings, jobs, provider.sink, is_ending)
        add = management.get(provider.sink.provider.name)
        if sink_settings.api_key and add is not None:
            routes[:0] = add(provider.sink, jobs, sink_settings.api_key)  # of Stripe's paths, some have a placeholder
