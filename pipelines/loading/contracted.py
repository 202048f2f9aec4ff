"""The columns of a dataset under the schema contract of the configuration: for every command that loads."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from pipelines.settings import configured
from pipelines.warehouse.database import Database, stored_columns
from sources.catalogue import Catalogue
from sources.columns.contract import SETTING, Contract, ContractedColumns, contract_of


def read_contract() -> Contract:
    """dlt's `schema_contract` of the source: a word, a table in `.dlt/config.toml`, or JSON in the environment.

    Raises BadConfiguration.
    """
    given: Any = configured(SETTING)
    if isinstance(given, str) and given.strip().startswith("{"):
        with suppress(ValueError):  # contract_of says what is wrong with it
            given = json.loads(given)
    return contract_of(given)


def columns_of(database: Database, dataset: str, schema: str, catalogue: Catalogue) -> ContractedColumns:
    """The columns that a run works with. Raises BadConfiguration."""
    return ContractedColumns(catalogue, stored_columns(database, dataset, schema), read_contract())
