"""What goes wrong on request."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import orjson
import pytest
import urllib3

from simulator import Budget
from tests.simulator.conftest import NOON, Reader


def test_a_status_as_often_as_asked(get: Reader) -> None:
    fault = get.sim.faults.add(path_prefix="/v1/charges", status=503, times=2)
    assert [get("/v1/charges").status for _ in range(3)] == [503, 503, 200]
    assert get("/v1/customers").status == 200
    assert fault.met == 2
    assert get.sim.service.statuses[503] == 2


def test_the_error_of_a_500_is_stripes(get: Reader) -> None:
    get.sim.faults.add(status=500)
    assert get("/v1/charges").error["type"] == "api_error"


def test_every_nth_after_some(get: Reader) -> None:
    get.sim.faults.add(status=500, skip=2, every=3)
    assert [get("/v1/charges").status for _ in range(8)] == [200, 200, 200, 200, 500, 200, 200, 500]


def test_the_page_that_holds_an_object_fails_for_good(get: Reader) -> None:
    ids = [page["id"] for page in get.pages("/v1/customers", ("limit", 5))]
    get.sim.faults.add(status=500, holding=ids[7])
    assert get("/v1/customers", ("limit", 5)).status == 200
    for _ in range(3):
        assert get("/v1/customers", ("limit", 5), ("starting_after", ids[4])).status == 500
    assert get("/v1/customers", ("limit", 5), ("starting_after", ids[9])).status == 200


def test_a_fault_by_parameter(get: Reader) -> None:
    get.sim.faults.add(status=500, query={"limit": "3"})
    assert get("/v1/customers", ("limit", 3)).status == 500
    assert get("/v1/customers", ("limit", 4)).status == 200


def test_a_fault_by_the_whole_path(get: Reader) -> None:
    get.sim.faults.add("status", status=502, path="/v1/customers")
    assert get("/v1/customers").status == 502
    assert get("/v1/customers/cus_none").status == 404


def test_throttled_with_a_reason_and_locked_without(get: Reader) -> None:
    get.sim.faults.add(kind="throttle", reason="endpoint-concurrency", times=1)
    answer = get("/v1/customers")
    assert (answer.status, answer.error["code"]) == (429, "rate_limit")
    assert answer.headers["Stripe-Rate-Limited-Reason"] == "endpoint-concurrency"
    get.sim.faults.add(kind="lock_timeout", times=1)
    answer = get("/v1/customers")
    assert (answer.status, answer.error["code"]) == (429, "lock_timeout")
    assert "Stripe-Rate-Limited-Reason" not in answer.headers
    get.sim.faults.add(status=409, times=1)
    assert get("/v1/customers").error["code"] == "lock_timeout"


@pytest.mark.parametrize("kind", ["drop", "reset"])
def test_no_answer(get: Reader, kind: str) -> None:
    get.sim.faults.add(kind=kind, times=1)
    with pytest.raises(urllib3.exceptions.ProtocolError):
        get("/v1/customers")
    assert get("/v1/customers").status == 200


def test_a_body_shorter_than_its_length(get: Reader) -> None:
    get.sim.faults.add(kind="cut", times=1)
    with pytest.raises(urllib3.exceptions.ProtocolError):
        get("/v1/customers", ("limit", 100))


def test_bodies_that_are_no_page(get: Reader) -> None:
    get.sim.faults.add(kind="error_200", times=1)
    answer = get("/v1/customers")
    assert (answer.status, "error" in answer.json) == (200, True)
    get.sim.faults.add(kind="not_json", times=1)
    assert get("/v1/customers").headers["Content-Type"] == "text/html"
    get.sim.faults.add(kind="half_json", times=1)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(get("/v1/customers").data)
    get.sim.faults.add(kind="empty", times=1)
    assert get("/v1/customers").data == b""


def test_a_late_answer(get: Reader) -> None:
    get.sim.faults.add(kind="slow", delay=0.2, times=1)
    began = time.monotonic()
    get("/v1/customers")
    assert time.monotonic() - began >= 0.2


def test_the_date_of_a_late_answer_is_that_of_its_sending(simulate: Callable[..., Reader]) -> None:
    sim = simulate(customers=0).sim
    reply = sim.service.respond("GET", "/v1/customers", "", {"authorization": f"Bearer {sim.key}"}, b"")
    sim.clock.advance(60)
    assert reply.date is not None
    assert reply.date() == formatdate(NOON + 60, usegmt=True)


def test_chance_is_seeded(simulate: Callable[..., Reader]) -> None:
    def run() -> list[int]:
        get = simulate(customers=0, seed=11)
        get.sim.faults.add(status=500, probability=0.5)
        return [get("/v1/customers").status for _ in range(20)]

    first = run()
    assert first == run()
    assert set(first) == {200, 500}


@pytest.mark.parametrize("wrong", [{"kind": "sideways"}, {"colour": "red"}])
def test_a_fault_that_does_not_exist(get: Reader, wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"sideways|colour"):
        get.sim.faults.add(**wrong)


class Hands:
    """A clock for the limits that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_live_limits(simulate: Callable[..., Reader]) -> None:
    hands = Hands()
    get = simulate(customers=0, rate_limits="live", monotonic=hands)
    statuses = [get("/v1/customers").status for _ in range(26)]
    assert statuses == [200] * 25 + [429]
    assert get("/v1/customers").headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
    assert [get("/v1/files").status for _ in range(21)] == [200] * 20 + [429]
    for path in ("/v1/charges", "/v1/refunds"):
        assert [get(path).status for _ in range(25)] == [200] * 25
    assert [get("/v1/payouts").status for _ in range(6)] == [200] * 5 + [429]
    assert get("/v1/payouts").headers["Stripe-Rate-Limited-Reason"] == "global-rate"
    hands.now += 1.0
    assert get("/v1/customers").status == 200


