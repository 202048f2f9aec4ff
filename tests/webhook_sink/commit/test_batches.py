"""Group commit: each event has its own outcome, whatever shares its transaction."""

from __future__ import annotations

import asyncio
import random
import string
from collections.abc import Callable
from typing import Any

import orjson
import psycopg
import pytest

from sources.stripe_api.events.webhook import read_event
from sources.stripe_api.provider import STRIPE
from tests.webhook_sink.conftest import NOW, Served, Stored, deliver, event, settings_for, sink_settings
from webhook_sink.commit.writer import QueueFull
from webhook_sink.sink import Sink

WithSink = Callable[..., Any]
POISON = "".join(random.Random(7).choices(string.ascii_letters, k=9_000))
"""An id too long for any index: no database takes its row."""


def customer(i: int | str, **fields: Any) -> dict[str, Any]:
    return {"id": f"cus_{i}", "object": "customer", **fields}


def created(i: int | str, **fields: Any) -> dict[str, Any]:
    return event("customer.created", customer(i, **fields), id=f"evt_{i}"[:100])


def test_poisonous_event_is_kept_as_failed_and_its_neighbours_are_committed(
    with_sink: WithSink, stored: Stored
) -> None:
    events = [created(i) for i in range(10)]
    events[4] = event("customer.created", customer(POISON), id="evt_poison")

    async def body(sink: Sink) -> list[str]:
        return await deliver(sink, *events)

    outcomes = with_sink(body)
    assert outcomes == ["committed"] * 4 + ["failed"] + ["committed"] * 5
    assert stored.value("select count(*) from stripe.customers") == 9
    status, attempts, error = stored.ledger("evt_poison")
    assert (status, attempts) == ("failed", 1)
    assert "too long for an index" in error
    assert POISON[:20] not in error


def test_failed_event_is_answered_500_and_tried_again_when_it_comes_again(
    serve: Callable[..., Served], stored: Stored
) -> None:
    served = serve()
    poison = event("customer.created", customer(POISON))
    assert served.send(poison, poison) == [500, 500]
    status, attempts, _ = stored.ledger()
    assert (status, attempts) == ("failed", 2)


def test_failed_event_whose_cause_is_gone_is_processed_when_it_comes_again(with_sink: WithSink, stored: Stored) -> None:
    async def body(sink: Sink) -> list[str]:
        first = await deliver(sink, created(1, balance=1))
        stored.query("alter table stripe.customers add constraint odd check (id <> 'cus_2')")
        second = await deliver(sink, created(2))
        stored.query("alter table stripe.customers drop constraint odd")
        return [*first, *second, *await deliver(sink, created(2))]

    assert with_sink(body) == ["committed", "failed", "committed"]
    assert stored.ledger("evt_2") == ("processed", 2, None)


