"""Programs of the project as processes of their own, which begin at once: see `process_server`."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

SERVER = Path(__file__).with_name("process_server.py")


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen([sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.kill)
    return server


def run(
    *arguments: str, cwd: str | os.PathLike[str], env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What `python *arguments` prints and how it ends: a script and its options, or -m and a module."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.NamedTemporaryFile("r") as stdout, tempfile.NamedTemporaryFile("r") as stderr:
        program = {
            "arguments": arguments,
            "cwd": str(cwd),
            "environment": dict(os.environ if env is None else env),
            "stdout": stdout.name,
            "stderr": stderr.name,
        }
        server.stdin.write(json.dumps(program) + "\n")
        server.stdin.flush()
        code = server.stdout.readline()
        assert code, "the server of processes has ended"
        return subprocess.CompletedProcess(arguments, int(code), stdout.read(), stderr.read())
