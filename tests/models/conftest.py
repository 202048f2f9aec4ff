"""The fixtures of the pipelines' tests, for the tests of what is built from their tables."""

from tests.pipelines.conftest import beginnings as beginnings
from tests.pipelines.conftest import mirrored as mirrored
