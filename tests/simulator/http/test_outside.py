"""What others use: connected accounts, webhooks, the controls, the command line."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue

import orjson
import pytest
import stripe
import urllib3

from simulator.cli import main
from tests.simulator.conftest import NOON, Reader


@pytest.fixture
def hook() -> Iterator[tuple[str, Queue[tuple[bytes, str]], list[int]]]:
    """A server that takes webhooks: its URL, what it got (body, signature), and the statuses it is to answer with."""
    got: Queue[tuple[bytes, str]] = Queue()
    statuses: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.put((body, self.headers["Stripe-Signature"]))
            self.send_response(statuses.pop(0) if statuses else 200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/webhooks", got, statuses
    server.shutdown()
    thread.join()
    server.server_close()


Hook = tuple[str, "Queue[tuple[bytes, str]]", list[int]]


def test_an_endpoint_is_made_listed_changed_and_deleted(simulate: Callable[..., Reader]) -> None:
    get = simulate(customers=0)
    path = "/v1/webhook_endpoints"
    made = get(path, ("url", "https://example.com/w"), ("enabled_events[]", "customer.created"), method="POST").json
    assert made["secret"].startswith("whsec_")
    listed = get(path).json["data"][0]
    assert listed == {name: value for name, value in made.items() if name != "secret"}
    changed = get(f"{path}/{made['id']}", ("enabled_events[]", "*"), ("disabled", "true"), method="POST").json
    assert (changed["enabled_events"], changed["status"]) == (["*"], "disabled")
    assert get(f"{path}/{made['id']}", method="DELETE").json["deleted"] is True
    assert made["id"] not in get(path).ids


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ([("enabled_events[]", "*")], "parameter_missing"),
        ([("url", "https://example.com"), ("enabled_events[]", "*"), ("colour", "red")], "parameter_unknown"),
        ([("url", "https://example.com"), ("enabled_events[]", "no.such.event")], None),
    ],
)
def test_an_endpoint_that_cannot_be_made(get: Reader, query: list[tuple[str, str]], code: str | None) -> None:
    answer = get("/v1/webhook_endpoints", *query, method="POST")
    assert answer.status == 400
    assert answer.error.get("code") == code


def subscribe(get: Reader, url: str, *types: str, **more: str) -> dict[str, str]:
    query = [("url", url), *(("enabled_events[]", kind) for kind in types), *more.items()]
    made: dict[str, str] = get("/v1/webhook_endpoints", *query, method="POST").json
    return made


def test_a_delivery_is_signed_and_carries_the_event(simulate: Callable[..., Reader], hook: Hook) -> None:
    get = simulate(customers=0, now=None, running=True)
    endpoint = subscribe(get, hook[0], "customer.created", api_version="2026-10-28.endive")
    get.sim.account.create("customers", get.sim.make("customers", name="Ada"))
    get.sim.account.create("products", get.sim.make("products", name="not asked for"))
    (delivery,) = get.sim.deliveries.due
    assert get.sim.deliveries.send_all() == [200]
    body, signature = hook[1].get()
    assert body == delivery.payload
    event = stripe.Webhook.construct_event(body, signature, endpoint["secret"])
    assert event.type == "customer.created"
    stored = get(f"/v1/events/{event.id}").json
    assert orjson.loads(body)["data"] == stored["data"]


def test_two_secrets_sign_while_one_is_rolled(simulate: Callable[..., Reader], hook: Hook) -> None:
    get = simulate(customers=0, now=None, running=True)
    endpoint = subscribe(get, hook[0], "*")
    get.sim.deliveries.secrets[endpoint["id"]].append("whsec_new")
    get.sim.account.create("customers", get.sim.make("customers"))
    get.sim.deliveries.send_all()
    body, signature = hook[1].get()
    for secret in (endpoint["secret"], "whsec_new"):
        assert stripe.Webhook.construct_event(body, signature, secret)


def test_the_background_sends_again_what_was_not_taken(simulate: Callable[..., Reader], hook: Hook) -> None:
    get = simulate(customers=0)
    hook[2].extend([500, 503])
    subscribe(get, hook[0], "*")
    get.sim.deliveries.start(threads=1)
    get.sim.account.create("customers", get.sim.make("customers"))
    bodies = {hook[1].get(timeout=20)[0] for _ in range(3)}
    get.sim.deliveries.stop()
    assert len(bodies) == 1


def test_a_connected_account_has_objects_of_its_own(simulate: Callable[..., Reader]) -> None:
    get = simulate(customers=2)
    id = get("/v1/accounts", ("limit", 1)).ids[0]
    own = get("/v1/customers", stripe_account=id)
    assert own.ids
    assert not set(own.ids) & {obj["id"] for obj in get.sim.account.objects("customers")}
    assert own.headers["Stripe-Account"] == id
    assert get("/v1/account", stripe_account=id).json == get(f"/v1/accounts/{id}").json
    assert get("/v1/account", stripe_context=f"{get.sim.account.id}/{id}").json["id"] == id
    assert get("/v1/account", stripe_account=get.sim.account.id).json["id"] == get.sim.account.id
    assert {obj["id"] for obj in get.sim.connected(id).objects("customers")} == set(own.ids)


def test_an_account_that_is_not_connected_is_403(get: Reader) -> None:
    answer = get("/v1/customers", stripe_account="acct_of_nobody")
    assert (answer.status, answer.error["code"]) == (403, "account_invalid")
    assert "does not have access to account 'acct_of_nobody'" in answer.error["message"]


def test_events_of_connected_accounts_go_to_connect_endpoints(simulate: Callable[..., Reader], hook: Hook) -> None:
    get = simulate(customers=0)
    id = get("/v1/accounts", ("limit", 1)).ids[0]
    subscribe(get, hook[0], "*", connect="true")
    account = get.sim.connected(id)
    get.sim.account.create("customers", get.sim.make("customers"))
    account.create("customers", get.sim.make("customers"))
    (delivery,) = get.sim.deliveries.due
    assert orjson.loads(delivery.payload)["account"] == id


def test_the_controls(simulate: Callable[..., Reader]) -> None:
    get = simulate(customers=0)

    def control(name: str, **given: object) -> object:
        answer = get.http.request("POST", f"{get.sim.url}/_simulator/{name}", body=orjson.dumps(given))
        assert answer.status == 200, answer.data
        return answer.json()

    made = get.sim.make("customers", id="cus_1", name="Ada")
    control("mutate", action="create", table="customers", object=made)
    assert get("/v1/customers/cus_1").json["name"] == "Ada"
    control("mutate", action="update", table="customers", id="cus_1", object={"name": "Bea"})
    assert get("/v1/customers/cus_1").json["name"] == "Bea"
    assert control("advance", seconds=60) == {"now": NOON + 60}
    control("mutate", action="delete", table="customers", id="cus_1")
    assert get("/v1/customers/cus_1").json["deleted"] is True
    control("fault", path="/v1/customers/cus_1", kind="replace", old='"deleted"', new='"gone"', times=1)
    assert "gone" in get("/v1/customers/cus_1").json
    control("fault", path_prefix="/v1/charges", status=500, times=1)
    assert get("/v1/charges").status == 500
    state = get("/_simulator/state").json
    assert (state["account"], state["key"]) == (get.sim.account.id, get.sim.key)
    assert state["requests"]["GET /v1/charges"] == 1
    assert state["rows"]["charges"] == len(get.sim.account.objects("charges"))
    log = orjson.loads(get("/_simulator/log").data)
    assert log[-1]["path"] == "/v1/charges"
    control("reset")
    assert get("/_simulator/state").json["requests"] == {}


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"action":"dance","table":"customers"}', b"[]"])
def test_a_control_that_makes_no_sense_is_400(get: Reader, body: bytes) -> None:
    answer = get.http.request("POST", f"{get.sim.url}/_simulator/mutate", body=body)
    assert answer.status == 400
    assert "error" in answer.json()


def test_the_sdk_reads_from_it(get: Reader) -> None:
    client = stripe.StripeClient(get.sim.key, base_addresses={"api": get.sim.url})
    ids = [each.id for each in client.v1.customers.list({"limit": 7}).auto_paging_iter()]
    assert ids == [page["id"] for page in get.pages("/v1/customers", ("limit", 100))]
    assert client.v1.accounts.retrieve_current().id == get.sim.account.id
    with pytest.raises(stripe.AuthenticationError):
        stripe.StripeClient("sk_test_wrong", base_addresses={"api": get.sim.url}).v1.customers.list()


def test_pipelined_requests_are_answered_in_order(get: Reader) -> None:
    head = f"Authorization: Bearer {get.sim.key}\r\nHost: x\r\n\r\n"
    get.sim.faults.add(kind="slow", delay=0.1, times=1)
    with socket.create_connection(("127.0.0.1", get.sim.port)) as connection:
        asked = f"GET /v1/account HTTP/1.1\r\n{head}GET /v1/balance HTTP/1.1\r\nConnection: close\r\n{head}"
        connection.sendall(asked.encode())
        data = b"".join(iter(lambda: connection.recv(65536), b""))
    assert data.index(b'"object":"account"') < data.index(b'"object":"balance"')


def test_rubbish_is_400_and_closes(get: Reader) -> None:
    with socket.create_connection(("127.0.0.1", get.sim.port)) as connection:
        connection.sendall(b"\x00\x01 nonsense\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


@pytest.mark.long
def test_the_command_prints_its_url_and_serves_until_terminated() -> None:
    command = [sys.executable, "-m", "simulator", "--customers", "1", "--faults", "503:1:/v1/charges"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url, key = process.stdout.readline().strip(), process.stdout.readline().strip()
        headers = {"Authorization": f"Bearer {key}"}
        assert urllib3.request("GET", f"{url}/v1/customers", headers=headers).status == 200
        assert urllib3.request("GET", f"{url}/v1/charges", headers=headers, retries=False).status == 503
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--faults", "sideways"], "unknown kind (8 letters)"),
        (["--faults", "200"], "unknown kind (3 digits)"),
        (["--faults", "500:2"], "more than 1"),
        (["--lacks", "isuing_cards"], "did you mean issuing_cards?"),
        (["--port", "99999"], "0 to 65535"),
        (["--customers", "-3"], "is not a whole number from 0"),
        (["--latency-ms", "-1"], "is not a number from 0"),
    ],
)
def test_the_command_refuses_what_cannot_be(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_the_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str], get: Reader) -> None:
    assert main(["--port", str(get.sim.port), "--customers", "0"]) == 2
    assert "cannot listen" in capsys.readouterr().err


@pytest.mark.long
def test_a_process_that_uses_duckdb_beside_the_simulator_ends_without_a_word(root: Path) -> None:
    """As the demo does: DuckDB's module would report what the collector was told to leave alone."""
    program = "import duckdb\nfrom simulator.account.accounts import model\nmodel()"
    ended = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("", "")
