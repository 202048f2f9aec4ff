"""Writes docs/reference/*.md, .dlt/config.toml, and the catalogue for other tools: docs/prisma, docs/dbt.

    python docs/generate_reference.py            # writes the files
    python docs/generate_reference.py --check    # exit code 1 and the names of outdated files

tests/test_docs.py runs the check. Do not edit these files: change their source and run this again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from generators.catalogue import resources_page, tables_page
from generators.commands import commands_page
from generators.dbt_sources import dbt_sources
from generators.metrics import metrics_page
from generators.orb import orb_page
from generators.people import people_page
from generators.prisma_schema import prisma_schema
from generators.settings import config_toml, settings_page
from generators.views import views_page

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Writes or checks every generated file; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, tell what is not current")
    check = parser.parse_args().check
    stale = {path: text for path, text in generated().items() if not path.exists() or path.read_text("utf-8") != text}
    for path, text in stale.items():
        print(f"{path.relative_to(ROOT)} {'is not current: run make docs' if check else 'written'}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(check and bool(stale))


def generated() -> dict[Path, str]:
    """Every generated file and its text."""
    return {
        ROOT / ".dlt/config.toml": config_toml(),
        ROOT / "docs/reference/settings.md": settings_page(),
        ROOT / "docs/reference/commands.md": commands_page(),
        ROOT / "docs/reference/resources.md": resources_page(),
        ROOT / "docs/dbt/sources.yml": dbt_sources(),
        ROOT / "docs/prisma/schema.prisma": prisma_schema(),
        ROOT / "docs/reference/people.md": people_page(),
        ROOT / "docs/reference/tables.md": tables_page(),
        ROOT / "docs/reference/orb.md": orb_page(),
        ROOT / "docs/reference/views.md": views_page(),
        ROOT / "docs/reference/metrics.md": metrics_page(),
    }


if __name__ == "__main__":
    sys.exit(main())
