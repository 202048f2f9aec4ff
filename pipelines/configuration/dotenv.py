"""Reads the file `.env` of the working folder: its variables count as environment variables.

Knows no setting.
"""

from __future__ import annotations

import os
from pathlib import Path

from sources.errors import BadConfiguration

NAME = ".env"


def read_dotenv() -> list[str]:
    """Sets the variables of `.env` that are not set yet, and returns their names. Does nothing if there is no file.

    Raises BadConfiguration if it cannot be read.
    """
    path = Path(NAME)
    if not path.is_file():
        return []
    from dotenv import dotenv_values

    try:
        found = dotenv_values(path, encoding="utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadConfiguration(f"The file {NAME} cannot be read: {why}.") from None
    new = {name: value for name, value in found.items() if value is not None and name not in os.environ}
    os.environ.update(new)
    return list(new)
