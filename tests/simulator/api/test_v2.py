"""Lists of API v2: tokens of pages, ISO times, its own limits."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

import pytest

from simulator.account.objects import iso
from tests.simulator.conftest import NOON, Reader


@pytest.fixture
def many(simulate: Callable[..., Reader]) -> Reader:
    """Fifty adjustments, one a second."""
    get = simulate(customers=0)
    for obj in get.sim.account.objects("v2_money_management_adjustments"):
        get.sim.account.delete("v2_money_management_adjustments", obj["id"])
    for number in range(50):
        made = get.sim.make("v2_money_management_adjustments", id=f"adj_{number:02d}", created=iso(NOON - number))
        get.sim.account.create("v2_money_management_adjustments", made, at=NOON - number)
    return get


def walk(get: Reader, path: str, *query: tuple[str, object]) -> list[list[str]]:
    answer = get(path, *query)
    found = [answer.ids]
    while answer.json["next_page_url"]:
        url = urlsplit(answer.json["next_page_url"])
        answer = get(url.path, *parse_qsl(url.query))
        found.append(answer.ids)
    return found


def test_pages_follow_next_page_url(many: Reader) -> None:
    pages = walk(many, "/v2/money_management/adjustments", ("limit", 20))
    assert [len(page) for page in pages] == [20, 20, 10]
    assert [id for page in pages for id in page] == [f"adj_{number:02d}" for number in range(50)]


def test_a_v2_page_has_no_v1_fields(many: Reader) -> None:
    assert list(many("/v2/money_management/adjustments").json) == ["data", "next_page_url", "previous_page_url"]


def test_the_server_grants_twenty_at_most(many: Reader) -> None:
    assert len(many("/v2/money_management/adjustments", ("limit", 100)).ids) == 20
    assert many("/v2/money_management/adjustments", ("limit", 101)).status == 400
    assert many("/v2/money_management/adjustments", ("limit", 0)).status == 400


def test_created_is_an_iso_time(many: Reader) -> None:
    path = "/v2/money_management/adjustments"
    assert sum(map(len, walk(many, path, ("created[gte]", iso(NOON - 9))))) == 10
    assert sum(map(len, walk(many, path, ("created[gt]", iso(NOON - 9))))) == 9
    assert sum(map(len, walk(many, path, ("created[lt]", iso(NOON)), ("created[gte]", iso(NOON - 25))))) == 25
    assert many(path, ("created[gte]", NOON)).status == 400
    assert many(path, ("created[gte]", "2026-01-01T00:00:00")).status == 400


@pytest.mark.parametrize("token", ["page_x", "", "adj_10", "page_W10"])
def test_an_invented_token_is_refused(many: Reader, token: str) -> None:
    assert many("/v2/money_management/adjustments", ("page", token)).status == 400


def test_a_token_holds_for_its_filters_only(many: Reader) -> None:
    path = "/v2/money_management/adjustments"
    url = many(path, ("limit", 5), ("created[gte]", iso(NOON - 30))).json["next_page_url"]
    token = dict(parse_qsl(urlsplit(url).query))["page"]
    assert many(path, ("page", token)).status == 400
    assert many(path, ("page", token), ("created[gte]", iso(NOON - 30))).status == 200


def test_flat_bounds_of_imports(get: Reader) -> None:
    path = "/v2/commerce/product_catalog/imports"
    everything = get(path).json["data"]
    newest = everything[0]["created"]
    assert get(path, ("created_gte", newest)).ids == [each["id"] for each in everything if each["created"] >= newest]
    assert get(path, ("created[gte]", newest)).status == 400


def test_thin_events_name_their_object(get: Reader) -> None:
    account = get.sim.make("v2_core_accounts", id="acct_thin", created=iso(NOON))
    get.sim.account.create("v2_core_accounts", account)
    event = get("/v2/core/events", ("types[0]", "v2.core.account.created")).json["data"][0]
    assert event["related_object"] == {
        "id": "acct_thin",
        "type": "v2.core.account",
        "url": "/v2/core/accounts/acct_thin",
    }
    assert "data" not in event
    assert get(event["related_object"]["url"]).json["id"] == "acct_thin"
    assert get("/v2/core/events", ("object_id", "acct_thin")).ids == [event["id"]]
