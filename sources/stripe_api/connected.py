"""Lists the accounts that are connected to a platform by Stripe Connect."""

from __future__ import annotations

from collections.abc import Iterator

from sources.catalogue import Params
from sources.stripe_api.catalogue import RESOURCES
from sources.stripe_api.client.client import Client
from sources.stripe_api.objects.embedded import has_key
from sources.stripe_api.paging.conventions import cursor_after


def connected(client: Client) -> Iterator[str]:
    """Ids of the accounts connected to the platform that owns the client's key; one request for each hundred."""
    accounts, after = RESOURCES["accounts"], None
    while True:
        cursor: Params = (("starting_after", after),) if after else ()
        page = client.page(accounts.path, (("limit", "100"), *cursor), denied=accounts.denied)
        yield from (str(obj["id"]) for obj in page.objects if has_key(obj, "accounts"))
        if not page.has_more:
            return
        after = cursor_after(page, after)
