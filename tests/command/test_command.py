"""`stripe-elt` itself: its help, its version, what it refuses, and what every command takes. Needs no database."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.terminal.process import EXTRAS
from sources.stripe_api.catalogue import RESOURCES, select
from stripe_elt.__main__ import COMMANDS
from tests import processes

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, root: Path) -> Run:
    """`run(*words, **environment)`: a command in an empty folder, whose key leads nowhere."""

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {"STRIPE_SECRET_KEY": "sk_test_unused", "SOURCES__STRIPE__API_BASE": "http://127.0.0.1:9"}
        env = os.environ | given | {"PYTHONPATH": str(root), "DLT_PROJECT_DIR": str(tmp_path)} | environment
        return processes.run("-m", "stripe_elt", *words, cwd=tmp_path, env=env)

    return run


def test_help_names_every_command_and_version_is_the_packages(run: Run) -> None:
    shown = run("--help")
    assert shown.returncode == 0
    assert [name for name in COMMANDS if f"  {name} " not in shown.stdout] == []
    assert run("--version").stdout == f"stripe-elt {importlib.metadata.version('stripe-elt')}\n"
    assert run().returncode == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["resorces"], "there is no command 'resorces'. Did you mean resources?"),
        (["--vershun"], "there is no option '--vershun'. Did you mean --version?"),
        (["sk_live_pasted"], "there is no such command. Choose from start, full,"),
        (["full", "--dry-rum"], "Did you mean --dry-run?"),
        (["sink", "--prt=8080"], "Did you mean --port?"),
        (["endpoint", "list", "--datset", "x"], "Did you mean --dataset?"),
        (["full", "--resources", "custmers"], "did you mean 'customers'"),
        (["status", "--max-age", "soon"], "is not a length of time: write 90s, 30m, 2h, 1d or 2w"),
        (["sync", "--follow", "soon"], "it must be a number of seconds, 1 or more, or a length of time such as 30m"),
        (["backfill", "customer", "--since", "7 days"], "write 2025-01-31, 2025-01-31T12:00:00Z, 7d or unix seconds"),
        (["start", "--destination", "duckdb"], "start needs Postgres"),
        (["start", "--destination", "postgres", "--tunnel", "nonsense"], "--tunnel takes cloudflared, ngrok, or"),
        (["start", "--destination", "postgres", "--tunnel", "ngrok"], "The program ngrok is not installed"),
    ],
)
def test_what_cannot_be_meant_is_one_paragraph_and_exit_code_2(run: Run, words: list[str], says: str) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert "sk_live_pasted" not in done.stderr


@pytest.mark.parametrize("words", [["--json", "resources", "core"], ["resources", "core", "--json"]], ids=" ".join)
def test_json_is_all_that_is_on_stdout(run: Run, words: list[str]) -> None:
    told = json.loads(run(*words).stdout)
    assert [each["resource"] for each in told] == [resource.name for resource in select(["core"])]
    assert {"resource", "table", "groups", "path", "requests", "product"} == set(told[0])


@pytest.mark.parametrize("words", [["--log-format", "json"], ["--log-format=json"]], ids=" ".join)
def test_options_of_every_command_may_stand_before_it(run: Run, words: list[str]) -> None:
    more = {"SOURCES__STRPE__DATASET": "x", "SOURCES__STRIPE__MAX_RETRIES": "0"}
    done = run(*words, "--debug", "object", "--type", "customers", "--", "-1", **more)
    assert json.loads(done.stderr.splitlines()[0])["level"] == "warning"


def test_json_of_an_error_says_what_went_wrong(run: Run) -> None:
    done = run("full", "--json", "--resources", "custmers")
    assert done.returncode == 2
    assert "did you mean 'customers'" in json.loads(done.stdout)["error"]


@pytest.mark.parametrize("line", ["full --json --dry-rum", "--json endpoint lst", "nonsense --json", "--json resorces"])
def test_json_of_a_line_that_cannot_be_meant_says_so_too(run: Run, line: str) -> None:
    done = run(*line.split())
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"] in " ".join(done.stderr.split())


def test_quiet_prints_nothing_but_errors(run: Run) -> None:
    done = run("resources", "-q")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert "did you mean" in run("resources", "custmers", "-q").stderr


def test_resources_shows_all_that_can_be_loaded_and_no_name_is_cut(run: Run) -> None:
    lines = run("resources", COLUMNS="80").stdout.splitlines()
    names = [line.split()[0] for line in lines[:-1]]
    assert names == [resource.name for resource in RESOURCES.values() if resource.not_loaded is None]


def test_a_dry_run_asks_nothing_and_makes_nothing(run: Run, tmp_path: Path) -> None:
    done = run("full", "--dry-run", "--resources", "customer", "charges", "--since", "7d")
    assert done.returncode == 0, done.stderr
    assert "2 lists: at least 2 requests" in done.stdout
    assert "Nothing was sent or changed" in done.stdout
    of_all = run("backfill", "customer", "--dry-run", "--stripe-account", "all").stdout
    assert "1 list: at least 1 request for each account, one more for each further page" in of_all
    told = json.loads(run("sync", "--dry-run", "--json").stdout)
    assert {each["resource"] for each in told} == {resource.name for resource in select() if resource.name != "events"}
    assert list(tmp_path.glob("*.duckdb")) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command_and_its_options(run: Run, shell: str) -> None:
    script = run("completion", shell).stdout
    assert [name for name in COMMANDS if name not in script] == []
    option = "full-refresh" if shell == "fish" else "--full-refresh"
    assert option in script


def test_completion_of_bash_completes(run: Run, tmp_path: Path) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(run("completion", "bash").stdout)
    ask = f'. {script}; COMP_WORDS=(stripe-elt full --full); COMP_CWORD=2; _stripe_elt; echo "${{COMPREPLY[@]}}"'
    assert subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout == "--full-refresh\n"


@pytest.fixture(scope="module")
def base(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`base(module, *words)`: where only the base package is installed, and what an extra brings is not found."""
    folder = tmp_path_factory.mktemp("base")
    for name in (name for names in EXTRAS.values() for name in names):
        (folder / f"{name}.py").write_text(f"raise ModuleNotFoundError({name!r}, name={name!r})")

    def base(*words: str) -> subprocess.CompletedProcess[str]:
        given = {"PYTHONPATH": f"{folder}{os.pathsep}{root}", "DATABASE_URL": "port=9"}
        given |= {"SOURCES__STRIPE__API_BASE": "http://127.0.0.1:9", "SOURCES__STRIPE__MAX_RETRIES": "0"}
        command = [sys.executable, "-m", *words]
        return subprocess.run(command, cwd=folder, env=os.environ | given, capture_output=True, text=True, check=False)

    return base


