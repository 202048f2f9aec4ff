"""The scheduled sync as an Airflow DAG: `stripe_sync`, and `stripe_check` where a schedule is set for it.

    accounts -> events (a task for each account) -> due -> lists (a task for each account and area) -> done

Every task starts a script of the project in the project's own Python environment. So this file needs only Airflow (3,
or 2.10 and newer), and the two sets of dependencies cannot conflict. Values that differ from task to task are passed as
environment variables, never in the text of a command. docs/scheduling/airflow.md describes the setup, and the variables
STRIPE_ELT_… that this file reads when Airflow parses it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

try:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.providers.standard.operators.empty import EmptyOperator
except ImportError:  # Airflow 2 without the standard provider
    from airflow.operators.bash import BashOperator
    from airflow.operators.empty import EmptyOperator
try:
    from airflow.sdk import DAG, Asset, BaseHook, Param, task
    from airflow.sdk.log import mask_secret
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import task
    from airflow.hooks.base import BaseHook
    from airflow.models.param import Param
    from airflow.utils.log.secrets_masker import mask_secret

HOME = os.environ.get("STRIPE_ELT_HOME") or str(Path(__file__).resolve().parent.parent)
PYTHON = os.environ.get("STRIPE_ELT_PYTHON") or f"{HOME}/.venv/bin/python"
POOL = os.environ.get("STRIPE_ELT_POOL") or "stripe"
SLOTS = int(os.environ.get("STRIPE_ELT_SLOTS") or 4)
BUDGET = os.environ.get("STRIPE_ELT_REQUESTS_BUDGET") or ""
SCHEDULE = os.environ.get("STRIPE_ELT_SCHEDULE") or "@hourly"
CHECK_SCHEDULE = os.environ.get("STRIPE_ELT_CHECK_SCHEDULE") or None
RETRIES = int(os.environ.get("STRIPE_ELT_RETRIES") or 3)
RETRY_SECONDS = float(os.environ.get("STRIPE_ELT_RETRY_SECONDS") or 60)
TIMEOUT_SECONDS = float(os.environ.get("STRIPE_ELT_TIMEOUT_SECONDS") or 6 * 3_600)
DATASET = os.environ.get("STRIPE_ELT_DATASET") or ""
KEY_CONNECTION = os.environ.get("STRIPE_ELT_KEY_CONNECTION")
DATABASE_CONNECTION = os.environ.get("STRIPE_ELT_DATABASE_CONNECTION")

PART = f'exec "{PYTHON}" pipelines/stripe_part.py'
EVENTS = (
    f'{PART} events --stripe-account "$ACCOUNT" --slots {SLOTS} --requests-budget "{BUDGET}"'
    ' --full-refresh "$FULL_REFRESH"'
)
LISTS = (
    f'{PART} lists --stripe-account "$ACCOUNT" --slots {SLOTS} --requests-budget "$BUDGET"'
    ' --area "$AREA" --resources "$RESOURCES" --touched "$TOUCHED"'
)
CHECK = f'exec "{PYTHON}" pipelines/stripe_check.py --fail-on-drift'

SCRIPT: dict[str, Any] = {"cwd": HOME, "append_env": True, "pool": POOL}
"""Arguments of all scripts: they start in the project's folder, where .dlt is, with the worker's environment."""

DEFAULTS: dict[str, Any] = {
    "execution_timeout": timedelta(seconds=TIMEOUT_SECONDS),
    "retries": RETRIES,
    "retry_delay": timedelta(seconds=RETRY_SECONDS),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=20),
}
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)

SYNCED = Asset(f"x-stripe-elt://{DATASET or 'stripe'}")
"""The updated tables of the dataset: other DAGs can be scheduled on this asset."""

FULL_REFRESH = Param(
    default=False,
    type="boolean",
    title="Full refresh",
    description="Forget what has been read, and read every list again from the beginning.",
)


class Script(BashOperator):
    """A script of the project. Secrets and the run's parameters are passed only to its process."""

    def get_env(self, context: Any) -> dict[str, str]:
        """The worker's environment, the values of the mapped task, and the secrets.

        A full refresh has the name of its run, so that a retry continues it instead of starting again.
        """
        refresh = context["run_id"] if context["params"].get("full_refresh") else ""
        dataset = {"SOURCES__STRIPE__DATASET": DATASET} if DATASET else {}
        return {**super().get_env(context), **dataset, **secrets(), "FULL_REFRESH": refresh}


def secrets() -> dict[str, str]:
    """The key and the database from the Connections that the settings name, hidden in Airflow's logs.

    Raises ValueError if a Connection lacks the password, or is not one of Postgres with a host.
    """
    found: dict[str, str] = {}
    if KEY_CONNECTION:
        key = BaseHook.get_connection(KEY_CONNECTION).password
        if not key:
            raise ValueError(f"The Connection {KEY_CONNECTION!r} has no password: enter Stripe's secret key there.")
        found["STRIPE_SECRET_KEY"] = key
    if DATABASE_CONNECTION:
        database = BaseHook.get_connection(DATABASE_CONNECTION)
        if not (database.host and (database.conn_type or "").startswith("postgres")):
            raise ValueError(f"The Connection {DATABASE_CONNECTION!r} must be of type Postgres and name a host.")
        found |= {"DATABASE_URL": database.get_uri(), "SOURCES__STRIPE__DESTINATION": "postgres"}
        mask_secret(found["DATABASE_URL"])
    return found


with DAG(
    "stripe_sync",
    description="Loads Stripe's events, then the lists whose changes events do not report",
    schedule=SCHEDULE,
    start_date=BEGIN,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    params={"full_refresh": FULL_REFRESH},
    tags=["stripe"],
    doc_md=__doc__,
) as stripe_sync:
    accounts = Script(
        task_id="accounts", bash_command=f"{PART} accounts", output_processor=json.loads, env={}, **SCRIPT
    )
    events = Script.partial(
        task_id="events",
        bash_command=EVENTS,
        output_processor=json.loads,
        map_index_template="{{ task.env['ACCOUNT'] or 'own account' }}",
        **SCRIPT,
    ).expand(env=accounts.output)

    @task(trigger_rule="all_done")
    def due(parts: Iterable[list[dict[str, str]]]) -> list[dict[str, str]]:
        """One list of the parts of all accounts whose events were applied. An account that failed does not stop the
        others.
        """
        return [part for of_account in parts for part in of_account]

    lists = Script.partial(
        task_id="lists",
        bash_command=LISTS,
        output_processor=json.loads,
        map_index_template="{{ task.env['ACCOUNT'] or 'own account' }} {{ task.env['AREA'] }}",
        **SCRIPT,
    ).expand(env=due(events.output))

    # Without this task, the run would succeed if its last tasks do, even if an account's events failed.
    [events, lists] >> EmptyOperator(task_id="done", trigger_rule="none_failed", outlets=[SYNCED])

if CHECK_SCHEDULE:
    with DAG(
        "stripe_check",
        description="Compares the tables with Stripe's lists and repairs the differences",
        schedule=CHECK_SCHEDULE,
        start_date=BEGIN,
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULTS | {"retries": 0},
        tags=["stripe"],
        doc_md=__doc__,
    ) as stripe_check:
        # All slots: a check uses the whole share of the request rate, so nothing else may run.
        Script(task_id="check", bash_command=CHECK, pool_slots=SLOTS, priority_weight=10, **SCRIPT)