NO_DDL = """
create function no_ddl() returns event_trigger language plpgsql as $$ begin raise exception 'not here'; end $$;
create event trigger no_ddl on ddl_command_start when tag in ('ALTER TABLE', 'CREATE TABLE') execute function no_ddl()
"""
REFUSING = """
create function refusing() returns trigger language plpgsql as $$ begin
  if new.id = 'cus_4' then {} end if; return new; end $$;
create trigger refusing before insert on stripe.customers for each row execute function refusing()
"""
PRODUCT = event("product.created", {"id": "prod_1", "object": "product"}, id="evt_4")
FULL = """
do $$ begin
  for n in 1 .. 1600 - (select count(*) from pg_attribute where attrelid = 'stripe.customers'::regclass and attnum > 0)
  loop execute format('alter table stripe.customers add column f%s boolean', n); end loop;
end $$
"""
REFUSALS = {  # what stands in the database, and the event that it refuses
    "a column": (NO_DDL, created(4, unheard_of=1), "P0001"),
    "a column more than a table may have": (FULL, created(4, unheard_of=1), "54011"),
    "a table": (NO_DDL, PRODUCT, "P0001"),
    "a table of another name": ("create view stripe.products as select 1 as one", PRODUCT, ""),
    "a table that a trigger misses": (REFUSING.format("perform * from nowhere;"), created(4), "42P01"),
    "a column that a trigger misses": (REFUSING.format("perform new.nothing;"), created(4), "42703"),
    "what is not supported": (REFUSING.format("raise exception using errcode = '0A000';"), created(4), "0A000"),
    "what a state forbids": (
        REFUSING.format("raise exception using errcode = '55000';"),
        created(4),
        "55000",
    ),
    "what is too large": (REFUSING.format("raise exception using errcode = '54000';"), created(4), "54000"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_the_database_refuses_for_good_fails_alone_and_at_once(
    with_sink: WithSink, stored: Stored, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    before, poison, state = REFUSALS[case]

    async def body(sink: Sink) -> tuple[list[str], float]:
        await deliver(sink, created("first"))
        stored.query(before)
        started = asyncio.get_running_loop().time()
        outcomes = await deliver(sink, *(poison if i == 4 else created(i) for i in range(9)))
        return outcomes, asyncio.get_running_loop().time() - started

    outcomes, seconds = with_sink(body, database_timeout=60.0)
    assert outcomes == ["committed"] * 4 + ["failed"] + ["committed"] * 4
    status, attempts, error = stored.ledger("evt_4")
    assert (status, attempts) == ("failed", 1)
    assert state in error
    assert [record for record in caplog.records if getattr(record, "event", None) == "evt_4"]
    assert seconds < 20  # once it was tried for as long as the database may be away, or eleven seconds


def test_columns_that_the_database_refuses_are_asked_for_once(with_sink: WithSink, stored: Stored) -> None:
    """A storm of events with such a column, each of which waits for the schema's lock, would stop all others."""
    counting = NO_DDL.replace("raise exception 'not here'", "perform nextval('asked'); raise exception 'not here'")
    stored.query("create sequence asked")

    async def counted(sink: Sink) -> list[str]:
        await deliver(sink, created("first"))
        stored.query(counting)
        poison = [created(i, **({"unheard_of": 1} if i % 2 else {})) for i in range(60)]
        return await deliver(sink, *poison)

    assert with_sink(counted) == ["committed", "failed"] * 30
    assert stored.value("select last_value from asked") <= 3


def test_what_the_database_had_refused_is_added_when_the_cause_is_gone(with_sink: WithSink, stored: Stored) -> None:
    async def before(sink: Sink) -> list[str]:
        await deliver(sink, created("first"))
        stored.query(NO_DDL)
        return await deliver(sink, created(1, unheard_of=1))

    async def after(sink: Sink) -> list[str]:
        return await deliver(sink, created(1, unheard_of=1))

    assert with_sink(before) == ["failed"]
    stored.query("drop event trigger no_ddl")
    assert with_sink(after) == ["committed"]
    assert stored.ledger("evt_1") == ("processed", 2, None)


def test_event_nested_too_deep_for_the_database_is_kept(with_sink: WithSink, stored: Stored) -> None:
    deep = orjson.dumps(created(1, metadata=0)).replace(b'"metadata":0', b'"metadata":' + b"[" * 900 + b"]" * 900)

    async def body(sink: Sink) -> str:
        return await sink.submit(read_event(deep))

    assert with_sink(body) in ("committed", "failed")
    assert stored.value("select count(*) from stripe.stripe_webhook_events where payload is not null") == 1


def test_event_that_is_twice_in_a_batch_is_done_once(with_sink: WithSink, stored: Stored) -> None:
    async def body(sink: Sink) -> list[str]:
        return await deliver(sink, created(1), created(1))

    assert with_sink(body) == ["committed", "duplicate"]
    assert stored.ledger("evt_1") == ("processed", 1, None)


def test_more_events_than_the_queue_holds_are_refused_at_once(with_sink: WithSink, stored: Stored) -> None:
    async def body(sink: Sink) -> list[str]:
        taken = [sink.submit(read_event(orjson.dumps(created(i)))) for i in range(5)]
        with pytest.raises(QueueFull):
            sink.submit(read_event(orjson.dumps(created(5))))
        return list(await asyncio.gather(*taken))

    assert with_sink(body, queue_events=5) == ["committed"] * 5


def test_stopping_commits_what_was_accepted(with_sink: WithSink, stored: Stored) -> None:
    async def body(sink: Sink) -> None:
        for i in range(250):
            sink.submit(read_event(orjson.dumps(created(i))))

    with_sink(body)
    assert stored.value("select count(*) from stripe.customers") == 250


def test_lost_connections_are_opened_again_and_nothing_is_lost(with_sink: WithSink, stored: Stored) -> None:
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'stripe-webhook-sink'"

    async def body(sink: Sink) -> list[str]:
        outcomes = []
        for i in range(30):
            if i % 10 == 5:
                await asyncio.to_thread(stored.query, kill)
            outcomes += await deliver(sink, created(i))
        return outcomes

    assert set(with_sink(body)) <= {"committed", "duplicate"}
    assert stored.value("select count(*) from stripe.customers") == 30


def test_two_sinks_on_one_database_do_every_event_once(with_sink: WithSink, stored: Stored) -> None:
    shared = [event("customer.updated", customer(i % 7, balance=i), id=f"evt_{i}", created=NOW + i) for i in range(120)]

    async def body(sink: Sink) -> list[str]:
        other = Sink(settings_for(stored.url), sink_settings(), provider=STRIPE)
        other.start()
        await other.opened()
        try:
            both = await asyncio.gather(*(deliver(each, e) for e in shared for each in (sink, other)))
        finally:
            await other.stop()
        return [outcome for (outcome,) in both]

    outcomes = with_sink(body)
    assert sorted(outcomes) == ["committed"] * 120 + ["duplicate"] * 120
    assert stored.query("select id, balance from stripe.customers order by id") == [
        (f"cus_{k}", max(i for i in range(120) if i % 7 == k)) for k in range(7)
    ]
    assert stored.value("select max(attempts) from stripe.stripe_webhook_events") == 1


def test_event_waits_for_a_load_that_holds_its_row_and_then_decides(with_sink: WithSink, stored: Stored) -> None:
    """A batch load that writes the same row in a long transaction: the later second wins, whoever commits last."""

    async def body(sink: Sink) -> list[str]:
        await deliver(sink, created(1, name="old"))
        with psycopg.connect(stored.url) as load:
            load.execute(
                "update stripe.customers set name = 'newest', _as_of = to_timestamp(%s) where id = 'cus_1'", (NOW + 5,)
            )
            late = asyncio.ensure_future(
                deliver(sink, event("customer.updated", customer(1, name="late"), id="evt_9", created=NOW + 2))
            )
            while not await asyncio.to_thread(stored.query, BLOCKED):
                await asyncio.sleep(0)
            load.commit()
        return await late

    assert with_sink(body) == ["committed"]
    assert stored.value("select name from stripe.customers") == "newest"


BLOCKED = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'stripe-webhook-sink'"


def test_payloads_are_dropped_after_their_days_and_the_rest_stays(with_sink: WithSink, stored: Stored) -> None:
    async def body(sink: Sink) -> None:
        await deliver(sink, created(1), created(2))
        stored.query(
            "update stripe.stripe_webhook_events set received_at = now() - interval '31 days' where id = 'evt_1'"
        )
        await sink.drop_old_payloads()

    with_sink(body, payload_days=30.0)
    assert stored.query("select id, payload is null, status from stripe.stripe_webhook_events order by id") == [
        ("evt_1", True, "processed"),
        ("evt_2", False, "processed"),
    ]
