"""What is Stripe's own in its catalogue, held against the installed SDK.

`test_sdk_contract.py` has what holds for every provider.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pytest

from simulator.api.expand import INCLUDABLE
from sources.catalogue import GROUPS, Resource, Table
from sources.errors import UnknownResource
from sources.stripe_api.catalogue import CATALOGUE, DECLARATIONS, RESOURCES, TABLES, select
from sources.stripe_api.generate.sdk import Ref, Sdk
from sources.stripe_api.generate.sdk_operations import Operation, operations, parameters

LISTS = [line for line in RESOURCES.values() if line.kind != "singleton"]
NOT_OF_THE_LIST = {"payment_sources": {"account"}}  # accounts as payment sources: gone since 2020, `accounts` has them
IN_STRIPES_ORDER = {"climate_products", "subscription_items"}  # they show `created`, but are not sorted by it
PAGING = {"limit", "starting_after", "ending_before", "expand", "page"}


@pytest.fixture(scope="module")
def sdk() -> Sdk:
    return Sdk()


@pytest.fixture(scope="module")
def list_operations(sdk: Sdk) -> Mapping[str, Operation]:
    return {operation.path: operation for operation in operations(sdk) if operation.page == "list"}


@pytest.fixture(scope="module")
def gets(sdk: Sdk) -> set[str]:
    """Paths of single objects with their placeholders blanked."""
    return {_blank(found.path) for found in operations(sdk) if found.http == "get" and found.page == "none"}


def _blank(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def _ids(lines: list[Resource]) -> list[str]:
    return [line.name for line in lines]


def test_every_declared_list_and_table_is_in_the_catalogue_under_a_name_of_its_own() -> None:
    assert len(RESOURCES) == sum(len(declaration.lists) for declaration in DECLARATIONS)
    assert len(TABLES) == sum(declaration.table is not None for declaration in DECLARATIONS)
    assert not RESOURCES.keys() & set(GROUPS)


def test_objects_have_a_table_or_a_reason_why_they_have_none(
    sdk: Sdk, list_operations: Mapping[str, Operation]
) -> None:
    in_tables = {name for table in TABLES.values() for name in table.objects}
    with_prefix = {name for names in CATALOGUE.objects_by_prefix.values() for name in names}
    assert with_prefix <= in_tables | CATALOGUE.no_table.keys()
    assert not in_tables & CATALOGUE.no_table.keys()
    assert all(len(reason.split()) > 3 for reason in CATALOGUE.no_table.values())
    listed = {ref for operation in list_operations.values() for ref in operation.returns.refs}
    assert [name for name, ref in sdk.object_classes().items() if name in CATALOGUE.no_table and ref in listed] == []


def test_what_carries_an_object_in_an_event_is_no_object_of_a_table(sdk: Sdk) -> None:
    for carrier, field in CATALOGUE.carried_by.items():
        assert CATALOGUE.tables_of_object(carrier) == ()
        (carried,) = sdk.fields(sdk.object_classes()[carrier])[field].type.refs
        assert any(sdk.object_classes()[name] == carried for table in TABLES.values() for name in table.objects)


@pytest.mark.parametrize("line", LISTS, ids=_ids(LISTS))
def test_line_agrees_with_the_sdk(line: Resource, sdk: Sdk, list_operations: Mapping[str, Operation]) -> None:
    operation = list_operations[line.path]
    known = parameters(sdk, operation)
    classes = sdk.object_classes()
    listed = {name for name, ref in classes.items() if ref in operation.returns.refs} - {"file_upload"}

    assert set(line.objects) == listed - NOT_OF_THE_LIST.get(line.name, set())
    assert line.created == _created(sdk, operation)
    assert line.pagination == _pagination(line.path, set(known))


def _created(sdk: Sdk, operation: Operation) -> str:
    known = parameters(sdk, operation)
    if "created_gte" in known:
        return "iso_flat"
    if "created" not in known:
        return "none"
    bounds = next(ref for ref in known["created"].type.refs)
    return {"integer": "unix", "string": "iso"}[sdk.fields(bounds)["gte"].type.kind]


def _pagination(path: str, known: set[str]) -> str:
    if path.startswith("/v2/"):
        return "v2"
    return "cursor" if "starting_after" in known else "single"


@pytest.mark.parametrize("line", LISTS, ids=_ids(LISTS))
def test_order_is_trusted_only_where_objects_show_their_creation(line: Resource, sdk: Sdk) -> None:
    shown = [sdk.fields(sdk.object_classes()[name]) for name in line.objects]
    has_created = all("created" in fields for fields in shown)
    if line.name in IN_STRIPES_ORDER or line.pagination == "v2":
        assert has_created
        assert not line.newest_first
    else:
        assert line.newest_first == (line.created_field is not None)
    if line.created_field is not None:
        assert all(line.created_field in fields for fields in shown)
    else:
        assert not has_created


def test_passes_show_rows_that_lists_hide_by_default() -> None:
    assert RESOURCES["subscriptions"].passes == ((("status", "all"),),)
    assert RESOURCES["prices"].passes == ((("active", "true"),), (("active", "false"),))
    assert RESOURCES["payment_methods"].passes == ((), (("type", "custom"),))
    assert RESOURCES["v2_core_accounts"].passes == ((("closed", "false"),), (("closed", "true"),))


def test_singletons_are_single_objects_of_the_sdk(gets: set[str]) -> None:
    for line in (line for line in RESOURCES.values() if line.kind == "singleton"):
        assert line.path in gets
        assert line.limit is None
        assert line.pagination == "single"


def test_every_resource_fills_a_table_that_has_its_objects() -> None:
    for line in RESOURCES.values():
        assert set(line.objects) <= set(TABLES[line.table].objects), line.name


def test_every_parent_is_a_table_and_comes_before_its_children() -> None:
    order = list(RESOURCES)
    for line in RESOURCES.values():
        for parent in line.parents:
            filling = [order.index(other.name) for other in RESOURCES.values() if other.table == parent.table]
            assert parent.table in TABLES
            assert not filling or min(filling) < order.index(line.name), line.name


def test_every_list_inside_an_object_is_embedded_or_has_a_reason(sdk: Sdk) -> None:
    of_tables = {
        (object_name, embedded.field)
        for table in TABLES.values()
        for embedded in table.embedded
        for object_name in table.objects
    }
    found = {
        (object_name, field)
        for object_name, ref in sdk.object_classes().items()
        if object_name not in ("file_upload", "list", "search_result", "v2.search_result")
        for field in _lists_inside(sdk, ref, ref)
    }
    assert found == of_tables | CATALOGUE.not_embedded.keys()
    assert not of_tables & CATALOGUE.not_embedded.keys()


def _lists_inside(sdk: Sdk, ref: Ref, owner: Ref, prefix: str = "") -> Iterator[str]:
    """Dotted names of the list fields of a class and of the classes nested in it."""
    for name, field in sdk.fields(ref).items():
        if field.type.kind == "list":
            yield prefix + name
        nested = [inner for inner in field.type.refs if inner.module == owner.module and "." in inner.name]
        if field.type.kind in ("object", "array") and prefix.count(".") < 4:
            for inner in nested:
                yield from _lists_inside(sdk, inner, owner, f"{prefix}{name}.")


def test_embedded_lists_are_completed_by_a_list_operation_of_their_table(
    sdk: Sdk, list_operations: Mapping[str, Operation]
) -> None:
    by_path = {_blank(path): path for path in list_operations}
    filling = {line.path: line.table for line in LISTS}
    for table in TABLES.values():
        for embedded in table.embedded:
            path = by_path[_blank(embedded.path)]
            assert filling[path] == embedded.table or path == "/v1/customers/{customer}/tax_ids"
            assert {name for name, _ in embedded.params} <= parameters(sdk, list_operations[path]).keys()


def test_embedded_objects_belong_to_the_table_that_they_come_in() -> None:
    for table in TABLES.values():
        for embedded in table.embedded:
            parents = {table.name, *(("customers",) if table.key == ("customer",) else ())}
            assert TABLES[embedded.table].parent in parents


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_parents_and_placeholders_of_a_table_agree_with_the_sdk(table: Table, sdk: Sdk) -> None:
    fields = [sdk.fields(sdk.object_classes()[name]) for name in table.objects]
    assert table.parent is None or table.parent in TABLES
    if table.parent_field:
        assert all(shown[table.parent_field].type.kind in ("string", "expandable") for shown in fields)
    if table.retrieve:
        placeholders = set(re.findall(r"\{(\w+)\}", table.retrieve))
        assert placeholders <= {"id", "_parent_id", *table.key}
        assert "_parent_id" not in placeholders or table.parent


def test_objects_that_a_list_gives_can_be_retrieved_where_the_sdk_can(sdk: Sdk, gets: set[str]) -> None:
    unretrieved = {table.name for table in TABLES.values() if table.retrieve is None}
    for line in LISTS:
        if line.table in unretrieved:
            assert f"{_blank(line.path)}/{{}}" not in gets, line.name


def test_table_names_are_plurals_of_their_objects() -> None:
    irregular = {name for name, table in TABLES.items() if _plural(table.objects[0]) != name}
    line_items = {name for name in irregular if name.endswith("_line_items")}
    assert irregular - line_items == {
        "external_accounts",
        "payment_sources",
        "balance_settings",  # plural already
        "tax_settings",
    }


def _plural(object_name: str) -> str:
    name = object_name.replace(".", "_")
    if re.search(r"[^aeiou]y$", name):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "x", "ch")) else f"{name}s"


def test_default_group_is_every_root_list_and_singleton() -> None:
    assert [line.name for line in select()] == [line.name for line in select(["default"])]
    assert {line.name for line in select()} == {
        name for name, line in RESOURCES.items() if line.kind in ("root", "singleton")
    }


def test_all_is_everything_but_what_is_never_loaded() -> None:
    missing = RESOURCES.keys() - {line.name for line in select(["all"])}
    assert missing == {"credit_note_preview_lines"}
    assert all(RESOURCES[name].not_loaded for name in missing)


def test_selection_has_each_resource_once_and_in_the_order_of_the_catalogue() -> None:
    chosen = [line.name for line in select(["setup_attempts", "core", "charges", "charges"])]
    assert len(chosen) == len(set(chosen))
    assert chosen == [name for name in RESOURCES if name in chosen]
    assert chosen.index("setup_intents") < chosen.index("setup_attempts")


@pytest.mark.parametrize(
    ("wanted", "nearest"),
    [
        ("chages", "charges"),
        ("custmer", "customers"),
        ("payment-intnts", "payment_intents"),
        ("al", "all"),
    ],
)
def test_unknown_resource_names_the_nearest(wanted: str, nearest: str) -> None:
    with pytest.raises(UnknownResource, match=f"did you mean '{nearest}'"):
        select([wanted])


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("customer", "customers"),
        ("Invoices", "invoices"),
        ("payment-intents", "payment_intents"),
        ("checkout.session", "checkout_sessions"),
        ("checkout_session", "checkout_sessions"),
        ("early_fraud_warning", "radar_early_fraud_warnings"),
        ("plan", "plans"),
    ],
)
def test_resources_are_known_by_the_name_of_their_objects_too(said: str, meant: str) -> None:
    assert [resource.name for resource in select([said])] == [meant]


def test_a_name_that_several_tables_share_stands_for_none() -> None:
    with pytest.raises(UnknownResource):
        select(["card"])


def test_unknown_resource_far_from_all_names_none() -> None:
    with pytest.raises(UnknownResource) as raised:
        select(["zzzzzz"])
    assert "did you mean" not in str(raised.value)
    assert "core, default, all" in str(raised.value)


def test_resource_that_is_never_loaded_says_why() -> None:
    with pytest.raises(UnknownResource, match="never loaded: it previews"):
        select(["credit_note_preview_lines"])


def test_sets_are_given_only_by_whole_lists_of_one_owner() -> None:
    assert CATALOGUE.gives_sets(RESOURCES["invoice_line_items"])
    assert CATALOGUE.gives_sets(RESOURCES["customer_tax_ids"])
    assert not CATALOGUE.gives_sets(RESOURCES["customer_payment_methods"])
    assert not CATALOGUE.gives_sets(RESOURCES["billing_meter_event_summaries"])
    assert not CATALOGUE.gives_sets(RESOURCES["charges"])


def test_table_of_an_object_is_told_by_its_name_or_by_its_owner() -> None:
    assert CATALOGUE.table_of_object("checkout.session") == "checkout_sessions"
    assert CATALOGUE.table_of_object("card") is None
    assert CATALOGUE.table_of_object("item") is None
    assert CATALOGUE.table_of_object("no.such.object") is None
    assert set(CATALOGUE.tables_of_object("card")) == {"external_accounts", "payment_sources"}
    assert CATALOGUE.table_of({"object": "card", "customer": "cus_1"}) == "payment_sources"
    assert CATALOGUE.table_of({"object": "card", "customer": None, "account": "acct_1"}) == "external_accounts"
    assert CATALOGUE.table_of({"object": "bank_account"}) is None
    assert CATALOGUE.table_of({"object": "invoice", "id": "in_1"}) == "invoices"


def test_gates_come_with_what_stripe_is_known_to_answer() -> None:
    assert RESOURCES["issuing_cards"].gate == "Issuing"
    assert "Your account is not set up to use Issuing" in RESOURCES["issuing_tokens"].denied
    assert all(line.gate for line in RESOURCES.values() if line.denied)


def test_what_stands_in_an_object_only_when_expanded_is_asked_for_or_left_out_by_name() -> None:
    known = {
        (object_name, field)
        for table in TABLES.values()
        for object_name in table.objects
        for field in (
            *(embedded.field for embedded in table.embedded if embedded.expand),
            *table.shown_on_request,
            *table.hidden,
        )
    }
    nested = {(object_name, field) for object_name, field in known if "." in field}
    includable = {(object_name, field) for object_name, fields in INCLUDABLE.items() for field in fields}
    assert includable - {("treasury.transaction", "entries")} <= known
    assert {each for each in known - nested if each[0] in INCLUDABLE} <= includable


# --- keys -------------------------------------------------------------------------------------------------------------

NAMED_ELSEWHERE = {
    "persons": "an account's requirements name a person by its id alone (person_….dob.day)",
    "v2_core_account_persons": "an account's requirements name a person by its id alone",
}
"""Objects below a parent whose ids are unique although no field of the SDK's refers to them, and the evidence."""


