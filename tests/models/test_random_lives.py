"""Random lives of subscriptions through the simulator: MRR at every moment of change is the truth's, to the unit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import pytest

from simulator.content.business.contracts import Contract
from simulator.content.business.lives import Lives
from tests.databases import Database
from tests.models.loaded import build, built
from tests.pipelines.mirror import Mirror

DAY = 86400
RESOURCES = (
    "customers", "prices", "coupons", "subscriptions", "subscription_schedules", "invoices", "invoiceitems", "events",
)  # fmt: skip
SPANS = "select subscription, starts, ends, mrr, exact from stripe_metrics.item_spans"
Spans = Mapping[str, Sequence[tuple[int, int, int, bool]]]
NEVER = 1 << 40


def lived(mirrored: Callable[..., Mirror], *, days: int, count: int, seed: int, prorate: float) -> tuple[Mirror, Lives]:
    """A loaded account after some days of random lives, synced as often as its events are kept."""
    mirror = mirrored(customers=0)
    maker = mirror.sim.maker(seed)
    since = mirror.sim.clock.seconds()
    lives = Lives(maker, seed=seed, count=count, since=since, until=since + days * DAY, prorate=prorate)
    mirror.load(*RESOURCES)
    for day in range(25, days + 25, 25):
        until = since + day * DAY
        mirror.pass_time(until + 60 - mirror.sim.clock.time())
        lives.go_on(until)
        mirror.pass_time(600)
        mirror.sync()
        build(mirror.destination)
    return mirror, lives


def spans(database: Database) -> Spans:
    found = defaultdict(list)
    for subscription, starts, ends, mrr, exact in database.query(SPANS):
        found[subscription].append((_second(starts), NEVER if ends is None else _second(ends), mrr, exact))
    return found


def _second(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp())


def wrong(contract: Contract, held: Spans, now: int, *, otherwise: bool = False) -> list[tuple[int, int, int]]:
    """Seconds at which the spans say something else than the truth: around every change that either of them knows.

    `otherwise`: with the options under which usage counts and paused collection does not.
    """
    own = held.get(contract.id, ())
    moments = {at for at, _ in contract.told} | {at for span in own for at in span[:2] if at != NEVER}
    found = []
    for at in sorted({each for moment in moments for each in (moment - 1, moment) if each <= now}):
        said = sum(mrr for starts, ends, mrr, _ in own if starts <= at < ends)
        if said != (true := contract.mrr_at(at, otherwise=otherwise)):
            found.append((at, said, true))
    return found


@pytest.mark.long
@pytest.mark.timeout(300)
def test_mrr_is_the_truth_at_every_moment(mirrored: Callable[..., Mirror]) -> None:
    mirror, lives = lived(mirrored, days=75, count=30, seed=4, prorate=0.7)
    database, now = mirror.destination, mirror.sim.clock.seconds()
    assert sum(len(contract.told) for contract in lives.contracts) > 60

    # Each sync was followed by a build of what had changed: together they are a full one.
    step_by_step = built(database)
    assert build(database, full=True).full
    assert built(database) == step_by_step

    # Events tell of everything, to the second.
    assert {contract.id: bad for contract in lives.contracts if (bad := wrong(contract, spans(database), now))} == {}
    assert gaps(database) & {contract.id for contract in lives.contracts} == set()
    consistent(database)
    build(database, metered="trailing", pause="exclude")
    told = spans(database)
    assert {
        contract.id: bad for contract in lives.contracts if (bad := wrong(contract, told, now, otherwise=True))
    } == {}
    assert any(contract.told != contract.told_otherwise for contract in lives.contracts)

    # Without them prorations do, and what neither tells is in `quality`.
    database.query("delete from stripe.events where type not like 'customer.discount%'")
    build(database, full=True, metered="none", pause="count")
    untold = {contract.id for contract in lives.contracts if wrong(contract, spans(database), now)}
    assert untold <= gaps(database)
    assert 0 < len(untold) < len(lives.contracts) / 2
    for options in ({"discounts": "all", "churn_at": "request"}, {"discounts": "none", "timezone": "Asia/Tokyo"}):
        build(database, **options)
        consistent(database)


def gaps(database: Database) -> set[str]:
    return {id for (id,) in database.query("select distinct subscription from stripe_metrics._gaps")}


def consistent(database: Database) -> None:
    """Opening and movements are closing, in each month; the months follow each other, and end at what is paid now."""
    assert (
        database.query(
            "select * from stripe_metrics.mrr_monthly where opening + new + expansion + contraction + churn +"
            " reactivation"
            " <> closing"
        )
        == []
    )
    assert (
        database.query(
            "select * from (select opening, opening_customers, lag(closing) over w as closing,"
            " lag(closing_customers) over w"
            " as customers from stripe_metrics.mrr_monthly window w as (partition by _account_id, currency order by"
            " month))"
            " as months where opening <> coalesce(closing, 0) or opening_customers <> coalesce(customers, 0)"
        )
        == []
    )
    last = database.query(
        "select currency, closing, arr, closing_customers from stripe_metrics.mrr_monthly where closing <> 0"
        " and month = (select max(month) from stripe_metrics.mrr_monthly) order by 1"
    )
    assert last == database.query(
        "select currency, sum(mrr), sum(arr), count(*) from stripe_metrics.customers_now group by 1 order by 1"
    )
    assert [(currency, mrr, arr) for currency, mrr, arr, _ in last] == database.query(
        "select currency, sum(mrr), sum(arr) from stripe_metrics.item_spans where ends is null group by 1"
        " having sum(mrr) <> 0 order by 1"
    )
