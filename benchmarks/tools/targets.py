"""The targets of benchmarks: each is printed with the measured value, and `met` or `not met`."""

from __future__ import annotations


def at_most(what: str, value: float, limit: float, unit: str = "") -> None:
    """Prints a target that a value must not exceed."""
    told(what, value, limit, unit, "at most", value <= limit)


def at_least(what: str, value: float, limit: float, unit: str = "") -> None:
    """Prints a target that a value must reach."""
    told(what, value, limit, unit, "at least", value >= limit)


def told(what: str, value: float, limit: float, unit: str, bound: str, is_met: bool) -> None:
    """Prints a target and its verdict."""
    print(
        f"  target  {what:<62}{_text(value)} {unit:<10} {bound} {_text(limit).strip():<8}"
        f"{'met' if is_met else 'not met'}",
        flush=True,
    )


def _text(value: float) -> str:
    return f"{value:>9,.2f}" if abs(value) < 20 else f"{value:>9,.0f}"
