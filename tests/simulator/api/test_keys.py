"""Who may ask: keys, permissions, versions, and what every answer carries."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from tests.simulator.conftest import NOON, Reader


def test_no_key_is_401_with_stripes_text(get: Reader) -> None:
    answer = get("/v1/customers", authorization=None)
    assert answer.status == 401
    assert answer.error["type"] == "invalid_request_error"
    assert answer.error["message"].startswith("You did not provide an API key.")
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="Stripe"'


@pytest.mark.parametrize("authorization", ["Bearer ", "Basic !!", "Digest x", "Bearer"])
def test_unreadable_authorization_is_401(get: Reader, authorization: str) -> None:
    assert get("/v1/customers", authorization=authorization).status == 401


def test_wrong_key_is_401_and_not_repeated_whole(get: Reader) -> None:
    answer = get("/v1/customers", authorization="Bearer sk_test_thisIsNoKey1234")
    assert answer.status == 401
    assert answer.error["message"] == "Invalid API Key provided: sk_test_***********1234"


def test_rolled_key_is_401_api_key_expired(simulate: Callable[..., Reader]) -> None:
    get = simulate(customers=0)
    key = get.sim.keys.restricted(read=["customers"])
    get.sim.keys.expire(key)
    answer = get("/v1/customers", authorization=f"Bearer {key}")
    assert (answer.status, answer.error["code"]) == (401, "api_key_expired")


def test_publishable_key_is_403(get: Reader) -> None:
    assert get("/v1/customers", authorization="Bearer pk_test_1").error["code"] == "secret_key_required"


def test_basic_authentication_with_the_key_as_user(get: Reader) -> None:
    token = base64.b64encode(f"{get.sim.key}:".encode()).decode()
    assert get("/v1/customers", authorization=f"Basic {token}").status == 200


def test_restricted_key_reads_what_it_may_and_is_told_what_it_lacks(get: Reader) -> None:
    key = get.sim.keys.restricted(read=["customers"])
    assert get("/v1/customers", authorization=f"Bearer {key}").status == 200
    answer = get("/v1/charges", authorization=f"Bearer {key}")
    assert answer.status == 403
    assert f"on account '{get.sim.account.id}'" in answer.error["message"]
    assert answer.error["message"].endswith(
        "Having the 'rak_charge_read' permission would allow this request to continue."
    )


def test_restricted_read_key_may_not_delete(get: Reader) -> None:
    key = get.sim.keys.restricted(read=["customers"])
    answer = get("/v1/customers/cus_1", method="DELETE", authorization=f"Bearer {key}")
    assert answer.status == 403
    assert "rak_customer_write" in answer.error["message"]


def test_version_is_echoed_and_an_invented_one_refused(get: Reader) -> None:
    assert get("/v1/customers").headers["Stripe-Version"] == "2026-10-28.endive"
    assert get("/v1/customers", stripe_version="yesterday").error["message"] == "Invalid Stripe API version: yesterday"


def test_v2_wants_a_version(get: Reader) -> None:
    assert get("/v2/core/accounts", stripe_version=None).status == 400


def test_date_is_stripes_clock(get: Reader) -> None:
    from email.utils import parsedate_to_datetime

    assert parsedate_to_datetime(get("/v1/customers").headers["Date"]).timestamp() == NOON


def test_every_answer_has_a_request_id_of_its_own(get: Reader) -> None:
    ids = {get("/v1/customers").headers["Request-Id"], get("/v1/nothing").headers["Request-Id"]}
    assert len(ids) == 2
    assert all(id.startswith("req_") for id in ids)


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/customers/", "/", "/v1/invoices/in_1/lines/x/y"])
def test_unknown_url_is_404(get: Reader, path: str) -> None:
    answer = get(path)
    assert answer.status == 404
    assert answer.error["message"].startswith(f"Unrecognized request URL (GET: {path}).")
