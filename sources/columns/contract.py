"""dlt's schema contract for tables that exist: what happens to columns, types and tables that they do not have.

The setting and its words are dlt's (https://dlthub.com/docs/general-usage/schema-contracts): `evolve`, `freeze`,
`discard_value`, for `tables`, `columns` and `data_type` together or separately. Every writer that takes its columns
from here obeys it. Knows no database: the columns that tables have are parameters.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from sources.catalogue import Catalogue, ColumnType
from sources.columns.coerce import VARIANT_MARK
from sources.columns.columns import LEARNED, MORE_COLUMNS, Columns, own_columns
from sources.columns.layout import OTHER_FIELDS
from sources.errors import BadConfiguration, ConnectorError, shortened
from sources.privacy import Privacy

if TYPE_CHECKING:
    import pyarrow as pa

Mode = Literal["evolve", "freeze", "discard_value"]
MODES = ("evolve", "freeze", "discard_value")
ENTITIES = ("tables", "columns", "data_type")
SETTING = "schema_contract"


class SchemaFrozen(ConnectorError):
    """The data would change a schema that the contract freezes. The message names the table and the column."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What happens to new tables, to new columns, and to values that do not fit their column's type.

    `setting` is the full name of the setting that says it.
    """

    tables: Mode = "evolve"
    columns: Mode = "evolve"
    data_type: Mode = "evolve"
    setting: str = f"sources.stripe.{SETTING}"


def contract_of(setting: Any, section: str = "sources.stripe") -> Contract:
    """The contract that dlt's setting in this section means: None, a word for everything, or a table of words.

    Raises BadConfiguration, also for `discard_row`: tables that lack rows would be wrong.
    """
    name = f"{section}.{SETTING}"
    if setting is None:
        return Contract(setting=name)
    words = dict.fromkeys(ENTITIES, setting) if isinstance(setting, str) else setting
    if not isinstance(words, Mapping) or not set(words) <= set(ENTITIES) or not set(words.values()) <= set(MODES):
        raise BadConfiguration(
            f"The setting {name} has an invalid value. Set it to one of {', '.join(MODES)}, or to a table"
            f" with one of these for each of {', '.join(ENTITIES)}. discard_row is not allowed, because it"
            " would lose objects."
        )
    return Contract(**words, setting=name)


class ContractedColumns(Columns):
    """Columns under a contract. Tables that are not `stored` yet may have any column.

    `discarded` counts the values that were not stored, by table and column.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        stored: Mapping[str, Mapping[str, ColumnType]],
        contract: Contract,
        privacy: Privacy | None = None,
    ) -> None:
        super().__init__(catalogue, stored, privacy)
        self._contract, self._known, self._counting = contract, stored, threading.Lock()
        self.discarded: Counter[tuple[str, str]] = Counter()

    def of(self, table: str) -> Mapping[str, ColumnType]:
        """See `Columns`. If the contract admits no new columns, only those that the table has."""
        if self._contract.columns == "evolve" or table not in self._known:
            return super().of(table)
        return MappingProxyType({**self._known[table], **own_columns(self.catalogue.tables[table])})

    def learn(self, table: str, column: str, value: object) -> ColumnType:
        """See `Columns`. Raises SchemaFrozen for a column that the table must not get."""
        if self._contract.columns == "evolve" or table not in self._known or VARIANT_MARK in column:
            super().of(table)
            return super().learn(table, column, value)
        kind = self.of(table).get(column)
        if kind is not None:
            return kind
        if self._contract.columns == "freeze":
            field = shortened(next(iter(value))) if column == OTHER_FIELDS and isinstance(value, dict) else column
            raise SchemaFrozen(
                f"There is a new field {field!r} that the table {table} does not have, and the schema"
                f' contract freezes its columns. Set {self._contract.setting} to evolve (columns = "evolve") to add the'
                " column, or to discard_value to leave the field out."
            )
        self._count(table, column, 1)
        return LEARNED[type(value)]

    def room(self, table: str) -> int:
        """See `Columns`. If the contract admits no new columns, `learn` decides about each field."""
        is_closed = self._contract.columns != "evolve" and table in self._known
        return MORE_COLUMNS if is_closed else super().room(table)

    def admit(self, tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
        """The tables and columns to store. Raises SchemaFrozen for a new table, or a value that does not fit."""
        return {
            name: self._fitting(name, table)
            for name, table in tables.items()
            if self.admits_table(name, table.num_rows)
        }

    def admits_table(self, name: str, rows: int) -> bool:
        """Whether a table's rows may be stored; counts them in `discarded` if not. In a database without any table,
        every table is admitted.
        """
        if not self._known or name in self._known or self._contract.tables == "evolve":
            return True
        if self._contract.tables == "freeze":
            raise SchemaFrozen(
                f"There is no table {name} yet, and the schema contract freezes the tables. Set"
                f" {self._contract.setting} to"
                ' evolve (tables = "evolve") to create the table, or to discard_value to leave its rows out.'
            )
        self._count(name, "", rows)
        return False

    def admits_variant(self, table: str, column: str, values: int) -> bool:
        """Whether values that do not fit their column may be stored in this variant column; counts them in `discarded`
        if not.
        """
        known = self._known.get(table)
        if self._contract.data_type == "evolve" or known is None or column in known:
            return True
        if self._contract.data_type == "freeze":
            raise SchemaFrozen(
                f"Values of {table}.{column.partition(VARIANT_MARK)[0]} have a different type from their"
                f" column, and the schema contract freezes types. Set {self._contract.setting} to evolve (data_type ="
                f' "evolve") to store them in {column}, or to discard_value to leave them out.'
            )
        self._count(table, column, values)
        return False

    def _fitting(self, name: str, table: pa.Table) -> pa.Table:
        left_out = [
            column
            for column in table.column_names
            if VARIANT_MARK in column
            and not self.admits_variant(name, column, table.num_rows - table[column].null_count)
        ]
        return table.drop_columns(left_out) if left_out else table

    def _count(self, table: str, column: str, values: int) -> None:
        with self._counting:
            self.discarded[table, column] += values
