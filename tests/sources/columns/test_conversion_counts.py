"""What a run could not store is counted for each resource, named as far as it can be, and said in one sentence."""

from __future__ import annotations

from sources.columns.conversion_counts import KEPT, NAMED, ConversionCounts, left_out


def test_many_rejects_of_one_resource_hide_none_of_another() -> None:
    counts = ConversionCounts()
    for place in range(KEPT + 7):
        counts.within("charges").reject("charges", f"ch_{place}", "why")
    counts.within("charges").reject("charges", "ch_1", "why")  # noted already
    counts.within("customers").reject("customers", "cus_1", "why")
    assert [entry.id for entry in counts.rejected("customers")] == ["cus_1"]
    assert sum(entry.count for entry in counts.rejected("charges")) == KEPT + 7
    assert len(counts.take_unsaved()) == KEPT + 1
    said = left_out(counts.rejected(), is_load=True)
    assert f"and {KEPT + 7 - NAMED:,} more of charges" in said
    assert "customers cus_1 (why)" in said
    assert "sync_rejected lists those whose id was recorded" in said


def test_only_a_load_says_that_the_rest_is_loaded() -> None:
    counts = ConversionCounts()
    counts.reject("charges", None, "why")
    sentence = "Left out, because they cannot be stored: charges without an id (why)."
    assert left_out(counts.rejected(), is_load=False) == f"{sentence} The table sync_rejected lists them."
    assert (
        left_out(counts.rejected(), is_load=True)
        == f"{sentence} Everything else is loaded. The table sync_rejected lists them."
    )
