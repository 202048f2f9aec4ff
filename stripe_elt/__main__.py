"""`stripe-elt`, and `python -m stripe_elt`: one command for everything that the project does.

Finds the subcommand, and passes the rest of the command line to it. Imports only that subcommand, so that `stripe-elt
--help` answers at once.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

NAME = "stripe-elt"
USAGE = "usage: stripe-elt COMMAND [options]\n"


class Command(NamedTuple):
    """A subcommand: its module, its description, and the first words that are passed to the module's `main`."""

    module: str
    about: str
    first: tuple[str, ...] = ()


COMMANDS: Mapping[str, Command] = {
    "start": Command("stripe_elt.commands.start", "migrate, load, receive webhooks and sync, in one process group"),
    "full": Command("pipelines.stripe_full", "load a Stripe account; later runs load new objects"),
    "sync": Command("pipelines.stripe_sync", "update the tables: the scheduled run"),
    "backfill": Command("stripe_elt.commands.backfill", "read lists again: backfill customer --since 7d"),
    "check": Command("pipelines.stripe_check", "compare the tables with Stripe, and repair them"),
    "object": Command("pipelines.stripe_object", "load single objects by id"),
    "sink": Command("webhook_sink.__main__", "receive Stripe's webhooks, and Orb's", ("sink",)),
    "follow": Command("webhook_sink.__main__", "poll for events: no public address needed", ("follow",)),
    "replay": Command("webhook_sink.__main__", "merge events of the ledger again", ("replay",)),
    "endpoint": Command("webhook_sink.__main__", "create, list or delete our webhook endpoints", ("endpoint",)),
    "report": Command("pipelines.stripe_report", "MRR, retention, churn, trials and failed payments"),
    "migrate": Command("stripe_elt.commands.migrate", "create the schema, all tables (empty), and their views"),
    "views": Command("stripe_elt.commands.views", "create the views that dbt_stripe reads: views dbt"),
    "forget": Command("stripe_elt.commands.forget", "overwrite a customer's data, and never store it again"),
    "orb-full": Command("pipelines.orb_full", "load an Orb account; later runs load new objects"),
    "orb-sync": Command("pipelines.orb_sync", "update the tables of an Orb account"),
    "orb-check": Command("pipelines.orb_check", "compare the tables of an Orb account with Orb, and repair them"),
    "orb-object": Command("pipelines.orb_object", "load single objects of an Orb account by id"),
    "status": Command("stripe_elt.commands.status", "how fresh the tables are"),
    "doctor": Command("stripe_elt.commands.doctor", "check the key, the database, the settings and the endpoint"),
    "resources": Command("stripe_elt.commands.resources", "what can be loaded, and what it costs"),
    "completion": Command("stripe_elt.commands.completion", "print completion for bash, zsh or fish"),
}
LOG_FORMAT = "--log-format"
GLOBAL = ("-q", "--quiet", "--json", "--debug", LOG_FORMAT)
"""Options that may also precede the command; the last one takes a value."""
OPTIONS = (*GLOBAL, "-h", "--help", "-V", "--version")


def main() -> int:
    """The console script. Returns only if no command runs: otherwise `start` exits with the command's code."""
    from pipelines.terminal.process import start

    start("stripe_elt.__main__", "run")


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command of a command line. Returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    before = []
    while words and words[0].partition("=")[0] in GLOBAL:
        before.append(words.pop(0))
        if before[-1] == LOG_FORMAT and words:
            before.append(words.pop(0))
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if words else 2
    if words[0] in ("--version", "-V", "version"):
        from importlib.metadata import version

        print(f"{NAME} {version(NAME)}")
        return 0
    name = words.pop(0)
    command = COMMANDS.get(name)
    if command is None:
        from sources.command_line import tell_as_json

        tell_as_json(_unknown(name), [*before, *words])
        print(f"{USAGE}{NAME}: error: {_unknown(name)}", file=sys.stderr)
        return 2
    prog = NAME if command.first else f"{NAME} {name}"  # modules with several commands add the name themselves
    options_end = words.index("--") if "--" in words else len(words)
    words[options_end:options_end] = before
    code: int = importlib.import_module(command.module).main([*command.first, *words], prog)
    return code


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {each.about}" for name, each in COMMANDS.items()]
    return "\n".join(
        [
            USAGE,
            "Stripe's billing data in Postgres or DuckDB.",
            "",
            "commands:",
            *lines,
            "",
            "options:",
            "  -h, --help     this text; behind a command, its options",
            "  -V, --version  the version",
            "  -q, --json, --log-format and --debug are options of every command",
            "",
            "Settings come from options, the environment, .env and .dlt: docs/reference/settings.md.",
        ]
    )


def _unknown(name: str) -> str:
    """The message for an unknown word. It suggests a similar command or option; other words are not repeated, because
    they may be misplaced secrets.
    """
    what, known = ("option", OPTIONS) if name.startswith("-") else ("command", COMMANDS)
    near = difflib.get_close_matches(name.lower(), known, 1)
    if near:
        return f"there is no {what} {name!r}. Did you mean {near[0]}?"
    return f"there is no such command. Choose from {', '.join(COMMANDS)}."


if __name__ == "__main__":
    sys.exit(main())
