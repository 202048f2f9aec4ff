"""Signing secrets, which Stripe tells once: rights are looked at before Stripe is asked, and nobody else gets any."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pipelines.warehouse.problems import DatabaseProblem
from simulator import Simulator
from tests import processes
from tests.webhook_sink.conftest import Stored, settings_for
from webhook_sink.endpoints.endpoints import Endpoints
from webhook_sink.endpoints.secrets import TO_FORGET, Secrets

URL = "https://sink.example.com/webhooks"
TABLE = "stripe_secrets.stripe_webhook_endpoints"


@pytest.fixture
def role(stored: Stored) -> Iterator[str]:
    """A role of this test's own, with what docs/postgres.md gives to the sink's: it may read secrets that are there."""
    name = f"role_{uuid.uuid4().hex[:12]}"
    with Secrets(settings_for(stored.url)) as secrets:
        secrets.keep("we_0", "https://other.example.com/webhooks", "whsec_other", None, False)
    stored.query(f"create role {name} login")
    stored.query(f"grant usage on schema stripe_secrets to {name}")
    stored.query(f"grant select on {TABLE} to {name}")
    yield name
    stored.query(f"drop owned by {name} cascade")
    stored.query(f"drop role {name}")


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def endpoint(
    stored: Stored, simulator: Callable[..., Simulator], root: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Run, Simulator]:
    """`python -m webhook_sink endpoint …` for an account, as a role."""
    sim = simulator(seed=6, customers=1)
    monkeypatch.setenv("STRIPE_SECRET_KEY", sim.key)
    monkeypatch.setenv("SOURCES__STRIPE__API_BASE", sim.url)

    def run(*arguments: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
        monkeypatch.setenv("DATABASE_URL", make_conninfo(stored.url, **{"user": user} if user else {}))
        return processes.run("-m", "webhook_sink", "endpoint", *arguments, cwd=root)

    return run, sim


def addresses(sim: Simulator) -> list[str]:
    """Of our endpoints, which are made in the test."""
    return [obj["url"] for obj in sim.account.objects("webhook_endpoints") if obj["url"] == URL]


def test_what_the_role_may_not_do_is_said_before_stripe_is_asked(
    endpoint: tuple[Run, Simulator], role: str, stored: Stored
) -> None:
    run, sim = endpoint
    made = run("create", URL, user=role)
    assert made.returncode == 2
    assert f'GRANT INSERT, UPDATE ON "stripe_secrets".stripe_webhook_endpoints TO "{role}"' in " ".join(
        made.stderr.split()
    )
    assert addresses(sim) == []
    Endpoints(settings_for(stored.url, sim)).create(URL)
    deleted = run("delete", URL, user=role)
    assert deleted.returncode == 2
    assert "GRANT DELETE ON" in " ".join(deleted.stderr.split())
    assert addresses(sim) == [URL]


def test_a_role_with_the_rights_of_the_docs_keeps_and_drops_secrets(role: str, stored: Stored) -> None:
    stored.query(f"grant insert, update, delete on {TABLE} to {role}")
    with Secrets(settings_for(make_conninfo(stored.url, user=role))) as secrets:
        secrets.check()
        secrets.keep("we_1", URL, "whsec_hush", None, False)
        secrets.check(TO_FORGET)
        secrets.forget(["we_1"])
        assert secrets.known() == {"we_0"}


def test_endpoint_whose_secret_could_not_be_kept_is_deleted_again(
    endpoint: tuple[Run, Simulator], role: str, stored: Stored
) -> None:
    run, sim = endpoint
    stored.query(f"alter table {TABLE} add constraint odd check (url <> '{URL}')")
    made = run("create", URL)
    assert made.returncode == 2
    assert "Traceback" not in made.stderr
    assert "The secret of the endpoint could not be stored, so the endpoint was deleted again" in " ".join(
        made.stderr.split()
    )
    assert addresses(sim) == []


def test_check_asks_for_nothing_where_no_secret_was_ever_kept(stored: Stored) -> None:
    with Secrets(settings_for(stored.url)) as secrets:
        secrets.check(TO_FORGET)
        secrets.check()
        assert stored.query("select 1 from pg_namespace where nspname = 'stripe_secrets'") == []


def test_secrets_are_never_there_with_rights_that_others_were_given_by_default(stored: Stored) -> None:
    """A process that ends before it has taken the rights back leaves no table that is taken for a private one."""
    stored.query("alter default privileges grant usage on schemas to public")
    stored.query("alter default privileges grant select on tables to public")
    stored.query("create function fail() returns event_trigger language plpgsql as $$ begin raise 'end'; end $$")
    stored.query("create event trigger fail on ddl_command_start when tag in ('REVOKE') execute function fail()")

    def keep() -> set[str]:
        with Secrets(settings_for(stored.url)) as secrets:
            secrets.keep("we_1", URL, "whsec_hush", None, False)
            return secrets.known()

    with pytest.raises((DatabaseProblem, psycopg.Error)):
        keep()
    stored.query("drop event trigger fail")
    assert keep() == {"we_1"}
    assert stored.query("select has_schema_privilege('public', 'stripe_secrets', 'usage')") == [(False,)]
    assert stored.query(f"select has_table_privilege('public', '{TABLE}', 'select')") == [(False,)]
