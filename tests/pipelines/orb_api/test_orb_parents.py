"""Lists that need a request for each customer, subscription or plan: loaded if they are named, resumed, kept equal."""

from __future__ import annotations

from collections.abc import Callable

from tests.pipelines.orb_mirror import OrbMirror

Made = Callable[..., OrbMirror]


def test_every_list_below_a_parent_is_loaded_when_all_are_asked_for(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=9)
    outcome = mirror.run("all")
    assert (outcome.failed, outcome.skipped) == ([], [])
    assert mirror.differences(["all"]) == []
