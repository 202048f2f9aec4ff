"""Reads, runs and rewrites the sessions and answers in README.md and docs/*.md.

    python docs/sessions.py      # runs every page and replaces its outputs by the present ones

A ```console block is a session: lines that begin with `$ ` are commands, run in order, in one folder and against one
fresh demo account for each page (or for the pages of `TOGETHER`); what follows a command is its output, where a line
`...` stands for any lines, and `...` in a line for any characters. A ```sql block is a query of the DuckDB file of that
folder, and a ```text block right after it is the answer. tests/test_docs.py compares all of them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import demo

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted({*(ROOT / "docs").rglob("*.md")} - {*(ROOT / "docs/reference").glob("*")}),
]
TOGETHER = ("docs/metrics.md", "docs/report.md")
"""Pages that share a folder and an account, because they load the same lists. Each updates the data that it shows."""
Run = Callable[[str, Path, dict[str, str]], str]
"""Returns the output of a command in a folder with an environment; see `in_a_shell`."""
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANY = "..."


@dataclass(frozen=True, slots=True)
class Shown:
    """A command or query of a page, the answer that the page shows, and the present answer."""

    asked: str
    wanted: str
    got: str

    @property
    def is_true(self) -> bool:
        """Whether the page is right, apart from parts that differ between runs."""
        pattern = "\n".join(_pattern(line) for line in steady(self.wanted).split("\n"))
        return re.fullmatch(pattern, steady(self.got), re.DOTALL) is not None


def groups() -> list[list[Path]]:
    """The groups of pages with sessions that share a folder."""
    pages = [page for page in PAGES if any(language == "console" for language, _ in blocks(page))]
    together = [ROOT / name for name in TOGETHER]
    return [together, *([page] for page in pages if page not in together)]


def shown(pages: Sequence[Path], folder: Path, run: Run | None = None) -> Iterator[tuple[Path, Shown]]:
    """Runs the sessions and queries of pages, one page after the other, in an empty folder.

    `run` runs a command instead of a shell.
    """
    run = run or in_a_shell
    _furnish(folder)
    with demo.account() as simulator:
        for page in pages:
            question = ""
            for language, text in blocks(page):
                if language == "console":
                    for command, output in steps(text):
                        yield page, Shown(command, output, run(command, folder, demo.environment(simulator)))
                elif language == "text" and question:
                    yield page, Shown(question, text, demo.answer(str(folder / demo.FILE), question))
                question = text if language == "sql" else ""


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and text of every fenced block."""
    return [(match[1], match[2]) for match in BLOCK.finditer(page.read_text("utf-8"))]


def steps(session: str) -> Iterator[tuple[str, str]]:
    """The commands of a session with their shown outputs."""
    for step in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        command, _, output = step.partition("\n")
        yield command, output


def in_a_shell(command: str, folder: Path, environment: dict[str, str]) -> str:
    """The output of a command in a shell with this Python as `python`; `make demo` runs without installation here."""
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    result = subprocess.run(
        ["bash", "-c", command.replace("make demo-orb", "python demo.py --orb").replace("make demo", "python demo.py")],
        cwd=folder,
        env=os.environ | environment | {"PATH": paths},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return tidy(result.stdout)


def tidy(output: str) -> str:
    """Output as in a page: without spaces at the ends of lines, and without empty lines around it."""
    return "".join(f"{line.rstrip()}\n" for line in output.strip("\n").splitlines())


def steady(output: str) -> str:
    """Output without the parts that differ between runs: requests, seconds, request ids, column widths, and the
    progress lines of long loads.
    """
    told = (line for line in output.strip("\n").splitlines() if " INFO event=progress " not in line)
    lines = (re.sub(r"(?<=\S) +", " ", line).rstrip() for line in told)
    text = "\n".join(re.sub(r"^(\S+ [\d,]+) [\d,]+ \d+\.\d\b", r"\1 # #", line) for line in lines)
    return re.sub(r"\breq_\w+", "req_#", re.sub(r"[\d,]+ requests", "# requests", text))


def refreshed(wanted: str, got: str) -> str:
    """The shown output with present values. If it contains `...`, lines are matched by their first word."""
    if ANY not in wanted:
        return got
    left = iter(got.splitlines())
    lines = []
    for line in wanted.splitlines():
        first = line.split()[0] if line.strip() else ""
        same = first and ANY not in line and next((new for new in left if new.split()[:1] == [first]), None)
        lines.append(same or line)
    return "\n".join(lines) + "\n"


def refresh(pages: Sequence[Path]) -> None:
    """Rewrites the outputs and answers of pages."""
    with tempfile.TemporaryDirectory() as folder:
        for page, each in shown(pages, Path(folder)):
            if each.is_true:  # keeps the timings if nothing else changed
                continue
            text = page.read_text("utf-8")
            at = text.index(each.wanted, text.index(each.asked) + len(each.asked))
            new = refreshed(each.wanted, each.got if each.got.endswith("\n") else f"{each.got}\n")
            page.write_text(text[:at] + new + text[at + len(each.wanted) :], encoding="utf-8")


def _pattern(line: str) -> str:
    return "(?:.*)" if line == ANY else re.escape(line).replace(r"\.\.\.", "[^\n]*")


def _furnish(folder: Path) -> None:
    """Links the repository's files into a folder, so that commands run there and write their files there."""
    for path in ROOT.iterdir():
        if path.name not in (".git", ".venv", ".dlt") and path.suffix != ".duckdb":
            (folder / path.name).symlink_to(path)


if __name__ == "__main__":
    for each in groups():
        refresh(each)
