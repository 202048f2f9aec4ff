"""The snapshot of column types: current, complete, and what a run makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import stripe

from sources.catalogue import ColumnType
from sources.columns.columns import (
    MORE_COLUMNS,
    OWN_COLUMNS,
    Columns,
    all_columns,
)
from sources.generated import difference
from sources.stripe_api.catalogue import CATALOGUE, TABLES
from sources.stripe_api.catalogue.fields import DESCRIPTIONS, SNAPSHOT, api_version, fields_of
from sources.stripe_api.generate.descriptions import COMMAND as DESCRIBE
from sources.stripe_api.generate.descriptions import OURS, descriptions, sentence
from sources.stripe_api.generate.sdk import Field, Kind, Sdk, Type
from sources.stripe_api.generate.snapshot import column_type, table_columns


@pytest.fixture(scope="module")
def sdk() -> Sdk:
    return Sdk()


def test_descriptions_are_what_the_installed_sdk_says_one_sentence_each(sdk: Sdk) -> None:
    stored = DESCRIPTIONS.read_text(encoding="utf-8")
    assert not difference(stored, descriptions(sdk))[:40], f"run {DESCRIBE}"
    assert OURS.keys() <= TABLES.keys()
    for table, said in json.loads(stored).items():
        assert said.keys() == {"", *fields_of(table)}
        for text in said.values():
            assert text.endswith(".")
            assert "\n" not in text
            assert "](" not in text


@pytest.mark.parametrize(
    ("doc", "first"),
    [
        ("The ID, e.g. cus_1. See [this](https://x.y/a.b). More.", "The ID, e.g. cus_1."),
        ("the [mode](https://x.y)\nof it\n\nMore.", "The mode of it."),
        ("Closed Enum. The status.", "The status."),
        ("If it is `cash`, one of:\n\n - a", "If it is `cash`."),
        ("", ""),
    ],
)
def test_first_sentence_of_a_docstring(doc: str, first: str) -> None:
    assert sentence(doc) == first


def test_difference_shows_the_column_that_changed() -> None:
    current = SNAPSHOT.read_text(encoding="utf-8")
    older = current.replace('"balance_transaction": "text"', '"balance_transaction": "bigint"', 1)
    assert '+   "balance_transaction": "text",' in [line.rstrip() for line in difference(older, current)]


def test_snapshot_has_one_line_a_column_and_the_versions(sdk: Sdk) -> None:
    content = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    lines = SNAPSHOT.read_text(encoding="utf-8").count("\n")
    parts = (content["tables"], content["references"])
    assert lines == sum(2 * len(part) + sum(map(len, part.values())) for part in parts) + 8
    assert (content["api_version"], content["sdk_version"]) == (sdk.api_version, sdk.version)
    assert api_version() == sdk.api_version


def test_api_version_is_the_one_that_the_sdk_sends() -> None:
    assert stripe.api_version == api_version()


@pytest.mark.parametrize("table", TABLES)
def test_table_has_columns_for_its_key_and_none_for_what_lives_elsewhere(table: str) -> None:
    line, known = TABLES[table], all_columns(CATALOGUE, table)
    assert set(line.key) <= known.keys()
    assert all(embedded.field not in known for embedded in line.embedded)
    assert not {"deleted", *line.hidden} & known.keys()
    assert not any(name.startswith("_") for name in fields_of(table))
    assert ("_parent_id" in known) == (line.parent is not None)
    assert known.keys() - fields_of(table).keys() == OWN_COLUMNS.keys() - ({"_parent_id"} if not line.parent else set())


def test_secrets_of_cards_have_no_column() -> None:
    assert not {"number", "cvc"} & all_columns(CATALOGUE, "issuing_cards").keys()


@pytest.mark.parametrize(
    ("table", "column", "kind"),
    [
        ("customers", "created", "timestamp"),
        ("customers", "balance", "bigint"),
        ("customers", "default_source", "text"),
        ("customers", "metadata", "json"),
        ("invoices", "next_payment_attempt", "timestamp"),
        ("invoices", "webhooks_delivered_at", "timestamp"),
        ("invoice_line_items", "quantity_decimal", "decimal"),
        ("prices", "unit_amount_decimal", "decimal"),
        ("prices", "unit_amount", "bigint"),
        ("plans", "amount_decimal", "decimal"),
        ("coupons", "percent_off", "double"),
        ("coupons", "redeem_by", "timestamp"),
        ("coupons", "times_redeemed", "bigint"),
        ("subscriptions", "billing_cycle_anchor", "timestamp"),
        ("subscriptions", "cancel_at_period_end", "bool"),
        ("subscription_items", "price", "json"),
        ("balance_transactions", "available_on", "timestamp"),
        ("charges", "balance_transaction", "text"),
        ("tax_registrations", "active_from", "timestamp"),
        ("terminal_readers", "last_seen_at", "bigint"),  # milliseconds, alone among Stripe's times
        ("quotes", "computed", "json"),
        ("v2_core_accounts", "created", "timestamp"),
        ("v2_money_management_outbound_payments", "expected_arrival_date", "timestamp"),
        ("billing_meter_event_summaries", "_parent_id", "text"),
        ("payment_sources", "customer", "text"),
    ],
)
def test_columns_have_the_types_that_stripe_documents(table: str, column: str, kind: ColumnType) -> None:
    assert all_columns(CATALOGUE, table)[column] == kind


@pytest.mark.parametrize("suffix", ["_at", "_date"])
def test_every_time_by_name_is_a_timestamp_but_for_milliseconds(suffix: str) -> None:
    others = {
        (table, name)
        for table in TABLES
        for name, kind in fields_of(table).items()
        if (name.endswith(suffix) or name == "created") and kind != "timestamp"
    }
    assert others == ({("terminal_readers", "last_seen_at")} if suffix == "_at" else set())


@pytest.mark.parametrize(
    ("name", "kind", "doc", "expected"),
    [
        ("amount", "integer", "Amount in cents.", "bigint"),
        ("valid_until", "integer", "", "timestamp"),
        (
            "expires",
            "integer",
            "Time at which the key will expire. Measured in seconds since the Unix epoch.",
            "timestamp",
        ),
        ("seen_at", "integer", "Timestamp measured in milliseconds since the Unix epoch.", "bigint"),
        ("created", "string", "Time of creation.", "text"),
        ("rate", "number", "", "double"),
        ("customer", "expandable", "", "text"),
        ("either", "any", "", "json"),
    ],
)
def test_type_of_a_field_follows_its_kind_name_and_documentation(
    name: str, kind: Kind, doc: str, expected: ColumnType
) -> None:
    assert column_type("charge", Field(name, Type(kind), doc)) == expected


def test_string_times_are_timestamps_in_v2_only() -> None:
    created = Field("created", Type("string"), "Time of creation.")
    assert column_type("v2.core.account", created) == "timestamp"
    assert column_type("account", created) == "text"


def test_table_of_several_objects_has_the_fields_of_all(sdk: Sdk) -> None:
    classes = sdk.object_classes()
    expected = {name for object_name in ("bank_account", "card") for name in sdk.fields(classes[object_name])}
    assert table_columns(sdk, TABLES["external_accounts"]).keys() == expected - {"deleted"}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "bool"),
        (1, "bigint"),
        (1.5, "double"),
        ("x", "text"),
        ({}, "json"),
        ([], "json"),
    ],
)
def test_unseen_column_takes_the_type_of_its_first_value(value: object, kind: ColumnType) -> None:
    run = Columns(CATALOGUE)
    assert run.learn("charges", "new_field", value) == kind
    assert run.of("charges")["new_field"] == kind
    assert "new_field" not in run.of("refunds")
    assert "new_field" not in all_columns(CATALOGUE, "charges")


@pytest.mark.parametrize("first", [lambda: 1, lambda: "x"])
def test_first_value_decides_for_the_run(first: Callable[[], object]) -> None:
    run = Columns(CATALOGUE)
    decided = run.learn("charges", "new_field", first())
    assert run.learn("charges", "new_field", 2.5) == decided


def test_known_column_keeps_its_type() -> None:
    assert Columns(CATALOGUE).learn("charges", "amount", "not a number") == "bigint"


def test_null_and_foreign_values_decide_nothing() -> None:
    run = Columns(CATALOGUE)
    for value in (None, object()):
        with pytest.raises(TypeError, match="new_field"):
            run.learn("charges", "new_field", value)
    assert "new_field" not in run.of("charges")


def test_types_in_the_database_win() -> None:
    run = Columns(CATALOGUE, {"charges": {"amount": "decimal", "added_last_year": "json"}})
    assert run.of("charges")["amount"] == "decimal"
    assert run.learn("charges", "added_last_year", 1) == "json"
    assert run.of("charges")["currency"] == "text"


def test_columns_that_were_handed_out_do_not_change() -> None:
    run = Columns(CATALOGUE)
    before = run.of("charges")
    run.learn("charges", "new_field", 1)
    assert "new_field" not in before
    with pytest.raises(TypeError):
        before["other"] = "text"  # type: ignore[index]


def test_no_row_of_a_full_table_outgrows_a_page_of_postgres() -> None:
    """A value that is moved out leaves 18 bytes, beside 8 kB for the page, the row's head and its null bits."""
    widest = max(len(all_columns(CATALOGUE, name)) for name in TABLES) + MORE_COLUMNS + 1  # and `_other_fields`
    assert 24 + widest // 8 + 18 * widest < 8_160


def test_threads_that_learn_at_once_agree() -> None:
    run, start = Columns(CATALOGUE), Barrier(8)

    def learn(number: int) -> list[ColumnType]:
        start.wait()
        return [run.learn("charges", f"field_{i}", 1 if number % 2 else "x") for i in range(200)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(learn, range(8)))
    assert all(answer == answers[0] for answer in answers)
    assert [run.of("charges")[f"field_{i}"] for i in range(200)] == answers[0]


def test_table_that_the_catalogue_lacks_is_an_error() -> None:
    with pytest.raises(KeyError):
        fields_of("no_such_table")
    with pytest.raises(KeyError):
        Columns(CATALOGUE).of("no_such_table")
