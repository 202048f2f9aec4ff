"""Connection strings: the forms that people paste are taken or refused by name, and no message repeats a value."""

from __future__ import annotations

import asyncio
import logging
import os
import string
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from pipelines.configuration.settings import Settings
from pipelines.loading.session import open_database
from pipelines.warehouse.postgres import conninfo
from pipelines.warehouse.postgres.connecting import hidden
from pipelines.warehouse.postgres.conninfo import options_of
from pipelines.warehouse.postgres.dlt_credentials import LibpqCredentials
from pipelines.warehouse.postgres.libpq import postgres_conninfo
from pipelines.warehouse.problems import DatabaseProblem
from webhook_sink.commit.connection import Connection

PLAIN = {"user": "u", "password": "p", "host": "h", "dbname": "d"}


def postgres(url: str | None, **more: str) -> Settings:
    return Settings(destination="postgres", database_url=url, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pasted", "more"),
    [
        (" postgresql://u:p@h/d\n", {}),
        ("'postgres://u:p@h/d'", {}),
        ('export DATABASE_URL="postgresql://u:p@h/d";', {}),
        ("psql 'postgresql://u:p@h/d'", {}),
        ("\ufeffPOSTGRESQL://u:p@h/d", {}),
        ("postgresql+psycopg2://u:p@h/d", {}),
        ("postgresql+psycopg://u:p@h/d", {}),
        ("postgis://u:p@h/d?conn_max_age=600", {}),
        ("postgresql://u:p@h/d?pgbouncer=true&connection_limit=1&pool_timeout=0&schema=public", {}),
        ("postgresql://u:p@h/d?supa=base-pooler.x&workaround=supabase-pooler.vercel&sslmode=require", "require"),
        ("postgresql://u:p@h/d?search_path=billing", {}),
        ("postgresql://u:p@h/d?serverVersion=16&charset=utf8", {}),
        ("jdbc:postgresql://h/d?user=u&password=p&ssl=true&currentSchema=x&prepareThreshold=0", "require"),
        ("postgresql://u:p@h/d?sslMode=VerifyFull", "verify-full"),
        ("postgresql://u:p@h/d?sslmode=verify-full&ssl=true", "verify-full"),
        ("postgresql://u:p@h/d?ssl=false&sslmode=verify-ca", "verify-ca"),
        ("jdbc:postgresql://u:p@h/d?sslmode=verify-full&ssl=false", "verify-full"),
        ("postgresql://u:p@h/d?ssl=false", "prefer"),
        ("postgresql+asyncpg://u:p@h/d?ssl=verify-ca", "verify-ca"),
        ("postgresql://u:p@h/d?sslmode=no-verify&uselibpqcompat=true", "require"),
        ("postgresql://u:p@h/d?sslaccept=accept_invalid_certs", {}),
        ("postgresql://u:p@h/d?connectTimeout=7", {"connect_timeout": "7"}),
        ("postgresql://u:p@h/d?application_name=a@b", {"application_name": "a@b"}),
        ("postgresql://u:p@h/d?options=endpoint%3Dep-1", {"options": "endpoint=ep-1"}),
        ("user=u password=p host=h dbname=d", {}),
    ],
)
def test_what_people_paste_is_the_same_connection(pasted: str, more: dict[str, str] | str) -> None:
    expected = PLAIN | ({"sslmode": more} if isinstance(more, str) else more)
    assert options_of(pasted, "DATABASE_URL") == expected
    made = postgres_conninfo(pasted, None)
    assert conninfo_to_dict(made) == expected
    credentials = LibpqCredentials()
    credentials.parse_native_representation(pasted)
    assert conninfo_to_dict(credentials.to_native_representation()) == expected


