"""Everything about Stripe's API; nothing about databases. `stripe_source` is the dlt source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sources.stripe_api.source import stripe_source

__all__ = ["stripe_source"]


def __getattr__(name: str) -> Any:
    """Imports the source, and dlt with it, only when it is used: nothing else here needs them."""
    if name == "stripe_source":
        from sources.stripe_api.source import stripe_source

        return stripe_source
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
