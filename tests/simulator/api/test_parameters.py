"""Parameters: names and types that Stripe takes, and how it refuses the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.api.parameters import parse
from sources.stripe_api.catalogue import RESOURCES
from tests.simulator.conftest import Reader


@pytest.mark.parametrize(
    ("path", "query", "param"),
    [
        ("/v1/customers", ("foo", "1"), "foo"),
        ("/v1/customers", ("created[after]", "1"), "created[after]"),
        ("/v1/payment_methods", ("created[gte]", "1"), "created"),
        ("/v1/customers", ("status", "all"), "status"),
        ("/v2/core/accounts", ("starting_after", "acct_1"), "starting_after"),
        ("/v1/customers/cus_1", ("limit", "1"), "limit"),
    ],
)
def test_unknown_parameter_is_refused(get: Reader, path: str, query: tuple[str, str], param: str) -> None:
    answer = get(path, query)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "parameter_unknown", param)
    assert answer.error["message"] == f"Received unknown parameter: {param}"


def test_several_unknown_parameters_are_named(get: Reader) -> None:
    answer = get("/v1/customers", ("foo", "1"), ("bar", "2"))
    assert answer.error["message"] == "Received unknown parameters: foo, bar"


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        ("/v1/customers", ("created[gte]", "soon"), "Invalid integer: soon"),
        ("/v1/customers", ("created", "2024-01-01"), "Invalid integer: 2024-01-01"),
        ("/v1/products", ("active", "yes"), "Invalid boolean: yes"),
        ("/v1/subscriptions", ("status", "gone"), "Invalid status: must be one of active, all,"),
        ("/v1/customers", ("email", ""), "You passed an empty string for 'email'."),
        ("/v1/customers", ("expand", "data.sources"), "Invalid array: data.sources"),
    ],
)
def test_ill_typed_parameter_is_refused(get: Reader, path: str, query: tuple[str, str], message: str) -> None:
    answer = get(path, query)
    assert answer.status == 400
    assert answer.error["message"].startswith(message)


@pytest.mark.parametrize(
    "path", [r.path for r in RESOURCES.values() if r.created == "none" and r.kind == "root" and not r.gate]
)
def test_created_is_refused_where_the_catalogue_has_none(get: Reader, path: str) -> None:
    answer = get(path, ("created[gte]", "1"))
    assert (answer.status, answer.error["code"]) == (400, "parameter_unknown")


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/v1/subscription_items", "subscription"),
        ("/v1/setup_attempts", "setup_intent"),
        ("/v1/apps/secrets", "scope"),
        ("/v1/treasury/transactions", "financial_account"),
    ],
)
def test_required_parameter_is_asked_for(get: Reader, path: str, param: str) -> None:
    answer = get(path)
    assert (answer.status, answer.error["code"]) == (400, "parameter_missing")
    assert answer.error["message"] == f"Missing required param: {param}."


def test_brackets_nest() -> None:
    query = "created[gte]=1&created%5Blt%5D=2&types[]=a&types[]=b&expand[0]=c&owner[type]=self&name=a+b%26"
    assert parse(query) == {
        "created": {"gte": "1", "lt": "2"},
        "types": ["a", "b"],
        "expand": ["c"],
        "owner": {"type": "self"},
        "name": "a b&",
    }


@given(st.text(alphabet="ab[]=&%+1é ", max_size=40))
def test_no_query_breaks_the_parser(query: str) -> None:
    assert isinstance(parse(query), dict)