@pytest.mark.parametrize(
    ("pasted", "says"),
    [
        ("postgresql://u:hush/hush@h/d", "percent-encoded"),
        ("postgresql://u:hush@hush@h/d", "percent-encoded"),
        ("postgresql://u:hush%hush@h/d", "percent-encoded"),
        ("postgresql://u:hush hush@h/d", "percent-encoded"),
        ("postgresql://u:12/x?hush=y@h/d", "percent-encoded"),
        ("postgresql://u:%E9hush@h/d", "percent-encoded"),
        ("postgresql://u:hush@h:hush/d", "port is not a number"),
        ("postgresql://u:hush@[hush/d", "percent-encoded"),
        ("postgresql://u:hush\udce9@h/d", "not UTF-8"),
        ("postgresql://u:hush\n@h/d", "line break"),
        ("Host=h;Username=u;Password=hush", "semicolons"),
        ("mysql://u:hush@h/d", "begins with postgresql://"),
        ("prisma+postgres://h/?api_key=hush", "begins with postgresql://"),
        ("hush", "libpq cannot read it"),
        ("host=h password=hush hush", "libpq cannot read it"),
        ("host=h password=hush hush=1", "libpq cannot read it"),
        ("host=h port=hush", "port is not a number"),
        ("postgresql://u:p@h/d?sslmode=hush", "sslmode must be disable"),
        ("postgresql://u:p@h/d?connect_timeout=hush", "connect_timeout is not a whole number"),
        ("postgresql://u:p@h/d?targetServerType=hush", "no option targetServerType. Write target_session_attrs"),
        ("postgresql://u:p@h/d?sslaccept=strict&x=hush", "no option sslaccept"),
        ("postgresql://u:p@h/d?readOnly=hush", "no option readOnly"),
        ("postgresql://u:p@h/d?frobnicate=hush", "an option that libpq does not have, (10 letters)"),
        ("postgresql://u:p@h/d?hush=1", "an option that libpq does not have, (4 letters)"),
        ("postgresql://u:p@h/d?conect_timeout=hush", "an option that libpq does not have, 'conect_timeout'"),
        ("postgresql://u:p@h/d?replication=database", "Its option replication"),
        ("host=h replication=true password=hush", "Its option replication"),
        ("jdbc:postgresql://h/d?Replication=hush", "Its option replication"),
    ],
)
def test_what_cannot_be_taken_is_refused_by_name(pasted: str, says: str) -> None:
    for name, opened in (
        ("DATABASE_URL", lambda: open_database(postgres(pasted))),
        ("destination.postgres.credentials", lambda: LibpqCredentials().parse_native_representation(pasted)),
    ):
        with pytest.raises(DatabaseProblem) as raised:
            opened()
        told = "".join(traceback.format_exception(raised.value))
        assert says in str(raised.value)
        assert str(raised.value).startswith(name)
        assert "hush" not in told


def test_option_whose_effect_could_be_missed_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    conninfo._tell_once.cache_clear()
    caplog.set_level(logging.INFO, "stripe_elt")
    for _ in range(2):
        options_of("postgresql://u:p@h/d?schema=hush&pgbouncer=true", "DATABASE_URL")
    (told,) = caplog.messages
    assert told.startswith("DATABASE_URL: the option schema is ignored: the tables go into the schema")
    assert "hush" not in told


# --- no value in a message --------------------------------------------------------------------------------------------

PLACES = (
    "postgresql://u:{}@127.0.0.1:1/d",
    "postgresql://{}:p@127.0.0.1:1/d",
    "postgresql://u:p@127.0.0.1:{}/d",
    "postgresql://u:p@{}.invalid:1/d",
    "postgresql://u:p@127.0.0.1:1/{}",
    "postgresql://{}",
    "postgresql+psycopg2://u:{}@127.0.0.1:1/d?pgbouncer=true&schema={}",
    "jdbc:postgresql://127.0.0.1:1/d?user=u&password={}",
    "Host=127.0.0.1;Port=1;Username=u;Password={}",
    "mysql://u:{}@127.0.0.1:1/d",
    "{}",
    "host=127.0.0.1 port=1 user=u password={}",
    "host=127.0.0.1 port=1 user=u password='{}'",
    "host=127.0.0.1 port={}",
    "host=/tmp/{} port=1",
    *(
        f"postgresql://u:p@127.0.0.1:1/d?{option}={{}}"
        for option in (
            *(
                "sslmode",
                "sslrootcert",
                "sslcert",
                "sslkey",
                "sslpassword",
                "channel_binding",
                "require_auth",
                "gssencmode",
            ),
            *(
                "options",
                "application_name",
                "connect_timeout",
                "target_session_attrs",
                "hostaddr",
                "passfile",
                "service",
            ),
            *("keepalives", "client_encoding", "load_balance_hosts", "ssl_min_protocol_version", "sslnegotiation"),
            *("statement_timeout", "sslaccept", "ssl", "search_path", "user", "password", "dbname", "krbsrvname"),
        )
    ),
)
TOKEN = st.text(string.ascii_letters + string.digits, min_size=8, max_size=10)
SEPARATOR = st.text(":/@#?%[]'\"\\=&,; é\n", max_size=2)


