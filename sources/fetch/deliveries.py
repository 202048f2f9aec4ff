"""What a run over the API hands over. Knows no thread, no column and no database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from sources.catalogue import Resource
from sources.fetch.pager import Listing
from sources.fetch.progress import Advance

Convert: TypeAlias = Callable[[Resource, Sequence[Listing]], Mapping[str, pa.Table]]
"""Objects of a resource, each listing with its own `as_of` and parent, as Arrow tables by table name. Called from one
thread, which is not the consumer's. It may change the objects."""

Count: TypeAlias = Callable[[Mapping[str, pa.Table]], int]
"""How many of the rows of tables will be rows in the database: some only say which children a parent has."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows to store together, with the advance to save after them. `requests` were spent since the last chunk.

    An advance without rows says that there is nothing in what it covers; rows without one are of a second, or of a
    list, that is not read to its end.
    """

    resource: str
    tables: Mapping[str, pa.Table]
    rows: int
    nbytes: int
    requests: int
    advance: Advance | None


@dataclass(frozen=True, slots=True)
class Finished:
    """The resource has been read to its end; all its chunks came before. Its requests and seconds in all."""

    resource: str
    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The resource came to nothing more: `error` says why. What came before is good, and its progress stands."""

    resource: str
    error: Exception
    requests: int
    seconds: float


Delivery: TypeAlias = Chunk | Finished | Failed
