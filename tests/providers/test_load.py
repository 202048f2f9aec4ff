"""A load, whatever the provider and the database: equal tables, failures, and one run at a time."""

from __future__ import annotations

import pytest

from pipelines.loading.loader import FEW_ROWS
from pipelines.loading.session import open_database
from pipelines.warehouse.problems import AlreadyRunning
from sources.errors import AuthenticationFailed
from tests.providers.conftest import Made
from tests.providers.provider_case import ProviderCase


@pytest.mark.long
def test_every_table_equals_the_account_after_a_load_and_after_a_full_refresh(
    case: ProviderCase, mirrored: Made
) -> None:
    mirror = mirrored(customers=25)
    life = case.live(mirror)
    assert mirror.run("all").failed == []
    assert mirror.differences(["all"]) == []

    new = life.add_customer()
    altered = {table: life.alter(table, changes) for table, changes in case.unseen.items()}
    before = mirror.row("customers", altered["customers"])
    assert mirror.run("core").failed == []
    assert mirror.row("customers", new)["_deleted_at"] is None
    assert mirror.row("customers", altered["customers"]) == before  # a later load reads what is new
    assert len(mirror.differences(["core"])) >= len(altered)

    mirror.forget_requests()
    assert mirror.run("core", full_refresh=True).failed == []
    assert mirror.requests() > len(mirror.provider.catalogue.select(["core"]))
    assert mirror.differences(["core"]) == []
    assert mirror.row("customers", altered["customers"])["brand_new"] == 7


@pytest.mark.parametrize("destination", ["postgres"], indirect=True)
@pytest.mark.parametrize("package_rows", [FEW_ROWS // 5, 40_000], ids=["small packages", "large packages"])
def test_tables_are_equal_whichever_way_postgres_takes_their_rows(
    case: ProviderCase, mirrored: Made, package_rows: int
) -> None:
    """Few rows go along with the statement that merges them, many by COPY: the size of packages decides."""
    mirror = mirrored(customers=2, bulk=1_400)
    mirror.changes |= {"package_rows": package_rows, "package_seconds": float("inf")}
    assert mirror.run(*case.stormy).failed == []
    assert max(len(objects) for objects in mirror.truth(case.stormy).values()) > FEW_ROWS
    assert mirror.differences(case.stormy) == []


def test_page_that_fails_for_good_is_an_error_and_stops_no_other(case: ProviderCase, mirrored: Made) -> None:
    mirror = mirrored()
    lists = ("customers", case.broken, "coupons")
    mirror.sim.faults.add("status", status=500, path_prefix=f"/v1/{case.broken}")
    assert mirror.run(*lists).failed == [case.broken]
    assert mirror.statuses() == {"customers": "complete", case.broken: "error", "coupons": "complete"}
    told = f"select error, request_id from {mirror.settings.dataset}.sync_status where resource = '{case.broken}'"
    ((error, request_id),) = mirror.destination.query(told)
    assert f"/v1/{case.broken}" in error
    assert (request_id or "").startswith(case.request_id)
    mirror.sim.faults.clear()
    assert mirror.run(*lists).failed == []
    assert set(mirror.statuses().values()) == {"complete"}
    assert mirror.differences(lists) == []


@pytest.mark.long
def test_passing_failures_are_retried(case: ProviderCase, mirrored: Made) -> None:
    mirror = mirrored(customers=20)
    for kind in case.faults:
        mirror.sim.faults.add(kind, probability=0.03)
    mirror.changes |= {"max_retries": 12, "max_retry_delay": 0.01}
    assert mirror.run("core").failed == []
    mirror.sim.faults.clear()
    assert mirror.differences(["core"]) == []


def test_wrong_key_stops_before_anything_is_written(mirrored: Made) -> None:
    mirror = mirrored()
    mirror.changes |= {mirror.key_setting: "sk_test_wrong"}
    with pytest.raises(AuthenticationFailed, match=mirror.settings.key_variable):
        mirror.run("customers")
    assert mirror.destination.tables(mirror.settings.dataset) == set()


def test_second_run_at_the_same_time_ends_with_a_clear_message(mirrored: Made) -> None:
    mirror = mirrored()
    first = open_database(mirror.settings)
    first.lock_run(mirror.settings.dataset)
    with pytest.raises(AlreadyRunning, match="Another run"):
        mirror.run("customers")
    first.close()
    assert mirror.run("customers").failed == []
