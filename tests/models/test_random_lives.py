"""Random lives of subscriptions through the simulator: MRR at every moment of change is the truth's, to the unit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from simulator.business import Maker
from simulator.business.contracts import Contract
from simulator.business.lives import Lives
from tests.databases import Database
from tests.models.loaded import build
from tests.pipelines.mirror import START, Mirror

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
    return mirror, lives


def spans(database: Database) -> Spans:
    found = defaultdict(list)
    for subscription, starts, ends, mrr, exact in database.query(SPANS):
        found[subscription].append((_second(starts), NEVER if ends is None else _second(ends), mrr, exact))
    return found


def _second(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp())


def wrong(contract: Contract, held: Spans, now: int) -> list[tuple[int, int, int]]:
    """Seconds at which the spans say something else than the truth: around every change that either of them knows."""
    own = held.get(contract.id, ())
    moments = {at for at, _ in contract.told} | {at for span in own for at in span[:2] if at != NEVER}
    found = []
    for at in sorted({each for moment in moments for each in (moment - 1, moment) if each <= now}):
        said = sum(mrr for starts, ends, mrr, _ in own if starts <= at < ends)
        if said != contract.mrr_at(at):
            found.append((at, said, contract.mrr_at(at)))
    return found


def test_mrr_is_the_truth_at_every_moment(mirrored: Callable[..., Mirror]) -> None:
    mirror, lives = lived(mirrored, days=250, count=60, seed=4, prorate=0.7)
    database, now = mirror.destination, mirror.sim.clock.seconds()
    build(database)
    held = spans(database)
    assert sum(len(one.told) for one in lives.contracts) > 300
    assert {one.id: bad for one in lives.contracts if (bad := wrong(one, held, now))} == {}
    assert database.query("select * from stripe_metrics.quality where kind not like 'table%'") == []
