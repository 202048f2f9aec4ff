"""The cost of a small load package, compared with dlt's own pipeline: three rows in each of one or eight tables.

`python -m benchmarks.packages` prints the CPU of this process for each package, as the median of several rounds.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa

from benchmarks.tools.machines import running_postgres
from pipelines.configuration.settings import Settings
from pipelines.loading.loader import Loader
from pipelines.loading.session import open_database
from pipelines.warehouse.database import Database
from pipelines.warehouse.postgres.dlt_credentials import LibpqConfiguration
from sources.columns.arrow import arrow_tables
from sources.columns.contract import Contract, ContractedColumns
from sources.rows import Row, Stamp
from sources.stripe_api.catalogue import CATALOGUE
from sources.stripe_api.objects.rows import explode

TABLES = ("products", "prices", "coupons", "payouts", "refunds", "disputes", "charges", "tax_rates")
ROUNDS, DATASET = 7, "packages"


def main() -> None:
    """Prints a line for each database."""
    logging.getLogger("dlt").addFilter(lambda _: False)  # it warns for each package of the pipeline
    print("CPU ms a package        one table: ours   dlt's pipeline     eight tables: ours   dlt's pipeline")
    with running_postgres() as url, tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "packages_data.duckdb"))
        for settings in (
            Settings(destination="postgres", database_url=url, dataset=DATASET),
            Settings(destination="duckdb", duckdb_path=file, dataset=DATASET),
        ):
            database, destination = open_database(settings), destination_of(url, folder, settings.destination)
            try:
                one, eight = (compare(database, destination, Path(folder), count) for count in (1, len(TABLES)))
            finally:
                database.close()
            print(f"{settings.destination:<22} {one[0]:>16.0f} {one[1]:>16.0f} {eight[0]:>22.0f} {eight[1]:>16.0f}")


class LibpqPostgres(dlt.destinations.postgres):
    """dlt's Postgres destination with any connection string: this server has a socket and no password."""

    spec = LibpqConfiguration  # type: ignore[assignment]  # dlt declares the exact class, but a subclass works


def destination_of(url: str, folder: str, kind: str) -> Any:
    """dlt's own destination: the same server, or another file in the folder of ours."""
    return LibpqPostgres(url) if kind == "postgres" else dlt.destinations.duckdb(str(Path(folder, "dlts_data.duckdb")))


def compare(database: Database, destination: Any, folder: Path, count: int) -> tuple[float, float]:
    """Milliseconds of CPU of our loader, and of dlt's pipeline, which upserts the same Arrow tables."""
    columns = ContractedColumns(CATALOGUE, {}, Contract())
    loader = Loader(database, DATASET, columns, "stripe")
    ours: list[float] = []
    dlts: list[float] = []
    for turn in range(ROUNDS + 1):
        ours.append(cpu(lambda tables: loader.load(tables), tables_of(columns, turn, count)))
        dlts.append(cpu(lambda tables: by_pipeline(destination, folder, tables), tables_of(columns, turn, count)))
    return statistics.median(ours[1:]), statistics.median(dlts[1:])


def by_pipeline(destination: Any, folder: Path, tables: dict[str, pa.Table]) -> None:
    """A plain load with dlt, without its state in the destination."""
    with tempfile.TemporaryDirectory(dir=folder) as working:
        pipeline = dlt.pipeline("stripe", pipelines_dir=working, destination=destination, dataset_name=f"{DATASET}_dlt")
        pipeline.config.restore_from_destination = False
        dlt.config["data_writer.disable_compression"] = True  # like ours, whose files are read only once
        merge: Any = {"disposition": "merge", "strategy": "upsert"}
        resources = [
            dlt.resource([table], name=name, write_disposition=merge, primary_key=["id", "_account_id"])
            for name, table in tables.items()
        ]
        pipeline.run(resources)


def tables_of(columns: ContractedColumns, turn: int, count: int) -> dict[str, pa.Table]:
    """New objects of each table as Arrow tables."""
    stamp, rows = Stamp("acct_1", 1_760_000_000 + turn, "list"), dict[str, list[Row]]()
    for table in TABLES[:count]:
        objects = [{"id": f"{table}_{turn}_{number}", "object": table, "created": turn} for number in range(3)]
        for name, exploded in explode(table, objects, stamp).items():
            rows.setdefault(name, []).extend(exploded)
    return arrow_tables(rows, columns)


def cpu(work: Callable[[dict[str, pa.Table]], None], tables: dict[str, pa.Table]) -> float:
    """Milliseconds of CPU of this process so far."""
    before = time.process_time()
    work(tables)
    return (time.process_time() - before) * 1_000


if __name__ == "__main__":
    main()
