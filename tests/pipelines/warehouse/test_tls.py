"""TLS to the database for every command, by DATABASE_CA: right, wrong and expired authorities, and a wrong host.

The server is a PgBouncer that takes nothing but TLS, because the Postgres of the tests is built without it.
"""

from __future__ import annotations

import base64
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from pipelines import stripe_check, stripe_full, stripe_object, stripe_report, stripe_sync
from pipelines.configuration.settings import Settings
from pipelines.loading.session import open_database
from pipelines.warehouse.problems import DatabaseProblem
from simulator import Simulator
from stripe_elt.commands import backfill, doctor, migrate, start, status
from tests.command.test_start import Started, free_port
from tests.databases import Database
from tests.pipelines.mirror import Mirror
from tests.webhook_sink.conftest import Stored, event
from tests.webhook_sink.conftest import serve as serve
from tests.webhook_sink.conftest import stored as stored
from webhook_sink import __main__ as webhook_sink

CERTIFICATES = Path(__file__).resolve().parents[2] / "sources/certificates"
AUTHORITY = CERTIFICATES / "authority.pem"
Served = Callable[..., str]


def base64_of(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


@pytest.fixture
def served(pooled: Callable[..., str]) -> Iterator[Served]:
    """`served(certificate)`: the address of a server that has this certificate, without `sslmode`."""
    folder = Path(tempfile.mkdtemp(prefix="tls-"))  # which another user can read
    folder.chmod(0o755)

    def start(certificate: str = "right", host: str = "localhost") -> str:
        for name in (certificate, "key"):
            shutil.copyfile(CERTIFICATES / f"{name}.pem", folder / f"{name}.pem")
            (folder / f"{name}.pem").chmod(0o644)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        address = pooled(
            listen_addr="127.0.0.1",
            listen_port=port,
            client_tls_sslmode="require",
            client_tls_cert_file=folder / f"{certificate}.pem",
            client_tls_key_file=folder / "key.pem",
        )
        return make_conninfo(address, host=host, port=port, hostaddr="127.0.0.1")

    yield start
    shutil.rmtree(folder)


def refusal(address: str, authority: Path) -> str:
    with pytest.raises(DatabaseProblem) as refused:
        open_database(Settings(destination="postgres", database_url=address, database_ca=base64_of(authority)))
    return str(refused.value)


@pytest.mark.long
def test_every_command_reads_the_authority(
    served: Served,
    simulator: Callable[..., Simulator],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mirror = Mirror(simulator(seed=1, customers=2), Database("postgres", served()))
    for name, value in mirror.environment.items():
        monkeypatch.setenv(name, value)
    customer = mirror.sim.account.objects("customers")[0]["id"]
    commands: list[Callable[[], int]] = [
        lambda: migrate.main(["--resources", "customers"]),
        lambda: stripe_full.main(["--resources", "customers", "subscriptions"]),
        lambda: stripe_sync.main([]),
        lambda: stripe_object.main([customer]),
        lambda: stripe_check.main([]),
        lambda: stripe_report.main([]),
        lambda: status.main([]),
        lambda: doctor.main(["--no-permissions"]),
        lambda: backfill.main(["customers"]),
        lambda: webhook_sink.main(["follow", "--once"]),
        lambda: webhook_sink.main(["replay"]),
        lambda: webhook_sink.main(["endpoint", "list"]),
    ]
    monkeypatch.setenv("DATABASE_CA", str(AUTHORITY))
    assert [command() for command in commands] == [0] * len(commands)
    monkeypatch.setenv("DATABASE_CA", base64_of(CERTIFICATES / "expired_authority.pem"))
    refused = (commands[1], commands[6], commands[-1], commands[8], lambda: start.main([]))
    assert [command() for command in refused] == [2] * len(refused)
    capsys.readouterr()
    assert commands[7]() == 1  # a doctor's findings
    assert "certificate verify failed" in capsys.readouterr().out


def test_right_authority_is_a_path_or_pem_or_base64(served: Served) -> None:
    address = served()
    for authority in (str(AUTHORITY), AUTHORITY.read_text(), base64_of(AUTHORITY)):
        settings = Settings(destination="postgres", database_url=address, database_ca=authority)
        with closing(open_database(settings)) as database:
            assert database.execute("SELECT 1") == [(1,)]


def test_what_is_wrong_with_a_certificate_is_said(served: Served) -> None:
    right = served()
    assert "certificate verify failed" in refusal(right, CERTIFICATES / "expired_authority.pem")
    elsewhere = right.replace("localhost", "db.example.com")
    assert "does not match host name" in refusal(elsewhere, AUTHORITY)


WRONG = (("expired", "authority"), ("of_expired_authority", "expired_authority"), ("other", "authority"))
"""A server's certificate, and the authority that a client has for it."""


@pytest.mark.parametrize(("certificate", "authority"), WRONG)
def test_expired_certificate_expired_authority_and_another_host_are_refused(
    served: Served,
    serve: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    certificate: str,
    authority: str,
) -> None:
    """By what loads, and by the sink, which has connections of its own and waits for a database that it can trust."""
    address, file = served(certificate), CERTIFICATES / f"{authority}.pem"
    sink = serve(url=address, authority=str(file), wait=False)
    assert sink.send(event("customer.created", {"id": "cus_1", "object": "customer"})) == [503]
    while "waiting for the database" not in caplog.text:  # its first attempt may still be under way
        assert sink.get("/health").status == 200
    for said in (refusal(address, file), caplog.text):
        assert "certificate verify failed" in said or "does not match host name" in said


def test_the_sink_takes_webhooks_over_tls(served: Served, serve: Callable[..., Any], stored: Stored) -> None:
    sink = serve(url=served(), authority=str(AUTHORITY))
    assert sink.send(event("customer.created", {"id": "cus_1", "object": "customer"})) == [200]
    assert stored.query("select id from stripe.customers") == [("cus_1",)]


@pytest.mark.long
def test_start_and_its_parts_read_the_authority(
    served: Served, simulator: Callable[..., Simulator], stored: Stored
) -> None:
    sim = simulator(seed=1, customers=2)
    environment = Mirror(sim, Database("postgres", served())).environment | {
        "DATABASE_CA": str(AUTHORITY),
        "WEBHOOK_SINK__TOLERANCE": "2000000000",
    }
    port = free_port()
    with Started.of("--tunnel", f"http://127.0.0.1:{port}", "--port", str(port), **environment) as started:
        started.wait_for("ready: events of")
        sim.account.create("customers", sim.make("customers", name="By webhook"))
        assert set(sim.deliveries.send_all()) == {200}
        assert stored.query("select _source from stripe.customers where name = 'By webhook'") == [("event",)]
        assert started.end() == 0
