"""Tunnels: how Stripe reaches a sink without a public address. The program is the user's own; none is downloaded."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from sources.errors import BadConfiguration

STARTING = 30.0  # seconds within which a tunnel has to say its address


class Program(NamedTuple):
    """A tunnel's program: its arguments for a local address, how it says its public one, and where to get it."""

    arguments: Callable[[str], list[str]]
    says: str
    home: str


PROGRAMS: Mapping[str, Program] = {
    "cloudflared": Program(
        lambda local: ["tunnel", "--no-autoupdate", "--url", local],
        r"https://[\w-]+\.trycloudflare\.com",
        "https://github.com/cloudflare/cloudflared",
    ),
    "ngrok": Program(
        lambda local: ["http", local, "--log", "stdout", "--log-format", "logfmt"],
        r"(?<=url=)https://[^\s\"]+",
        "https://ngrok.com/download",
    ),
}


class Tunnel(NamedTuple):
    """A tunnel's public address, and its program; None where the address is the user's own."""

    url: str
    process: subprocess.Popen[bytes] | None


def tunnel_program(name: str) -> str | None:
    """The path of a tunnel's program; None for an address, which needs none. Raises BadConfiguration for all else."""
    if name.startswith(("http://", "https://")):
        return None
    if name not in PROGRAMS:
        raise BadConfiguration(f"--tunnel takes {', '.join(PROGRAMS)}, or the sink's public address (https://…).")
    path = shutil.which(name)
    if path is None:
        raise BadConfiguration(
            f"The program {name} is not installed, or not on the PATH: see {PROGRAMS[name].home}. Without --tunnel,"
            " events are polled for, which needs no program."
        )
    return path


@contextmanager
def opened_tunnel(name: str, host: str, port: int) -> Iterator[Tunnel]:
    """A tunnel to a local address, `cloudflared`, `ngrok` or a URL that leads here already; it ends with the block.

    Raises BadConfiguration where the program is missing, or says no address.
    """
    path = tunnel_program(name)
    if path is None:
        yield Tunnel(name, None)
        return
    local = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"
    command = [path, *PROGRAMS[name].arguments(local)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield Tunnel(_address(name, process), process)
    finally:
        process.terminate()
        process.wait()


def _address(name: str, process: subprocess.Popen[bytes]) -> str:
    """The address that the program says. What it says later is read and dropped."""
    found: list[str] = []
    is_told = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if not found and (match := re.search(PROGRAMS[name].says, line.decode("utf-8", "replace"))):
                found.append(match[0])
                is_told.set()
        is_told.set()

    threading.Thread(target=read, name="tunnel", daemon=True).start()
    has_ended = is_told.wait(STARTING)
    if not found:
        ended = "it ended" if has_ended else f"it has said none for {STARTING:.0f} seconds"
        raise BadConfiguration(f"The tunnel {name} gave no public address: {ended}. Start it by hand to see why.")
    return found[0]
