"""Writes events into the same tables as the batch path, in real time: `python -m webhook_sink`.

Inside another program: `from webhook_sink import create_app, process_webhook`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from webhook_sink.http.embedded import create_app, process_webhook
    from webhook_sink.receiver import Answer

__all__ = ["Answer", "create_app", "process_webhook"]


def __getattr__(name: str) -> Any:
    """The names above, imported when they are used: the other modules of the package need no HTTP server."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("webhook_sink.http.embedded"), name)
