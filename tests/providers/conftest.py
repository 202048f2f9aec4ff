"""Fixtures of the rules that hold for every provider: a provider, and mirrors of its simulated accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.databases import Database
from tests.pipelines.account_mirror import START, AccountMirror
from tests.providers.cases import CASES
from tests.providers.provider_case import ProviderCase
from tests.webhook_sink.conftest import stored as stored
from tests.webhook_sink.conftest import with_sink as with_sink

Made = Callable[..., AccountMirror[Any]]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> ProviderCase:
    """A provider, each in turn."""
    found: ProviderCase = request.param
    return found


@pytest.fixture
def mirrored(case: ProviderCase, destination: Database) -> Iterator[Made]:
    """Makes mirrors of the provider's simulated accounts: `mirrored(customers=30)`."""
    with ExitStack() as running:

        def make(**options: Any) -> AccountMirror[Any]:
            given = {"seed": 1, "customers": 8, "now": START, "running": False} | options
            return case.mirror(running.enter_context(case.simulate(**given)), destination)

        yield make
