"""What an idle month costs at Orb with 1,000 subscriptions: the requests of hourly runs, counted by the simulator.

pytest tests/pipelines/orb_api/test_orb_cost.py -s      # prints them
"""

from __future__ import annotations

import pytest

from simulator.orb import OrbSimulator
from tests.databases import Database
from tests.pipelines.mirror import START
from tests.pipelines.orb_mirror import OrbMirror

RUNS, DAYS, WEEKS = 720, 30, 30 / 7


@pytest.mark.long
@pytest.mark.timeout(300)
def test_an_idle_month_costs_fewer_than_2000_requests(postgres_url: str) -> None:
    """One run of each kind is counted; a month has 720 runs, one a day and one a week of which read more."""
    with OrbSimulator(seed=1, customers=1_000, now=START, running=False) as sim:
        mirror = OrbMirror(sim, Database("postgres", postgres_url))
        first = sim.account.objects("customers")[0]["id"]
        sim.account.update("customers", first, {}, "customer.edited")  # by which the log is known to reach back
        mirror.pass_time(3_600)
        mirror.load()
        mirror.sync("new")
        assert len(sim.account.tables["subscriptions"]) == 1_000

        def cost(what: str) -> int:
            mirror.sync(what)  # type: ignore[arg-type]
            return mirror.requests()

        new, changes, everything = map(cost, ("new", "changes", "everything"))
        month = RUNS * new + (DAYS - WEEKS) * (changes - new) + WEEKS * (everything - new)
        print(f"requests: {new} each hour, {changes} once a day, {everything} once a week; {month:,.0f} a month")
        assert new == 1
        assert month < 2_000
