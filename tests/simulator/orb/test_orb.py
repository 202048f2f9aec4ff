"""The simulated Orb: lists with their order, filters, hidden rows and cursors; refusals; objects as in the SDK."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
import pytest
import urllib3

from simulator.orb import OrbSimulator
from simulator.orb.account import LISTED, moment
from simulator.orb.activity import Activity
from simulator.orb.bulk import MIX
from sources.catalogue import Params
from sources.orb_api.catalogue import CATALOGUE
from sources.orb_api.events.webhook import verify
from sources.orb_api.generate.sdk import members
from sources.orb_api.generate.snapshot import model_of

NOON = 1_790_000_000 // 86400 * 86400 + 43200
TYPE = "https://docs.withorb.com/reference/error-responses#"


@pytest.fixture(scope="module")
def sim() -> Iterator[OrbSimulator]:
    with OrbSimulator(seed=7, customers=45, now=NOON, running=False) as simulator:
        yield simulator


def get(sim: OrbSimulator, path: str, *query: tuple[str, str], key: str | None = None) -> urllib3.BaseHTTPResponse:
    headers = {"Authorization": f"Bearer {key or sim.key}"}
    return urllib3.request("GET", sim.url + path, fields=list(query), headers=headers, retries=False, timeout=20)


def read(sim: OrbSimulator, path: str, *query: tuple[str, str]) -> list[dict[str, Any]]:
    """All objects of a list, page after page."""
    found: list[dict[str, Any]] = []
    cursor: list[tuple[str, str]] = []
    while True:
        page = get(sim, path, *query, *cursor).json()
        found += page["data"]
        if not page["pagination_metadata"]["has_more"]:
            assert page["pagination_metadata"]["next_cursor"] is None
            return found
        cursor = [("cursor", page["pagination_metadata"]["next_cursor"])]


def is_valid(model: Any, obj: dict[str, Any]) -> bool:
    """Whether one of the SDK's models takes an object."""
    try:
        model.model_validate(obj)
    except ValueError:
        return False
    return True


def refusal(answer: urllib3.BaseHTTPResponse) -> str:
    """The kind of an error answer, whose form is that of RFC 7807."""
    body = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert body.keys() == {"status", "title", "type", "detail", "validation_errors"}
    assert body["status"] == answer.status
    kind: str = body["type"]
    return kind.removeprefix(TYPE)


@pytest.mark.parametrize(
    "table", [name for name, listed in LISTED.items() if not (listed.parents or listed.range_params)]
)
def test_the_passes_of_a_list_show_every_object_once(sim: OrbSimulator, table: str) -> None:
    resource = LISTED[table]
    lists = [each for each in CATALOGUE.resources.values() if each.path == resource.path]
    passes: tuple[Params, ...] = tuple(params for resource in lists for params in resource.passes)
    shown = [each for params in passes for each in read(sim, resource.path, *params, ("limit", "7"))]
    assert sorted(each["id"] for each in shown) == sorted(obj["id"] for obj in sim.account.objects(table))
    assert shown or table == "webhook_events"
    if resource.newest_first and len(passes) == 1:
        moments = [each[resource.created_field or ""] for each in shown]
        assert moments == sorted(moments, reverse=True)


@pytest.mark.parametrize("name", sorted(LISTED.keys() - {"webhook_events"}))
def test_every_object_is_one_of_the_sdk(sim: OrbSimulator, name: str) -> None:
    models = members(model_of(LISTED[name].table))
    assert not any(is_valid(model, {"id": "some"}) for model in models)
    for obj in sim.account.objects(name):
        assert any(is_valid(model, obj) for model in models), obj


def test_rows_are_hidden_unless_they_are_asked_for(sim: OrbSimulator) -> None:
    assert {each["status"] for each in read(sim, "/v1/invoices")} == {"issued", "paid", "synced"}
    assert {each["status"] for each in read(sim, "/v1/invoices", ("status[]", "draft"), ("status[]", "void"))} == {
        "draft",
        "void",
    }
    assert {each["archived_at"] for each in read(sim, "/v1/coupons")} == {None}
    assert {each["status"] for each in read(sim, "/v1/plans")} == {"active"}


