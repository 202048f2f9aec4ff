"""What a sync would read beside the events, without asking: the lists that are due by this machine's clock."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pipelines.configuration.settings import Settings
from pipelines.loading.dry_run import Planned, planned, stored
from pipelines.sync.cadence import due_lists
from pipelines.sync.lists import last_listed
from pipelines.sync.settings import SyncSettings
from sources.stripe_api.catalogue import CATALOGUE


def planned_sync(settings: Settings, sync_settings: SyncSettings, names: Sequence[str]) -> list[Planned]:
    """The lists. Those that follow the tables which the events change are not among them: nobody knows these yet."""
    with stored(settings) as (_, saved):
        last = last_listed(saved, CATALOGUE)
    resources = CATALOGUE.select(names or list(last))
    due = due_lists(resources, last, int(time.time()), sync_settings, ())
    return planned(settings, [one.resource for one in due])
