"""The providers whose webhooks a process can receive, and which of them the settings turn on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pipelines.commands.accounts import own_account
from pipelines.configuration.fields import is_set
from pipelines.configuration.orb_settings import OWN, OrbSettings, read_orb_settings
from pipelines.configuration.settings import CommonSettings, Settings, read_settings
from sources.provider import Provider
from webhook_sink.settings import SinkSettings
from webhook_sink.sink import Sink

if TYPE_CHECKING:
    from webhook_sink.endpoints.endpoints import Endpoint

log = logging.getLogger("stripe_elt.sink")


def _stripe() -> Provider:
    from sources.stripe_api.provider import STRIPE

    return STRIPE


def _orb() -> Provider:
    from sources.orb_api.provider import ORB

    return ORB


class Manager(Protocol):
    """Creates, lists and deletes a provider's webhook endpoints: `webhook_sink.endpoints.endpoints.Endpoints`."""

    def create(self, url: str, *, connect: bool = False) -> Endpoint:
        """Updates the endpoint with this URL, or creates it."""
        ...

    def ours(self) -> list[Endpoint]:
        """The endpoints of the account."""
        ...

    def delete(self, id_or_url: str) -> list[Endpoint]:
        """Deletes the endpoints with this id or URL."""
        ...


def _stripe_endpoints(settings: Settings) -> Manager:
    from webhook_sink.endpoints.endpoints import Endpoints

    return Endpoints(own_account(settings))


def _orb_endpoints(settings: OrbSettings) -> Manager:
    from webhook_sink.endpoints.orb_endpoints import OrbEndpoints

    return OrbEndpoints(settings)


class Known(NamedTuple):
    """A provider whose webhooks the sink can receive.

    `provider` and `endpoints` import it when they are called. `read_settings` takes some settings and reads the rest.
    `secret` is the variable with the signing secrets, `create` the command that creates an endpoint.
    """

    provider: Callable[[], Provider]
    settings: type[CommonSettings]
    read_settings: Callable[..., CommonSettings]
    endpoints: Callable[[Any], Manager]
    secret: str
    create: str


KNOWN: Mapping[str, Known] = {
    "stripe": Known(
        _stripe,
        Settings,
        read_settings,
        _stripe_endpoints,
        "STRIPE_WEBHOOK_SECRET",
        "endpoint create https://host/webhooks",
    ),
    "orb": Known(
        _orb,
        OrbSettings,
        read_orb_settings,
        _orb_endpoints,
        "ORB_WEBHOOK_SECRET",
        "endpoint create --provider orb https://host/webhooks/orb",
    ),
}
"""The providers by their names."""


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A sink of this process, the settings of its provider, and the paths at which it receives webhooks."""

    sink: Sink
    settings: CommonSettings
    paths: frozenset[str]


def served_by(settings: Settings, sink_settings: SinkSettings, **given: Any) -> list[Served]:
    """The sinks that the settings turn on, Stripe's first. `given` replaces settings of loads.

    Orb's webhooks are accepted if a secret for them or a key is set: with a key, an endpoint may have been created, so
    the sink waits for its secret in the database. Stripe's are not accepted if only Orb's secret is set. Raises
    BadConfiguration.
    """
    has_orb_secret = bool(sink_settings.orb_webhook_secret)
    has_orb = has_orb_secret or is_set(OrbSettings, "orb_api_key")
    has_stripe = bool(sink_settings.webhook_secret or settings.has_key or settings.configured_account)
    found = []
    if has_stripe or not has_orb_secret:
        sink = Sink(
            settings, sink_settings, provider=_stripe(), takes_webhooks=True, is_optional=has_orb and not has_stripe
        )
        found.append(Served(sink, settings, sink_settings.paths))
    if has_orb:
        shared = CommonSettings.__annotations__.keys() - OWN
        own = read_orb_settings(**{name: value for name, value in given.items() if name in shared})
        paths = sink_settings.orb_paths if found else sink_settings.orb_paths | sink_settings.paths
        sink = Sink(own, sink_settings, provider=_orb(), takes_webhooks=True, is_optional=not has_orb_secret)
        found.append(Served(sink, own, paths))
        log.info("Orb's webhooks are accepted at %s", " and ".join(sorted(paths)))
        if len(found) == 1:
            log.info("Stripe's webhooks are not accepted: neither its key nor its webhook secret is set")
    return found
