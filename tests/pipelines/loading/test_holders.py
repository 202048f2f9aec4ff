"""Children and the objects that hold them: what a newer state lost does not come back with an older page."""

from __future__ import annotations

from pipelines.warehouse.merge import Holder, holder_of
from sources.fetch.pager import Listing
from sources.stripe_api.catalogue import CATALOGUE, RESOURCES
from sources.stripe_api.objects.rows import converter
from tests.pipelines.mirror import Mirror


def test_an_older_page_brings_back_no_child_that_the_newer_state_lost(mirror: Mirror) -> None:
    """A slow batch run beside an event: the page is asked for first and merged last."""
    account = mirror.sim.account
    subscription = str(account.objects("subscriptions")[0]["id"])
    item = account.show("subscriptions", subscription)["items"]["data"][0]
    extra = {**item, "id": "si_that_goes"}
    account.update("subscriptions", subscription, {"items": [item, extra]})
    mirror.pass_time(60)
    with mirror.session("stripe_sync") as session:
        resource = RESOURCES["subscriptions"]
        page = session.client.page(resource.path, (*resource.passes[0], ("limit", "100")))
        assert "si_that_goes" in str(page.objects)
        stale, _ = converter(session.account_id, session.columns, session.counts)(
            resource, [Listing(page.objects, page.as_of)]
        )
    mirror.pass_time(60)
    account.update("subscriptions", subscription, {"items": [item]})
    mirror.pass_time(60)
    mirror.read(subscription)
    with mirror.session("stripe_sync") as session:
        session.store(stale)
    stored = {row["id"]: row["_deleted_at"] for row in mirror.rows("subscription_items")}
    assert "si_that_goes" not in stored
    assert mirror.differences(["subscriptions"]) == []


def test_only_a_child_whose_holder_has_a_table_has_a_holder() -> None:
    def found(table: str, *existing: str) -> Holder | None:
        return holder_of(CATALOGUE, table, existing.__contains__, lambda name: f"stripe.{name}")

    assert found("subscription_items", "subscriptions") == Holder("stripe.subscriptions", "id", True)
    assert found("subscription_items") is None
    assert found("subscriptions", "customers") is None
    assert found("unheard_of", "customers") is None
