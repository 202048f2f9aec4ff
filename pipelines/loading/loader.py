"""One package of Arrow tables -> files -> the guarded merge.

Every package gets a working folder of its own, so that nothing which a killed run left behind has to be mended. Only
the package's tables are looked at: what a package costs does not grow with the number of tables in the dataset. Knows
no HTTP and no progress: the caller saves that after `load` has returned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from pipelines.loading.working_folders import working_folder
from pipelines.terminal.process import interrupts_held, raise_if_interrupted
from pipelines.warehouse.database import Database, has_table
from pipelines.warehouse.merge import ACCOUNT, PARENT, SET_MARKER, SOURCE, SYNCED_AT, Contents
from pipelines.warehouse.package_merge import File, Target, load_files
from pipelines.warehouse.problems import DatabaseProblem, explained
from pipelines.warehouse.stored_schema import make_tables
from pipelines.warehouse.verdict import refusal_of
from sources.columns.arrow import ARROW_TYPES, types_of, with_columns
from sources.columns.columns import Columns
from sources.columns.dlt_hints import dlt_columns, key_columns
from sources.errors import ConnectorError

if TYPE_CHECKING:
    from dlt.common.schema.typing import TColumnSchema

    from sources.catalogue import ColumnType

FEW = 1_000  # children of an account that are read rather than looked for
FEW_ROWS, FEW_BYTES = 500, 2**20  # go to Postgres along with the statement that merges them; more are for COPY
MIN_BLOCK = 2**20  # bytes of a CSV file that Arrow reads at once
BATCH_ROWS = 4_000  # are joined at a time: pages of a hundred rows are slow to write, all at once are twice in memory


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


def write_parquet(table: pa.Table, path: Path, columns: Mapping[str, TColumnSchema]) -> None:
    """Parquet with all of the columns, in dlt's terms: the merge selects each of them from the file."""
    from pyarrow import parquet  # for DuckDB alone

    types = {name: ARROW_TYPES[cast("ColumnType", column["data_type"])] for name, column in columns.items()}
    parquet.write_table(with_columns(table, pa.schema(types)), path, compression="none")


def json_of(table: pa.Table, columns: Mapping[str, TColumnSchema]) -> bytes:
    """The rows as a JSON array of objects for `staged_json`: moments as RFC 3339 text, decimals and doubles as text.

    Without nulls and `_synced_at`, as in `write_csv`. JSON's numbers have no -0.0 in Postgres.
    """
    rows: list[dict[str, Any]] = [{} for _ in range(table.num_rows)]
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not _is_told(name, column):
            continue
        told = _AS_JSON.get(columns[name].get("data_type") or "")
        for row, value in zip(rows, column.to_pylist(), strict=True):
            if value is not None:
                row[name] = told(value) if told is not None else value
    return orjson.dumps(rows)


_AS_JSON: Mapping[str, Callable[[Any], Any]] = {"json": orjson.Fragment, "double": repr, "decimal": str}


