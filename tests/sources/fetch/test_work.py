"""Parameters, cursors and moments of lists."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sources.errors import BrokenPage
from sources.fetch.values import Page
from sources.fetch.window_pager import created_of, is_descending
from sources.stripe_api.catalogue import RESOURCES, TABLES
from sources.stripe_api.paging.completion import gaps
from sources.stripe_api.paging.conventions import created_params, cursor_after, list_params, next_page_path
from tests.sources.model_lists import windowed


def page(*ids: object, next_page: str | None = None) -> Page:
    return Page([{"id": id} for id in ids], True, next_page, 0, 1, 0, None)


def test_window_is_asked_for_in_the_lists_own_way() -> None:
    assert created_params("unix", 5, 9) == (("created[gte]", "5"), ("created[lt]", "9"))
    assert created_params("unix", 0, 9) == (("created[lt]", "9"),)
    assert created_params("iso", 1_700_000_000, 1_700_000_060) == (
        ("created[gte]", "2023-11-14T22:13:20Z"),
        ("created[lt]", "2023-11-14T22:14:20Z"),
    )
    assert created_params("iso_flat", 0, 1_700_000_060) == (("created_lt", "2023-11-14T22:14:20Z"),)
    assert created_params("none", 0, 9) == ()


@pytest.mark.parametrize(
    ("value", "second"),
    [
        (1_700_000_000, 1_700_000_000),
        ("2023-11-14T22:13:20.999Z", 1_700_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000),
        ("yesterday", None),
        (None, None),
        ({}, None),
    ],
)
def test_creation_is_read_in_either_form(value: object, second: int | None) -> None:
    assert created_of({"created": value}, windowed()) == second


def test_creation_goes_by_the_field_that_the_list_goes_by() -> None:
    assert created_of({"created": 1, "date": 2}, windowed(created_field="date")) == 2
    assert created_of({"created": 1}, windowed(created_field=None)) is None


def test_parameters_of_a_list_are_its_size_its_passs_and_what_to_expand() -> None:
    assert list_params(RESOURCES["subscriptions"], TABLES, (("status", "all"),)) == (
        ("limit", "100"),
        ("status", "all"),
        ("expand[]", "data.discounts"),
        ("expand[]", "data.items.data.discounts"),
    )
    assert list_params(RESOURCES["invoices"], TABLES, ())[-1] == ("expand[]", "data.lines.data.discounts")
    params = list_params(RESOURCES["customers"], TABLES, ())
    assert params[0] == ("limit", "100")
    assert ("expand[]", "data.sources") in params
    assert ("expand[]", "data.tiers") in list_params(RESOURCES["prices"], TABLES, ())
    assert list_params(RESOURCES["reporting_report_types"], TABLES, ()) == ()


def test_next_page_begins_after_the_last_object() -> None:
    assert cursor_after(page("a", "b"), None) == "b"
    assert cursor_after(page("a", "b"), "z") == "b"
    assert cursor_after(page("a", "b"), None, first=True) == "a"


@pytest.mark.parametrize(("ids", "previous"), [(("a", "b"), "b"), (("a", "b"), "a"), ((None,), None), ((), "a")])
def test_list_that_does_not_move_is_a_broken_page(ids: tuple[object, ...], previous: str | None) -> None:
    with pytest.raises(BrokenPage):
        cursor_after(page(*ids), previous)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/v2/core/events?page=abc&limit=20", "/v2/core/events?page=abc&limit=20"),
        ("https://api.stripe.com/v2/core/events?page=abc", "/v2/core/events?page=abc"),
        ("https://evil.example/v2/core/events?page=abc", "/v2/core/events?page=abc"),
    ],
)
def test_next_page_of_the_second_version_is_a_path_on_the_same_server(url: str, path: str) -> None:
    assert next_page_path(page("a", next_page=url), "/v2/core/events") == path


@pytest.mark.parametrize("url", ["/v1/account", "https://evil.example", "//evil.example/v2/core/events", "", "?page=2"])
def test_next_page_does_not_lead_to_another_list(url: str) -> None:
    with pytest.raises(BrokenPage):
        next_page_path(page("a", next_page=url), "/v2/core/events")


@pytest.mark.parametrize(
    ("seconds", "below", "ordered"),
    [
        ([], 10, True),
        ([9, 9, 3], 10, True),
        ([10, 3], 10, False),
        ([3, 9], 10, False),
        ([9, None], 10, False),
    ],
)
def test_order_is_checked_not_believed(seconds: list[int | None], below: int, ordered: bool) -> None:
    assert is_descending(seconds, below) is ordered


def test_lists_that_go_on_are_found_at_any_depth() -> None:
    nested = replace(TABLES["customers"].embedded[0], field="subscriptions", table="subscriptions", path="/v1/x/{id}")
    tables = {**TABLES, "customers": replace(TABLES["customers"], embedded=(nested,))}
    items = {"object": "list", "has_more": True, "data": [{"id": "si_1"}]}
    subscriptions = {"object": "list", "has_more": False, "data": [{"id": "sub_1", "items": items}]}
    found = list(gaps("customers", [{"id": "cus_1", "subscriptions": subscriptions}], tables))
    assert [(each.owner_id, each.listed) for each in found] == [("sub_1", items)]


@pytest.mark.parametrize(
    "lines", [None, [], "il_1", {"object": "list", "data": [], "has_more": False}, {"has_more": True}]
)
def test_what_is_no_list_that_goes_on_is_left_alone(lines: object) -> None:
    assert list(gaps("invoices", [{"id": "in_1", "lines": lines}], TABLES)) == []
