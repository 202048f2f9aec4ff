"""Connection strings: the forms that people paste are taken or refused by name, and no message repeats a value."""

from __future__ import annotations

import logging
import traceback

import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg2.extensions import parse_dsn

from pipelines import conninfo
from pipelines.conninfo import options_of
from pipelines.database import open_database
from pipelines.database_problem import DatabaseProblem
from pipelines.libpq import LibpqCredentials, postgres_conninfo
from pipelines.settings import Settings

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
    made = postgres_conninfo(postgres(pasted))
    assert conninfo_to_dict(made) == expected == parse_dsn(made)
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
        ("postgresql://u:p@h/d?sslmode=hush", "sslmode has to be disable"),
        ("postgresql://u:p@h/d?connect_timeout=hush", "connect_timeout is not a whole number"),
        ("postgresql://u:p@h/d?targetServerType=hush", "no option targetServerType. Write target_session_attrs"),
        ("postgresql://u:p@h/d?sslaccept=strict&x=hush", "no option sslaccept"),
        ("postgresql://u:p@h/d?readOnly=hush", "no option readOnly"),
        ("postgresql://u:p@h/d?frobnicate=hush", "no option frobnicate"),
        ("postgresql://u:p@h/d?sslkeylogfile=hush", "sslkeylogfile is too new"),
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
    assert told.startswith("DATABASE_URL: the option schema is left out; the tables go into the schema")
    assert "hush" not in told
