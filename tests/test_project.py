"""The project itself: lint and types, imports that go one way, locked public dependencies, a wheel that is whole."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.databases import Database, with_database

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("sources", "pipelines", "webhook_sink", "stripe_elt", "simulator")
PACKAGES = (*SHIPPED, "benchmarks")

# The rooms that a room may import from, beside itself.
MAY_IMPORT: dict[str, set[str]] = {
    "sources": set(),
    "pipelines": {"sources"},
    "webhook_sink": {"pipelines", "sources"},
    "stripe_elt": {"webhook_sink", "pipelines", "sources"},
    "simulator": {"sources"},
    "benchmarks": {"pipelines", "sources", "simulator", "webhook_sink"},
}
LAYERED = ("sources", "pipelines", "webhook_sink", "stripe_elt")
LAYERS = (
    "sources",
    "sources.fetch",
    "sources.columns",
    "sources.provider",
    "sources.stripe_api.declaration",
    "sources.stripe_api.catalogue",
    "sources.stripe_api.client",
    "sources.stripe_api.paging",
    "sources.stripe_api.objects",
    "sources.stripe_api.events",
    "sources.stripe_api",
    "sources.stripe_api.generate",
    "sources.orb_api.catalogue",
    "sources.orb_api.client",
    "sources.orb_api.paging",
    "sources.orb_api.objects",
    "sources.orb_api.events",
    "sources.orb_api",
    "sources.orb_api.generate",
    "pipelines.terminal.process",
    "pipelines.terminal.log",
    "pipelines.terminal.output",
    "pipelines.terminal",
    "pipelines.configuration",
    "pipelines.warehouse.problems",
    "pipelines.warehouse.postgres",
    "pipelines.warehouse",
    "pipelines.models",
    "pipelines.state",
    "pipelines.privacy.forgotten",
    "pipelines.commands.accounts",
    "pipelines.commands.cli",
    "pipelines.loading",
    "pipelines.loading.session",
    "pipelines.loading.dry_run",
    "pipelines.loading.run",
    "pipelines.sync",
    "pipelines.check",
    "pipelines.privacy",
    "pipelines",
    "webhook_sink.decision",
    "webhook_sink.commit",
    "webhook_sink",
    "webhook_sink.pages",
    "webhook_sink.http",
    "webhook_sink.serverless",
    "webhook_sink.__main__",
    "stripe_elt",
)
"""The layers from the lowest to the highest: a folder, or a file where it lies lower than the rest of its folder. Each
may import from itself and from those before it."""

DATABASES = {"duckdb", "psycopg", "psycopg2", "psycopg_pool", "sqlalchemy", "dlt.destinations"}
BOUNDS = {"sqlglot"}  # declared for its bound alone: a dependency of dlt's that dlt does not bound
GENERATORS = {"orb-billing"}  # what only generators and tests import
ELSEWHERE = {"airflow"}  # what has an environment of its own, see tests/airflow
HTTP_CLIENTS = {"urllib3", "requests", "httpx", "aiohttp", "http.client", "urllib.request"}


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in sorted((ROOT / folder).rglob("*.py")) if "__pycache__" not in path.parts)


def imports(path: Path) -> Iterator[str]:
    """Absolute dotted names of a file's imports, wherever they stand: `from a import b` gives `a` and `a.b`."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def files_importing(modules: set[str], *folders: str) -> dict[str, set[str]]:
    """Files of the folders that import one of the modules or something below it, and what they import."""

    def below(name: str) -> bool:
        return any(name == module or name.startswith(f"{module}.") for module in modules)

    found = {str(path.relative_to(ROOT)): set(filter(below, imports(path))) for path in python_files(*folders)}
    return {path: names for path, names in found.items() if names}


def read_toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text())


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("command", ["ruff check .", "ruff format --check .", "mypy"])
def test_lint_and_types(command: str) -> None:
    result = run(*command.split())
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package: str) -> None:
    assert files_importing({*PACKAGES, "tests"} - MAY_IMPORT[package] - {package}, package) == {}


def test_architecture_names_every_folder_and_only_files_that_exist() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    folders = {str(path.parent.relative_to(ROOT)) for path in python_files(*LAYERED)}
    assert [each for each in folders if f"{Path(each).name}/" not in page] == []
    files = {path.name for path in python_files(*LAYERED)}
    assert [
        each for each in re.findall(r"[a-z_]+\.py", page) if each not in files | {"test_project.py", "test_paths.py"}
    ] == []


