"""Runs the simulator: `python -m simulator --customers 300`. Prints its URL first, serves until SIGTERM or SIGINT."""

from simulator.cli import main

raise SystemExit(main())
