"""The client of Orb's API against a simulated account over HTTP, and its pure parts. No test waits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from urllib3 import HTTPHeaderDict

from simulator.orb import OrbSimulator
from simulator.orb.refusal import Refusal
from sources.errors import (
    AuthenticationFailed,
    BadConfiguration,
    BrokenPage,
    ObjectMissing,
    RequestRefused,
    ServerFailed,
    SkipResource,
    Throttled,
)
from sources.fetch.limiter import Limiter
from sources.fetch.values import Reply
from sources.orb_api.client.bodies import page_of, single_page
from sources.orb_api.client.client import Client, limiter_of, read_account
from sources.orb_api.client.refusals import error_of
from sources.orb_api.client.settings import ClientSettings

NOW = 1_790_000_000
KEY = "test_0123456789"


@pytest.fixture(scope="module")
def sim() -> Iterator[OrbSimulator]:
    with OrbSimulator(seed=3, customers=5, now=NOW, running=False) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def undisturbed(sim: OrbSimulator) -> Iterator[None]:
    yield
    sim.faults.clear()
    sim.api.lacks.clear()


def client_of(sim: OrbSimulator, limiter: Limiter | None = None, **settings: Any) -> Client:
    chosen = ClientSettings(**({"api_key": sim.key, "api_base": sim.url} | settings))
    return Client(chosen, limiter or Limiter(None, None), sleep=lambda seconds: None, chance=lambda: 0.5)


def answer(body: Any, status: int = 200, **headers: str) -> Reply:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    given = {"Date": "Mon, 21 Sep 2026 14:13:20 GMT"} | {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply("/v1/items", status, HTTPHeaderDict(given), content, 0.2)


def refusal(kind: str, detail: str = "No.") -> Reply:
    return answer(Refusal(kind, detail).answer.body, int(kind[:3]))


# --- pages and objects ------------------------------------------------------------------------------------------------


def test_a_page_holds_the_objects_and_the_cursor_of_the_next_one(sim: OrbSimulator) -> None:
    page = client_of(sim).page("/v1/customers", (("limit", "3"),))
    shown = {obj["id"]: obj for obj in sim.account.objects("customers")}
    assert [obj == shown[obj["id"]] for obj in page.objects] == [True] * 3
    assert page.has_more
    rest = client_of(sim).page("/v1/customers", (("limit", "3"), ("cursor", page.next_page or "")))
    assert (len(rest.objects), rest.has_more, rest.next_page) == (2, False, None)
    assert page.as_of in (NOW - 1, NOW - 2)


def test_an_object_is_read_by_its_id(sim: OrbSimulator) -> None:
    one = sim.account.objects("plans")[0]
    assert client_of(sim).object(f"/v1/plans/{one['id']}").object == one
    with pytest.raises(ObjectMissing, match="Orb does not know the object that GET /v1/plans/none"):
        client_of(sim).object("/v1/plans/none")


def test_the_account_is_the_one_that_the_settings_name_and_now_is_orbs_clock(sim: OrbSimulator) -> None:
    account = read_account(client_of(sim), "mine")
    assert (account.id, account.requests) == ("mine", 1)
    assert account.now in (NOW - 1, NOW - 2)
    with pytest.raises(AuthenticationFailed, match="ORB_API_KEY"):
        read_account(client_of(sim, api_key=KEY), "mine")


GOOD = {"data": [{"id": "a"}], "pagination_metadata": {"has_more": False, "next_cursor": None}}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>", "is not JSON"),
        (b"", "is not JSON"),
        ([], "is not a JSON object"),
        ({"pagination_metadata": GOOD["pagination_metadata"]}, "is not a list"),
        ({"data": [{"id": "a"}]}, "has no pagination_metadata"),
        (GOOD | {"pagination_metadata": None}, "has no pagination_metadata"),
        (GOOD | {"pagination_metadata": {"next_cursor": "x"}}, "does not say whether there are more"),
        (GOOD | {"pagination_metadata": {"has_more": True, "next_cursor": None}}, "has no next_cursor"),
        ({"data": [], "pagination_metadata": {"has_more": True, "next_cursor": "x"}}, "is empty but says"),
        (GOOD | {"data": ["a"]}, "entries are not objects"),
    ],
)
def test_a_page_that_is_none_is_broken_and_says_why(body: Any, says: str) -> None:
    with pytest.raises(BrokenPage, match=says) as caught:
        page_of(answer(body))
    assert "SOURCES__ORB__API_BASE" in str(caught.value)


def test_one_entry_that_is_no_object_stands_as_an_empty_one() -> None:
    assert page_of(answer(GOOD | {"data": [{"id": "a"}, 7]})).objects == [{"id": "a"}, {}]
    assert single_page(answer({"response": "pong"})).objects == [{"response": "pong"}]


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (refusal("400-request-validation-errors"), RequestRefused, "Orb refused GET /v1/items"),
        (refusal("400-constraint-violation"), RequestRefused, "Orb refused GET /v1/items"),
        (refusal("401-authentication-error"), AuthenticationFailed, "Set ORB_API_KEY"),
        (answer(b"denied", 401), AuthenticationFailed, "Set ORB_API_KEY"),
        (refusal("404-feature-not-available"), SkipResource, "Ask Orb to switch the feature on"),
        (refusal("404-resource-not-found"), ObjectMissing, "It may have been deleted"),
        (refusal("404-url-not-found"), RequestRefused, "Orb refused"),
        (refusal("409-resource-conflict"), ServerFailed, "Run again later"),
        (refusal("413-request-too-large"), RequestRefused, "Orb refused"),
        (refusal("429-too-many-requests"), Throttled, "SOURCES__ORB__RATE_LIMIT_SHARE"),
        (refusal("500-internal-server-error"), ServerFailed, "Run again later"),
        (answer(b"<html>", 502), ServerFailed, "Run again later"),
        (answer(b"", 302), RequestRefused, "Redirects are not followed"),
        (answer(b"<html>", 404), BrokenPage, "not by Orb"),
    ],
)
def test_an_error_is_told_by_its_type(reply: Reply, kind: type[Exception], says: str) -> None:
    error = error_of(reply, KEY)
    assert type(error) is kind
    assert says in str(error)
    assert error.status == reply.status


def test_the_type_decides_and_not_the_status() -> None:
    """Orb's SDK takes the same type for a 400."""
    body = Refusal("404-feature-not-available", "").answer.body
    assert type(error_of(answer(body, 400), KEY)) is SkipResource


