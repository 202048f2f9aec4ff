"""Tunnels, through which Stripe reaches a sink without a public address. The user installs the program; none is
downloaded."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from sources.errors import BadConfiguration

STARTING = 30.0  # seconds within which a tunnel has to print its address


class Program(NamedTuple):
    """A tunnel program: its arguments for a local address, the pattern of its public address in the output, and its
    home page.
    """

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
    """A tunnel's public address and process; None if the user gave the address."""

    url: str
    process: subprocess.Popen[bytes] | None


def tunnel_program(name: str) -> str | None:
    """The path of a tunnel program; None for an address. Raises BadConfiguration for anything else."""
    if name.startswith(("http://", "https://")):
        return None
    if name not in PROGRAMS:
        raise BadConfiguration(f"--tunnel takes {', '.join(PROGRAMS)}, or the sink's public address (https://…).")
    path = shutil.which(name)
    if path is None:
        raise BadConfiguration(
            f"The program {name} is not installed, or not on the PATH: see {PROGRAMS[name].home}. Without --tunnel,"
            " the sink polls for events, which needs no program."
        )
    return path


@contextmanager
def opened_tunnel(name: str, host: str, port: int) -> Iterator[Tunnel]:
    """Opens a tunnel to a local address with `cloudflared` or `ngrok`; it ends with the block. `name` may also be a URL
    that leads here already.

    Raises BadConfiguration if the program is missing, or prints no address.
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
    """The address that the program prints. Its later output is read and dropped."""
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
        ended = "it ended" if has_ended else f"it printed none within {STARTING:.0f} seconds"
        raise BadConfiguration(f"The tunnel {name} gave no public address: {ended}. Start it by hand to see why.")
    return found[0]