@pytest.fixture(scope="module")
def referred_to(sdk: Sdk) -> set[str]:
    """`object` values that some field names by the id alone: it can be expanded, so that the id has to be unique."""
    names = {ref: name for name, ref in sdk.object_classes().items()}
    found: set[str] = set()

    def walk(ref: Ref, depth: int) -> None:
        for field in sdk.fields(ref).values():
            for type in (field.type, *([field.type.item] if field.type.item else [])):
                if type.kind == "expandable":
                    found.update(names[ref] for ref in type.refs if ref in names)
                elif depth < 6:
                    for each in type.refs:
                        if each.module == ref.module and each.name.startswith(f"{ref.name}."):
                            walk(each, depth + 1)

    for ref in sdk.object_classes().values():
        walk(ref, 0)
    return found


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_key_of_a_child_is_its_id_alone_only_where_that_is_known_to_be_unique(
    table: Table, referred_to: set[str]
) -> None:
    """Stripe promises no unique ids. It has to keep those unique by which alone its API reads or names an object."""
    is_read_by_it = table.retrieve is not None and "_parent_id" not in table.retrieve
    is_unique = is_read_by_it or set(table.objects) <= referred_to or table.name in NAMED_ELSEWHERE
    if table.parent is None or is_unique:
        assert "_parent_id" not in table.key
    else:
        assert table.parent_field in table.key or "_parent_id" in table.key
