"""Runs every command once, in one process, while the simulated account changes: `python every_command.py REPORT`.

The environment says where the account and the database are, as it does for a user's commands, and may be as hostile as
the test wants. REPORT becomes a file with `[command, exit code]` for each command, as JSON, because what the commands
print may go nowhere. It ends at the first command that does not end with 0.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LISTS = ("customers", "products", "coupons", "prices", "subscriptions", "invoices", "tax_rates", "balance_transactions")
NAMES = ("Zoë €uro 漢字", "back\\slash 'quote' \"double\"", "NULL", "", "12/11/2025 10,5")
"""Texts that a session property could turn into other ones."""


def main(report: str) -> None:
    """Loads, syncs, reads one object, takes events as the sink does, and checks. Exit codes go into the report."""
    postgres = os.environ["SOURCES__STRIPE__DESTINATION"] == "postgres"
    codes: list[tuple[str, int]] = []

    def run(command: str, *options: str) -> None:
        codes.append((command, exit_code(command, options)))
        Path(report).write_text(json.dumps(codes))
        if codes[-1][1]:
            sys.exit(0)

    run("stripe_full", "--resources", *LISTS)
    ids = [str(each["id"]) for each in listed("customers")]
    for id, name in zip(ids, NAMES, strict=False):
        mutate("update", "customers", id, name=name, balance=-(2**53))
    run("stripe_sync")
    mutate("update", "customers", ids[0], name=NAMES[0][::-1], metadata={"at": "2025-11-12 10:00:00"})
    run("stripe_object", ids[0])
    mutate("update", "customers", ids[1], description=NAMES[1])
    mutate("delete", "customers", ids[2])
    if postgres:
        run("webhook_sink", "follow", "--once")
    else:
        run("stripe_sync")
    mutate("update", "customers", ids[3], description=NAMES[3] + "later")
    run("stripe_check", "--json", str(Path(report).with_suffix(".check")))


def exit_code(command: str, options: tuple[str, ...]) -> int:
    """The command's exit code: run as `python pipelines/….py` or `python -m webhook_sink`."""
    sys.argv = [command, *options]
    try:
        if command == "webhook_sink":
            runpy.run_module("webhook_sink", run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(str(ROOT / "pipelines" / f"{command}.py"), run_name="__main__")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    return 0


def listed(path: str) -> list[dict[str, Any]]:
    """The first page of a list of the account."""
    request = urllib.request.Request(
        f"{os.environ['SOURCES__STRIPE__API_BASE']}/v1/{path}?limit=100",
        headers={"Authorization": f"Bearer {os.environ['STRIPE_SECRET_KEY']}"},
    )
    with urllib.request.urlopen(request) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]
    return found


def mutate(action: str, table: str, id: str, **changes: Any) -> None:
    """Changes an object of the account, a minute after the last change."""
    control("advance", {"seconds": 60})
    control("mutate", {"action": action, "table": table, "id": id, "object": changes})
    control("advance", {"seconds": 60})


def control(name: str, given: dict[str, Any]) -> None:
    """One of the simulator's controls."""
    address = f"{os.environ['SOURCES__STRIPE__API_BASE']}/_simulator/{name}"
    urllib.request.urlopen(urllib.request.Request(address, json.dumps(given).encode(), method="POST")).close()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main(sys.argv[1])
