"""dlt's configuration during a load: what is written here, and nothing of the environment, `.dlt` or a vault.

dlt resolves each of its settings from the environment and its files, also under short names that other programs use
(`FULL_REFRESH`, `DATASET_NAME`, `WORKERS`): one of them can send rows to another dataset, or drop them. A load is given
its database, dataset and schema by us, so that dlt has nothing left to look up. Knows no table and no Stripe.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from dlt.common.configuration import configspec
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers import ConfigProvider
from dlt.common.configuration.providers.doc import CustomLoaderDocProvider
from dlt.common.configuration.specs import PluggableRunContext
from dlt.common.configuration.specs.base_configuration import ContainerInjectableContext
from dlt.common.configuration.specs.config_providers_context import ConfigProvidersContainer
from dlt.common.destination.client import JobClientBase

from sources.errors import BadConfiguration

PINNED: dict[str, Any] = {
    "data_writer": {"disable_compression": True},  # the files are read once, on the same machine
    "load": {"workers": 2},  # as good as dlt's 20, at a third of the cost
    "schema": {"naming": "snake_case"},  # dlt's default can be changed by DLT_DEFAULT_NAMING_MODULE
    "runtime": {"dlthub_telemetry": False},
}
"""The only configuration that dlt finds during a load; everything else has dlt's default."""


@configspec
class _OurLoad(ContainerInjectableContext):
    """Marks the thread that loads; dlt shows it to the threads that it starts for this one, and to no others."""

    can_create_default: ClassVar[bool] = False


class _Providers(ConfigProvidersContainer):
    """Ours for the threads of a load, and those that were there before for everybody else in the process."""

    def __init__(self, others: ConfigProvidersContainer) -> None:
        self._ours: list[ConfigProvider] = [CustomLoaderDocProvider("stripe-elt", lambda: PINNED, False)]
        self._others = others
        self.context_provider = others.context_provider

    @property
    def providers(self) -> list[ConfigProvider]:  # type: ignore[override]  # dlt only reads it
        return self._ours if _OurLoad in Container() else self._others.providers


@contextmanager
def own_configuration() -> Iterator[None]:
    """Within it, dlt resolves its settings from `PINNED` alone, in this thread and in those that dlt starts for it."""
    context = Container()[PluggableRunContext]
    if not isinstance(context.providers, _Providers):
        context.providers = _Providers(context.providers)
    with Container().injectable_context(_OurLoad()):
        yield


def refuse_another_target(client: JobClientBase, schema: str, dataset: str, staging: str) -> None:
    """Compares what dlt has resolved with what was asked for. Raises BadConfiguration, before anything is loaded."""
    sql: Any = getattr(client, "sql_client", None)
    asked = {"schema name": schema, "dataset": dataset, "staging dataset": staging}
    found = {
        "schema name": client.schema.name,
        "dataset": getattr(sql, "dataset_name", None),
        "staging dataset": getattr(sql, "staging_dataset_name", None),
    }
    for what, name in asked.items():
        if found[what] != name:
            raise BadConfiguration(
                f"dlt would load into the {what} {found[what]!r} instead of {name!r}, so nothing was loaded. Something"
                " in this process or environment changes dlt's configuration: look for variables whose names begin with"
                " DLT_, and for plugins of dlt."
            )
