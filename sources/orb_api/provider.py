"""Orb as a `Provider`, and a client of its API that is created from the settings."""

from __future__ import annotations

from typing import Any

from sources.fetch.reach import reach_of
from sources.orb_api.catalogue import CATALOGUE
from sources.orb_api.client.client import Client, limiter_of, read_account
from sources.orb_api.client.settings import ClientSettings
from sources.orb_api.events.reading import pieces
from sources.orb_api.events.webhook import ANSWER_SECONDS, SIGNATURE, TIMESTAMP, read_event, verify
from sources.orb_api.objects.changes import change_of, rows_of
from sources.orb_api.objects.retrieve import retrieve
from sources.orb_api.objects.rows import converter, gone
from sources.orb_api.paging.plan import fetch, newest_page
from sources.provider import Provider


def open_client(settings: Any) -> Client:
    """A client within the configured share of the account's limits, from
    `pipelines.configuration.orb_settings.OrbSettings`.

    Raises `BadConfiguration` without a usable key.
    """
    client_settings = ClientSettings(api_key=settings.orb_api_key or "", **reach_of(settings))
    return Client(client_settings, limiter_of(settings.account_rate))


ORB = Provider(
    name="orb",
    catalogue=CATALOGUE,
    api_version=lambda: "",
    open_client=open_client,
    read_account=read_account,
    converter=converter,
    fetch=fetch,
    newest_page=newest_page,
    retrieve=retrieve,
    gone=gone,
    pieces=pieces,
    change_of=change_of,
    rows_of=rows_of,
    verify=verify,
    read_event=read_event,
    signature_headers=(SIGNATURE, TIMESTAMP),
    account_ids=r"[^\n]{1,100}",
    answer_seconds=ANSWER_SECONDS,
)