def read_csv(path: Path, schema: pa.Schema) -> pa.Table:
    """The table of this schema that `write_csv` wrote, without its `_synced_at`, which is in no file."""
    plain = pa.schema([(field.name, _without_zone(field.type)) for field in schema])
    table = csv.read_csv(
        path,
        read_options=csv.ReadOptions(
            block_size=min(max(MIN_BLOCK, path.stat().st_size), 2**31 - 1)
        ),  # a row must fit in a block
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=plain,
            include_columns=plain.names,
            include_missing_columns=True,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return table.cast(schema)


def contents_of(table: pa.Table, key: Sequence[str], witness: str) -> Contents:
    """What the rows of a table are. `key` are its key's columns, `witness` the one that a tombstone has not."""
    names = [name for name in (*key, witness) if name in table.column_names]
    rows = table.select(names)
    if PARENT in table.column_names:
        rows = rows.filter(pc.not_equal(table[SOURCE], SET_MARKER))
    whole = rows.num_rows - rows[witness].null_count if witness in names else 0
    return Contents(
        objects=whole > 0,
        tombstones=whole < rows.num_rows,
        markers=rows.num_rows < table.num_rows,
        repeated=rows.select(key).group_by(list(key), use_threads=False).aggregate([]).num_rows < rows.num_rows,
    )


def _is_told(name: str, column: pa.ChunkedArray) -> bool:
    return name != SYNCED_AT and column.null_count < len(column)


def _without_zone(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp(kind.unit) if pa.types.is_timestamp(kind) else kind


def drop_idle_markers(tables: dict[str, pa.Table], database: Database, dataset: str) -> None:
    """Drops the set markers of parents that have no live child, and the tables that are empty then."""
    for name, table in list(tables.items()):
        if PARENT not in table.column_names:
            continue
        is_marker = pc.equal(table[SOURCE], SET_MARKER)
        if not pc.any(is_marker).as_py():
            continue
        live = _live_parents(database, dataset, name, table[ACCOUNT][0].as_py(), table[PARENT].filter(is_marker))
        kept = pc.invert(is_marker)
        if live:
            kept = pc.or_(kept, pc.is_in(table[PARENT], value_set=pa.array(live, pa.string())))
        if pc.any(kept).as_py():
            tables[name] = table.filter(kept)
        else:
            del tables[name]


def _live_parents(database: Database, dataset: str, table: str, account: str, parents: pa.ChunkedArray) -> list[str]:
    """Those of the parents that have a live child in the database, and others as well where few parents have any."""
    if not has_table(database, dataset, table):
        return []
    from_table = f'FROM "{dataset}"."{table}" WHERE {ACCOUNT} = %s AND _deleted_at IS NULL'
    some = database.execute(f"SELECT {PARENT} {from_table} LIMIT {FEW}", (account,))
    if len(some) < FEW:  # all that there are: cheaper to read than the parents are to send
        return [row[0] for row in some if row[0] is not None]
    # Postgres hashes a constant array and uses the index; a subquery it joins by a guess at a table without statistics.
    among = "= ANY(%s)" if database.dialect == "postgres" else "IN (SELECT unnest(%s::text[]))"
    rows = database.execute(
        f"SELECT DISTINCT {PARENT} {from_table} AND {PARENT} {among}",
        (account, parents.unique().to_pylist()),
    )
    return [row[0] for row in rows]


class Loader:
    """Loads packages into one dataset of one database. Not thread-safe: one loader, one thread.

    `schema` is the name of dlt's stored schema, the provider's. `staging` is the schema of the database in which the
    packages are staged, the dataset's name with `_staging` where it is not given.
    """

    def __init__(self, database: Database, dataset: str, columns: Columns, schema: str, staging: str = "") -> None:
        self._database, self._dataset, self._columns = database, dataset, columns
        staging = staging or f"{dataset}_staging"
        self._target = Target(database, columns.catalogue, schema, dataset, staging)
        self._is_postgres = database.dialect == "postgres"

    def load(self, tables: dict[str, pa.Table]) -> None:
        """Merges the tables; returns when all of them are committed.

        Takes the tables out of `tables`, so that memory does not hold them while the database works, and puts them back
        where the database refuses them. Raises `DatabaseProblem` when it does or another run has the lock meanwhile,
        and KeyboardInterrupt when a signal ends the load; some of the tables may be merged then, which does no harm.
        """
        self._database.check_lock()
        try:
            with interrupts_held(), working_folder() as folder:
                drop_idle_markers(tables, self._database, self._dataset)
                few = {name: table for name, table in tables.items() if self._is_few(table)}
                schemas = {name: table.schema for name, table in tables.items() if name not in few}
                try:
                    self._run(folder, tables)
                except Exception as error:
                    if refusal_of(error) is not None:
                        tables |= few | {name: self._read(folder, name, schema) for name, schema in schemas.items()}
                    raise
            pa.default_memory_pool().release_unused()  # it keeps what the package took, and the next one takes more
            raise_if_interrupted()  # one that came while signals were held
        except ConnectorError:
            raise
        except Exception as error:
            raise_if_interrupted()
            if _is_interrupted(error):
                raise KeyboardInterrupt from error
            raise DatabaseProblem(f"A load package failed. {explained(error)}", refusal=refusal_of(error)) from error

    def _run(self, folder: Path, tables: dict[str, pa.Table]) -> None:
        """Takes each table out of `tables` once it is written to a file."""
        files = {name: self._file(folder, name, tables.pop(name)) for name in list(tables)}
        if files:
            load_files(self._target, files, make_tables)

    def _file(self, folder: Path, name: str, table: pa.Table) -> File:
        """The table as a file of the format that the database copies from."""
        path, known = self._path(folder, name), self._columns.catalogue.tables[name]
        columns = dlt_columns(name, self._columns, types_of(table.schema))
        contents = contents_of(table, key_columns(known), known.witness)
        if self._is_few(table):
            return File(path, columns, contents, json_of(table, columns))
        if self._is_postgres:
            write_csv(table, path)
        else:
            write_parquet(table, path, columns)
        return File(path, columns, contents)

    def _is_few(self, table: pa.Table) -> bool:
        """Whether the rows go along with a statement."""
        return self._is_postgres and table.num_rows <= FEW_ROWS and table.get_total_buffer_size() <= FEW_BYTES

    def _read(self, folder: Path, name: str, schema: pa.Schema) -> pa.Table:
        """The table that `_file` wrote."""
        path = self._path(folder, name)
        if self._is_postgres:
            return read_csv(path, schema)
        from pyarrow import parquet

        return parquet.read_table(path, schema=schema)

    def _path(self, folder: Path, name: str) -> Path:
        return folder / f"{name}.{'csv' if self._is_postgres else 'parquet'}"


def _is_interrupted(error: BaseException | None) -> bool:
    """Whether a signal is behind an error: DuckDB turns a KeyboardInterrupt into an error of its own."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
