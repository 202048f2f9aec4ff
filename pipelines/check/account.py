"""The check of one account. It has its own lock and staging dataset, so that syncs can run during a long check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.check.check import Check, CheckOrder
from pipelines.check.report import CheckReport
from pipelines.configuration.settings import CommonSettings
from pipelines.loading.session import open_session
from pipelines.sync.lists import loaded_resources
from pipelines.warehouse.database import Database
from pipelines.warehouse.staging import drop_staging, scope_of
from sources.provider import Provider


def check_account(
    settings: CommonSettings,
    names: Sequence[str] = (),
    window: tuple[int, int | None] = (0, None),
    *,
    provider: Provider,
    sample: int | None = None,
    dry_run: bool = False,
    budget: int | None = None,
    asked: Mapping[str, Any] | None = None,
    run_id: str | None = None,
    opened: Database | None = None,
) -> CheckReport:
    """Checks the named resources, or those that were loaded before, and repairs their rows unless `dry_run` is set.

    `window` is `[since, until)` of `created` in unix seconds; `sample` is about how many objects of each list are
    compared, None for all; `budget` is the maximum number of requests; `asked`, `run_id` and `opened` are those of
    `open_session`. Raises the errors of `open_session`.
    """
    since, until = window
    scope = scope_of("check", settings.configured_account)
    with open_session(
        settings,
        f"{provider.name}_check",
        provider=provider,
        budget=budget,
        scope=scope,
        asked=asked,
        run_id=run_id,
        opened=opened,
    ) as session:
        order = CheckOrder(
            resources=loaded_resources(session, names), since=since, until=until, sample=sample, dry_run=dry_run
        )
        with session.noting_failure():
            report = Check(session, order).run()
        session.end("partial" if report.incomplete else "complete")
        drop_staging(session.database, settings.dataset, scope)
        return report
