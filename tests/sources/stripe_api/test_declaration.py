"""What follows from a declaration, and that one line declares an endpoint."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sources
from sources.catalogue import Embedded, EventType, Parent, Resource, Table
from sources.stripe_api.catalogue import CATALOGUE, DECLARATIONS, RESOURCES, TABLES
from sources.stripe_api.catalogue.prefixes import tables_of_id
from sources.stripe_api.declaration import (
    BELOW_PARENT,
    Catalogue,
    Declaration,
    assemble,
    declare,
    for_each,
    line_items,
    listed,
    singleton,
    without_table,
)

README = Path(sources.__file__).parent / "stripe_api" / "README.md"


def declared(*declarations: Declaration) -> Catalogue:
    return assemble(declarations)


def test_example_of_the_readme_is_what_it_declares() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    catalogue = declared(eval(example, {"declare": declare, "listed": listed}))
    assert catalogue.resources == {"reviews": RESOURCES["reviews"]}
    assert catalogue.tables == {"reviews": TABLES["reviews"]}
    assert catalogue.types == {name: kind for name, kind in CATALOGUE.types.items() if kind.table == "reviews"}
    assert tables_of_id("prv_1Abc") == ("reviews",)


def test_a_declaration_more_leaves_all_others_as_they_are() -> None:
    more = declared(*DECLARATIONS, declare("gadget", listed("/v1/gadgets")))
    assert {name: line for name, line in more.resources.items() if name != "gadgets"} == RESOURCES
    assert {name: table for name, table in more.tables.items() if name != "gadgets"} == TABLES


def test_everything_of_a_plain_object_is_derived() -> None:
    catalogue = declared(
        declare("shop.policy", listed("/v1/shop/policies", created="unix"), ids="pol_ plc_", events="created deleted")
    )
    assert catalogue.resources == {
        "shop_policies": Resource(
            "shop_policies",
            "/v1/shop/policies",
            "shop_policies",
            ("shop.policy",),
            "root",
            "unix",
            newest_first=True,
            created_field="created",
            groups=("default",),
        )
    }
    assert catalogue.tables == {
        "shop_policies": Table("shop_policies", ("shop.policy",), retrieve="/v1/shop/policies/{id}")
    }
    assert catalogue.types == {
        "shop.policy.created": EventType("shop_policies", False, None),
        "shop.policy.deleted": EventType("shop_policies", True, None),
    }
    assert catalogue.objects_by_prefix == {"pol_": ("shop.policy",), "plc_": ("shop.policy",)}


def test_objects_below_a_parent_belong_to_it_and_are_read_below_it() -> None:
    catalogue = declared(
        declare("shop", listed("/v1/shops")),
        declare("shelf", listed("/v1/shops/{shop}/shelves", for_each("shops", "shop")), table="shelves"),
        declare("label", listed("/v1/labels", for_each("shops", "shop")), parent_field=None),
    )
    assert catalogue.resources["shelves"].parents == (Parent("shops", "shop", "path"),)
    assert catalogue.resources["labels"].parents == (Parent("shops", "shop", "query"),)
    shelves, labels = catalogue.tables["shelves"], catalogue.tables["labels"]
    assert (shelves.parent, shelves.parent_field) == ("shops", "shop")
    assert shelves.retrieve == "/v1/shops/{_parent_id}/shelves/{id}"
    assert (labels.parent, labels.parent_field, labels.retrieve) == ("shops", None, "/v1/labels/{id}")


def test_embedded_lists_are_completed_by_the_list_of_their_table() -> None:
    catalogue = declared(
        declare(
            "shop", listed("/v1/shops"), embeds={"labels": "labels", "tags": "tags"}, expands={"rows": "shop_rows"}
        ),
        line_items("row", "/v1/shops/{shop}/rows", for_each("shops", "shop"), table="shop_rows"),
        declare("label", listed("/v1/labels", for_each("shops", "store"))),
        declare("tag", listed("/v1/tags"), parent="shops", parent_field="shop"),
    )
    assert catalogue.tables["shops"].embedded == (
        Embedded("labels", "labels", "/v1/labels", params=(("store", "{id}"),)),
        Embedded("tags", "tags", "/v1/tags", params=(("shop", "{id}"),)),
        Embedded("rows", "shop_rows", "/v1/shops/{id}/rows", expand=True),
    )
    assert catalogue.tables["shop_rows"].key == tuple(BELOW_PARENT.split())
    assert catalogue.tables["shop_rows"].retrieve is None


def test_embedded_list_that_no_list_completes_is_refused() -> None:
    with pytest.raises(ValueError, match="shops embeds rows, but no list of shop_rows is declared"):
        declared(declare("shop", listed("/v1/shops"), embeds={"rows": "shop_rows"}))


def test_singleton_has_the_name_of_its_object_and_no_key() -> None:
    catalogue = declared(declare("till", singleton("/v1/till", core=True)))
    assert catalogue.resources["till"].table == "tills"
    assert catalogue.resources["till"].groups == ("core", "default")
    assert (catalogue.tables["tills"].key, catalogue.tables["tills"].retrieve) == ((), "/v1/till")


def test_lists_of_api_v2_come_in_pages_of_their_own() -> None:
    v1, v2 = listed("/v1/shops"), listed("/v2/shops")
    assert (v1.pagination, v1.limit, v1.newest_first) == ("cursor", 100, True)
    assert (v2.pagination, v2.limit, v2.newest_first) == ("v2", 20, False)
    assert (one := listed("/v1/shops", one_page=True)).pagination == "single"
    assert one.limit is None


def test_types_say_what_deletes_and_what_is_ignored() -> None:
    types = declared(
        declare(
            "shop", events={"old.shop": "opened deleted shut"}, deleted_by="shut", ignored={"opened": "it is a plan"}
        )
    ).types
    assert types == {
        "old.shop.opened": EventType("shops", False, "it is a plan"),
        "old.shop.deleted": EventType("shops", False, None),
        "old.shop.shut": EventType("shops", True, None),
    }


def test_objects_that_share_a_prefix_come_in_the_order_of_their_declarations() -> None:
    catalogue = declared(declare("shop", ids="s_"), without_table("stall", "it is gone by night", ids="s_"))
    assert catalogue.objects_by_prefix == {"s_": ("shop", "stall")}
    assert catalogue.no_table == {"stall": "it is gone by night"}


@pytest.mark.parametrize(
    "again",
    [
        declare("other", listed("/v1/others", name="charges")),
        declare("other", table="charges"),
        declare("other", events={"charge": "updated"}),
        declare("charge", table="others", ids="ch_"),
    ],
    ids=["list", "table", "event type", "prefix"],
)
def test_what_is_declared_twice_is_refused(again: Declaration) -> None:
    with pytest.raises(ValueError, match="is declared twice"):
        assemble((*DECLARATIONS, again))