def test_every_invariant_names_tests_that_exist() -> None:
    rows = re.findall(
        r"^\| (\d+) \| (.+) \| (.+) \|$", (ROOT / "docs/contributing/invariants.md").read_text("utf-8"), re.M
    )
    assert [int(number) for number, _, _ in rows] == list(range(1, 15))
    for _, rule, named in rows:
        tests = re.findall(r"`([\w/]+\.py)::(test_\w+)`", named)
        assert len(tests) >= 2, rule
        for path, test in tests:
            assert f"def {test}(" in (ROOT / path).read_text("utf-8"), f"{path} has no {test}"


def test_one_function_dates_what_was_read() -> None:
    dating = files_importing({"sources.fetch.values.as_of"}, *LAYERED)
    assert set(dating) == {f"sources/{provider}/client/bodies.py" for provider in ("stripe_api", "orb_api")}
    reads_date = re.compile(r"[\"']date[\"']", re.IGNORECASE)
    reading = {
        str(path.relative_to(ROOT)) for path in python_files("sources/fetch") if reads_date.search(path.read_text())
    }
    assert reading == {"sources/fetch/values.py"}


def test_no_folder_has_more_than_a_dozen_files() -> None:
    folders = Counter(path.parent for path in python_files(*PACKAGES) if path.name != "__init__.py")
    assert {str(folder.relative_to(ROOT)): files for folder, files in folders.items() if files > 12} == {}


def test_sources_know_no_database() -> None:
    assert files_importing(DATABASES, "sources") == {}


def test_one_module_speaks_http_to_stripe() -> None:
    speaks, names_its_errors = "sources/fetch/http/transport.py", "sources/fetch/http/connection_problem.py"
    assert set(files_importing(HTTP_CLIENTS, "sources", "pipelines")) <= {speaks, names_its_errors}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FRONTS = {"webhook_sink"}
"""Packages whose own file hands on names of their upper layers, when they are used."""


def layer_of(module: str) -> int:
    """The layer of a module: that of its own entry in `LAYERS`, or of the nearest folder above it that has one."""
    while module not in LAYERS:
        module = module.rpartition(".")[0]
    return LAYERS.index(module)


def test_layers_import_downwards_only() -> None:
    modules = {module_of(path) for path in python_files(*LAYERED)}
    upwards = {
        (module, imported)
        for path in python_files(*LAYERED)
        for imported in modules.intersection(imports(path))
        if layer_of(imported) > layer_of(module := module_of(path)) and module not in FRONTS
    }
    assert upwards == set()


TAKES_SETTINGS_APART = re.compile(r"pipelines\.(commands|configuration)\.|sources\.(\w+_api\.provider|fetch\.reach)\b")
"""What has the settings of a command whole although it lies below a session: commands, and what takes those of a client
out of them."""


def test_nothing_below_a_session_takes_the_settings_whole() -> None:
    session = LAYERS.index("pipelines.loading.session")
    found = {
        (module, function.name)
        for path in python_files(*LAYERED)
        if layer_of(module := module_of(path)) < session and not TAKES_SETTINGS_APART.match(module)
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for given in (*function.args.args, *function.args.kwonlyargs)
        if (given.annotation and re.fullmatch(r"(Common|Orb|Sink)?Settings", ast.unparse(given.annotation)))
        or (given.arg == "settings" and (given.annotation is None or ast.unparse(given.annotation) == "Any"))
    }
    assert found == set()


def test_files_import_each_other_in_no_circle() -> None:
    sorter: TopologicalSorter[str] = TopologicalSorter()
    modules = {module_of(path) for path in python_files(*LAYERED)}
    for path in python_files(*LAYERED):
        module = module_of(path)
        sorter.add(module, *modules.intersection(imports(path)) - {module})
    sorter.prepare()  # raises CycleError, which names them


OF_A_PROVIDER = re.compile(r"stripe|orb|/models/metrics/")
"""Paths below `pipelines` of what is about one provider."""
READS_EACH = {"pipelines/configuration/privacy.py"}  # whether a rule is about another provider's tables
SETTINGS_OF_STRIPE = {"pipelines/configuration/settings.py"}  # of which one asks Stripe for connected accounts


def test_pipelines_of_no_provider_import_none() -> None:
    found = files_importing({"sources.stripe_api", "sources.orb_api"}, "pipelines")
    assert {path for path in found if not OF_A_PROVIDER.search(path)} == READS_EACH | SETTINGS_OF_STRIPE
    assert files_importing({"sources.stripe_api"}, "sources/orb_api", "sources/fetch", "sources/columns") == {}
    assert files_importing({"sources.orb_api"}, "sources/stripe_api", "sources/fetch", "sources/columns") == {}


def test_loops_name_what_they_go_over() -> None:
    """`for resource in resources`, not `for one in resources`: a reader must not look back to see what it is."""
    nameless = [
        f"{path.relative_to(ROOT)}:{node.target.lineno}"
        for path in python_files(*PACKAGES, "docs", "tests")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.For | ast.comprehension)
        and any(isinstance(name, ast.Name) and name.id == "one" for name in ast.walk(node.target))
    ]
    assert nameless == []


