"""Ids that people choose: slashes, blanks, percent signs and what else a path or a command line reads otherwise."""

from __future__ import annotations

import pytest

from docs.sessions import ROOT
from pipelines.sync.objects import UnknownObject
from sources.fetch.http.client import request
from sources.stripe_api.catalogue import TABLES
from tests import processes
from tests.pipelines.mirror import Mirror

ODD = (
    "a/b",
    "/a",
    "a//b/",
    "b",
    "50% off",
    "%2F",
    "a%2Fb",
    "a b",
    " ",
    "a+b",
    "a?b=c",
    "a#b",
    "a&b",
    ".",
    "..",
    "../products",
    "a\\b",
    "{id}",
    "-SPRING",
    "--type",
    "été€😀",
    "acct_1/x",
    "cus_1/card_1",
    "'; drop table",
)


def create(mirror: Mirror, table: str) -> None:
    for id in ODD:
        mirror.sim.account.create(table, mirror.sim.make(table, id=id, metadata={"is": id}))


def test_objects_with_odd_ids_are_read_loaded_synced_and_checked(mirror: Mirror) -> None:
    sim = mirror.sim
    create(mirror, "coupons")
    create(mirror, "products")
    for product in ODD:
        feature = sim.make("product_features", entitlement_feature={"id": "feat_1"})
        sim.account.create("product_features", feature, parent=product)
    read = mirror.read(*ODD, kind="coupons")
    assert [(each.id, each.table) for each in read] == [(id, "coupons") for id in ODD]
    assert {row["id"] for row in mirror.rows("coupons", live=True)} == set(ODD)
    mirror.load("coupons", "products", "product_features")
    assert mirror.differences(["coupons", "products", "product_features"]) == []
    for id in ODD:
        sim.account.update("coupons", id, {"name": f"changed {id}"})
        sim.account.delete("products", id)
    mirror.pass_time(120)
    mirror.sync()
    assert mirror.differences(["coupons", "products"]) == []
    assert mirror.check("coupons", "products").findings == []


def test_an_id_that_no_index_takes_stops_no_object_that_is_read_again_with_it(mirror: Mirror) -> None:
    """Coupons show `applies_to` only on request, so that a sync reads those that events tell of by their list."""
    mirror.begin("coupons")
    for id in ("first", "x" * 1_500, "last"):
        mirror.sim.account.create("coupons", mirror.sim.make("coupons", id=id))
    mirror.pass_time(120)
    assert mirror.sync("coupons").failed
    assert {"first", "last"} <= {row["id"] for row in mirror.rows("coupons")}
    for _ in range(2):  # each sync reads the last minutes before its predecessor again
        mirror.pass_time(600)
        mirror.sync("coupons")
    mirror.pass_time(600)
    assert not mirror.sync("coupons").failed


def test_an_id_below_a_parent_with_an_odd_one_is_split_at_the_last_slash(mirror: Mirror) -> None:
    feature = mirror.sim.make("product_features", id="prodft_1", entitlement_feature={"id": "feat_1"})
    mirror.sim.account.create("products", mirror.sim.make("products", id="a/b"))
    mirror.sim.account.create("product_features", feature, parent="a/b")
    (read,) = mirror.read("a/b/prodft_1", kind="product_features")
    assert read.id == "a/b/prodft_1"
    assert [(row["id"], row["_parent_id"]) for row in mirror.rows("product_features")] == [("prodft_1", "a/b")]


def test_an_odd_id_without_its_type_is_looked_for_where_people_choose_ids(mirror: Mirror) -> None:
    create(mirror, "products")
    assert [(each.id, each.table) for each in mirror.read("a/b", "..", "50% off")] == [
        ("a/b", "products"),
        ("..", "products"),
        ("50% off", "products"),
    ]
    with pytest.raises(UnknownObject, match="There is no coupon or plan or product"):
        mirror.read("a/c")


def test_an_id_that_begins_with_a_dash_follows_two_dashes(mirror: Mirror) -> None:
    create(mirror, "coupons")
    command = ("pipelines/stripe_object.py", "--type", "coupons", "--", "-SPRING", "a/b")
    done = processes.run(*command, cwd=ROOT, env=mirror.environment)
    assert done.returncode == 0, done.stderr
    assert {row["id"] for row in mirror.rows("coupons")} == {"-SPRING", "a/b"}


@pytest.mark.parametrize("id", ODD)
def test_a_path_takes_each_id_as_one_segment(id: str) -> None:
    """Of all paths of the catalogue: none leads elsewhere, whatever is put in for its placeholders."""
    for table in TABLES.values():
        for path in filter(None, (table.retrieve, *(embedded.path for embedded in table.embedded))):
            names = {part.strip("{}"): id for part in path.split("/") if part.startswith("{")}
            made = request(path, (), names).path
            assert made.count("/") == path.count("/")
            assert made.isascii()
            assert not {"?", "#", " ", "\\"} & set(made)
            assert not {".", ".."} & set(made.split("/"))
