"""`stripe-elt resources`: every list that can be loaded, its groups, and what it costs in requests."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipelines.commands.cli import ALL_WELL, add_output_options, run_command
from pipelines.terminal.output import Report
from sources.command_line import Parser

if TYPE_CHECKING:
    from sources.catalogue import Resource


def main(arguments: Sequence[str] | None = None, prog: str = "stripe-elt resources") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _resources, arguments)


def _parser(prog: str = "stripe-elt resources") -> argparse.ArgumentParser:
    parser = Parser(prog=prog, description="Lists what can be loaded, and what it costs in requests to Stripe.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="resources or groups (default: all)")
    add_output_options(parser)
    return parser


def _resources(options: argparse.Namespace) -> Report:
    from sources.catalogue import GROUPS
    from sources.stripe_api.catalogue import RESOURCES, select

    found: list[dict[str, Any]] = [
        {
            "resource": resource.name,
            "table": resource.table,
            "groups": [group for group in GROUPS if group == "all" or group in resource.groups],
            "path": resource.path,
            "requests": cost_of(resource),
            "product": resource.gate,
        }
        for resource in select(options.names or ["all"])
    ]
    width = max(len(row["resource"]) for row in found)
    for row in found:
        print(f"{row['resource']:<{width}}  {row['groups'][0]:<7}  {row['requests']}")
    never = sum(resource.not_loaded is not None for resource in RESOURCES.values())
    print(
        f"{len(found)} resources. {never} more operations are known but never loaded: see docs/reference/resources.md."
    )
    return Report(ALL_WELL, found)


def cost_of(resource: Resource) -> str:
    """The number of requests for its list, in words."""
    page = "1 per page" if resource.limit is None else f"1 per {resource.limit} objects"
    if resource.kind == "singleton" or resource.pagination == "single":
        page = "1"
    if not resource.parents:
        passes = len(resource.passes)
        return page if passes == 1 else f"{page}, in {passes} passes"
    each = " and ".join(parent.table.replace("_", " ") for parent in resource.parents)
    return f"1 or more for each of the {each}"
