"""An Airflow that runs: API server, scheduler, and where Redis is installed two Celery workers, which tests kill.

Its metadata lie in a Postgres database. Without Redis the scheduler starts the tasks itself (LocalExecutor).
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import psutil
import psycopg

REDIS = shutil.which("redis-server")
MISSING = "Redis is not installed (Debian and Ubuntu: apt-get install redis-server)"
WORKERS = ("first", "second") if REDIS else ()
PATIENCE = 240.0  # seconds for a run, on a machine that does other things too
TICK = 0.1
ENDED = ("success", "failed")

NAMED = "import os\n\ndef name():\n    return os.environ.get('WORKER', 'scheduler')\n"
"""What Airflow calls a machine here: two workers on one machine have two names."""

SETTINGS = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor" if REDIS else "LocalExecutor",
    "AIRFLOW__CORE__PARALLELISM": "4",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "true",
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "worker_name.name",
    "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of the tests, which is long enough for HMAC with SHA-512 of 64 bytes",
    "AIRFLOW__API__SECRET_KEY": "another secret of the tests",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    # How soon a task counts as lost: minutes by default, seconds here.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "6",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "50",  # a worker may take a minute to start again
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "2",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    "NO_COLOR": "1",
}


@dataclass
class RunningAirflow:
    """Airflow's processes, what they know, and a way to kill them."""

    python: Path
    home: Path
    metadata: str
    environment: Mapping[str, str]
    api: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *arguments: str) -> None:
        """`airflow …` in the background; its output goes to a file of this name."""
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(self.python), "-m", "airflow", *arguments],
                env={**self.environment, "WORKER": name},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start_worker(self, name: str) -> None:
        """A Celery worker for two tasks at once."""
        options = ("--skip-serve-logs", "--without-mingle", "--without-gossip")
        self.start(name, "celery", "worker", "--concurrency", "2", "--celery-hostname", name, *options)

    def kill(self, name: str) -> None:
        """SIGKILL for a process and all that it has started, as when a machine loses its power."""
        process = self.processes.pop(name)
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(process.pid)
            root.suspend()  # starts nothing any more
            for each in (*root.children(recursive=True), root):
                with suppress(psutil.NoSuchProcess):
                    each.kill()
        process.wait()

    def unpause(self, dag: str) -> None:
        """Switches a DAG on; with the schedule @once, its one run begins."""
        self._ask("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})

    def trigger(self, dag: str, **conf: Any) -> None:
        """Begins a run."""
        self._ask("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})

    def wait_until_up(self) -> None:
        """Waits until the API answers."""
        for _ in self._ticks("the API server"):
            with suppress(urllib.error.URLError, ConnectionError):
                self._ask("GET", "/api/v2/version")
                return

    def wait_for_run(self, dag: str, number: int = 1) -> str:
        """The state in which the DAG's run of this number has ended."""
        for _ in self._ticks(f"run {number} of {dag}"):
            states = [state for (state,) in self.query("select state from dag_run where dag_id = %s order by id", dag)]
            if len(states) >= number and states[number - 1] in ENDED:
                return states[number - 1]
        raise AssertionError

    def wait(self, seconds: float) -> None:
        """Lets Airflow work for so long."""
        Event().wait(seconds)

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of the metadata."""
        with psycopg.connect(self.metadata) as connection:
            return connection.execute(statement, parameters).fetchall()  # type: ignore[arg-type]

    def states(self, dag: str) -> dict[tuple[str, str], str]:
        """The states of the last run's tasks, by task and by what it is mapped over ("" where it is not)."""
        return {(task, mapped): state for task, mapped, state, _ in self._instances(dag)}

    def tries(self, dag: str, task: str) -> dict[str, int]:
        """How often a task of the last run was tried, by what it is mapped over."""
        return {mapped: tries for name, mapped, _, tries in self._instances(dag) if name == task}

    def attempts(self) -> Counter[str]:
        """How many attempts at tasks each worker has begun."""
        rows = self.query(
            "select hostname from task_instance union all select hostname from task_instance_history"
            " where (task_instance_id, try_number) not in (select id, try_number from task_instance)"
        )
        return Counter(name for (name,) in rows if name in WORKERS)

    def kept(self) -> str:
        """All that Airflow keeps for people to read: logs, rendered fields, values passed on, serialized DAGs."""
        tables = ("rendered_task_instance_fields", "xcom", "serialized_dag", "log", "dag_run")
        rows = [row for table in tables for row in self.query(f"select t::text from {table} t")]
        files = [path.read_text(errors="replace") for path in self.home.rglob("*.log")]
        return "\n".join([*(text for (text,) in rows), *files])

    def said(self, name: str) -> str:
        """The end of what a process has printed."""
        return (self.home / f"{name}.log").read_text(errors="replace")[-6_000:]

    def _instances(self, dag: str) -> list[tuple[str, str, str, int]]:
        return self.query(
            "select task_id, coalesce(rendered_map_index, ''), state, try_number from task_instance"
            " where run_id = (select run_id from dag_run where dag_id = %s order by id desc limit 1) and dag_id = %s",
            dag,
            dag,
        )

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if method != "GET":
            with urllib.request.urlopen(f"{self.api}/auth/token") as answer:
                headers["Authorization"] = f"Bearer {json.load(answer)['access_token']}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.api}{path}", data, headers, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def _ticks(self, what: str) -> Iterator[None]:
        for _ in range(int(PATIENCE / TICK)):
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} has ended:\n{self.said(name)}"
            yield
            Event().wait(TICK)
        raise AssertionError(f"{what} took more than {PATIENCE:.0f} s:\n" + "\n".join(map(self.said, self.processes)))


@contextmanager
def running_airflow(
    python: Path, home: Path, metadata: str, environment: Mapping[str, str], *, pool: str, slots: int, **given: Any
) -> Iterator[RunningAirflow]:
    """Starts all of it with an environment for the workers, and kills it at the end. `given` goes to prepare.py."""
    (home / "config").mkdir()
    (home / "config" / "worker_name.py").write_text(NAMED)
    port, broker = free_port(), free_port()
    api = f"http://127.0.0.1:{port}"
    own = {
        **environment,
        **SETTINGS,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata.replace("postgresql://", "postgresql+psycopg2://", 1),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{api}/execution/",
        "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{broker}/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"redis://127.0.0.1:{broker}/1",
    }
    prepare = Path(__file__).with_name("prepare.py")
    told = json.dumps({"pool": pool, "slots": slots, **given})
    done = subprocess.run(
        [str(python), str(prepare), told],
        env=own,
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    airflow = RunningAirflow(python, home, metadata, own, api)
    try:
        with redis(broker, home):
            airflow.start("api-server", "api-server", "--host", "127.0.0.1", "--port", str(port))
            airflow.start("scheduler", "scheduler", "--skip-serve-logs")
            for name in WORKERS:
                airflow.start_worker(name)
            airflow.wait_until_up()
            yield airflow
    finally:
        for name in list(airflow.processes):
            airflow.kill(name)


@contextmanager
def redis(port: int, folder: Path) -> Iterator[None]:
    """A Redis that keeps nothing, where there is one."""
    if REDIS is None:
        yield
        return
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder))
    server = subprocess.Popen([REDIS, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
