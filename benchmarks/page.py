"""The latency of the status page with a ledger of a million events, with and without filters.

`python -m benchmarks.page` fills the ledger with one statement. It requests each address once with cold caches, and
then many times. The slowest answer must meet the target.
"""

from __future__ import annotations

import re
import statistics
import time
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

import psycopg

from benchmarks.start import running_sink, script
from benchmarks.tools.machines import running_postgres, running_simulator
from benchmarks.tools.targets import at_most

EVENTS, ROUNDS, SLOWEST = 1_000_000, 20, 50.0  # the last in milliseconds
PASSWORD = "password of a benchmark"
ADDRESSES = ("/", "/?status=failed", "/?status=ignored", "/?type=invoice.paid", "/?type=customer.updated&status=failed")
FILL = """
insert into stripe.stripe_webhook_events
    (id, type, object_id, object_type, account_id, livemode, created, status, received_at, attempts, error, payload)
select 'evt_' || n, (array['customer.updated', 'invoice.paid', 'charge.succeeded'])[mod(n, 3) + 1], 'obj_' || n,
    'object', (select min(_account_id) from stripe.sync_accounts), false, now() - n * interval '5 s',
    case when mod(n, 20000) = 0 then 'failed' when mod(n, 1000) = 0 then 'ignored' else 'processed' end,
    now() - n * interval '5 s', 1, case when mod(n, 20000) = 0 then 'an error' end,
    json_build_object('id', 'evt_' || n, 'data', json_build_object('object', repeat('x', 1200)))
from generate_series(1, $1::bigint) as n
"""


def main() -> None:
    """Prints a line for each address."""
    with running_simulator("--customers", "30", "--rate-limits", "none") as (api, key), running_postgres() as url:
        environment = {
            "DATABASE_URL": url,
            "STRIPE_SECRET_KEY": key,
            "SOURCES__STRIPE__API_BASE": api,
            "SOURCES__STRIPE__DESTINATION": "postgres",
            "SOURCES__STRIPE__MAX_CLOCK_SKEW": "inf",
            "STRIPE_WEBHOOK_SECRET": "whsec_benchmark",
            "WEBHOOK_SINK__PAGE_PASSWORD": PASSWORD,
        }
        script(environment, "stripe_full.py", "--resources", "core")
        with running_sink(environment) as (_, port):
            with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
                connection.execute(FILL, [EVENTS])
                connection.execute("analyze stripe.stripe_webhook_events")
            browser = signed_in(f"http://127.0.0.1:{port}")
            for address in ADDRESSES:
                took = [milliseconds(browser, f"http://127.0.0.1:{port}{address}") for _ in range(ROUNDS)]
                print(f"{address:<42} first {took[0]:5.1f} ms, median {statistics.median(took):5.1f} ms")
                at_most(f"slowest answer of {address}", max(took), SLOWEST, "ms")


def signed_in(url: str) -> OpenerDirector:
    """A client with the page's cookie."""
    browser = build_opener(HTTPCookieProcessor())
    (token,) = re.findall(r'name="token" value="([^"]*)"', browser.open(f"{url}/").read().decode())
    browser.open(f"{url}/page/login", urlencode({"token": token, "password": PASSWORD}).encode()).close()
    if b"/page/logout" not in browser.open(f"{url}/").read():
        raise RuntimeError("the page did not accept the password")
    return browser


def milliseconds(browser: OpenerDirector, address: str) -> float:
    """The milliseconds until the last byte of an answer."""
    began = time.perf_counter()
    browser.open(address).read()
    return (time.perf_counter() - began) * 1_000


if __name__ == "__main__":
    main()
