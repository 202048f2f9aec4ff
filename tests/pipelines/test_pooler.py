"""Batch runs behind a pooler in transaction mode, which gives each transaction any server connection that is free."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.databases import Database


def test_the_pooler_of_these_tests_is_as_hostile_as_they_come(pooled: Callable[..., str], postgres_url: str) -> None:
    address = pooled(pool_size=1)
    with psycopg.connect(address, autocommit=True) as first, psycopg.connect(address, autocommit=True) as second:
        pid = "SELECT pg_backend_pid()"
        assert first.execute(pid).fetchall() == second.execute(pid).fetchall()
        first.execute("SET enable_seqscan = off")
        assert second.execute("SHOW enable_seqscan").fetchall() == [("off",)]
    with pytest.raises(psycopg.OperationalError, match="unsupported startup parameter"):
        psycopg.connect(address, options="-csearch_path=stripe")
    assert Database("postgres", postgres_url).value("SHOW enable_seqscan") == "on"
