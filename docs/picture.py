"""Writes docs/report.svg, the picture of the report that the README shows: four charts of the page that --html writes.

    python docs/picture.py            # loads the demo's account, makes the page, and takes the charts out of it
    python docs/picture.py --check    # exit code 1 where the picture is not of what the report says now

The check draws nothing: the file says what it was made of, which is the charts' descriptions, this file, and the
screen in the README, which the tests compare with the report itself.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from sessions import blocks, in_a_shell  # noqa: E402

import demo  # noqa: E402

PICTURE = ROOT / "docs/report.svg"
CHARTS = {
    "mrr_by_plan": "MRR by plan", "movements": "Movements by month",
    "retention": "NRR and GRR over twelve months", "cohorts": "Customers kept, by month of the first payment",
}  # fmt: skip
"""The charts, two in a row, by their names in charts.json, and their titles."""

LOAD = "python pipelines/stripe_full.py --resources core > load.log 2>&1"
REPORT = "python pipelines/stripe_report.py --html page.html > report.log 2>&1"
WIDTH, HEIGHT, MARGIN = 590, 370, 30


def main() -> int:
    """Writes or checks the picture; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, tell whether the picture is current")
    if parser.parse_args().check:
        is_current = mark() in PICTURE.read_text("utf-8")
        print(f"docs/report.svg is {'' if is_current else 'not '}current{'' if is_current else ': run make docs'}")
        return int(not is_current)
    PICTURE.write_text(picture(page()), "utf-8")
    print(f"docs/report.svg written: {PICTURE.stat().st_size:,} bytes")
    return 0


def mark() -> str:
    """What the picture is made of, as a comment."""
    (screen,) = (text for kind, text in blocks(ROOT / "README.md") if "stripe_report.py" in text and kind == "console")
    made_of = (
        (ROOT / "pipelines/models/report/charts.json").read_text("utf-8"),
        Path(__file__).read_text("utf-8"),
        screen,
    )
    return f"<!-- made by docs/picture.py of {sha256(''.join(made_of).encode()).hexdigest()[:16]} -->"


def page() -> str:
    """The page of the demo's account."""
    with tempfile.TemporaryDirectory() as name, demo.account() as simulator:
        folder = Path(name)
        for each in ("pipelines", "sources", "simulator"):
            (folder / each).symlink_to(ROOT / each)
        for command in (LOAD, REPORT):
            in_a_shell(command, folder, demo.environment(simulator))
        return (folder / "page.html").read_text("utf-8")


def picture(html: str) -> str:
    """The charts of a page as one SVG."""
    parts = []
    for place, (chart, title) in enumerate(CHARTS.items()):
        found = re.search(rf'<div data-chart="[^"]*-{chart}"[^>]*><svg(.*?)</svg></div>', html, re.DOTALL)
        if found is None:
            raise SystemExit(f"The page has no chart {chart}.")
        x, y = MARGIN + place % 2 * WIDTH, MARGIN + place // 2 * HEIGHT
        drawn = re.sub(r'\b(id="|url\(#)', rf"\g<1>{chart}-", found[1])  # ids of one chart, not of its neighbour
        parts += [
            f'<text x="{x}" y="{y}" font-family="sans-serif" font-size="15" font-weight="bold">{title}</text>',
            f'<svg x="{x}" y="{y + 14}"{drawn}</svg>',
        ]
    width, height = 2 * WIDTH + MARGIN, -(-len(CHARTS) // 2) * HEIGHT + MARGIN
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        mark(), f'<rect width="{width}" height="{height}" fill="white"/>', *parts, "</svg>\n",
    ])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