def told_by(opening: Callable[[], object]) -> str:
    """The message and the traceback of what an opening raises; it must not succeed."""
    with pytest.raises((DatabaseProblem, psycopg.Error)) as raised:
        opening()
    return "".join(traceback.format_exception(raised.value))


def assert_unsaid(pasted: str, secrets: tuple[str, ...]) -> None:
    openings: list[Callable[[], object]] = [
        lambda: open_database(postgres(pasted)),
    ]
    try:
        taken = postgres_conninfo(pasted, None)
        openings.append(lambda: asyncio.run(Connection.connect(taken)))
    except DatabaseProblem:
        pass
    for opening in openings:
        told = told_by(opening)
        assert [secret for secret in secrets if secret in told] == [], told


@pytest.mark.long
@settings(max_examples=120)
@given(st.sampled_from(PLACES), TOKEN, SEPARATOR, TOKEN)
@example(PLACES[0], "12345678", "/", "abcdefgh")
@example(PLACES[0], "abcdefgh", "@", "12345678")
@example(PLACES[2], "1234", "", "5678")
def test_no_part_of_a_connection_string_is_said(place: str, first: str, separator: str, second: str) -> None:
    secret = first + separator + second
    assert_unsaid(place.replace("{}", secret), (first, second))
    assert_unsaid(place.replace("{}", quote(secret, safe="")), (first, second))


@pytest.mark.parametrize(
    "name", ["PGPORT", "PGHOST", "PGHOSTADDR", "PGSSLMODE", "PGSERVICE", "PGUSER", "PGREQUIREAUTH"]
)
def test_no_value_of_libpqs_variables_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "/tmp/hush-hush" if name == "PGHOST" else "hush-hush")
    assert_unsaid(
        "dbname=d" if name == "PGHOST" else "port=1 dbname=d" if name != "PGPORT" else "host=127.0.0.1", ("hush",)
    )


def test_no_value_of_a_service_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "pg_service.conf"
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    for line in ("port=hush-hush", "sslmode=hush-hush", "hush-hush", "hush=hush", "host=/tmp/hush-hush"):
        file.write_text(f"[warehouse]\n{line}\n")
        assert_unsaid("service=warehouse", ("hush",))


@pytest.mark.parametrize(
    "certificate", ["hush-hush", "/etc/ssl/hush.pem", "-----BEGIN CERTIFICATE-----\\nhush\\n", "hüsh"]
)
def test_no_certificate_is_said(certificate: str) -> None:
    told = told_by(
        lambda: open_database(postgres("host=127.0.0.1 port=1 sslmode=verify-full", database_ca=certificate))
    )
    assert "hush" not in told
    assert "hüsh" not in told


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('database "d" does not exist', "database <dbname> does not exist"),
        ("Rolle »somebody« existiert nicht", "Rolle <user> existiert nicht"),
        ('could not translate host name "a.example" to address', "could not translate host name <host> to address"),
        (
            'invalid integer value "x" for connection option "port"',
            'invalid integer value … for connection option "port"',
        ),
        ('no pg_hba.conf entry for host "10.0.0.7", user "somebody"', "no pg_hba.conf entry for host …, user <user>"),
    ],
)
def test_what_libpq_says_keeps_the_names_of_options(said: str, shown: str) -> None:
    assert hidden(said, "user=somebody host=a.example,b.example dbname=d", {}) == shown


@pytest.mark.parametrize(
    "command", [["pipelines/stripe_sync.py", "--destination", "postgres"], ["-m", "webhook_sink", "follow"]]
)
@pytest.mark.parametrize("pasted", ["postgresql://u:{}/x@127.0.0.1:1/d", "host=127.0.0.1 port=1 user={}"])
def test_no_command_says_a_part_of_it(command: list[str], pasted: str, root: Path) -> None:
    given = {"DATABASE_URL": pasted.format("open-sesame"), "STRIPE_SECRET_KEY": "sk_test_1"}
    with subprocess.Popen(
        [sys.executable, *command, "--debug"],
        cwd=root,
        env=os.environ | given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline() if "follow" in command else ""  # it waits for the database
        if "follow" in command:
            process.kill()
        said += process.stdout.read()
    assert said
    assert "open-sesame" not in said
