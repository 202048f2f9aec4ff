"""dbt itself over the views: models of one's own, and those of fivetran/dbt_stripe, in an environment of its own.

Both run where their programs are at hand: DBT names a `dbt` that is installed elsewhere (`pip install 'dbt-core<2'
dbt-duckdb dbt-postgres`), DBT_STRIPE a folder with the package fivetran/dbt_stripe and, in dbt_packages, what it needs
(`dbt deps`): neither is on the package index in one piece, and dbt's dependencies do not go with dlt's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from pipelines.loading.session import open_database
from pipelines.loading.tables import create_tables
from pipelines.models.dbt import make_views, tables_read
from simulator.content.business.money import was_paid_out
from sources.stripe_api.catalogue import RESOURCES
from sources.stripe_api.provider import STRIPE
from tests.databases import Database
from tests.pipelines.mirror import Mirror

DBT, PACKAGE = os.environ.get("DBT"), os.environ.get("DBT_STRIPE")
needs_dbt = pytest.mark.skipif(DBT is None, reason="DBT does not name a dbt program: see tests/dbt/test_dbt.py")
needs_package = pytest.mark.skipif(
    DBT is None or PACKAGE is None,
    reason="DBT and DBT_STRIPE do not name a dbt program and fivetran/dbt_stripe: see tests/dbt/test_dbt.py",
)


@pytest.fixture
def fed(mirrored: Callable[..., Mirror]) -> Mirror:
    """A business with discounts, loaded with what its payouts paid out, and the views."""
    mirror = mirrored(customers=30, seed=3)
    roots = (each for each in tables_read() if each in RESOURCES and not RESOURCES[each].parents)
    mirror.load(*roots, "account", "payout_balance_transactions")
    database = open_database(mirror.settings)
    create_tables(database, "stripe", STRIPE, tables_read())
    make_views(database, "stripe", "stripe_dbt")
    database.close()
    return mirror


def output(database: Database) -> dict[str, object]:
    """A target of dbt's that leads to a test's database."""
    if database.kind == "duckdb":
        return {"type": "duckdb", "path": database.address, "schema": "made", "threads": 1}
    url = urlsplit(database.address)
    return {
        "type": "postgres",
        "host": url.hostname or parse_qs(url.query).get("host", ["localhost"])[0],
        "port": url.port or 5432,
        "user": unquote(url.username or ""),
        "password": unquote(url.password or "") or "none",
        "dbname": url.path.lstrip("/"),
        "schema": "made",
        "threads": 1,
    }


def run(folder: Path, database: Database, *words: str) -> str:
    """`dbt …` in a project's folder, which has to go well."""
    profiles = {"stripe": {"target": "test", "outputs": {"test": output(database)}}}
    (folder / "profiles.yml").write_text(json.dumps(profiles))  # JSON is YAML
    done = subprocess.run(
        [str(DBT), "--no-use-colors", *words, "--profiles-dir", ".", "--profile", "stripe"],
        cwd=folder,
        env={**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_dbt
@pytest.mark.timeout(0)
def test_models_of_ones_own_run_from_the_sources_and_the_views(fed: Mirror, tmp_path: Path, root: Path) -> None:
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text("name: own\nversion: '1.0.0'\nprofile: stripe\nmodel-paths: [models]\n")
    shutil.copy(root / "docs" / "dbt" / "sources.yml", folder / "models")
    (folder / "models" / "paid.sql").write_text(
        "{{ config(materialized='table') }} select count(*) as charges from {{ source('stripe_current', 'charges') }}"
    )
    (folder / "models" / "views.sql").write_text("select sum(amount_paid) as paid from stripe_dbt.invoice")
    run(folder, fed.destination, "run")
    assert fed.destination.value("select charges from made.paid") == len(fed.sim.account.objects("charges"))
    paid = sum(obj["amount_paid"] for obj in fed.sim.account.objects("invoices"))
    assert fed.destination.value("select paid from made.views") == paid


@needs_package
@pytest.mark.timeout(0)
def test_the_models_of_dbt_stripe_run_unchanged_with_the_accounts_totals(fed: Mirror, tmp_path: Path) -> None:
    """Payouts and discounts included. The package leaves test mode out unless it is told otherwise."""
    folder = tmp_path / "dbt_stripe"
    shutil.copytree(str(PACKAGE), folder)
    options = {"stripe_schema": "stripe_dbt", "stripe__using_livemode": False, "stripe__using_transfers": True}
    told = run(folder, fed.destination, "run", "--vars", json.dumps(options))
    assert "ERROR=0" in told
    account = fed.sim.account
    movements, invoices, payouts = map(account.objects, ("balance_transactions", "invoices", "payouts"))
    with fed.destination.asked() as query:

        def one(sql: str, model: str) -> int:
            return int(query(f"select {sql} from made_stripe.stripe__{model}")[0][0] or 0)

        balance = "balance_transactions"
        assert one("count(*)", balance) == len(movements)
        assert one("sum(balance_transaction_net)", balance) == sum(movement["net"] for movement in movements)
        assert one("sum(balance_transaction_fee)", balance) == sum(movement["fee"] for movement in movements) > 0
        paid = {(payout["id"], each["id"]) for each in movements for payout in payouts if was_paid_out(each, payout)}
        of_payouts = "select payout_id, balance_transaction_id from made_stripe.stripe__balance_transactions"
        assert {*query(f"{of_payouts} where payout_id is not null")} == paid
        assert one("sum(gross)", "payout_itemized_3") == -sum(payout["amount"] for payout in payouts) < 0
        assert one("sum(amount_paid)", "invoice_details") == sum(invoice["amount_paid"] for invoice in invoices) > 0
        assert one("sum(total)", "invoice_details") == sum(invoice["total"] for invoice in invoices)
        off = sum(part["amount"] for invoice in invoices for part in invoice["total_discount_amounts"] or [])
        ((given,),) = query("select sum(amount) from made_stg_stripe.stg_stripe__discount")
        assert given == off > 0
        lines = (
            "(select distinct header_id, discount_amount from made_stripe.stripe__line_item_enhanced) as each_invoice"
        )
        assert query(f"select sum(discount_amount) from {lines}") == [(off,)]
