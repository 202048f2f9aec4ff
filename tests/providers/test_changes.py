"""Which of the changes of an object decides, whatever the provider. Pure: no request."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sources.changes import Change, Newest
from tests.providers.provider_case import ProviderCase

STATES = st.lists(st.tuples(st.sampled_from(["one", "other"]), st.integers(1, 6), st.integers(0, 3)), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # a provider is a value
@given(states=STATES, data=st.data())
def test_the_newest_decides_in_every_order_and_in_pieces(
    case: ProviderCase, states: list[tuple[str, int, int]], data: st.DataObject
) -> None:
    """In pieces the events come newest first, as logs list them; within a piece in any order."""
    changes = [change(case, number, *state) for number, state in enumerate(states)]
    expected: dict[str, tuple[int, set[str]]] = {}
    for id, at, state in states:
        newest, names = expected.get(id, (0, set[str]()))
        if at >= newest:
            expected[id] = (at, {str(state)} | (names if at == newest else set()))
    cut = data.draw(st.integers(1, 7))
    decided: dict[str, Change] = {}
    newest_of = Newest()
    for piece in (
        [change for change in changes if change.at >= cut],
        [change for change in changes if change.at < cut],
    ):
        for each in data.draw(st.permutations(piece)):
            newest_of.add(each)
        for each in newest_of.take():
            assert each.key[0] not in decided
            decided[each.key[0]] = each
    assert decided.keys() == expected.keys()
    for id, each in decided.items():
        at, names = expected[id]
        assert each.at == at
        assert each.object["name"] in names
        assert (each.doubt == "tie") == (len(names) > 1)


def change(case: ProviderCase, number: int, id: str, at: int, state: int) -> Change:
    event = case.rename(f"event{number}", id, str(state), at)
    told = case.provider.change_of(event, case.provider.api_version(), "of tests")
    assert isinstance(told, Change)
    assert told.doubt is None
    return told
