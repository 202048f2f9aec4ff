"""Runs the simulator: `python -m simulator --customers 300`. Prints its URL first, serves until SIGTERM or SIGINT."""

import importlib
import os
import signal

for number in (signal.SIGTERM, signal.SIGINT):  # until it serves: the import takes a second
    signal.signal(number, lambda *_: os._exit(0))

try:
    code = importlib.import_module("simulator.cli").main()
except ModuleNotFoundError as error:
    if error.name not in ("httptools", "uvloop"):
        raise
    code = "The simulator needs more packages. Install them with: pip install 'stripe-elt[simulator]'"
raise SystemExit(code)
