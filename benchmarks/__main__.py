"""`make bench`: runs every benchmark, each in a process of its own. `python -m benchmarks load rows` runs only these.

`python -m benchmarks --full` also loads 1,000,000 objects. Targets are printed with `met` or `not met`.
"""

from __future__ import annotations

import subprocess
import sys

NAMES = ("load", "latency", "lists", "rows", "packages", "start", "sync", "webhooks", "metrics", "page")
FULL = "--full"  # is an option of `load`


def main() -> int:
    """Runs the named benchmarks, or all; returns the exit code of the first that fails."""
    names = [name for name in sys.argv[1:] if name != FULL] or list(NAMES)
    if unknown := [name for name in names if name not in NAMES]:
        print(f"There is no benchmark {unknown[0]}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in names:
        print(f"\n== {name} ==", flush=True)
        options = [FULL] if name == "load" and FULL in sys.argv else []
        code = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
