"""Single objects of Orb's by id, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.loading.session import open_session
from pipelines.sync.objects import Loaded, UnknownObject
from pipelines.sync.orb_api.objects import load_orb_objects
from sources.orb_api.catalogue import CATALOGUE
from sources.orb_api.provider import ORB
from tests import processes
from tests.databases import Database
from tests.pipelines.orb_mirror import OrbMirror

ROOT = Path(__file__).resolve().parents[3]
Made = Callable[..., OrbMirror]
READABLE = [
    table.retrieve for table in CATALOGUE.tables.values() if table.retrieve and "{_parent_id}" not in table.retrieve
]


def read(mirror: OrbMirror, *ids: str, kind: str | None = None) -> list[Loaded]:
    mirror.sim.log.clear()
    with open_session(mirror.settings, "orb_object", provider=ORB, scope="object") as session:
        return load_orb_objects(session, ids, kind)


def test_an_id_is_looked_for_until_an_object_has_it_and_comes_with_what_is_inside(orb_mirrored: Made) -> None:
    mirror = orb_mirrored()
    account = mirror.sim.account
    plan, invoice, new = (account.objects(name)[0] for name in ("plans", "invoices", "subscriptions"))
    assert [each.table for each in read(mirror, plan["id"], invoice["id"])] == ["plans", "invoices"]
    assert {row["id"] for row in mirror.rows("prices", live=True)} == {price["id"] for price in plan["prices"]}
    assert {row["_parent_id"] for row in mirror.rows("invoice_line_items", live=True)} == {invoice["id"]}
    assert mirror.rows("invoices", live=True)[0]["_source"] == "retrieve"

    account.update("invoices", invoice["id"], {"total": "1.00", "line_items": []})
    mirror.pass_time(10)
    read(mirror, invoice["id"])
    assert len(mirror.sim.log) == 1  # its row tells where it is
    assert float(mirror.rows("invoices", live=True)[0]["total"]) == 1.0
    assert mirror.rows("invoice_line_items", live=True) == []
    assert [each.table for each in read(mirror, new["id"], kind="subscription")] == ["subscriptions"]
    assert len(mirror.sim.log) == 1


def test_an_object_that_orb_has_no_more_is_marked_and_an_unknown_one_is_an_error(orb_mirrored: Made) -> None:
    mirror = orb_mirrored()
    account = mirror.sim.account
    invoice, other = (obj["id"] for obj in account.objects("invoices")[:2])
    read(mirror, invoice, other)
    account.delete("invoices", invoice)
    mirror.pass_time(10)
    assert [(each.table, each.is_deleted) for each in read(mirror, invoice)] == [("invoices", True)]
    assert [row["id"] for row in mirror.rows("invoices", live=True)] == [other]
    assert {row["_parent_id"] for row in mirror.rows("invoice_line_items", live=True)} == {other}
    unknown = "abcdefgh12345678"
    with pytest.raises(UnknownObject, match=f"Orb has no object with the id '{unknown}': {len(READABLE)} kinds"):
        read(mirror, other, unknown)
    assert len([request for request in mirror.sim.log if unknown in request]) == len(READABLE)
    with pytest.raises(UnknownObject, match=f"Orb has no object of invoices with the id '{unknown}'. Check the id"):
        read(mirror, unknown, kind="invoice")
    mirror.sim.log.clear()
    with pytest.raises(UnknownObject, match="An id is empty"):
        read(mirror, "", kind="invoice")
    assert not [request for request in mirror.sim.log if "/v1/invoices" in request]


@pytest.mark.parametrize("destination", ["duckdb"], indirect=True)
def test_the_command_says_what_it_has_loaded_and_what_cannot_be(orb_mirrored: Made, destination: Database) -> None:
    mirror = orb_mirrored(customers=2)
    customer = mirror.sim.account.objects("customers")[0]["id"]

    def run(*arguments: str) -> tuple[int, str]:
        command = (str(ROOT / "pipelines/orb_object.py"), *arguments)
        done = processes.run(*command, cwd=ROOT, env=mirror.environment)
        assert "Traceback" not in done.stderr
        return done.returncode, " ".join(f"{done.stdout} {done.stderr}".split())

    code, said = run(customer)
    assert (code, f"{customer}: orb.customers" in said) == (0, True), said
    code, said = run("--type", "custmer", customer)
    assert (code, "did you mean 'customer'?" in said) == (2, True), said
    code, said = run("--type", "invoice_line_items", customer)
    assert (code, "Load its parent, which includes it: invoices." in said) == (2, True), said
    code, said = run("no such id, perhaps a password")
    assert (code, "password" in said, "Check the id" in said) == (2, False, True), said
    assert mirror.destination.value("select count(*) from orb.sync_runs where command = 'orb_object'") == 4