def test_a_filter_by_time_goes_by_the_field_of_its_name(sim: OrbSimulator) -> None:
    every = read(sim, "/v1/invoices")
    middle = every[len(every) // 2]["invoice_date"]
    older = read(sim, "/v1/invoices", ("invoice_date[lt]", middle))
    newer = read(sim, "/v1/invoices", ("invoice_date[gte]", middle))
    assert [each["id"] for each in newer + older] == [each["id"] for each in every]
    assert older
    assert newer
    assert refusal(get(sim, "/v1/invoices", ("created_at[gte]", middle))) == "400-request-validation-errors"
    assert refusal(get(sim, "/v1/customers", ("created_at[gte]", "2025-01-01"))) == "400-request-validation-errors"


def test_a_cursor_belongs_to_its_query_and_ends(sim: OrbSimulator) -> None:
    cursor = get(sim, "/v1/customers", ("limit", "5")).json()["pagination_metadata"]["next_cursor"]
    assert len(get(sim, "/v1/customers", ("limit", "3"), ("cursor", cursor)).json()["data"]) == 3
    since = ("created_at[gte]", moment(0))
    for path, *query in (("/v1/customers", since, ("cursor", cursor)), ("/v1/items", ("cursor", cursor))):
        assert "other parameters" in get(sim, path, *query).json()["detail"]
    assert refusal(get(sim, "/v1/customers", ("cursor", "no"))) == "400-request-validation-errors"
    with OrbSimulator(seed=7, customers=30, now=NOON, running=False) as other:
        cursor = get(other, "/v1/customers").json()["pagination_metadata"]["next_cursor"]
        other.clock.advance(86_401)
        assert "expired" in get(other, "/v1/customers", ("cursor", cursor)).json()["detail"]


def test_pages_have_twenty_objects_and_at_most_a_hundred(sim: OrbSimulator) -> None:
    assert len(get(sim, "/v1/customers").json()["data"]) == 20
    for limit in ("0", "101", "x"):
        assert refusal(get(sim, "/v1/customers", ("limit", limit))) == "400-request-validation-errors"
    sim.api.largest["customers"] = 10
    assert refusal(get(sim, "/v1/customers", ("limit", "11"))) == "413-request-too-large"
    assert get(sim, "/v1/customers", ("limit", "10")).status == 200
    sim.api.largest.clear()


def test_what_orb_refuses(sim: OrbSimulator) -> None:
    assert refusal(get(sim, "/v1/customers", key="test_other")) == "401-authentication-error"
    assert refusal(get(sim, "/v1/nothing")) == "404-url-not-found"
    assert refusal(get(sim, "/v1/customers/unknown")) == "404-resource-not-found"
    assert refusal(get(sim, "/v1/customers", ("starting_after", "1"))) == "400-request-validation-errors"
    sim.api.lacks.add("license_types")
    assert refusal(get(sim, "/v1/license_types")) == "404-feature-not-available"
    sim.api.lacks.clear()


def test_more_requests_a_second_than_allowed_are_refused() -> None:
    with OrbSimulator(customers=1, rate_limits="test", monotonic=lambda: 0.0) as sim:
        assert [get(sim, "/v1/items").status for _ in range(50)] == [200] * 50
        assert refusal(get(sim, "/v1/items")) == "429-too-many-requests"


def test_a_write_is_seen_and_logs_its_event_and_a_deletion_logs_none() -> None:
    with OrbSimulator(seed=2, customers=3, now=NOON, running=False) as sim:
        first, second, _ = read(sim, "/v1/customers")
        sim.account.update("customers", first["id"], {"name": "New"}, "customer.edited", {"previous_attributes": {}})
        sim.account.delete("customers", second["id"])
        answer = get(sim, f"/v1/customers/{first['id']}")
        assert answer.json() == first | {"name": "New"}
        assert parsedate_to_datetime(answer.headers["Date"]).timestamp() == NOON
        assert get(sim, f"/v1/customers/{second['id']}").status == 404
        (event,) = read(sim, "/v1/webhook_events")
        assert (event["type"], event["created_at"]) == ("customer.edited", moment(NOON))
        assert event["payload"]["customer"]["name"] == "New"
        assert event["payload"]["id"] == event["id"]


def test_the_command_serves_an_account() -> None:
    command = [sys.executable, "-m", "simulator", "orb", "--customers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url, key = process.stdout.readline().strip(), process.stdout.readline().strip()
        answer = urllib3.request("GET", f"{url}/v1/customers", headers={"Authorization": f"Bearer {key}"}, timeout=20)
        process.terminate()
    assert len(answer.json()["data"]) == 2
    assert process.returncode == 0


def test_the_same_seed_gives_the_same_account() -> None:
    one, other, third = (OrbSimulator(seed=seed, customers=4, now=NOON, running=False) for seed in (5, 5, 6))
    for table in LISTED:
        assert one.account.objects(table) == other.account.objects(table)
    assert one.account.objects("customers") != third.account.objects("customers")


def test_endpoints_are_made_changed_and_deleted_over_http() -> None:
    with OrbSimulator(seed=2, customers=1) as sim:

        def ask(method: str, path: str = "", body: object = None) -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {sim.key}"}
            url = f"{sim.url}/v1/webhook_endpoints{path}"
            answer = urllib3.request(
                method, url, headers=headers, body=orjson.dumps(body) if body is not None else None
            )
            return answer.status, answer.json()

        status, made = ask("POST", body={"url": "https://a.example/hook", "payload_style": "expanded"})
        assert (status, made["enabled"], bool(made["secret"])) == (200, True, True)
        assert "secret" not in ask("GET", f"/{made['id']}")[1]
        assert ask("PUT", f"/{made['id']}", {"payload_style": "standard"})[1]["payload_style"] == "standard"
        assert ask("POST", f"/{made['id']}/disable", {})[1]["enabled"] is False
        assert ask("POST", body={"url": "nowhere"})[0] == 400
        assert ask("PUT", f"/{made['id']}", {"secret": "mine"})[0] == 400
        assert ask("DELETE", f"/{made['id']}")[0] == 200
        assert ask("DELETE", f"/{made['id']}")[0] == 404
        assert ask("PATCH", f"/{made['id']}")[0] == 404


def test_deliveries_have_their_endpoints_style_and_orbs_signature() -> None:
    sim = OrbSimulator(seed=2, customers=2, running=False)
    made = {"created_at": sim.account.now(), "url": "https://a.example", "enabled": True}
    for id, style, types in (
        ("whole", "expanded", None),
        ("part", "standard", ["invoice.edited"]),
        ("off", "standard", []),
    ):
        sim.account.create(
            "webhook_endpoints", {**made, "id": id, "payload_style": style, "enabled_event_types": types}
        )
        sim.deliveries.secrets[id] = [f"secret of {id}", "another"]
    invoice, customer = sim.account.objects("invoices")[0]["id"], sim.account.objects("customers")[0]["id"]
    sim.account.update("invoices", invoice, {"memo": "x"}, "invoice.edited")
    sim.account.update("customers", customer, {"name": "y"}, "customer.edited")
    told = [(listing.endpoint, orjson.loads(listing.payload)) for listing in sim.deliveries.due]
    assert [(id, each["type"], each.get("payload_style")) for id, each in told] == [
        ("whole", "invoice.edited", "expanded"),
        ("part", "invoice.edited", "standard"),
        ("whole", "customer.edited", "expanded"),
    ]
    assert "line_items" in told[0][1]["invoice"]
    assert "line_items" not in told[1][1]["invoice"]
    assert told[0][1]["id"] == told[1][1]["id"]
    sim.account.style = "summary"
    sim.account.update("invoices", invoice, {"memo": "z"}, "invoice.edited")
    cut = orjson.loads(sim.deliveries.due[-2].payload)
    assert "payload_style" not in cut
    assert "line_items" not in cut["invoice"]
    delivery = sim.deliveries.due[0]
    headers = sim.deliveries.headers(delivery)
    given = [headers["X-Orb-Signature"], headers["X-Orb-Timestamp"]]
    for secret in sim.deliveries.secrets["whole"]:
        verify(delivery.payload, given, [secret], tolerance=1, now=sim.clock.seconds())


def test_activity_is_the_same_for_a_seed_and_changes_what_it_says() -> None:
    def lived(seed: int) -> dict[str, list[dict[str, Any]]]:
        account = OrbSimulator(seed=2, customers=6, now=1_760_000_000, running=False).account
        activity = Activity(account, seed)
        for _ in range(60):
            activity.step()
        activity.delete()
        return {table: account.objects(table) for table in account.tables}

    one = lived(1)
    assert one == lived(1)
    assert one != lived(2)
    types = {event["type"] for event in one["webhook_events"]}
    assert types >= {"customer.edited", "customer.balance_transaction_created", "plan.edited", "subscription.edited"}


def test_bulk_objects_are_valid_and_listed_with_the_others() -> None:
    with OrbSimulator(seed=7, customers=5, bulk=200, now=NOON, running=False) as sim:
        for table, share in MIX.items():
            bulk = [obj for obj in sim.account.objects(table) if obj["id"].startswith(table.replace("_", "") + "0")]
            assert len(bulk) == 2 * share
            models = members(model_of(table))
            assert all(any(is_valid(model, each) for model in models) for each in bulk)
        assert len(read(sim, "/v1/customers", ("limit", "100"))) == 85