@pytest.mark.parametrize(
    ("line", "extra"),
    [
        ("stripe_elt sink", "sink"),
        ("stripe_elt start --destination postgres", "sink"),
        ("stripe_elt status --serve", "sink"),
        ("webhook_sink", "sink"),
        ("simulator", "simulator"),
    ],
)
def test_what_needs_an_extra_says_what_to_install(base: Run, line: str, extra: str) -> None:
    done = base(*line.split())
    assert done.returncode != 0
    assert done.stderr.endswith(f"needs more packages. Install them with: pip install 'stripe-elt[{extra}]'\n")
    assert len(done.stderr.splitlines()) == 1


def test_base_package_completes_and_diagnoses(base: Run) -> None:
    script = base("stripe_elt", "completion", "bash").stdout
    assert "--full-refresh" in script
    assert 'sink) words=""' in script
    assert "the sink is not installed" in base("stripe_elt", "doctor", "--destination", "postgres").stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["status"], 0),
        (["doctor", "--no-permissions"], 1),
        (["migrate", "--check"], 3),
        (["migrate", "--dry-run", "-q"], 0),
        (["forget", "cus_1"], 2),
        (["full", "--dry-run"], 0),
        (["sync", "--dry-run"], 0),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_what_only_reads_makes_no_file(run: Run, tmp_path: Path, words: list[str], code: int) -> None:
    done = run(*words, SOURCES__STRIPE__MAX_RETRIES="0")
    assert done.returncode == code, done.stderr
    assert list(tmp_path.iterdir()) == []


# --- settings ---------------------------------------------------------------------------------------------------------


def account_asked(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether the command had a key, and went on to ask Stripe with it: nobody answers there."""
    return "127.0.0.1:9" in done.stderr or "Connection refused" in done.stderr


OBJECT = ("object", "cus_123", "--destination", "duckdb")


@pytest.mark.parametrize(
    "given",
    [{"STRIPE_API_KEY": "sk_test_1"}, {"STRIPE_SECRET_KEY_FILE": "key"}, {"STRIPE_API_KEY_FILE": "key"}],
    ids=lambda given: next(iter(given)),
)
def test_the_key_has_other_names_and_can_be_in_a_file(run: Run, tmp_path: Path, given: dict[str, str]) -> None:
    (tmp_path / "key").write_text("sk_test_1\n")
    quick = {"SOURCES__STRIPE__MAX_RETRIES": "0", "STRIPE_SECRET_KEY": ""}
    done = run(*OBJECT, **quick, **given)
    assert done.returncode == 2
    assert account_asked(done), done.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "No such file or directory"), ("", "is empty"), (b"\xff\xfe", "it is not UTF-8 text")],
    ids=["missing", "empty", "not text"],
)
def test_a_file_of_a_secret_that_cannot_be_used_is_named(
    run: Run, tmp_path: Path, content: str | bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run(*OBJECT, STRIPE_SECRET_KEY="", STRIPE_SECRET_KEY_FILE="key")
    assert done.returncode == 2
    told = " ".join(done.stderr.split())
    assert "the setting STRIPE_SECRET_KEY_FILE names" in told
    assert says in told


def test_dotenv_of_the_folder_is_read_and_the_environment_wins(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('STRIPE_SECRET_KEY="sk_test_1"  # ours\nSOURCES__STRIPE__WORKERS=none\n')
    done = run(*OBJECT)
    assert done.returncode == 2
    assert "SOURCES__STRIPE__WORKERS" in done.stderr
    assert account_asked(run(*OBJECT, SOURCES__STRIPE__WORKERS="2", SOURCES__STRIPE__MAX_RETRIES="0"))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("STRIPE_SECRET_KY", "STRIPE_SECRET_KEY"),
        ("DUCKDB_PTH", "DUCKDB_PATH"),
        ("SOURCES__STRIPE_DATASET", "SOURCES__STRIPE__DATASET"),
    ],
)
def test_a_variable_that_is_nearly_a_settings_is_said(run: Run, given: str, meant: str) -> None:
    said = f"The variable {given} is not read. Did you mean {meant}?"
    done = run("status", **{"STRIPE_SECRET_KEY": "", given: "sk_live_pasted"})
    assert said in done.stderr
    assert "sk_live_pasted" not in done.stderr
    assert said not in run("status", **{given: "x", meant: "stripe_elt"}).stderr
