"""Runs commands many times in forked processes, and stops each of them by a signal at a random instant.

    python tests/pipelines/terminal/signal_stress.py COUNT SEED MODULE [ARGUMENT …] [-- MODULE [ARGUMENT …]] …

A process of its own, with one thread: what is forked has imported everything, so that a start costs milliseconds. On
stdout a line of JSON for each run: what was sent, when (seconds since the start), the exit code, when it ended, and
what was wrong with it. A run that was asked to stop before its end has to exit with 130, soon, with its one sentence.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from importlib import import_module
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from pipelines.terminal.process import INTERRUPTED, Interrupts, start

SOON = 10.0  # seconds that a loaded machine may take
READY = b"!"
HAIR = 0.02  # seconds before its end in which a run cannot know of a signal any more


def run(module: str, arguments: list[str], number: signal.Signals, instant: float | None) -> dict[str, object]:
    """One run, stopped after `instant` seconds where that is given."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            _command(module, arguments, said.fileno(), writing)
        os.close(writing)
        os.read(reading, len(READY))
        begun, sent, wrong = time.monotonic(), None, []
        ended = os.pidfd_open(child)
        if instant is not None and not select.select([ended], [], [], instant)[0]:
            sent = time.monotonic()
            signal.pidfd_send_signal(ended, number)
        if not select.select([ended], [], [], 60.0 if sent is None else SOON)[0]:
            wrong.append("it went on")
            os.kill(child, signal.SIGKILL)
        over = time.monotonic()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        told = os.read(reading, 100)
        os.close(ended)
        os.close(reading)
        said.seek(0)
        text = said.read().decode()
    end = float(told) if told else over
    if sent is not None and sent < end - HAIR and code != INTERRUPTED:
        wrong.append(f"it exited with {code}")
    if sent is None and code != 0:
        wrong.append(f"it exited with {code} by itself")
    if code == INTERRUPTED and text.count("Interrupted") != 1:
        wrong.append("it said something else")
    if "Traceback" in text or "ignored in" in text:
        wrong.append("there is a traceback")
    since = [None if each is None else round(each - begun, 3) for each in (sent, over)]
    found = {"signal": number.name, "sent": since[0], "ended": since[1], "code": code, "wrong": wrong}
    return found | ({"text": text} if wrong else {})


def _command(module: str, arguments: list[str], said: int, ended: int) -> None:
    """The forked process."""
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.argv = [module, *arguments]
    code = 1
    Interrupts().install()  # as a script does with its first lines; from here on signals are sent
    os.write(ended, READY)
    try:
        start(module)
    except SystemExit as end:
        os.write(ended, str(time.monotonic()).encode())
        code = int(end.code or 0)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def main() -> None:
    """All commands, one after the other: a start costs much more than a run."""
    count, seed, *words = sys.argv[1:]
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever `nohup` has made of it
    chance = random.Random(int(seed))
    commands = [list(part) for is_end, part in groupby(words, "--".__eq__) if not is_end]
    for module, *_ in commands:
        import_module(module)
    for module, *arguments in commands:
        stress(module, arguments, int(count), chance)


def stress(module: str, arguments: list[str], count: int, chance: random.Random) -> None:
    """A run undisturbed, which tells how long one takes, and then the others."""
    whole = run(module, arguments, signal.SIGINT, None)
    longest = float(str(whole["ended"]))
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    print(json.dumps(whole), flush=True)
    for _ in range(count):
        one = run(module, arguments, chance.choice(numbers), chance.random() * longest)
        if one["sent"] is None:  # the first run is slower than those that follow
            longest = min(longest, float(str(one["ended"])))
        print(json.dumps(one), flush=True)


if __name__ == "__main__":
    main()
