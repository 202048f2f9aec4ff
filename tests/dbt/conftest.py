"""The fixtures of the pipelines' tests."""

from tests.pipelines.conftest import beginnings as beginnings
from tests.pipelines.conftest import mirror as mirror
from tests.pipelines.conftest import mirrored as mirrored
