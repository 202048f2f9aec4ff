"""Opening a database: what can be wrong with it is said in one paragraph that names the setting."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
import traceback
from pathlib import Path

import duckdb
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pipelines.configuration.settings import Settings
from pipelines.loading.session import open_database
from pipelines.warehouse.postgres.libpq import postgres_conninfo
from pipelines.warehouse.problems import AlreadyRunning, DatabaseProblem, without_rows

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def postgres(url: str, **more: str) -> Settings:
    return Settings(destination="postgres", database_url=url, **more)  # type: ignore[arg-type]


def test_any_libpq_string_is_passed_on_whole(postgres_url: str) -> None:
    words = psycopg.conninfo.make_conninfo(postgres_url, options="-c work_mem=54321", application_name="mine")
    database = open_database(postgres(words))
    assert database.execute("SHOW work_mem") == [("54321kB",)]
    database.close()


def test_server_that_is_down_names_the_setting() -> None:
    with pytest.raises(DatabaseProblem, match="DATABASE_URL") as raised:
        open_database(postgres("postgresql://me:hush-hush@127.0.0.1:1/none?connect_timeout=2"))
    assert "hush" not in str(raised.value)


def test_no_postgres_at_all_names_the_settings() -> None:
    with pytest.raises(DatabaseProblem, match=r"Set DATABASE_URL .* or destination\.postgres\.credentials"):
        open_database(Settings(destination="postgres"))


def test_dlts_own_credentials_serve(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = conninfo_to_dict(postgres_url)
    for name, key in (("HOST", "host"), ("DATABASE", "dbname"), ("USERNAME", "user"), ("PASSWORD", "password")):
        monkeypatch.setenv(f"DESTINATION__POSTGRES__CREDENTIALS__{name}", str(parts.get(key) or "unused"))
    if port := parts.get("port"):
        monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS__PORT", str(port))
    host = str(parts["host"])
    if host.startswith("/"):
        monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", postgres_url)
    database = open_database(Settings(destination="postgres"))
    assert database.execute("SELECT current_database()") == [(parts["dbname"],)]
    database.close()


def test_nonsense_is_no_connection_string() -> None:
    with pytest.raises(DatabaseProblem, match="not a connection string"):
        open_database(postgres("mysql//x"))


def test_dlts_own_password_may_hold_any_character(monkeypatch: pytest.MonkeyPatch) -> None:
    password = "p@ss w'ord:/%"
    for name, value in (("HOST", "h"), ("DATABASE", "d"), ("USERNAME", "u"), ("PASSWORD", password), ("PORT", "1")):
        monkeypatch.setenv(f"DESTINATION__POSTGRES__CREDENTIALS__{name}", value)
    parts = conninfo_to_dict(postgres_conninfo(None, None))
    assert (parts["host"], parts["dbname"], parts["user"], parts["password"]) == ("h", "d", "u", password)


def test_end_of_a_password_is_taken_for_no_host() -> None:
    with pytest.raises(DatabaseProblem, match="percent-encoded") as raised:
        open_database(postgres("postgresql://me:open@sesame@127.0.0.1:1/d"))
    assert "sesame" not in str(raised.value)


@pytest.mark.parametrize(
    "given",
    [CERTIFICATE, base64.b64encode(CERTIFICATE.encode()).decode(), base64.encodebytes(CERTIFICATE.encode()).decode()],
)
def test_certificate_authority_can_be_pem_or_base64(given: str) -> None:
    file = Path(str(conninfo_to_dict(postgres_conninfo("postgresql://h/d", given))["sslrootcert"]))
    assert file.read_text() == CERTIFICATE
    assert file.stat().st_mode & 0o077 == 0
    file.unlink()


def test_nonsense_is_no_certificate() -> None:
    with pytest.raises(DatabaseProblem, match="DATABASE_CA"):
        open_database(postgres("postgresql://h/d", database_ca="nonsense"))


def test_second_run_on_a_postgres_dataset_is_told_apart(postgres_url: str) -> None:
    first, second = open_database(postgres(postgres_url)), open_database(postgres(postgres_url))
    first.lock_run("stripe")
    with pytest.raises(AlreadyRunning, match="Another run is loading 'stripe'"):
        second.lock_run("stripe")
    second.lock_run("another")
    first.close()
    second.lock_run("stripe")
    second.close()


def test_second_run_on_a_duckdb_file_is_told_apart(duckdb_path: Path) -> None:
    settings = Settings(duckdb_path=str(duckdb_path))
    first = open_database(settings)
    with pytest.raises(AlreadyRunning, match=r"Another run is using the DuckDB file.*DUCKDB_PATH"):
        open_database(settings)
    first.close()
    open_database(settings).close()


def test_duckdb_file_held_by_another_process_names_the_setting(duckdb_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import duckdb; c = duckdb.connect({str(duckdb_path)!r}); print('open', flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    try:
        with pytest.raises(DatabaseProblem, match=r"open in another process.*DUCKDB_PATH"):
            open_database(Settings(duckdb_path=str(duckdb_path)))
    finally:
        holder.communicate("\n")


@pytest.mark.parametrize(
    "name",
    [
        "stripe.duckdb",
        "stripe",
        "STRIPE.duckdb",
        "stripe.2026.duckdb",
        ".stripe.db",
        "stripe?a.db",
        "stripe_staging.duckdb",
        "Stripe_Staging_object.db",
    ],
)
def test_duckdb_file_whose_name_is_a_schema_of_ours_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatabaseProblem, match=r"ambiguous.*DUCKDB_PATH"):
        open_database(Settings(duckdb_path=str(tmp_path / name)))
    assert list(tmp_path.iterdir()) == []
    with duckdb.connect(str(tmp_path / name)) as opened:
        schema = opened.execute("select lower(current_database())").fetchall()[0][0]
        opened.execute(f"create schema {schema}")
        with pytest.raises(duckdb.BinderException, match="Ambiguous"):
            opened.execute(f"create table {schema}.customers (id text)")


@pytest.mark.parametrize("name", ["my.stripe.duckdb", "stripes.duckdb", "a:b.duckdb", "~", "memory", "über 1.db"])
def test_duckdb_file_with_an_odd_name_is_made_where_it_should_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    database = open_database(Settings(duckdb_path=f"./{name}"))
    database.execute("CREATE SCHEMA stripe")
    database.execute("CREATE TABLE stripe.customers AS SELECT 1 AS id")
    database.close()
    with duckdb.connect(str(tmp_path / name)) as opened:
        assert opened.execute("select id from stripe.customers").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "address", [":memory:", ":memory:stripe", "md:stripe?motherduck_token=s3cret", "s3://s3cret/x.db", "quack:s3cret"]
)
def test_duckdb_address_that_is_no_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatabaseProblem, match=r"DUCKDB_PATH.*is not a file") as refused:
        open_database(Settings(duckdb_path=address))
    assert "s3cret" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_duckdb_paths_that_no_file_can_have_are_told(tmp_path: Path) -> None:
    (tmp_path / "loop.db").symlink_to(tmp_path / "loop.db")
    os.mkfifo(tmp_path / "pipe.db")
    for name, words in {
        "loop.db": "Too many levels of symbolic links",
        "n" * 300: "File name too long",
        os.fsdecode(b"\xff.db"): "not UTF-8",
        "zero\0.db": "zero byte",
        "pipe.db": "is a pipe",
    }.items():
        with pytest.raises(DatabaseProblem, match=rf"{words}.*DUCKDB_PATH"):
            open_database(Settings(duckdb_path=str(tmp_path / name)))
    assert {path.name for path in tmp_path.iterdir()} == {"loop.db", "pipe.db"}


def test_missing_folder_and_foreign_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(DatabaseProblem, match="its folder does not exist"):
        open_database(Settings(duckdb_path=str(tmp_path / "none" / "x.duckdb")))
    (tmp_path / "x.duckdb").write_bytes(b"this is a text file, and a long one at that " * 200)
    with pytest.raises(DatabaseProblem, match="not a DuckDB database"):
        open_database(Settings(duckdb_path=str(tmp_path / "x.duckdb")))


def test_a_transaction_of_duckdb_takes_no_rows_from_another_thread(duckdb_path: Path) -> None:
    database = open_database(Settings(duckdb_path=str(duckdb_path)))
    database.execute("CREATE TABLE t (n int)")
    read: list[int] = []
    reading = threading.Event()

    def ask() -> None:
        for _ in range(300):
            read.append(len(database.execute("SELECT * FROM range(3)")))
            reading.set()

    asking = threading.Thread(target=ask)
    asking.start()
    reading.wait()
    while asking.is_alive():
        with database.transaction():
            database.execute("INSERT INTO t VALUES (1)")
    asking.join()
    assert set(read) == {3}
    database.close()


def test_duckdb_parameters_are_written_as_in_postgres(duckdb_path: Path) -> None:
    database = open_database(Settings(duckdb_path=str(duckdb_path)))
    assert database.execute("SELECT %s::int + 1", (1,)) == [(2,)]
    with pytest.raises(duckdb.ConversionException), database.transaction():  # noqa: PT012 (what came before is undone)
        database.execute("CREATE TABLE t (n int)")
        database.execute("SELECT 'x'::int")
    assert database.execute("SELECT count(*) FROM information_schema.tables WHERE table_name = 't'") == [(0,)]
    database.close()


@pytest.mark.parametrize("value", ["jenny@example.com", "jenny\n'quoted' \"example.com", "9" * 30])
def test_traceback_repeats_no_value(value: str, duckdb_path: Path, postgres_url: str) -> None:
    for settings in (Settings(duckdb_path=str(duckdb_path)), postgres(postgres_url)):
        database = open_database(settings)
        with pytest.raises((duckdb.Error, psycopg.Error)) as refused:
            database.execute("SELECT CAST(%s AS text)::integer", [value])
        told = "".join(traceback.format_exception(refused.value))
        assert any(part in told for part in value.split("\n"))
        assert not any(part in without_rows(told) for part in ("jenny", "example.com", "9" * 20))
        assert "Traceback" in without_rows(told)
        database.close()


def test_umask_is_as_before_when_two_files_are_closed_in_any_order(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        first, second = (open_database(Settings(duckdb_path=str(tmp_path / name))) for name in ("a.duckdb", "b.duckdb"))
        first.close()
        assert umask() == 0o077
        second.close()
        assert umask() == 0o022
    finally:
        os.umask(before)


def test_umask_is_as_before_when_a_file_takes_no_setting(duckdb_path: Path) -> None:
    settings = Settings(duckdb_path=str(duckdb_path))
    open_database(settings).close()
    before = umask()
    with duckdb.connect(str(duckdb_path), config={"memory_limit": settings.duckdb_memory_limit}) as other:
        other.execute("SET lock_configuration = true")
        with pytest.raises(DatabaseProblem, match="could not open"):
            open_database(settings)
    assert umask() == before
    open_database(settings).close()


def umask() -> int:
    os.umask(now := os.umask(0))
    return now