def test_nothing_secret_is_said() -> None:
    said = str(
        error_of(refusal("400-request-validation-errors", f"ada@example.com sent {KEY} and '+49 30 901820'"), KEY)
    )
    assert "ada@" not in said
    assert KEY not in said
    assert "901820" not in said


@pytest.mark.parametrize(("header", "seconds"), [("Retry-After", 3.0), ("Retry-After-Ms", 0.003), ("X-Other", None)])
def test_an_answer_says_how_long_to_wait(header: str, seconds: float | None) -> None:
    error = error_of(answer(Refusal("429-too-many-requests", "").answer.body, 429, **{header: "3"}), KEY)
    assert isinstance(error, Throttled)
    assert error.retry_after == seconds


def test_what_passes_is_asked_again_and_a_refusal_slows_the_whole_account(sim: OrbSimulator) -> None:
    sim.faults.add("status", times=2)
    assert client_of(sim).page("/v1/items").requests == 3
    sim.faults.add("throttle", times=1)
    limiter = limiter_of(100.0)
    assert client_of(sim, limiter).page("/v1/items").requests == 2
    assert limiter.rate() < 0.8 * 100
    sim.faults.add("status")
    with pytest.raises(ServerFailed):
        client_of(sim, max_retries=1).page("/v1/items")


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"api_key": ""}, "There is no key for Orb's API. Set ORB_API_KEY"),
        ({"api_key": "test_ä"}, "characters that Orb's keys never contain"),
        ({"api_base": "http://api.withorb.com", "api_key": "4f2a"}, "A live key is never sent over plain http"),
        ({"api_base": "https://api.withorb.com/v1"}, "Set SOURCES__ORB__API_BASE without /v1"),
        ({"api_base": "withorb"}, "Set SOURCES__ORB__API_BASE to a URL such as https://api.withorb.com"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(settings: dict[str, str], says: str) -> None:
    with pytest.raises(BadConfiguration, match=says):
        ClientSettings(**({"api_key": KEY} | settings))


def test_a_test_key_may_go_over_http_and_a_live_key_to_this_machine() -> None:
    assert not ClientSettings(api_key=KEY, api_base="http://orb.example").is_live
    assert ClientSettings(api_key="4f2a", api_base="http://127.0.0.1:9").is_live
