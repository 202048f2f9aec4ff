"""Fixtures of the command's tests: those of the pipelines."""

from tests.pipelines.conftest import beginnings as beginnings
from tests.pipelines.conftest import mirror as mirror
from tests.pipelines.conftest import mirrored as mirrored
