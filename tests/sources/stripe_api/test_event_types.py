"""What Stripe's event types mean; `test_sdk_contract.py` holds them against the installed SDK."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from sources.stripe_api.catalogue import CATALOGUE, TABLES
from sources.stripe_api.generate.sdk import Ref, Sdk
from sources.stripe_api.objects.changes import is_deletion, table_of_event, unwrapped


@pytest.fixture(scope="module")
def sdk() -> Sdk:
    return Sdk()


def endpoint_types(sdk: Sdk) -> set[str]:
    field = sdk.fields(Ref("stripe.params._webhook_endpoint_create_params", "WebhookEndpointCreateParams"))
    item = field["enabled_events"].type.item
    assert item is not None
    return set(item.literals)


def test_a_managed_endpoint_can_subscribe_to_every_known_type(sdk: Sdk) -> None:
    assert set(CATALOGUE.types) <= endpoint_types(sdk)


def test_every_type_has_a_table_of_the_catalogue() -> None:
    assert {kind.table for kind in CATALOGUE.types.values()} <= set(TABLES)


def test_tables_agree_with_the_objects_that_the_sdk_relates_to_each_type(sdk: Sdk) -> None:
    """The SDK's thin twin of a type (v1.charge.updated) can fetch its related object: that class says whose it is."""
    names: dict[tuple[str, str], set[str]] = {}
    for name, ref in sdk.object_classes().items():
        names.setdefault((ref.module, ref.name), set()).add(name)
    compared = 0
    for event_type, kind in CATALOGUE.types.items():
        module = sdk.module("stripe.events._event_classes")
        path = f"_v1_{event_type.replace('.', '_')}_event"
        if f"stripe.events.{path}" not in ast.unparse(module.tree):
            continue
        related = _related(sdk, f"stripe.events.{path}")
        if related and (objects := names.get((related.module, related.name))):
            assert objects & set(TABLES[kind.table].objects), event_type
            compared += 1
    assert compared > 180


def _related(sdk: Sdk, module: str) -> Ref | None:
    for node in ast.walk(sdk.module(module).tree):
        if isinstance(node, ast.FunctionDef) and node.name == "fetch_related_object" and node.returns is not None:
            refs = sdk.annotation(Ref(module, ""), node.returns).refs
            return refs[0] if refs else None
    return None


@pytest.mark.parametrize(
    ("event_type", "gone"),
    [
        ("customer.deleted", True),
        ("v1.customer.deleted", True),
        ("customer.subscription.deleted", False),
        ("payment_method.detached", False),
        ("account.application.deauthorized", True),
    ],
)
def test_deletion_is_told_from_its_name(event_type: str, gone: bool) -> None:
    assert is_deletion(event_type) is gone


@pytest.mark.parametrize(
    ("event_type", "obj", "table"),
    [
        ("customer.source.updated", {"object": "card"}, "payment_sources"),
        ("account.external_account.updated", {"object": "card"}, "external_accounts"),
        ("card.renamed_by_stripe", {"object": "card", "customer": "cus_1"}, "payment_sources"),
        ("customer.invented", {"object": "customer"}, "customers"),
        ("thing.invented", {"object": "thing"}, None),
    ],
)
def test_object_and_type_together_name_the_table(event_type: str, obj: dict[str, Any], table: str | None) -> None:
    assert table_of_event(event_type, obj) == table


def test_triggered_alert_stands_for_the_alert() -> None:
    alert = {"id": "alrt_1", "object": "billing.alert"}
    assert unwrapped({"object": "billing.alert_triggered", "alert": alert}) == alert
    assert unwrapped(alert) == alert
