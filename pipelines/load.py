"""One package of Arrow tables -> one dlt load with the guarded merge.

Every package gets a working folder and a dlt schema of its own, which name the tables of that package and no others:
the cost of a package does not grow with the number of tables in the dataset, and nothing that a killed run left behind
has to be mended. The stored schema `stripe` in the database is the union of them all (`pipelines.destinations`).
Knows dlt; knows no HTTP and no progress: the caller saves that after `load` has returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import dlt
import pyarrow as pa
from dlt.common.destination.client import JobClientBase
from dlt.common.runtime.signals import intercepted_signals, raise_if_signalled
from dlt.common.schema.typing import TColumnSchema
from dlt.common.typing import TLoaderFileFormat
from dlt.extract import DltResource
from dlt.pipeline.exceptions import PipelineStepFailed

from pipelines.database import Database
from pipelines.database_problem import DatabaseProblem, explained
from pipelines.dlt_configuration import own_configuration, refuse_another_target
from pipelines.files import write_csv, write_parquet
from pipelines.markers import without_idle_markers
from pipelines.process import raise_if_interrupted
from pipelines.stored_schema import SCHEMA
from pipelines.verdict import refusal_of
from pipelines.working_folder import remove_abandoned, working_folder
from sources.stripe_api.dlt_columns import dlt_columns
from sources.stripe_api.schema import Columns


class Loader:
    """Loads packages into one dataset of one database. Not thread-safe: one loader, one thread."""

    def __init__(self, database: Database, dataset: str, columns: Columns) -> None:
        remove_abandoned()
        self._database = database
        self._destination = database.destination()
        self._dataset = dataset
        self._columns = columns
        self._file_format: TLoaderFileFormat = "csv" if database.dialect == "postgres" else "parquet"

    def load(self, tables: Mapping[str, pa.Table]) -> None:
        """Merges the tables; returns when all of them are committed.

        Raises `DatabaseProblem` when the database refuses or another run has the lock meanwhile, and KeyboardInterrupt
        when a signal ends the load; some of the tables may be merged then, which does no harm.
        """
        self._database.check_lock()
        try:
            # dlt's own signals, around it all: within its load alone it would forget the signal
            with working_folder() as folder, own_configuration(), intercepted_signals():
                self._run(folder, without_idle_markers(tables, self._database, self._dataset))
                raise_if_signalled()
            raise_if_interrupted()  # one that came while dlt gave the handlers back
        except (PipelineStepFailed, OSError) as error:
            raise_if_interrupted()
            if _is_interrupted(error):
                raise KeyboardInterrupt from error
            raise DatabaseProblem(f"A load package failed. {explained(error)}", refusal=refusal_of(error)) from error

    def _run(self, folder: Path, tables: Mapping[str, pa.Table]) -> None:
        if not tables:
            return
        pipeline = dlt.pipeline(
            SCHEMA, pipelines_dir=str(folder), destination=self._destination, dataset_name=self._dataset
        )
        pipeline.config.restore_from_destination = False
        resources = [self._resource(folder, name, table) for name, table in tables.items()]
        pipeline.extract(dlt.sources.DltSource(dlt.Schema(SCHEMA), SCHEMA, resources))
        pipeline.normalize()
        self.refuse_another_target(pipeline.destination_client())
        pipeline.load()

    def refuse_another_target(self, client: JobClientBase) -> None:
        """Raises BadConfiguration where a client of dlt's would load elsewhere than this loader was told to."""
        layout = self._destination.config_params.get("staging_dataset_name_layout", "%s_staging")
        refuse_another_target(client, SCHEMA, self._dataset, layout % self._dataset)

    def _resource(self, folder: Path, name: str, table: pa.Table) -> DltResource:
        """The table as a file of the format that the database copies from, which dlt takes over as it is."""
        path = folder / f"{name}.{self._file_format}"
        write = write_csv if self._file_format == "csv" else write_parquet
        write(table, path)
        return dlt.resource(
            [dlt.mark.with_file_import(str(path), self._file_format, table.num_rows)],
            name=name,
            write_disposition={"disposition": "merge", "strategy": "upsert"},
            columns=self.hints(name, table.schema),
        )

    def hints(self, name: str, schema: pa.Schema) -> dict[str, TColumnSchema]:
        """dlt's columns of a table: every known one, whether the package has it or not, in a stable order.

        A row speaks for all columns: what the object no longer has becomes null.
        """
        return dlt_columns(name, self._columns, schema)


def _is_interrupted(error: BaseException | None) -> bool:
    """Whether a signal is behind it: dlt's SignalReceivedException is a KeyboardInterrupt too."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
