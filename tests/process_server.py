"""Runs Python programs in processes that are forked from this one, which has imported what they need.

Each line of stdin is one program as JSON: its command line without the interpreter, its folder, its environment, and
the files for its two streams (none for stderr: the same as for stdout). For each there are two lines of stdout: its
process id at its start, and at its end its exit code, negative for a signal. A program that is forked here begins in a
tenth of a second instead of two. What it does is the same, but for what Python and the modules decide while they start:
tests of that start an interpreter of their own.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
NEEDED = (
    "dlt",
    "pipelines.check.check",
    "pipelines.configuration.orb_settings",
    "pipelines.loading.loader",
    "pipelines.orb_check",
    "pipelines.orb_full",
    "pipelines.orb_object",
    "pipelines.orb_sync",
    "pipelines.stripe_check",
    "pipelines.stripe_full",
    "pipelines.stripe_object",
    "pipelines.stripe_part",
    "pipelines.stripe_report",
    "pipelines.stripe_sync",
    "pipelines.sync.stripe_api.parts",
    "pipelines.sync.stripe_api.report",
    "pipelines.warehouse.duckdb_database",
    "pipelines.warehouse.postgres_database",
    "sources.orb_api.provider",
    "sqlglot",
    "stripe_elt.findings",
    "stripe_elt.parts",
    "stripe",
    "webhook_sink.__main__",
    "webhook_sink.commit.schema_change",
)


def serve(lines: Any, answers: Any) -> dict[str, Any] | None:
    """Forks a process for each line. Returns the program in the forked process, and None at the end of the lines."""
    for line in lines:
        if not (child := os.fork()):
            program: dict[str, Any] = json.loads(line)
            return program
        answers.write(f"{child}\n")
        answers.flush()
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()
    return None


def become(program: dict[str, Any]) -> None:
    """Makes this process the program's: streams, folder, environment, arguments."""
    for number, name in ((0, os.devnull), (1, program["stdout"]), (2, program["stderr"])):
        file = os.open(name, os.O_RDWR) if name else os.dup(1)
        os.dup2(file, number)
        os.close(file)
    os.chdir(program["cwd"])
    os.environ.clear()
    os.environ.update(program["environment"])
    time.tzset()


def end(arguments: list[str]) -> NoReturn:
    """Runs the program and ends the process as Python would, but leaves its modules as they are: that saves a while."""
    code: object = None
    try:
        run(arguments)
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]  # joins what is not a daemon
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code & 255 if isinstance(code, int) else int(code is not None))


def run(arguments: list[str]) -> None:
    """The program, as `python FILE …` or `python -m MODULE …` runs it."""
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.path[0] = os.getcwd()
        for name in (arguments[1], f"{arguments[1]}.__main__"):
            if not hasattr(sys.modules.get(name), "__path__"):
                sys.modules.pop(name, None)  # as it is about to run as __main__
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    for module in NEEDED:
        importlib.import_module(module)
    sys.path.pop(0)
    gc.freeze()  # the collector would copy the memory that the processes share
    with contextlib.suppress(KeyboardInterrupt):
        if (forked := serve(sys.stdin, sys.stdout)) is not None:
            become(forked)
            end(forked["arguments"])
