"""docs/coming_from.md: each line names settings, commands, calls, functions and columns that exist here."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from starlette.routing import Match, Route

import webhook_sink
from pipelines.configuration.fields import environment_name
from pipelines.configuration.settings import SECTION, Settings
from pipelines.state import STATEMENTS
from pipelines.sync.stripe_api.settings import SECTION as SYNC_SECTION
from pipelines.sync.stripe_api.settings import SyncSettings
from sources.columns.columns import OWN_COLUMNS
from sources.orb_api.catalogue import CATALOGUE as ORB
from sources.stripe_api.catalogue import CATALOGUE, TABLES
from stripe_elt.__main__ import COMMANDS
from webhook_sink import create_app
from webhook_sink.http.app import App
from webhook_sink.http.management import order_of
from webhook_sink.settings import SECTION as SINK_SECTION
from webhook_sink.settings import SinkSettings

PAGE = Path(__file__).resolve().parent.parent / "docs/coming_from.md"
CLASSES = ((Settings, SECTION), (SyncSettings, SYNC_SECTION), (SinkSettings, SINK_SECTION))
SETTINGS = {each.name for kind, _ in CLASSES for each in fields(kind)}
VARIABLES = {environment_name(each.name, section) for kind, section in CLASSES for each in fields(kind)}
VARIABLES |= {each.metadata[name] for kind, _ in CLASSES for each in fields(kind) for name in ("env", "also")}
WORDS = {
    "sslmode",
    "object",
    "created",
    "all",
    "run_id",
    "X-API-Key",
    "livemode",
    "stripe_elt",
    ".env",
    '"children": true',
}
"""Names that are no setting: of libpq, of bodies and headers, of columns and of loggers."""


def lines() -> Iterator[tuple[str, str]]:
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and cells[0] not in ("There", "---"):
            yield cells[0], cells[1]


@pytest.fixture(scope="module")
def app() -> App:
    return create_app(
        database_url="postgresql://nobody@127.0.0.1:9/nothing",
        webhook_secret="whsec_1",
        account_id="acct_1",
        api_key="a key",
    )


@pytest.mark.parametrize(("there", "here"), list(lines()))
def test_what_it_is_called_here_exists(there: str, here: str, app: App) -> None:
    named = re.findall(r"`([^`]+)`", here)
    assert named or here.startswith(("always", "not built", "not needed")), "the line names nothing"
    for name in named:
        check(name, app)


def check(name: str, app: App) -> None:
    call = re.fullmatch(r"(GET|POST) (/\S+)", name)
    if call:
        assert is_served(app, call[1], call[2]), name
    elif name.startswith("stripe-elt "):
        assert understood(shlex.split(name)[1:]), name
    elif name.endswith("()"):
        assert name[:-2] in webhook_sink.__all__
    elif name.startswith("_"):
        assert name in OWN_COLUMNS
    elif name.isupper():
        assert name in VARIABLES
    else:
        assert name in SETTINGS | WORDS | set(STATEMENTS), name


def is_served(app: App, method: str, path: str) -> bool:
    scope = {"type": "http", "method": method, "path": path, "headers": []}
    routes = [route for route in app.routes if isinstance(route, Route)]
    return (method == "POST" and path in app.paths) or any(route.matches(scope)[0] == Match.FULL for route in routes)


def understood(words: list[str]) -> bool:
    command = COMMANDS[words[0]]
    parser = importlib.import_module(command.module)._parser(*(["stripe-elt"] if command.first else []))
    options = parser.parse_args([*command.first, *words[1:]])
    names = [name for name in ("resources", "names") if getattr(options, name, None)]
    catalogue = ORB if words[0].startswith("orb-") else CATALOGUE
    catalogue.select([each for name in names for given in getattr(options, name) for each in given.split(",")])
    return True


PRISMA = "charge customer dispute invoice payment_method payment_intent plan price product setup_intent subscription"
SUPABASE = f"{PRISMA} early_fraud_warning refund credit_note tax_id subscription_schedules"
MONOREPO = f"{SUPABASE} checkout_sessions"


@pytest.mark.parametrize("name", ["all", *sorted(set(MONOREPO.split()))])
def test_objects_have_the_names_that_they_have_there(name: str) -> None:
    assert order_of({"object": name, "created": {"gte": 1_643_872_333}}).resources


REVALIDATED = (
    "charge credit_note customer dispute invoice payment_intent payment_method plan price product refund review"
)
REVALIDATED += " radar.early_fraud_warning setup_intent subscription subscription_schedule tax_id"


def test_objects_to_read_again_have_the_names_that_they_have_there() -> None:
    tables = SinkSettings(revalidate=REVALIDATED.replace(" ", ",")).revalidated(CATALOGUE)
    assert len(tables) == len(REVALIDATED.split())
    assert tables <= set(TABLES)
