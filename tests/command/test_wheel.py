"""The package as it is installed: the README's three commands, from a wheel, in a folder with packages of its own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import psycopg
import pytest

from readme_hook import LINK, for_an_index
from simulator import Simulator
from tests.command.test_start import Started, free_port
from tests.databases import Database


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=root, capture_output=True, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the dependencies of this one, and without this project."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    return folder / "bin"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose own packages have the names of ours."""
    for name in ("sources", "pipelines", "webhook_sink"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('the wrong package')\n")
    return tmp_path


def metadata_of(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as held:
        (name,) = [name for name in held.namelist() if name.endswith("METADATA")]
        return message_from_bytes(held.read(name)).get_payload()  # type: ignore[return-value]


def test_readme_has_no_link_that_an_index_cannot_follow(wheel: Path) -> None:
    text = metadata_of(wheel)
    assert LINK.findall(text) == []
    assert "docs/tutorial.md" in text
    linked = for_an_index("see [the tutorial](docs/tutorial.md) and [dlt](https://dlthub.com)", "https://host/us/it/")
    assert linked == "see [the tutorial](https://host/us/it/blob/main/docs/tutorial.md) and [dlt](https://dlthub.com)"


def test_packages_are_typed(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if name.endswith("py.typed")} == {
        "sources",
        "pipelines",
        "webhook_sink",
        "stripe_elt",
        "simulator",
    }


def three_commands(root: Path) -> Iterator[list[str]]:
    section = (root / "README.md").read_text("utf-8").partition("## With your own account")[2]
    for line in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[0].splitlines():
        yield shlex.split(line, comments=True)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_three_commands_install_load_and_receive_webhooks(
    root: Path, wheel: Path, environment: Path, folder: Path, postgres_url: str
) -> None:
    install, load, start = three_commands(root)
    assert install == ["pip", "install", "stripe-elt[sink]"]
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "python"), "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], capture_output=True, check=True)
    with Simulator(seed=4, customers=2) as sim:
        given = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DLT_PROJECT_DIR")}
        given |= {
            "PATH": f"{environment}{os.pathsep}{os.environ['PATH']}",
            "SOURCES__STRIPE__SANDBOX_RATE": "inf",
            "SOURCES__STRIPE__ENDPOINT_RATE": "inf",
            "WEBHOOK_SINK__TOLERANCE": "2000000000",
        }
        settings = {"STRIPE_SECRET_KEY": sim.key, "SOURCES__STRIPE__API_BASE": sim.url, "DATABASE_URL": postgres_url}
        (folder / ".env").write_text("".join(f'{name}="{value}"\n' for name, value in settings.items()))
        loaded = subprocess.run(load, cwd=folder, env=given, capture_output=True, text=True, check=False)
        assert loaded.returncode == 0, loaded.stderr
        customers = len(sim.account.objects("customers"))
        file = Database("duckdb", str(folder / "stripe_data.duckdb"))
        assert file.value("select count(*) from stripe.customers where _deleted_at is null") == customers
        port = free_port()
        words = [f"http://127.0.0.1:{port}" if word == "cloudflared" else word for word in start]
        process = subprocess.Popen(
            [*words, "--port", str(port)],
            cwd=folder,
            env=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started = Started(process)
        try:
            started.wait_for("ready: events of")
            sim.account.create("customers", sim.make("customers", name="By webhook"))
            assert sim.deliveries.send_all() == [200]
            with psycopg.connect(postgres_url) as connection:
                found = connection.execute("select _source from stripe.customers where name = 'By webhook'").fetchall()
            assert found == [("event",)]
            assert started.end() == 0
        finally:
            for each in [*started.parts(), process] if process.poll() is None else ():
                each.kill()
            process.wait()
