"""A table as the file that its database copies from. Knows no dlt and no connection.

dlt's own way from Arrow, through Parquet to the same file, takes three times the processor.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyarrow import csv, parquet

from pipelines.merge import SYNCED_AT

BATCH_ROWS = 4_000  # are joined at a time: pages of a hundred rows are slow to write, all at once are twice in memory


def write_parquet(table: pa.Table, path: Path) -> None:
    """The table as it is."""
    parquet.write_table(table, path, compression="none")


def write_csv(table: pa.Table, path: Path) -> None:
    """CSV with a header for COPY in a session whose time zone is UTC: timestamps name none.

    Arrow writes zones with C++'s locales, which takes longer than all the rest. What COPY is not given is null: columns
    without a value are left out, and `_synced_at`, which is the merge's to say.
    """
    names = [name for name, column in zip(table.column_names, table.columns, strict=True) if _is_told(name, column)]
    told = table.select(names)
    plain = pa.schema([(field.name, _without_zone(field.type)) for field in told.schema])
    with csv.CSVWriter(path, plain, write_options=csv.WriteOptions(quoting_style="needed")) as file:
        for start in range(0, told.num_rows, BATCH_ROWS):
            file.write_table(told.slice(start, BATCH_ROWS).combine_chunks().cast(plain))


def _is_told(name: str, column: pa.ChunkedArray) -> bool:
    return name != SYNCED_AT and column.null_count < len(column)


def _without_zone(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp(kind.unit) if pa.types.is_timestamp(kind) else kind