def test_nothing_sets_the_sdks_global_key() -> None:
    assigned = re.compile(r"\bstripe\.api_key\s*=[^=]")
    assert [str(path) for path in python_files(*PACKAGES, "tests") if assigned.search(path.read_text())] == []


def test_tests_neither_mock_nor_sleep() -> None:
    assert files_importing({"unittest.mock", "mock", "responses", "time.sleep"}, "tests") == {}
    slept = [
        path.name
        for path in python_files("tests")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep"
    ]
    assert slept == []


def test_lock_names_only_public_addresses() -> None:
    addresses = re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text())
    assert set(addresses) == {"pypi.org", "files.pythonhosted.org"}


def test_lock_is_of_the_dependencies_that_are_declared() -> None:
    """`make setup` with uv refuses another one."""
    checked = run("uv", "lock", "--check", "--offline")
    assert checked.returncode == 0, checked.stderr


def test_pip_installs_what_uv_installs() -> None:
    locked = {(package["name"], package["version"]) for package in read_toml("uv.lock")["package"]}
    pinned = re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    assert set(pinned) == locked - {("stripe-elt", read_toml("pyproject.toml")["project"]["version"])}


def test_dependencies_are_declared_used_and_explained() -> None:
    project = read_toml("pyproject.toml")["project"]
    base = {distribution(each) for each in project["dependencies"]}
    extras = {
        name: {distribution(each) for each in given} - {"stripe-elt"}
        for name, given in project["optional-dependencies"].items()
    }
    declared, for_tests = base | extras["sink"] | extras["simulator"] | extras["lambda"], extras["dev"]
    explained = set(re.findall(r"`([\w-]+)`", first_column((ROOT / "docs/decisions.md").read_text("utf-8"))))
    shipped = distributions_imported(*SHIPPED)
    assert shipped - GENERATORS == declared - BOUNDS
    assert {Path(path).parent.name for path in files_importing({"orb"}, *SHIPPED)} == {"generate"}
    assert distributions_imported("sources", "pipelines", "stripe_elt") <= base | GENERATORS
    assert distributions_imported("webhook_sink") <= base | extras["sink"] | extras["lambda"]
    assert distributions_imported("simulator") <= base | extras["simulator"]
    assert distributions_imported("tests", "benchmarks", "docs") <= declared | for_tests
    assert explained == declared | for_tests
    assert extras["report"] <= for_tests


def distribution(requirement: str) -> str:
    return re.split(r"[^\w-]", requirement, maxsplit=1)[0].replace("_", "-")


def first_column(text: str) -> str:
    return "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| "))


def distributions_imported(*folders: str) -> set[str]:
    """Names of the distributions that the folders' files import from, the standard library and our own left out."""
    owners = importlib.metadata.packages_distributions()
    names = {name.partition(".")[0] for path in python_files(*folders) for name in imports(path)}
    ours = {path.stem for path in (ROOT / "docs").iterdir()} | {*PACKAGES, "tests", "docs", "demo", "readme_hook"}
    names -= sys.stdlib_module_names | ours | ELSEWHERE
    return {distribution(owners.get(name, [f"not-installed-{name}"])[0].lower()) for name in names}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="an unpacked archive has no list of its files")
def test_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", *SHIPPED], cwd=ROOT, capture_output=True, text=True, check=True)
    built = run("hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert set(tracked.stdout.split()) - held == set()


def test_the_developers_keys_are_out_of_reach() -> None:
    ours = "SOURCES__STRIPE__MAX_CLOCK_SKEW"  # see tests/conftest.py
    found = {name for name in os.environ if name.startswith(("STRIPE_", "SOURCES__", "DESTINATION__"))}
    assert found - {ours} == set()
    assert os.environ.get("DATABASE_URL") is None
    assert not (Path.home() / ".dlt").exists()


def test_each_test_gets_an_empty_database_of_its_own(destination: Database) -> None:
    assert destination.tables("stripe") == set()
    destination.query("create schema stripe")
    destination.query("create table stripe.customers (id varchar)")
    destination.query("insert into stripe.customers values (?)", ["cus_1"])
    assert destination.query("select id from stripe.customers where id like 'cus%' and id = ?", ["cus_1"]) == [
        ("cus_1",)
    ]
    assert destination.tables("stripe") == {"customers"}


def test_both_forms_of_a_postgres_address_take_another_database(postgres_url: str) -> None:
    words = psycopg.conninfo.make_conninfo(postgres_url)
    for address in (with_database(postgres_url, "postgres"), with_database(words, "postgres")):
        assert Database("postgres", address).value("select current_database()") == "postgres"
