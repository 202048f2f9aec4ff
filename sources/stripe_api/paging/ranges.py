"""The bounds that a list requires. Pure."""

from __future__ import annotations

from sources.catalogue import Params, Resource
from sources.stripe_api.paging.conventions import STRIPE_BEGAN

_GRAINS = {"day": 86_400, "hour": 3_600}  # seconds that the bounds of a range are multiples of; else whole minutes


def range_params(resource: Resource, passes: tuple[Params, ...], since: int, until: int) -> Params:
    """The bounds that a list requires, of whole days, hours or minutes within `[since, until)`; none if that is empty.

    https://docs.stripe.com/api/billing/meter-event-summary/list: bounds align with the granularity that is asked for.
    A day that is not over is left to a later run.
    """
    if resource.range_params is None:
        return ()
    grouping = next((value for one in passes for name, value in one if name == "value_grouping_window"), "")
    grain = _GRAINS.get(grouping, 60)
    start = -(-max(since, STRIPE_BEGAN) // grain) * grain
    end = until // grain * grain
    first, last = resource.range_params
    return ((first, str(start)), (last, str(end))) if start < end else ()
