"""Every property that a session can have is one that we set, or one that changes no result, for a reason given here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
import pytest

from pipelines.warehouse.postgres.session_properties import (
    BEGIN_TRANSACTION,
    CONNECTION,
    PROPERTIES,
    SET_PROPERTIES,
    refuse_encoding,
    set_properties,
)
from pipelines.warehouse.problems import DatabaseProblem

HARMLESS_CATEGORIES = {
    "Connections and Authentication / Authentication": "We make no roles and set no passwords.",
    "Connections and Authentication / TCP Settings": "They decide when a dead connection is noticed.",
    "Lock Management": "It decides when a deadlock is noticed.",
    "Query Tuning / Genetic Query Optimizer": "Plans change the time that a statement takes, not its rows.",
    "Query Tuning / Other Planner Options": "Plans change the time that a statement takes, not its rows.",
    "Query Tuning / Planner Cost Constants": "Plans change the time that a statement takes, not its rows.",
    "Query Tuning / Planner Method Configuration": "Plans change the time that a statement takes, not its rows.",
    "Replication / Sending Servers": "We replicate nothing.",
    "Reporting and Logging / Process Title": "Only the server's own log and process list show it.",
    "Reporting and Logging / When to Log": "Only the server's own log shows it.",
    "Resource Usage / Disk": "Its limits are errors that name themselves.",
    "Resource Usage / I/O": "Time, not rows.",
    "Resource Usage / Memory": "Time, and errors that name themselves.",
    "Resource Usage / Worker Processes": "Time, not rows.",
    "Statistics / Cumulative Query and Index Statistics": "We read no statistics.",
    "Statistics / Monitoring": "We read no statistics.",
    "Vacuuming / Cost-Based Vacuum Delay": "Time, not rows.",
    "Vacuuming / Default Behavior": "Time, not rows.",
    "Vacuuming / Freezing": "Time, not rows.",
    "Client Connection Defaults / Shared Library Preloading": "It has happened before our first statement.",
}
HARMLESS = {
    "application_name": "It names us in the server's lists.",
    "allow_in_place_tablespaces": "Superusers only; we make no tablespaces.",
    "allow_system_table_mods": "Superusers only; we change no system table.",
    "backtrace_functions": "Superusers only; it adds to the server's log.",
    "check_function_bodies": "We make no functions.",
    "client_min_messages": "We read no notices.",
    "commit_delay": "Time, not rows.",
    "commit_siblings": "Time, not rows.",
    "createrole_self_grant": "We make no roles.",
    "debug_discard_caches": "Time, not rows.",
    "debug_logical_replication_streaming": "We replicate nothing.",
    "debug_parallel_query": "Plans change the time that a statement takes, not its rows.",
    "debug_pretty_print": "Only the server's own log shows it.",
    "debug_print_parse": "Only the server's own log shows it.",
    "debug_print_plan": "Only the server's own log shows it.",
    "debug_print_rewritten": "Only the server's own log shows it.",
    "default_tablespace": "It is the user's choice where our tables lie.",
    "default_text_search_config": "We search no text.",
    "default_toast_compression": "Space, not values.",
    "default_transaction_deferrable": "It matters to SERIALIZABLE transactions only, and ours are not.",
    "default_transaction_isolation": "BEGIN names the isolation level of every transaction.",
    "default_transaction_read_only": "It is refused with a message that names it; providers set it on full databases.",
    "dynamic_library_path": "Superusers only; we load no library.",
    "escape_string_warning": "It is a warning.",
    "event_triggers": "Superusers only.",
    "extension_control_path": "Superusers only; we make no extension.",
    "gin_pending_list_limit": "Time, not rows.",
    "icu_validation_level": "We make no collations.",
    "idle_session_timeout": "It ends sessions between transactions: they are opened again.",
    "ignore_checksum_failure": "Superusers only, for databases that are damaged.",
    "jit_dump_bitcode": "Superusers only; it writes files on the server.",
    "jit_expressions": "Time, not rows.",
    "jit_tuple_deforming": "Time, not rows.",
    "lc_messages": "Superusers only; we read SQLSTATEs, and show the server's messages in its own language.",
    "lc_monetary": "We have no column of type money.",
    "lc_numeric": "We format no numbers with to_char.",
    "lc_time": "We format no times with to_char.",
    "lo_compat_privileges": "We have no large objects.",
    "log_duration": "Only the server's own log shows it.",
    "log_error_verbosity": "Only the server's own log shows it.",
    "log_lock_failures": "Only the server's own log shows it.",
    "log_lock_waits": "Only the server's own log shows it.",
    "log_parameter_max_length": "Only the server's own log shows it.",
    "log_replication_commands": "Only the server's own log shows it.",
    "log_statement": "Only the server's own log shows it.",
    "log_temp_files": "Only the server's own log shows it.",
    "quote_all_identifiers": "It changes only SQL that the server writes, and we read none.",
    "restrict_nonsystem_relation_kind": "We read no views and no foreign tables but the system's.",
    "session_replication_role": "Superusers only; our tables have no foreign keys, and primary keys hold in any role.",
    "synchronize_seqscans": "Where order matters, a statement has ORDER BY.",
    "synchronous_commit": "We set it where it is off; see test_synchronous_commit_is_raised_and_never_lowered.",
    "temp_tablespaces": "It is the user's choice where temporary files lie.",
    "trace_notify": "Only the server's own log shows it.",
    "trace_sort": "Only the server's own log shows it.",
    "transaction_deferrable": "A transaction's own; see default_transaction_deferrable.",
    "transaction_isolation": "A transaction's own; see default_transaction_isolation.",
    "transaction_read_only": "A transaction's own; see default_transaction_read_only.",
    "wal_compression": "Superusers only; space, not values.",
    "wal_consistency_checking": "Superusers only; it adds to the write-ahead log.",
    "wal_init_zero": "Superusers only; time, not rows.",
    "wal_recycle": "Superusers only; time, not rows.",
    "wal_skip_threshold": "Time, not rows.",
    "xmlbinary": "We have no XML.",
    "xmloption": "We have no XML.",
    "zero_damaged_pages": "Superusers only, for databases that are damaged.",
}

HOSTILE = {
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "timezone_abbreviations": "India",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "search_path": "hostile, pg_catalog",
    "row_security": "on",
    "gin_fuzzy_search_limit": "1",
    "default_table_access_method": "no_such_method",
    "exit_on_error": "on",
    "log_parameter_max_length_on_error": "-1",
    "statement_timeout": "1d",
    "lock_timeout": "1ms",
    "transaction_timeout": "1d",
    "idle_in_transaction_session_timeout": "1ms",
    "synchronous_commit": "off",
}
"""Another value of each property that we set."""


def test_every_property_of_a_server_is_set_or_does_no_harm(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        known = connection.execute(
            "SELECT name, category FROM pg_settings WHERE context IN ('user', 'superuser') AND name NOT LIKE '%.%'"
        ).fetchall()
    settled = PROPERTIES.keys() | HARMLESS.keys()
    assert {name for name, category in known if category not in HARMLESS_CATEGORIES} - settled == set()
    assert not PROPERTIES.keys() & HARMLESS.keys()


def test_what_is_set_ends_with_the_transaction(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for name, value in HOSTILE.items():
            if name != "default_table_access_method":  # cannot be given a value that is wrong
                connection.execute("SELECT set_config(%s, %s, false)", (name, value))

        def current() -> dict[str, str]:
            return {
                name: connection.execute("SELECT current_setting(%s)", (name,)).fetchall()[0][0] for name in HOSTILE
            }

        before = current()
        connection.execute(BEGIN_TRANSACTION)
        assert current() == {name: each.value for name, each in PROPERTIES.items()} | {"synchronous_commit": "on"}
        connection.execute("COMMIT")
        assert current() == before


@pytest.mark.parametrize("is_local", [True, False], ids=["in a transaction", "in a session"])
def test_reload_of_the_servers_configuration_changes_no_property(own_server: Any, is_local: bool) -> None:
    lasting = [name for name in HOSTILE if name not in ("client_encoding", "default_table_access_method")]
    with psycopg.connect(own_server.get_uri()) as ours:
        ours.execute(set_properties(is_local=is_local).encode())
        if not is_local:
            ours.commit()
        set_for_the_server(own_server, {name: HOSTILE[name] for name in lasting} | {"work_mem": "5MB"})
        for _ in range(100_000):  # until the reload has come to this session
            if ours.execute("SHOW work_mem").fetchall() == [("5MB",)]:
                break
        found = {name: ours.execute(f"SHOW {name}".encode()).fetchall()[0][0] for name in lasting}
    assert found == {name: "on" if name == "synchronous_commit" else PROPERTIES[name].value for name in lasting}


def set_for_the_server(server: Any, values: Mapping[str, str]) -> None:
    """Writes properties into the configuration of a test's own server, and has it read again."""
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for name, value in values.items():
            words = ", ".join(f"'{word}'" for word in value.split(", "))
            connection.execute(f"ALTER SYSTEM SET {name} = {words}".encode())
        connection.execute("SELECT pg_reload_conf()")


