"""Creates, finds and deletes webhook endpoints in Orb: https://docs.withorb.com/api-reference/webhook-endpoint.

An endpoint is created for all event types and with expanded payloads: only those show whole objects. Orb shows its
secret only once, when it is created, and does not say who created an endpoint. Nothing else in the project
writes to Orb. Knows no database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.configuration.orb_settings import OrbSettings
from sources.errors import BadConfiguration, BrokenPage, RequestRefused, shown
from sources.orb_api.provider import open_client
from webhook_sink.endpoints.endpoints import Endpoint, check_url

PATH = "/v1/webhook_endpoints"
WANTED: Mapping[str, Any] = {"enabled_event_types": None, "payload_style": "expanded"}
"""What the sink needs: every event type, including future ones, and whole objects."""


class OrbEndpoints:
    """The account's endpoints. Raises the errors of `errors.py`."""

    def __init__(self, settings: OrbSettings) -> None:
        self._client = open_client(settings)

    def create(self, url: str, *, connect: bool = False) -> Endpoint:
        """Updates the endpoint with this URL, or creates it. Returns it."""
        if connect:
            raise BadConfiguration("Orb has no connected accounts: leave out --connect.")
        check_url(url, "Orb", "https://host/webhooks/orb")
        for endpoint in self.ours():
            if endpoint.url == url:
                path = f"{PATH}/{endpoint.id}"
                updated = self._client.write("PUT", path, WANTED)
                if not updated.get("enabled", True):
                    updated = self._client.write("POST", f"{path}/enable", {})
                return _endpoint({**updated, "secret": None})
        return _endpoint(self._client.write("POST", PATH, {"url": url, **WANTED}))

    def ours(self) -> list[Endpoint]:
        """All endpoints of the account."""
        found: list[Endpoint] = []
        after: tuple[tuple[str, str], ...] = ()
        while True:
            page = self._client.page(PATH, (("limit", "100"), *after))
            found += [_endpoint(obj) for obj in page.objects]
            if page.next_page is None:
                return found
            after = (("cursor", page.next_page),)

    def delete(self, id_or_url: str) -> list[Endpoint]:
        """Deletes the endpoints with this id or URL, and returns them. Raises RequestRefused if there are none."""
        endpoints = [endpoint for endpoint in self.ours() if id_or_url in (endpoint.id, endpoint.url)]
        if not endpoints:
            raise RequestRefused(
                f"There is no endpoint with the id or URL {shown(id_or_url)}: see `endpoint list --provider orb`."
            )
        for endpoint in endpoints:
            self._client.write("DELETE", f"{PATH}/{endpoint.id}")
        return endpoints


def _endpoint(fields: Mapping[str, Any]) -> Endpoint:
    """An endpoint as Orb shows it. Without a list of types, it receives all types."""
    id, url, types = fields.get("id"), fields.get("url"), fields.get("enabled_event_types")
    if not isinstance(id, str) or not isinstance(url, str):
        raise BrokenPage("Orb's answer shows a webhook endpoint without its id or its URL.")
    status = "enabled" if fields.get("enabled", True) else "disabled"
    return Endpoint(id, url, status, None, len(types) if isinstance(types, list) else None, fields.get("secret"))
