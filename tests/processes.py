"""Programs of the project as processes of their own, which begin at once: see `process_server`."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

SERVER = Path(__file__).with_name("process_server.py")


@cache
def _server() -> subprocess.Popen[bytes]:
    command = [sys.executable, str(SERVER)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    atexit.register(server.kill)
    return server


def run(
    *arguments: str,
    cwd: str | os.PathLike[str],
    env: Mapping[str, str] | None = None,
    kill_after: float | None = None,
    together: bool = False,
    started: Callable[[int], object] = lambda pid: None,
) -> subprocess.CompletedProcess[str]:
    """What `python *arguments` prints and how it ends: a script and its options, or -m and a module.

    After `kill_after` seconds it is killed (SIGKILL), if it still runs. With `together`, stdout has both streams.
    `started` is told its process id.
    """
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.NamedTemporaryFile("r") as stdout, tempfile.NamedTemporaryFile("r") as stderr:
        program = {
            "arguments": arguments,
            "cwd": str(cwd),
            "environment": dict(os.environ if env is None else env),
            "stdout": stdout.name,
            "stderr": None if together else stderr.name,
        }
        server.stdin.write(json.dumps(program).encode() + b"\n")
        pid = int(server.stdout.readline())
        started(pid)
        if kill_after is not None and not select.select([server.stdout], [], [], kill_after)[0]:
            with contextlib.suppress(ProcessLookupError):  # it has ended just now
                os.kill(pid, signal.SIGKILL)
        code = server.stdout.readline()
        assert code, "the server of processes has ended"
        return subprocess.CompletedProcess(arguments, int(code), stdout.read(), stderr.read())
