"""Generates `descriptions.json`, one sentence on each table and column, from the docstrings of the installed `stripe`
SDK.

    python -m sources.stripe_api.generate.descriptions            # write it
    python -m sources.stripe_api.generate.descriptions --check    # exit 1 and print the differing lines if it is stale

They become comments in databases, and docs/reference/tables.md shows them. Run it after each upgrade of the SDK.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from sources.catalogue import Table
from sources.generated import write_or_check
from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.catalogue.fields import DESCRIPTIONS, fields_of
from sources.stripe_api.generate.sdk import Sdk

COMMAND = "python -m sources.stripe_api.generate.descriptions"

OURS = {
    "accounts": "A Stripe account: your own, or one that is connected to it.",
    "checkout_session_line_items": "A line of what a Checkout Session sells.",
    "country_specs": "What Stripe supports in a country, and which information it requires there.",
    "exchange_rates": "The rates at which Stripe converts a currency into others; the API is deprecated.",
    "external_accounts": "A bank account or debit card that an account is paid out to.",
    "issuing_authorizations": "A request to approve a purchase with an issued card.",
    "issuing_cards": "A physical or virtual card that is issued to a cardholder.",
    "issuing_disputes": "A dispute of an issued card's transaction.",
    "payment_link_line_items": "A line of what a payment link sells.",
    "payment_sources": "A card, bank account or source that a customer can be charged with.",
    "plans": "How much a subscription is billed, and how often; prices have taken the place of plans.",
    "quote_computed_upfront_line_items": "A line of what is paid when a quote is accepted.",
    "quote_line_items": "A line of a quote.",
    "scheduled_query_runs": "A run of a scheduled Sigma query.",
    "source_transactions": "A payment that a customer has sent to a source.",
    "tax_settings": "The settings of Stripe Tax.",
    "treasury_credit_reversals": "The return of a credit that a financial account had received.",
    "treasury_debit_reversals": "The return of a debit that a financial account had received.",
    "treasury_financial_accounts": "A balance that a connected account holds at Stripe.",
    "treasury_inbound_transfers": "Money that a financial account has drawn from an account of the same owner.",
    "treasury_outbound_payments": "Money that a financial account has sent to somebody else.",
    "treasury_outbound_transfers": "Money that a financial account has sent to an account of the same owner.",
    "treasury_received_credits": "Money that somebody else has sent to a financial account.",
    "treasury_received_debits": "Money that somebody else has drawn from a financial account.",
    "treasury_transaction_entries": "A part of a transaction: one change of a financial account's balance.",
    "treasury_transactions": "A change of a financial account's balance, and what has caused it.",
    "webhook_endpoints": "An address that Stripe sends events to.",
}
"""Sentences for tables for which the SDK's first sentence is no description: it recommends another API, or explains how
to use this one."""

_LINK = re.compile(r"\[([^\]]+)\]\([^)\s]*\)?")
_KIND = re.compile(r"^(Closed|Open) Enum\. ")
_TAG = re.compile(r"<[^>]+>")
_END = re.compile(r"(?<!e\.g)(?<!i\.e)(?<!etc)(?<!vs)[.!?](?=\s+[A-Z`\"'(<]|$)")


def sentence(doc: str) -> str:
    """The first sentence of a docstring, without links and tags, on one line; empty if there is none."""
    text = " ".join(_TAG.sub("", _LINK.sub(r"\1", doc.partition("\n\n")[0])).split())
    text = _KIND.sub("", text)
    end = _END.search(text)
    text = (text[: end.start()] if end else text).rstrip(" .:;").removesuffix(", one of")
    return f"{text[0].upper()}{text[1:]}." if text else ""


def described(sdk: Sdk, table: Table) -> tuple[str, dict[str, str]]:
    """A sentence on a table, and one on each column of the snapshot. Without a sentence in the SDK, it repeats the
    name.
    """
    classes, known = sdk.object_classes(), fields_of(table.name)
    about, columns = OURS.get(table.name, ""), dict(table.kept)
    for object_name in table.objects:
        words = object_name.replace("v2.", "").replace(".", " ").replace("_", " ")
        about = about or sentence(sdk.doc(classes[object_name])) or f"Objects of the type {words}."
        for name, field in sdk.fields(classes[object_name]).items():
            if name in known and name not in columns:
                columns[name] = sentence(field.doc) or f"The {name.replace('_', ' ')} of the {words}."
    return about, {name: columns[name] for name in sorted(columns)}


def descriptions(sdk: Sdk) -> str:
    """The file's text."""
    found = {name: described(sdk, TABLES[name]) for name in sorted(TABLES)}
    content = {name: {"": about, **columns} for name, (about, columns) in found.items()}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def main(argv: Sequence[str] | None = None, path: Path = DESCRIPTIONS) -> int:
    """Writes the descriptions to a file, or checks the file with `--check`. Returns the exit code."""
    return write_or_check(argv, COMMAND, "One sentence on each table and column.", path, descriptions(Sdk()))


if __name__ == "__main__":
    sys.exit(main())
