"""What docs/webhooks and deploy/ show exists: commands, options, tables, columns, metrics, statuses."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from webhook_sink.__main__ import _parser
from webhook_sink.commit.ledger import RELATIONS
from webhook_sink.commit.metrics import Metrics
from webhook_sink.receiver import ANSWERS

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted((ROOT / "docs/webhooks").glob("*.md"))
TEXT = "\n".join(page.read_text("utf-8") for page in PAGES)


def commands() -> list[str]:
    lines = [
        line.split("#")[0].strip()
        for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
        for line in block.splitlines()
    ]
    return [line.removeprefix("python -m webhook_sink") for line in lines if line.startswith("python -m webhook_sink")]


@pytest.mark.parametrize("command", commands())
def test_commands_that_are_shown_are_understood(command: str) -> None:
    arguments = shlex.split(command) or ["serve"]
    assert _parser().parse_args(arguments).run


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 6


def test_metrics_that_are_shown_exist() -> None:
    exposed = Metrics("stripe").text().decode()
    assert [name for name in set(re.findall(r"stripe_sink_\w+", TEXT)) if name not in exposed] == []


def test_ledgers_columns_are_all_described() -> None:
    created = RELATIONS["{p}_webhook_events"].partition("{p}_webhook_events (")[2].partition(")\n")[0]
    columns = re.findall(r"(?:^|, |\n\s+)(\w+) (?:text|boolean|timestamptz|integer|json)", created)
    page = (ROOT / "docs/webhooks/ledger.md").read_text("utf-8")
    assert [name for name in columns if f"`{name}`" not in page] == []
    assert len(columns) == 14


def test_every_answer_is_in_the_table_of_answers() -> None:
    page = (ROOT / "docs/webhooks/README.md").read_text("utf-8")
    assert {str(status) for status, _ in ANSWERS.values()} <= set(re.findall(r"^\| (\d+) \|", page, re.MULTILINE))


def test_proxy_passes_the_webhook_on() -> None:
    assert "location = /webhooks" in (ROOT / "deploy/nginx.conf").read_text("utf-8")
