"""`python -m webhook_sink`: serve, replay, endpoint, follow."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from pipelines.command import COULD_NOT_START, INTERRUPTED, say
from pipelines.settings import Settings, read_settings
from sources.stripe_api.errors import StripeSourceError
from webhook_sink import logs
from webhook_sink.server import serve
from webhook_sink.settings import SinkSettings, read_sink_settings


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; what goes wrong is one paragraph and an exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    commands = ("serve", "-h", "--help")
    options = _parser().parse_args(given if given and given[0] in commands else ["serve", *given])
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
    logs.configure(logging.DEBUG if options.debug else logging.INFO)
    try:
        settings = read_settings(destination="postgres", dataset=options.dataset)
        return int(options.run(settings, _sink_settings(options), options) or 0)
    except StripeSourceError as error:
        say(error)
        return COULD_NOT_START
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m webhook_sink", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve_command = commands.add_parser("serve", help="take webhooks (the default)")
    serve_command.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    serve_command.add_argument("--port", type=int, help="port to listen on (default: 8080)")
    serve_command.set_defaults(run=_serve)
    for command in commands.choices.values():
        command.add_argument("--dataset", help="schema that holds the tables (default: stripe)")
        command.add_argument("--debug", action="store_true", help="log more")
    return parser


def _sink_settings(options: argparse.Namespace) -> SinkSettings:
    return read_sink_settings(host=getattr(options, "host", None), port=getattr(options, "port", None))


def _serve(settings: Settings, sink: SinkSettings, options: argparse.Namespace) -> None:
    serve(settings, sink)


if __name__ == "__main__":
    sys.exit(main())
