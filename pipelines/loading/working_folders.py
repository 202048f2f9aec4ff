"""Creates working folders for the files of one package, and removes those that killed runs left."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import FileLock

PREFIX, LOCK = "stripe-elt-", ".lock"
YOUNG = 60.0  # seconds in which a new folder may not be locked yet


@contextmanager
def working_folder() -> Iterator[Path]:
    """A new folder in the temporary folder that only this user can read; it is removed afterwards. Raises OSError."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with _lock_of(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned() -> None:
    """Removes this user's working folders that no process has locked."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if _is_old(folder):
            try:
                with _lock_of(folder).acquire(timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
            except OSError:  # or a time-out: it is in use, or another run removes it
                continue


def _lock_of(folder: Path) -> FileLock:
    from filelock import FileLock  # here, as it takes a while

    return FileLock(folder / LOCK, thread_local=False)


def _is_old(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    mine = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    return mine and folder.is_dir() and not folder.is_symlink() and found.st_mtime < time.time() - YOUNG
