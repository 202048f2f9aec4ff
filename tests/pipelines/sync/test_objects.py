"""Single objects by id, on both databases."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipelines.sync.objects import UnknownObject
from tests import processes
from tests.pipelines.mirror import Mirror


def newest(mirror: Mirror, table: str) -> str:
    id: str = mirror.sim.account.tables[table].shelf.rows()[-1].id
    return id


def test_objects_arrive_with_all_their_children(mirror: Mirror) -> None:
    account = mirror.sim.account
    invoice, subscription = newest(mirror, "invoices"), newest(mirror, "subscriptions")
    line = account.show("invoices", invoice)["lines"]["data"][0]
    lines = [{**line, "id": f"il_{number:020d}"} for number in range(250)]
    account.update("invoices", invoice, {"lines": lines})
    loaded = mirror.read(invoice, subscription)
    assert [(obj.table, obj.is_deleted) for obj in loaded] == [("invoices", False), ("subscriptions", False)]
    assert len(mirror.rows("invoice_line_items", live=True)) == 250
    assert {row["_parent_id"] for row in mirror.rows("subscription_items")} == {subscription}
    assert mirror.row("invoices", invoice)["_source"] == "retrieve"


def test_the_longest_prefix_decides(mirror: Mirror) -> None:
    schedule = newest(mirror, "subscription_schedules")
    assert schedule.startswith("sub_sched_")
    (loaded,) = mirror.read(schedule)
    assert loaded.table == "subscription_schedules"


def test_an_id_of_the_users_choosing_is_looked_for(mirror: Mirror) -> None:
    account = mirror.sim.account
    account.create("coupons", mirror.sim.make("coupons", id="SPRING", name="Spring"))
    assert mirror.read("SPRING")[0].table == "coupons"
    account.create("products", mirror.sim.make("products", id="SPRING", name="Spring"))
    with pytest.raises(UnknownObject, match="several objects: coupons, products"):
        mirror.read("SPRING")
    assert mirror.read("SPRING", kind="product")[0].table == "products"


def test_related_objects_come_along(mirror: Mirror) -> None:
    invoice = newest(mirror, "invoices")
    customer = mirror.sim.account.show("invoices", invoice)["customer"]
    mirror.read(invoice, related=True)
    assert mirror.row("customers", customer)["object"] == "customer"
    assert mirror.rows("prices")


def test_a_deleted_object_is_marked_and_keeps_its_row(mirror: Mirror) -> None:
    customer, coupon = newest(mirror, "customers"), newest(mirror, "coupons")
    mirror.read(customer, coupon)
    mirror.pass_time(60)
    mirror.sim.account.delete("customers", customer)  # leaves a stub
    mirror.sim.account.delete("coupons", coupon)  # leaves nothing
    mirror.pass_time(60)
    assert [each.is_deleted for each in mirror.read(customer, coupon)] == [True, True]
    assert mirror.row("customers", customer)["_deleted_at"] is not None
    assert mirror.row("customers", customer)["object"] == "customer"
    assert mirror.row("coupons", coupon)["_deleted_at"] is not None


def test_an_object_below_another_needs_its_parent_once(mirror: Mirror) -> None:
    person = mirror.sim.account.tables["persons"].shelf.rows()[-1]
    with pytest.raises(UnknownObject, match="PARENT/ID"):
        mirror.read(person.id)
    mirror.read(f"{person.parent}/{person.id}")
    assert mirror.read(person.id)[0].table == "persons"


@pytest.mark.parametrize(
    ("id", "kind", "message"),
    [
        ("cus_missing000", None, "no customer 'cus_missing000'"),
        ("li_12345678", None, "Load its parent, which includes it"),
        ("tok_12345678", None, "have no table"),
        ("nothing", None, r"no coupon or plan or product \(7 letters\) in account acct_\w+\. Check the id"),
        ("x", "cupon", "did you mean 'coupon'"),
    ],
)
def test_what_cannot_be_read_is_said(mirror: Mirror, id: str, kind: str | None, message: str) -> None:
    with pytest.raises(UnknownObject, match=message):
        mirror.read(id, kind=kind)
    assert mirror.rows("customers") == []


def test_the_script_says_it_in_one_paragraph(mirror: Mirror, root: Path) -> None:
    customer = newest(mirror, "customers")

    def script(*ids: str) -> subprocess.CompletedProcess[str]:
        return processes.run("pipelines/stripe_object.py", *ids, cwd=root, env=mirror.environment)

    good, bad = script(customer), script("cus_missing000")
    assert (good.returncode, bad.returncode) == (0, 2)
    assert f"{customer}: stripe.customers" in good.stdout
    assert "Traceback" not in bad.stderr
    assert mirror.sim.key not in bad.stderr