def test_sandbox_limits(simulate: Callable[..., Reader]) -> None:
    get = simulate(customers=0, rate_limits="sandbox", monotonic=Hands())
    paths = ["/v1/customers", "/v1/charges", "/v1/refunds"] * 9
    assert [get(path).status for path in paths] == [200] * 25 + [429] * 2


def test_concurrency(simulate: Callable[..., Reader]) -> None:
    get = simulate(customers=0, latency=0.2, rate_limits=Budget(concurrency=3, endpoint_concurrency=2))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(get, ["/v1/customers"] * 4))
        assert sorted(answer.status for answer in answers) == [200, 200, 429, 429]
        reasons = {answer.headers.get("Stripe-Rate-Limited-Reason") for answer in answers}
        assert reasons == {None, "endpoint-concurrency"}
        answers = list(pool.map(get, ["/v1/customers", "/v1/charges", "/v1/refunds", "/v1/payouts"]))
        assert sorted(answer.status for answer in answers) == [200, 200, 200, 429]


def test_products_that_the_account_lacks(simulate: Callable[..., Reader]) -> None:
    get = simulate(customers=0, lacks=["Issuing", "Treasury", "Accounts v2", "payment_records", "apple_pay_domains"])
    assert get("/v1/issuing/cards").error["message"].startswith("Your account is not set up to use Issuing.")
    assert "Unrecognized request URL (GET: /v1/treasury/" in get("/v1/treasury/financial_accounts").error["message"]
    assert get("/v2/core/accounts").error["message"].startswith("Accounts v2 is not enabled for your")
    assert get("/v1/payment_records").status == 404
    assert get("/v1/apple_pay/domains").status == 403
    assert get("/v1/customers").status == 200
    assert get.sim.account.truth()["issuing_cards"] == {}


def test_each_mode_lacks_something(simulate: Callable[..., Reader]) -> None:
    test, live = simulate(customers=0), simulate(customers=0, mode="live")
    assert "not enabled for testmode" in test("/v1/sigma/scheduled_query_runs").error["message"]
    assert test("/v1/test_helpers/test_clocks").status == 200
    assert live("/v1/sigma/scheduled_query_runs").status == 200
    assert "only available in testmode" in live("/v1/test_helpers/test_clocks").error["message"]
    assert live.sim.key.startswith("sk_live_")
    assert live("/v1/customers").json["data"][0]["livemode"] is True
