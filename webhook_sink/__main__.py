"""`python -m webhook_sink`: take Stripe's webhooks, replay them, make the endpoint, or poll for events instead."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before the other imports, which take a second: see `start`
    from pipelines.process import start

    start("webhook_sink.__main__")

import argparse
import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg

from pipelines.accounts import one_account, own_account
from pipelines.cli import (
    ALL_WELL,
    COULD_NOT_START,
    SOME_FAILED,
    moment,
    require_working_directory,
    run_interruptible,
    say,
)
from pipelines.log import log_to_stderr
from pipelines.process import Interrupts, interruptible, lost_output, stops
from pipelines.settings import Settings, read_settings
from pipelines.warehouse.problems import explained, keep_rows_out_of_logs
from sources.command_line import Parser
from sources.errors import ConnectorError
from sources.stripe_api.provider import open_client
from webhook_sink.endpoint_secrets import TO_FORGET, Secrets
from webhook_sink.endpoints import Endpoint, Endpoints
from webhook_sink.follow import follow
from webhook_sink.http.server import serve
from webhook_sink.replay import Selection, replay
from webhook_sink.settings import SinkSettings, read_sink_settings
from webhook_sink.sink import CANCEL_AGAIN, Sink

ABOUT = "take Stripe's webhooks, replay them, make the endpoint, or poll for events instead."
STATUSES = ("failed", "ignored", "processing", "processed")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command. If something goes wrong, prints one paragraph, and returns an exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = ["serve", *arguments]
    options = _parser().parse_args(arguments)
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
    keep_rows_out_of_logs()
    level = logging.DEBUG if options.debug else logging.INFO
    log_to_stderr(level, "json")

    def run() -> int:
        try:
            require_working_directory()
            settings = read_settings(destination="postgres", dataset=options.dataset)
            log_to_stderr(level, settings.log_format or "json")
            host, port = getattr(options, "host", None), getattr(options, "port", None)
            return int(options.run(settings, read_sink_settings(host=host, port=port), options) or 0)
        except ConnectorError as error:
            say(error)
        except psycopg.Error as error:  # its traceback would hold the row
            say(explained(error))
        return COULD_NOT_START

    return _serving(run) if options.run is _serve else run_interruptible(run)


def _serving(run: Callable[[], int]) -> int:
    """Runs until a signal ends the service. That is not a failure, and the exit code is 0."""
    with interruptible():
        try:
            return run()
        except KeyboardInterrupt:
            return ALL_WELL


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python -m webhook_sink", description=ABOUT)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_replay(commands)
    _add_endpoint(commands)
    _add_follow(commands)
    return parser


def _add_serve(commands: Any) -> None:
    command = _command(commands, "serve", "take webhooks (the default)", _serve)
    command.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    command.add_argument("--port", type=int, help="port to listen on (default: 8080)")


def _add_replay(commands: Any) -> None:
    command = _command(commands, "replay", "merge events of the ledger once more", _replay)
    command.add_argument("--status", choices=STATUSES, action="append", help="which events (default: failed)")
    command.add_argument("--since", type=moment, metavar="TIME", help="received at or after this moment")
    command.add_argument("--type", help="of this type: invoice.paid")


def _add_endpoint(commands: Any) -> None:
    parser = commands.add_parser("endpoint", help="make, list or delete our webhook endpoints in Stripe")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    create = _command(actions, "create", "make our endpoint, or bring it up to date", _create_endpoint)
    create.add_argument("url", metavar="URL", help="https://host/webhooks, as Stripe reaches the sink")
    create.add_argument("--connect", action="store_true", help="for the events of connected accounts")
    create.add_argument("--print", action="store_true", help="print the secret instead of keeping it in the database")
    _command(actions, "list", "our endpoints", _list_endpoints)
    delete = _command(actions, "delete", "delete our endpoint", _delete_endpoint)
    delete.add_argument("endpoint", metavar="ID|URL", help="as `endpoint list` shows it")


def _add_follow(commands: Any) -> None:
    command = _command(commands, "follow", "poll /v1/events: no public address needed", _follow)
    command.add_argument("--since", type=moment, metavar="TIME", help="default: where the ledger ends, or now")
    command.add_argument("--interval", type=float, default=5.0, metavar="SECONDS", help="default: 5")
    command.add_argument("--once", action="store_true", help="end when there is nothing more")


Run = Callable[[Settings, SinkSettings, argparse.Namespace], int | None]


def _command(commands: Any, name: str, about: str, run: Run) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about)
    command.add_argument("--dataset", help="schema that holds the tables (default: stripe)")
    command.add_argument("--debug", action="store_true", help="log more")
    command.set_defaults(run=run)
    return command


def _serve(settings: Settings, sink_settings: SinkSettings, options: argparse.Namespace) -> None:
    serve(settings, sink_settings)


def _replay(settings: Settings, sink_settings: SinkSettings, options: argparse.Namespace) -> int:
    selection = Selection(tuple(options.status or ["failed"]), options.since, options.type)
    outcomes = _with_sink(settings, sink_settings, lambda sink: replay(sink, selection))
    counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    print(f"{outcomes.total()} events: {counts or 'nothing to replay'}")
    return SOME_FAILED if outcomes.keys() & {"failed", "unavailable", "unreadable"} else ALL_WELL


def _follow(settings: Settings, sink_settings: SinkSettings, options: argparse.Namespace) -> None:
    settings = one_account(settings)
    open_client(settings).close()  # fails at once if there is no usable key
    since = int(options.since.timestamp()) if options.since else None

    def run(sink: Sink) -> Awaitable[None]:
        return follow(sink, since=since, interval=options.interval, once=options.once)

    _with_sink(settings, sink_settings, run)


def _create_endpoint(settings: Settings, sink_settings: SinkSettings, options: argparse.Namespace) -> int:
    endpoints = Endpoints(own_account(settings))
    if options.print:
        endpoint = _create_or_update(endpoints, options)
        if endpoint.secret is not None:
            print(f"STRIPE_WEBHOOK_SECRET={endpoint.secret}", flush=True)
        return ALL_WELL if lost_output() is None else SOME_FAILED
    with Secrets(settings) as secrets:
        secrets.check()  # before anything is created: Stripe shows the secret only once
        endpoint = _create_or_update(endpoints, options)
        if endpoint.secret is not None:
            try:
                secrets.keep(endpoint.id, endpoint.url, endpoint.secret, endpoint.api_version, settings.is_live)
            except Exception:
                endpoints.delete(endpoint.id)
                say("The secret of the endpoint could not be stored, so the endpoint was deleted again.")
                raise
            print("Its secret is in the database, where the sink finds it.")
    return ALL_WELL


def _create_or_update(endpoints: Endpoints, options: argparse.Namespace) -> Endpoint:
    endpoint = endpoints.create(options.url, connect=options.connect)
    print(f"{endpoint.id}  {endpoint.url}  {endpoint.api_version}  {endpoint.types} event types")
    if endpoint.secret is None:
        print("It existed already and is up to date. Stripe shows its secret only once; see STRIPE_WEBHOOK_SECRET.")
    return endpoint


def _list_endpoints(settings: Settings, sink_settings: SinkSettings, options: argparse.Namespace) -> None:
    with Secrets(settings) as secrets:
        known = secrets.known()
    for endpoint in Endpoints(own_account(settings)).ours():
        kept = "secret kept" if endpoint.id in known else "secret not kept"
        version, types = endpoint.api_version, f"{endpoint.types} event types"
        print(f"{endpoint.id}  {endpoint.url}  {endpoint.status}  {version}  {types}  {kept}")


def _delete_endpoint(settings: Settings, sink_settings: SinkSettings, options: argparse.Namespace) -> None:
    with Secrets(settings) as secrets:
        secrets.check(TO_FORGET)
        deleted = Endpoints(own_account(settings)).delete(options.endpoint)
        secrets.forget(endpoint.id for endpoint in deleted)
    for endpoint in deleted:
        print(f"{endpoint.id}  {endpoint.url}  deleted")


# --- a sink without a server ------------------------------------------------------------------------------------------


def _with_sink(settings: Settings, sink_settings: SinkSettings, body: Callable[[Sink], Awaitable[Any]]) -> Any:
    """Runs `body` with a sink that is ready. A signal ends first the body, then the sink."""

    async def work(sink: Sink) -> Any:
        await sink.opened()
        return await body(sink)

    async def run(interrupts: Interrupts) -> Any:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()

        def stop() -> None:
            interrupts.note()
            stopped.set()

        for number in stops():
            loop.add_signal_handler(number, stop)
        sink = Sink(settings, sink_settings)
        sink.start()
        working, stopping = asyncio.ensure_future(work(sink)), asyncio.ensure_future(stopped.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            while not working.done():  # more than once: before Python 3.12, wait_for can lose a cancellation
                working.cancel()
                await asyncio.wait({working}, timeout=CANCEL_AGAIN)
            if stopped.is_set():
                raise asyncio.CancelledError
            return working.result()
        finally:
            stopping.cancel()
            await sink.stop()

    with interruptible() as interrupts:
        try:
            return asyncio.run(run(interrupts))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
