"""The process of a command: signals that stop it, its streams, and its exit.

Scripts call `start` before their own imports, which take a second, so that Ctrl-C is handled from the beginning.
Therefore this module imports only fast modules of the standard library.
"""

from __future__ import annotations

import gc
import importlib
import io
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Literal, NoReturn, TextIO

COULD_NOT_START, INTERRUPTED = 2, 130
AGAIN = 0.5  # seconds: a terminal and a wrapper such as `uv run` may both send the signal of one Ctrl-C
SHORTLY = 0.05  # seconds until a lost interrupt is raised again
NOT_BEGUN = "Interrupted before the command began: nothing was read and nothing was changed."
ENDED_HARD = (
    "Interrupted again, so the command ended at once. Everything that was loaded is kept, and the next run"
    " continues from there."
)


class Interrupts:
    """The handler of SIGINT, SIGTERM and SIGHUP, which remembers the signals that arrived.

    The exception of a handler can get lost: in a finalizer, in a library that turns it into an error of its own
    (DuckDB), or because another handler is installed (dlt does so). Therefore signals are read from the descriptor to
    which the interpreter writes each signal's number, whatever its handler does. Main thread only.
    """

    def __init__(self) -> None:
        self.phase: Literal["starting", "running", "ended"] = "starting"
        self.code = INTERRUPTED
        self.is_held = False  # signals are remembered, but raise nothing
        self._first: float | None = None  # when the first signal arrived
        self._arrived, self._arriving = os.pipe()
        for descriptor in (self._arrived, self._arriving):
            os.set_blocking(descriptor, False)

    def install(self) -> None:
        """Installs the handler."""
        for number in stops():
            signal.signal(number, self)
        signal.set_wakeup_fd(self._arriving, warn_on_full_buffer=False)
        sys.unraisablehook = self._lost

    def close(self) -> None:
        """Closes the descriptors. Call it after other handlers were installed."""
        os.close(self._arrived)
        os.close(self._arriving)

    @property
    def has_arrived(self) -> bool:
        """Whether a signal to stop has arrived, even if its exception was lost."""
        with suppress(BlockingIOError):
            if self._first is None and stops() & set(os.read(self._arrived, 4_096)):
                self._first = time.monotonic()
        return self._first is not None

    def _lost(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Called for an exception in a finalizer or a weak reference's callback: an interrupt is raised again."""
        if unraisable.exc_type is None or not issubclass(unraisable.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(unraisable)
        elif self.phase == "running":
            signal.signal(signal.SIGALRM, self._again)
            signal.setitimer(signal.ITIMER_REAL, SHORTLY)

    def _again(self, number: int, frame: FrameType | None) -> None:
        if self.phase == "running":
            raise KeyboardInterrupt

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Ends a command that has not begun; raises KeyboardInterrupt in a running one; at the next signal, ends the
        process at once.
        """
        if self.note() and self.phase == "running" and not self.is_held:
            raise KeyboardInterrupt

    def note(self) -> bool:
        """Records a signal; returns whether it is the first. Ends the process if the command has not begun, or at the
        second signal.
        """
        first, now = self._first, time.monotonic()
        self._first = now if first is None else first
        if self.phase == "starting":
            _leave(NOT_BEGUN, INTERRUPTED)
        if first is not None and now - first > AGAIN:
            _leave(ENDED_HARD if self.phase == "running" else "", self.code)
        return first is None


def stops() -> set[int]:
    """The signals that end this process. If SIGHUP is ignored (`nohup`), it stays ignored."""
    hang_up = getattr(signal, "SIGHUP", signal.SIGTERM)
    is_ignored = signal.getsignal(hang_up) is signal.SIG_IGN
    return {signal.SIGINT, signal.SIGTERM} | (set() if is_ignored else {hang_up})


def raise_if_interrupted() -> None:
    """Raises KeyboardInterrupt if a signal to stop has arrived and its exception was lost.

    For long loops and steps of the main thread; does nothing in other threads.
    """
    handler = signal.getsignal(signal.SIGINT)
    if not isinstance(handler, Interrupts) or threading.current_thread() is not threading.main_thread():
        return
    if handler.phase == "running" and handler.has_arrived:
        raise KeyboardInterrupt


@contextmanager
def interrupts_held() -> Iterator[None]:
    """In this context, a signal waits for the next `raise_if_interrupted`, because some calls of DuckDB abort the
    process on exceptions.

    A second signal ends the process at once, as always. Does nothing in other threads than the main thread.
    """
    handler = signal.getsignal(signal.SIGINT)
    if not isinstance(handler, Interrupts) or threading.current_thread() is not threading.main_thread():
        yield
        return
    before, handler.is_held = handler.is_held, True
    try:
        yield
    finally:
        handler.is_held = before


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """The handler of a running command: the one that `start` has installed, or a new one for this block."""
    before = {number: signal.getsignal(number) for number in stops()}
    installed = before[signal.SIGINT]
    interrupts = installed if isinstance(installed, Interrupts) else Interrupts()
    if interrupts is not installed:
        interrupts.install()
    is_outermost = interrupts.phase != "running"
    interrupts.phase = "running"
    try:
        yield interrupts
    finally:
        interrupts.phase = "ended" if is_outermost else "running"
        if isinstance(installed, Interrupts):
            installed.install()  # after an event loop has closed, the interpreter's own handlers are installed
        else:
            signal.set_wakeup_fd(-1)
            sys.unraisablehook = sys.__unraisablehook__
            for number, handler in before.items():
                signal.signal(number, handler)
            interrupts.close()


EXTRAS = {
    "sink": ("psycopg_pool", "uvicorn", "starlette", "prometheus_client", "jinja2"),
    "simulator": ("httptools", "uvloop"),
}
"""Modules that are not in the base package -> the extra that installs them."""


def lacking_extra(error: BaseException) -> str | None:
    """The message for a missing module of an extra; None for any other error."""
    for extra, modules in EXTRAS.items():
        if isinstance(error, ModuleNotFoundError) and error.name in modules:
            return f"This needs more packages. Install them with: pip install 'stripe-elt[{extra}]'"
    return None


def start(module: str, function: str = "main") -> NoReturn:
    """Imports a script's module, calls its function, and exits with the code that it returns."""
    make_streams_steady()  # first, because a pipe would get the numbers of closed streams
    interrupts = Interrupts()
    interrupts.install()
    try:
        gc.disable()  # imports create no garbage, and collecting takes a tenth of their time
        run = getattr(importlib.import_module(module), function)
        gc.enable()
        code = int(run())
    except KeyboardInterrupt:
        code = INTERRUPTED
    except ModuleNotFoundError as error:
        if (lacking := lacking_extra(error)) is None:
            raise
        print(lacking, file=sys.stderr)
        code = COULD_NOT_START
    interrupts.phase, interrupts.code = "ended", code
    sys.stdout.flush()
    if (lost := lost_output()) is not None and not isinstance(lost, BrokenPipeError):
        print(f"The report could not be written to stdout: {lost.strerror}.", file=sys.stderr)
    sys.exit(code)


# --- streams ----------------------------------------------------------------------------------------------------------


class SteadyFile(io.FileIO):
    """A file whose writes never fail: if the reader has gone or the disk is full, the rest is dropped.

    `lost` is the first such error.
    """

    lost: OSError | None = None

    def write(self, data: object, /) -> int:
        """Writes as much as possible; waits for a full non-blocking pipe. Raises nothing if nobody reads."""
        while self.lost is None:
            try:
                written = super().write(data)  # type: ignore[arg-type]
            except OSError as error:
                self.lost = error
                break
            if written is not None:
                return written
            select.select([], [self.fileno()], [])
        return memoryview(data).nbytes  # type: ignore[arg-type]


def make_streams_steady() -> None:
    """Makes sure that descriptors 0 to 2 are open, and that printing never raises an error, whatever they are and can
    encode.

    If stdout or stderr were closed, the next opened file would get its number, and output would be written into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    sys.stdout = _steady(1, sys.stdout)
    sys.stderr = _steady(2, sys.stderr)


def _steady(descriptor: int, before: TextIO | None) -> TextIO:
    raw = SteadyFile(descriptor, "w", closefd=False)
    at_once = descriptor == 2 or bool(getattr(before, "line_buffering", 0) or getattr(before, "write_through", 0))
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before is not None else "utf-8",
        errors="backslashreplace",
        line_buffering=at_once,
    )


def lost_output() -> OSError | None:
    """The error because of which stdout could not be written; None if there was none."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.lost if isinstance(raw, SteadyFile) else None


def _leave(message: str, code: int) -> NoReturn:
    """Ends the process at once, without clean-up."""
    if message:
        with suppress(OSError):
            os.write(2, f"{message}\n".encode())
    os._exit(code)
