"""The client against a simulated account over HTTP, and its pure parts. No test waits: sleeps are recorded."""

from __future__ import annotations

import gzip
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import HTTPHeaderDict

from sources.errors import (
    AuthenticationFailed,
    BadConfiguration,
    BrokenPage,
    ConnectorError,
    ObjectMissing,
    RequestRefused,
    RetryLater,
    ServerFailed,
    SkipResource,
    Throttled,
    Unreachable,
)
from sources.fetch.http.client import endpoint_of, endpoint_rates, request, retry_delay
from sources.fetch.http.safe_text import safe
from sources.fetch.limiter import Limiter
from sources.fetch.values import Reply, as_of
from sources.json_text import decode
from sources.stripe_api.catalogue import RESOURCES
from sources.stripe_api.client.bodies import page_of
from sources.stripe_api.client.client import Client
from sources.stripe_api.client.refusals import error_of
from sources.stripe_api.client.settings import ClientSettings

if TYPE_CHECKING:
    from simulator import Simulator

Start = Callable[..., "Simulator"]


class Waits(list[float]):
    """Stands in for sleep, and remembers how long."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def client_of(sim: Simulator, **settings: Any) -> tuple[Client, Waits]:
    waits = Waits()
    chosen = {"api_key": sim.key, "api_base": sim.url, **settings}
    return Client(ClientSettings(**chosen), Limiter(None, None), sleep=waits, chance=lambda: 0.5), waits


# --- pages and objects -----------------------------------------------------------------------------------------------


def test_page_holds_the_objects_as_the_account_shows_them(simulator: Start) -> None:
    sim = simulator(customers=5)
    client, _ = client_of(sim)
    page = client.page("/v1/customers", (("limit", "3"),))
    assert page.objects == [sim.account.show("customers", obj["id"]) for obj in page.objects]
    assert len(page.objects) == 3
    assert page.has_more
    assert page.next_page is None
    assert page.requests == 1
    assert page.request_id is not None
    assert page.nbytes > 1000


def test_second_version_of_the_api_gives_a_path_to_the_next_page(simulator: Start) -> None:
    client, _ = client_of(simulator(customers=5))
    page = client.page("/v2/core/event_destinations", (("limit", "1"),))
    assert page.has_more
    assert page.next_page is not None
    assert page.next_page.startswith("/v2/core/event_destinations?")
    following = client.page(page.next_page)
    assert following.objects[0]["id"] != page.objects[0]["id"]


def test_object_is_read_by_its_path(simulator: Start) -> None:
    sim = simulator(customers=2)
    client, _ = client_of(sim)
    id = sim.account.objects("customers")[0]["id"]
    answer = client.object(f"/v1/customers/{id}")
    assert answer.object == sim.account.show("customers", id)
    with pytest.raises(ObjectMissing, match="No such customer: 'cus_none'") as caught:
        client.object("/v1/customers/cus_none")
    assert caught.value.code == "resource_missing"


def test_version_account_and_key_are_sent(simulator: Start) -> None:
    client, _ = client_of(simulator(customers=1), stripe_account="acct_123", stripe_context="org_1/acct_2")
    assert client.settings.headers["Stripe-Version"] == stripe.api_version
    assert client.settings.headers["Stripe-Account"] == "acct_123"
    assert client.settings.headers["Stripe-Context"] == "org_1/acct_2"
    chosen, _ = client_of(simulator(customers=1), stripe_version="2026-10-28.endive")
    assert chosen.settings.headers["Stripe-Version"] == "2026-10-28.endive"
    assert chosen.page("/v1/customers").objects


def test_connections_are_kept_open(simulator: Start) -> None:
    sim = simulator(customers=2)
    client, _ = client_of(sim)
    for _ in range(20):
        client.page("/v1/customers", (("limit", "1"),))
    assert len(client._transport._open) == 1


# --- retries ---------------------------------------------------------------------------------------------------------

PASSING = [
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 409},
    {"kind": "lock_timeout"},
    {"kind": "throttle", "reason": "global-rate"},
    {"kind": "throttle", "reason": "endpoint-concurrency"},
    {"kind": "throttle", "reason": "resource-specific"},
    {"kind": "drop"},
    {"kind": "reset"},
    {"kind": "cut"},
    {"kind": "error_200"},
    {"kind": "not_json"},
    {"kind": "half_json"},
    {"kind": "empty"},
]


@pytest.mark.long
@pytest.mark.parametrize(
    "fault", PASSING, ids=lambda fault: str(fault.get("reason") or fault.get("status") or fault["kind"])
)
def test_passing_failure_is_asked_again(simulator: Start, fault: dict[str, Any]) -> None:
    sim = simulator(customers=3)
    client, waits = client_of(sim)
    sim.faults.add(path_prefix="/v1/customers", times=3, **fault)
    page = client.page("/v1/customers")
    assert page.objects
    assert page.requests == 4
    assert waits == [0.25, 0.5, 1.0]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "status", "status": 500}, ServerFailed),
        ({"kind": "status", "status": 409}, ServerFailed),
        ({"kind": "throttle"}, Throttled),
        ({"kind": "lock_timeout"}, Throttled),
        ({"kind": "drop"}, Unreachable),
        ({"kind": "cut"}, BrokenPage),
        ({"kind": "error_200"}, BrokenPage),
        ({"kind": "half_json"}, BrokenPage),
    ],
    ids=lambda value: value.get("kind") if isinstance(value, dict) else value.__name__,
)
def test_lasting_failure_is_given_up_after_the_allowed_retries(
    simulator: Start, fault: dict[str, Any], kind: type[RetryLater]
) -> None:
    sim = simulator(customers=3)
    client, waits = client_of(sim, max_retries=2)
    met = sim.faults.add(path_prefix="/v1/customers", **fault)
    with pytest.raises(kind):
        client.page("/v1/customers")
    assert met.met == 3
    assert len(waits) == 2


def test_refusal_is_not_asked_again(simulator: Start) -> None:
    client, waits = client_of(simulator(customers=1))
    with pytest.raises(RequestRefused, match="Received unknown parameter: colour"):
        client.page("/v1/customers", (("colour", "red"),))
    assert waits == []


@given(attempts=st.integers(1, 40), chance=st.floats(0, 1, exclude_max=True), most=st.floats(0.1, 600))
def test_delay_is_between_nothing_and_twice_the_last_bound(attempts: int, chance: float, most: float) -> None:
    first = most / 50
    settings = ClientSettings("sk_test_1", max_retries=40, initial_retry_delay=first, max_retry_delay=most)
    delay = retry_delay(attempts, ServerFailed("…"), settings, lambda: chance)
    assert delay is not None
    assert 0 <= delay <= min(most, first * 2 ** (attempts - 1))
    assert retry_delay(41, ServerFailed("…"), settings, lambda: chance) is None
    assert retry_delay(1, RequestRefused("…"), settings, lambda: chance) is None


@pytest.mark.parametrize(("header", "delay"), [("7", 7.0), ("0", 0.25), ("3600", 60.0), ("Fri, 01 Jan", 0.25)])
def test_retry_after_is_honoured_up_to_the_cap(header: str, delay: float) -> None:
    error = error_of(reply(429, b"{}", {"Retry-After": header}))
    assert retry_delay(1, error, ClientSettings("sk_test_1"), lambda: 0.5) == delay


def test_throttling_tells_the_limiter(simulator: Start) -> None:
    sim = simulator(customers=1)
    limiter = Limiter(100.0, 25.0)
    client = Client(ClientSettings(sim.key, sim.url), limiter, sleep=Waits())
    account, endpoint = limiter.rate(), limiter.rate("/v1/customers")
    sim.faults.add(kind="throttle", reason="global-rate", times=1)
    client.page("/v1/customers")
    assert limiter.rate() < account
    assert limiter.rate("/v1/customers") == endpoint
    sim.faults.add(kind="throttle", reason="endpoint-rate", times=1)
    client.page("/v1/customers")
    assert limiter.rate("/v1/customers") < endpoint


# --- refusals --------------------------------------------------------------------------------------------------------


def test_wrong_key_stops_everything(simulator: Start) -> None:
    client, waits = client_of(simulator(customers=1), api_key="sk_test_not_the_key_1234")
    with pytest.raises(AuthenticationFailed, match="Set STRIPE_SECRET_KEY") as caught:
        client.page("/v1/customers")
    assert waits == []
    assert "1234" not in str(caught.value)


def test_account_that_the_key_may_not_act_for_stops_everything(simulator: Start) -> None:
    client, _ = client_of(simulator(customers=1), stripe_account="acct_of_somebody_else")
    with pytest.raises(BadConfiguration, match="SOURCES__STRIPE__STRIPE_ACCOUNT"):
        client.page("/v1/customers")


def test_version_that_never_was_stops_everything(simulator: Start) -> None:
    client, _ = client_of(simulator(customers=1), stripe_version="yesterday")
    with pytest.raises(BadConfiguration, match="SOURCES__STRIPE__STRIPE_VERSION"):
        client.page("/v1/customers")


def test_what_stripe_repeats_of_our_settings_is_left_out(simulator: Start) -> None:
    sim = simulator(customers=1)
    for setting in ("stripe_version", "stripe_account", "stripe_context"):
        for value in ("hunter2", "org_1/hunter2"):
            client, _ = client_of(sim, **{setting: value})
            with pytest.raises(BadConfiguration) as raised:
                client.page("/v1/customers")
            assert "hunter2" not in "".join(traceback.format_exception(raised.value))
    client, _ = client_of(sim, stripe_account="acct_nobody")
    with pytest.raises(BadConfiguration, match="access to account 'acct_nobody'"):
        client.page("/v1/customers")


@pytest.mark.parametrize("lacks", ["Issuing", "Treasury", "Identity"])
def test_product_that_the_account_lacks_is_skipped(simulator: Start, lacks: str) -> None:
    client, waits = client_of(simulator(customers=1, lacks=[lacks]))
    resource = next(resource for resource in RESOURCES.values() if resource.gate == lacks and not resource.parents)
    with pytest.raises(SkipResource):
        client.page(resource.path, denied=resource.denied)
    assert waits == []


STRIPE = b'{"error": {"type": "invalid_request_error", "message": "%s"}}'


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "Your account is not set up to use Issuing. Please visit https://dashboard.stripe.com", SkipResource),
        (404, "Unrecognized request URL (GET: /v1/treasury/transactions).", SkipResource),
        (400, "This endpoint is only available in testmode. Try using your test keys instead.", SkipResource),
        (400, "This API surface is not enabled for testmode usage.", SkipResource),
        (400, "Accounts v2 is not enabled for your platform/livemode merchant", SkipResource),
        (400, "Your account is not authorized to send Forwarding requests in livemode", SkipResource),
        (403, "The provided key 'rk_live_*1' does not have the required permissions", SkipResource),
        (400, "Having the 'rak_charge_read' permission would allow this request to continue.", SkipResource),
        (400, "Invalid integer: abc", RequestRefused),
        (404, "No such customer: 'cus_1'", ObjectMissing),
        (402, "Something about money", RequestRefused),
        (401, "Invalid API Key provided: sk_test_*1234", AuthenticationFailed),
        (429, "Too many requests", Throttled),
        (500, "Sorry", ServerFailed),
    ],
)
def test_refusals_are_told_apart(status: int, text: str, kind: type[ConnectorError]) -> None:
    assert type(error_of(reply(status, STRIPE % text.encode()))) is kind


def test_text_that_is_known_of_a_list_is_a_skip() -> None:
    body = STRIPE % b"Climate is closed on Sundays"
    assert type(error_of(reply(400, body))) is RequestRefused
    assert type(error_of(reply(400, body), ["closed on sundays"])) is SkipResource


def test_publishable_key_is_a_wrong_key_whatever_the_status() -> None:
    body = b'{"error": {"code": "secret_key_required", "message": "This API call cannot be made with it"}}'
    assert type(error_of(reply(403, body))) is AuthenticationFailed


@pytest.mark.parametrize("status", [400, 403, 404])
def test_refusal_that_is_not_stripes_is_retried_and_names_the_base(status: int) -> None:
    error = error_of(reply(status, b"<html>Forbidden by the proxy</html>"))
    assert isinstance(error, BrokenPage)
    assert "SOURCES__STRIPE__API_BASE" in str(error)


def test_redirect_is_not_followed() -> None:
    with server(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n") as base:
        client = Client(ClientSettings("sk_test_1", base), Limiter(None, None), sleep=Waits())
        with pytest.raises(RequestRefused, match="redirected"):
            client.page("/v1/customers")


# --- messages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Invalid API Key provided: sk_test_****1234", "1234"),
        ("Expired API Key provided: rk_live_51HqAbC", "51HqAbC"),
        ("The provided key 'rk_live_*********abcd' does not have access", "abcd"),
        ("Invalid email address: jenny.rosen@example.com", "rosen"),
        ('No customer is called "Jenny Rosen"', "Jenny"),
        ("The phone number +1 415 555 0132 is invalid", "555"),
        ("The client_secret pi_123_secret_456 does not match", "456"),
        ("See https://evil.example/?q=1", "evil"),
    ],
)
def test_messages_hold_no_secret_and_no_customers_data(text: str, hidden: str) -> None:
    error = error_of(reply(400, STRIPE % text.replace('"', '\\"').encode()))
    assert hidden not in str(error)
    assert error.__cause__ is None


@pytest.mark.parametrize(
    "text",
    [
        "No such customer: 'cus_NffrFeUfNV2Hib'",
        "Having the 'rak_customer_read' permission would allow this request to continue",
        "Received unknown parameter: created[gte]",
        "Missing required param: financial_account",
        "Your account is not set up to use Issuing. See https://dashboard.stripe.com/issuing/overview",
    ],
)
def test_messages_keep_what_helps(text: str) -> None:
    assert safe(text) == text


@given(st.text(max_size=2000))
def test_any_text_becomes_one_short_line(text: str) -> None:
    assert len(safe(text)) <= 300
    assert "\n" not in safe(text)


def test_settings_do_not_show_the_key() -> None:
    assert "sk_test_1234" not in repr(ClientSettings("sk_test_1234"))


# --- what an answer holds --------------------------------------------------------------------------------------------


def reply(status: int, body: bytes, headers: dict[str, str] | None = None, elapsed: float = 0.1) -> Reply:
    sent = {"Date": format_datetime(datetime.fromtimestamp(1_700_000_000, UTC), usegmt=True), **(headers or {})}
    return Reply("/v1/customers", status, HTTPHeaderDict(sent), body, elapsed)


@pytest.mark.parametrize(
    ("elapsed", "moment"), [(0.001, 1_699_999_998), (0.99, 1_699_999_998), (1.01, 1_699_999_997), (80.0, 1_699_999_919)]
)
def test_state_is_as_of_the_second_before_the_request(elapsed: float, moment: int) -> None:
    assert as_of(reply(200, b"", elapsed=elapsed)) == moment


@pytest.mark.parametrize("headers", [{}, {"Date": ""}, {"Date": "yesterday"}])
def test_answer_without_a_date_is_not_guessed_at(headers: dict[str, str]) -> None:
    with pytest.raises(BrokenPage, match="Date"):
        as_of(Reply("/v1/customers", 200, HTTPHeaderDict(headers), b"", 0.1))


def test_state_is_never_newer_than_the_accounts_clock(simulator: Start) -> None:
    sim = simulator(customers=1, now=1_750_000_000.0, running=False)
    client, _ = client_of(sim)
    assert client.page("/v1/customers").as_of == 1_750_000_000 - 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html></html>",
        b'{"object": "list"}',
        b'{"object": "list", "data": {}, "has_more": false}',
        b'{"object": "list", "data": [1], "has_more": false}',
        b'{"object": "list", "data": []}',
        b'{"object": "list", "data": [], "has_more": "false"}',
        b'{"object": "list", "data": [], "has_more": true}',
        b'{"object": "list", "data": [{"id": "cus_1"}], "has_mo',
        b'{"error": {"message": "no"}}',
        b'{"data": [], "next_page_url": 5}',
        b"\xff\xfe",
    ],
)
def test_anything_but_a_page_is_a_broken_page(body: bytes) -> None:
    with pytest.raises(BrokenPage):
        page_of(reply(200, body))


@given(st.binary(max_size=200))
def test_no_body_brings_down_the_reader(body: bytes) -> None:
    try:
        page_of(reply(200, body))
    except BrokenPage:
        return


def test_pages_keep_what_orjson_would_change_or_refuse() -> None:
    """As events do: a value must not depend on the way it came."""
    body = rb'{"name": "a\ud83d\ude00b", "lone": "a\ud800b", "large": [18446744073709551617, 0.5]}'
    assert decode(body) == {"name": "a\U0001f600b", "lone": "a\ud800b", "large": [18446744073709551617, 0.5]}


# --- settings and paths ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"api_key": ""}, "STRIPE_SECRET_KEY"),
        ({"api_key": "  \n"}, "STRIPE_SECRET_KEY"),
        ({"api_key": "pk_live_1"}, "publishable"),
        ({"api_key": "sk_test_1\nX-Evil: 1"}, "STRIPE_SECRET_KEY"),
        ({"api_base": "api.stripe.com"}, "SOURCES__STRIPE__API_BASE"),
        ({"api_base": "ftp://api.stripe.com"}, "SOURCES__STRIPE__API_BASE"),
        ({"api_base": "https://api.stripe.com/v1"}, "SOURCES__STRIPE__API_BASE"),
        ({"api_base": "https://user:secret@proxy"}, "SOURCES__STRIPE__API_BASE"),
        ({"api_base": "http://proxy.example", "api_key": "rk_live_1"}, "SOURCES__STRIPE__API_BASE"),
        ({"api_base": "http://127.proxy.example", "api_key": "rk_live_1"}, "SOURCES__STRIPE__API_BASE"),
        ({"api_base": "http://[::1"}, "SOURCES__STRIPE__API_BASE"),
        ({"api_base": "http://127.0.0.1:port"}, "SOURCES__STRIPE__API_BASE"),
        ({"stripe_account": "acct_1\r\nX: 1"}, "SOURCES__STRIPE__STRIPE_ACCOUNT"),
    ],
)
def test_setting_that_cannot_work_is_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(BadConfiguration, match=named):
        ClientSettings(**{"api_key": "sk_test_1", **settings})


def test_white_space_around_a_key_does_no_harm() -> None:
    assert ClientSettings(" sk_test_1\n", "https://api.stripe.com/").headers["Authorization"] == "Bearer sk_test_1"


@pytest.mark.parametrize(
    ("base", "coding"), [("https://api.stripe.com", "gzip"), ("http://127.0.0.1:12111", "identity")]
)
def test_compression_is_asked_for_unless_the_server_is_near(base: str, coding: str) -> None:
    assert ClientSettings("sk_test_1", base).headers["Accept-Encoding"] == coding


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/v1/customers", "/v1/customers"),
        ("/v1/customers/cus_123/sources", "/v1/customers/{}/sources"),
        ("/v1/customers/{customer}/sources", "/v1/customers/{}/sources"),
        ("/v1/invoices/{id}/lines", "/v1/invoices/{}/lines"),
        ("/v2/core/accounts/acct_1/persons", "/v2/core/accounts/{}/persons"),
        ("/v1/three_d_secure/authentications", "/v1/three_d_secure/authentications"),
    ],
)
def test_limits_count_by_the_path_without_ids(path: str, endpoint: str) -> None:
    assert endpoint_of(path) == endpoint


def test_endpoints_with_a_limit_of_their_own_are_known() -> None:
    assert endpoint_rates(RESOURCES.values())["/v1/files"] == 20


@pytest.mark.parametrize(
    ("id", "path"),
    [
        ("prod_1", "/v1/products/prod_1/features"),
        ("a/../b", "/v1/products/a%2F..%2Fb/features"),
        ("..", "/v1/products/%2E%2E/features"),
        ("50% off?", "/v1/products/50%25%20off%3F/features"),
    ],
)
def test_ids_of_the_users_choosing_do_not_lead_elsewhere(id: str, path: str) -> None:
    assert request("/v1/products/{product}/features", (), {"product": id}).path == path


# --- connections -----------------------------------------------------------------------------------------------------


@contextmanager
def server(answer: bytes | None) -> Iterator[str]:
    """Takes connections and answers each request with these bytes; None: never answers."""
    listening = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
                taken.append(connection)
                connection.recv(65536)
                if answer is not None:
                    connection.sendall(answer)
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for connection in taken:
            connection.close()
        thread.join()


def test_refused_connection_is_told_of(simulator: Start) -> None:
    with server(None) as base:
        pass
    client = Client(ClientSettings("sk_test_1", base, max_retries=0), Limiter(None, None))
    with pytest.raises(Unreachable, match="refused the connection"):
        client.page("/v1/customers")


def test_answer_that_does_not_come_in_time_is_asked_for_again() -> None:
    with server(None) as base:
        waits = Waits()
        settings = ClientSettings("sk_test_1", base, max_retries=1, read_timeout=0.05)
        client = Client(settings, Limiter(None, None), sleep=waits)
        with pytest.raises(Unreachable, match="READ_TIMEOUT"):
            client.page("/v1/customers")
    assert len(waits) == 1


def test_compressed_answer_is_read(simulator: Start) -> None:
    body = gzip.compress(b'{"object": "list", "data": [{"id": "cus_1"}], "has_more": false}')
    head = b"HTTP/1.1 200 OK\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Encoding: gzip\r\n"
    with server(head + b"Content-Length: %d\r\n\r\n" % len(body) + body) as base:
        client = Client(ClientSettings("sk_test_1", base, compression=True), Limiter(None, None))
        assert client.page("/v1/customers").objects == [{"id": "cus_1"}]


def test_abort_ends_a_request_that_another_thread_waits_for() -> None:
    with server(None) as base:
        client = Client(ClientSettings("sk_test_1", base, max_retries=0), Limiter(None, None))
        ended: list[BaseException] = []

        def read() -> None:
            try:
                client.page("/v1/customers")
            except ConnectorError as error:
                ended.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        while thread.is_alive():
            client.abort()
            thread.join(0.01)
    assert isinstance(ended[0], Unreachable)
