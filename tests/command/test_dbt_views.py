"""`stripe-elt views dbt`: the tables of fivetran/dbt_stripe, by its names and types, with the account's own totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from pipelines.models.dbt import tables_read, view_statements
from simulator.account.account import Account
from simulator.content.business.money import was_paid_out
from sources.stripe_api.catalogue import RESOURCES, TABLES
from stripe_elt.commands.views import main
from tests.databases import Database, Query
from tests.pipelines.mirror import Mirror

LISTS = tuple(name for name in tables_read() if name in RESOURCES)
NAMES = [
    "account",
    "balance_transaction",
    "card",
    "charge",
    "coupon",
    "credit_note",
    "credit_note_line_item",
    "customer",
    "discount",
    "dispute",
    "fee",
    "invoice",
    "invoice_line_item",
    "payment_intent",
    "payment_method",
    "payment_method_card",
    "payout",
    "payout_balance_transaction",
    "price",
    "product",
    "refund",
    "subscription_discount",
    "subscription_history",
    "subscription_item",
    "transfer",
]
MOMENTS = {"_fivetran_synced", "created", "available_on", "arrival_date", "start", "end", "period_start", "trial_end"}
COUNTED = {
    "balance_transaction": "balance_transactions", "charge": "charges", "customer": "customers", "invoice": "invoices",
    "payout": "payouts", "refund": "refunds", "subscription_history": "subscriptions",
}  # fmt: skip


@pytest.fixture
def loaded(mirrored: Callable[..., Mirror]) -> Mirror:
    """A business with discounts that last and discounts that have ended, loaded with what payouts paid out."""
    mirror = mirrored(customers=60, seed=3)
    roots = [name for name in LISTS if not RESOURCES[name].parents]
    mirror.load(*roots, "account", "payout_balance_transactions")
    return mirror


def totals(query: Query, account: Account) -> None:
    """Compares what models add up with the account."""

    def one(sql: str) -> int:
        return int(query(sql)[0][0] or 0)

    for view, table in COUNTED.items():
        assert one(f"select count(*) from stripe_dbt.{view}") == len(account.objects(table)), view
    invoices, movements = account.objects("invoices"), account.objects("balance_transactions")
    assert one("select sum(amount_paid) from stripe_dbt.invoice") == sum(invoice["amount_paid"] for invoice in invoices)
    taxes = sum(tax["amount"] for invoice in invoices for tax in invoice["total_taxes"] or [])
    assert one("select sum(tax) from stripe_dbt.invoice") == taxes > 0
    fees = sum(fee["amount"] for movement in movements for fee in movement["fee_details"])
    assert one("select sum(amount) from stripe_dbt.fee") == fees > 0
    off = sum(part["amount"] for invoice in invoices for part in invoice["total_discount_amounts"] or [])
    assert one("select sum(amount) from stripe_dbt.discount") == off > 0
    assert one("select count(*) from stripe_dbt.discount where coupon_id is null") == 0
    discounts = {(row["id"], row["source"]["coupon"]) for row in account.objects("discounts")}
    assert {*query("select id, coupon_id from stripe_dbt.subscription_discount")} == discounts


def links(query: Query, account: Account) -> None:
    """Compares what each payout paid out with the account: each transaction is in one payout, or rightly in none."""
    payouts = account.objects("payouts")
    paid = {
        (payout["id"], movement["id"])
        for movement in account.objects("balance_transactions")
        for payout in payouts
        if was_paid_out(movement, payout)
    }
    assert {*query("select payout_id, balance_transaction_id from stripe_dbt.payout_balance_transaction")} == paid
    inside = dict(
        query(
            "select p.id, cast(sum(b.net) as bigint) from stripe_dbt.payout p"
            " join stripe_dbt.payout_balance_transaction l on l.payout_id = p.id"
            " join stripe_dbt.balance_transaction b on b.id = l.balance_transaction_id"
            " where b.type <> 'payout' group by p.id"
        )
    )
    assert inside == {payout["id"]: payout["amount"] for payout in payouts}


def make(mirror: Mirror, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    for name, value in mirror.environment.items():
        monkeypatch.setenv(name, value)
    return main(["dbt", *words])


def test_views_have_the_packages_names_and_types_and_the_accounts_totals(
    loaded: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make(loaded, monkeypatch) == make(loaded, monkeypatch) == 0  # once more replaces them
    database: Database = loaded.destination
    with database.asked() as query:
        columns = query(
            "select table_name, column_name, data_type from information_schema.columns where table_schema = ?",
            ["stripe_dbt"],
        )
        totals(query, loaded.sim.account)
        links(query, loaded.sim.account)
        for name in NAMES:
            query(f"select * from stripe_dbt.{name}")
    assert sorted({table for table, _, _ in columns}) == NAMES
    kinds = {(table, name): kind.lower() for table, name, kind in columns}
    zoned = {at for at, kind in kinds.items() if "with time zone" in kind or "json" in kind}
    assert zoned == set()
    assert {kind for (_, name), kind in kinds.items() if name in MOMENTS} <= {
        "timestamp", "timestamp without time zone",
    }  # fmt: skip
    assert {kinds["invoice", name] for name in ("amount_paid", "tax", "total")} == {"bigint"}
    assert {kinds["customer", name] for name in ("is_deleted", "delinquent")} == {"boolean"}


def test_views_can_be_made_before_anything_is_loaded_and_not_over_the_tables(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make(mirror, monkeypatch, "--schema", "for_dbt") == 0
    assert mirror.destination.value("select count(*) from for_dbt.invoice") == 0
    assert make(mirror, monkeypatch, "--schema", "stripe") == 2
    assert "Choose another name with --schema" in " ".join(capsys.readouterr().err.split())


def test_every_view_reads_tables_of_the_catalogue_and_says_their_account() -> None:
    assert {*tables_read()} <= {*TABLES}
    for dialect in ("postgres", "duckdb"):
        found = view_statements(dialect, "stripe", "stripe_dbt")
        assert sorted(found) == NAMES
        assert Counter(sql.count("{") for sql in found.values()) == {0: 25}
        joins = [sql.count(' join "stripe"') + sql.count("join (\n") for sql in found.values()]
        assert sum(joins) == sum(sql.count("_account_id = ") for sql in found.values())
