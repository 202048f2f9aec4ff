"""Objects whose ids people choose, deleted and made again within one second, in the scheduled runs and loads."""

from __future__ import annotations

import pytest

from simulator.account.account import Account
from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.generate.sdk import Ref, Sdk
from tests.pipelines.mirror import Mirror

NAME = "SPRING"
TABLE_NAMES = ("coupons", "products")


def make(mirror: Mirror, table: str, name: str) -> None:
    mirror.sim.account.create(table, mirror.sim.make(table, id=NAME, metadata={"made": name}))


def test_a_sync_ends_with_what_stripe_has(mirror: Mirror) -> None:
    account: Account = mirror.sim.account
    for table in TABLE_NAMES:
        make(mirror, table, "the first")
    mirror.load(*TABLE_NAMES)
    for table in TABLE_NAMES:
        account.delete(table, NAME)
        make(mirror, table, "the second")
    mirror.pass_time(120)
    mirror.sync()
    assert mirror.differences(TABLE_NAMES) == []
    for table in TABLE_NAMES:
        account.delete(table, NAME)
        make(mirror, table, "the third")
        account.delete(table, NAME)
    mirror.pass_time(120)
    mirror.sync()
    assert mirror.differences(TABLE_NAMES) == []
    assert all(
        row["_deleted_at"] is not None for table in TABLE_NAMES for row in mirror.rows(table) if row["id"] == NAME
    )


def test_a_read_in_the_second_of_a_deletion_brings_back_what_was_made_again_in_it(mirror: Mirror) -> None:
    """Both reads claim the same moment: of an object with an id of Stripe's own the deletion would stand."""
    make(mirror, "products", "the first")
    mirror.load("products")
    mirror.sim.account.delete("products", NAME)
    mirror.read(NAME, kind="products")
    deleted = mirror.row("products", NAME)
    make(mirror, "products", "the second")
    mirror.read(NAME, kind="products")
    assert deleted["_deleted_at"] is not None
    assert mirror.row("products", NAME)["_as_of"] == deleted["_as_of"]
    assert mirror.differences(["products"]) == []


def test_ids_that_people_choose_are_those_that_stripe_takes(sdk: Sdk) -> None:
    """Those whose creation takes an `id`; and prices, since each plan is a price of the same id."""
    taken = {
        name
        for name, table in TABLES.items()
        for ref in [sdk.object_classes()[table.objects[0]]]
        if (params := _create_params(sdk, ref)) is not None and "id" in sdk.fields(params)
    }
    assert {name for name, table in TABLES.items() if table.chosen_id} == taken | {"prices"}


@pytest.fixture(scope="module")
def sdk() -> Sdk:
    return Sdk()


def _create_params(sdk: Sdk, ref: Ref) -> Ref | None:
    """The parameters of creating an object of a class, None where the SDK cannot."""
    package, _, module = ref.module.removeprefix("stripe.").rpartition(".")
    params = Ref(f"stripe.params.{package + '.' if package else ''}{module}_create_params", f"{ref.name}CreateParams")
    try:
        sdk.class_of(params)
    except (OSError, KeyError):
        return None
    return params