def test_every_property_that_is_set_has_a_hostile_value_here() -> None:
    assert HOSTILE.keys() == PROPERTIES.keys() | {"synchronous_commit"}


@pytest.mark.parametrize(("given", "used"), [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")])
def test_synchronous_commit_is_raised_and_never_lowered(postgres_url: str, given: str, used: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("SELECT set_config('synchronous_commit', %s, false)", (given,))
        connection.execute(SET_PROPERTIES)
        assert connection.execute("SHOW synchronous_commit").fetchall() == [(used,)]


def test_the_isolation_level_is_not_that_of_the_role(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SET default_transaction_isolation = serializable")
        connection.execute(BEGIN_TRANSACTION)
        assert connection.execute("SHOW transaction_isolation").fetchall() == [("read committed",)]


def test_functions_and_operators_of_another_schema_do_not_stand_in(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA hostile")
        connection.execute("CREATE FUNCTION hostile.set_config(text, text, bool) RETURNS text RETURN 'hijacked'")
        connection.execute("CREATE FUNCTION hostile.never(text, text) RETURNS bool RETURN false")
        connection.execute("CREATE OPERATOR hostile.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.never)")
        connection.execute("SET search_path = hostile, pg_catalog")
        connection.execute(BEGIN_TRANSACTION)
        assert connection.execute("SHOW search_path").fetchall() == [("pg_catalog, public, pg_temp",)]


def test_a_property_that_the_server_lacks_is_left_out(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute(set_properties({"no_such_property": "1", "enable_seqscan": "off"}))
        assert connection.execute("SHOW enable_seqscan").fetchall() == [("off",)]


def test_the_connections_keywords_go_before_the_environments(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with psycopg.connect(postgres_url, **CONNECTION) as connection:
        assert connection.execute("SHOW client_encoding").fetchall() == [("UTF8",)]


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "WIN1252", "EUC_JP"])
def test_a_database_that_cannot_hold_every_text_is_refused(encoding: str) -> None:
    refuse_encoding("UTF8")
    with pytest.raises(DatabaseProblem, match=rf"encoding \(server_encoding\) is {encoding}"):
        refuse_encoding(encoding)
