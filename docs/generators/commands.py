"""docs/reference/commands.md, from the scripts' own docstrings and parsers."""

from __future__ import annotations

import argparse
import importlib
import inspect
from types import ModuleType

from generators.markdown_page import code, page, table

COMMANDS = (
    *(
        (f"stripe-elt {name}", f"stripe_elt.commands.{name}")
        for name in ("start", "backfill", "migrate", "views", "forget", "status", "doctor", "resources", "completion")
    ),
    ("python pipelines/stripe_full.py", "pipelines.stripe_full"),
    ("python pipelines/stripe_sync.py", "pipelines.stripe_sync"),
    ("python pipelines/stripe_check.py", "pipelines.stripe_check"),
    ("python pipelines/stripe_object.py", "pipelines.stripe_object"),
    ("python pipelines/stripe_report.py", "pipelines.stripe_report"),
    ("python pipelines/orb_full.py", "pipelines.orb_full"),
    ("python pipelines/orb_sync.py", "pipelines.orb_sync"),
    ("python pipelines/orb_check.py", "pipelines.orb_check"),
    ("python pipelines/orb_object.py", "pipelines.orb_object"),
    ("python -m webhook_sink", "webhook_sink.__main__"),
    ("python -m simulator", "simulator.cli"),
)


def commands_page() -> str:
    """Every command with its options, from the scripts' own parsers."""
    return page(
        "Commands",
        "`stripe-elt` is one command for all of them: `stripe-elt full`, `sync`, `check`, `object`, `orb-full`,"
        " `orb-sync`, `orb-check` and `orb-object` are the scripts in `pipelines/`, and `stripe-elt sink`, `replay`,"
        " `endpoint` and `follow` are those of `python -m webhook_sink`. They have the same options."
        " `stripe-elt --help` lists all commands, and each command prints its options with `--help`.",
        *(part for command, module in COMMANDS for part in _command(command, importlib.import_module(module))),
    )


def _command(command: str, module: ModuleType) -> list[str]:
    parser: argparse.ArgumentParser = module._parser()
    return [f"## {command}", inspect.cleandoc(module.__doc__ or ""), *_options(parser)]


def _options(parser: argparse.ArgumentParser) -> list[str]:
    """A table of a parser's arguments, and one for each of its subcommands."""
    parts: list[str] = []
    rows = []
    for each in parser._actions:
        if isinstance(each, argparse._SubParsersAction):
            for name, below in each.choices.items():
                parts += [f"### {name}", *_options(below)]
        elif each.dest != "help":
            names = code(*each.option_strings) if each.option_strings else ""
            rows.append((names, code(_value(each)), (each.help or "") % vars(each)))
    return [*([table(("Option", "Value", "Meaning"), rows)] if rows else []), *parts]


def _value(each: argparse.Action) -> str:
    """What an argument takes, nothing for a flag."""
    if each.nargs == 0:
        return ""
    if each.choices:
        return " or ".join(map(str, each.choices))
    shown = each.metavar or each.dest.upper()
    return f"{shown} …" if each.nargs in ("+", "*") else f"[{shown}]" if each.nargs == "?" else str(shown)
