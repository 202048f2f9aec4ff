"""`python -m webhook_sink`: receive webhooks, replay them, create the endpoint, or poll for events instead."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before the other imports, which take a second: see `start`
    from pipelines.terminal.process import start

    start("webhook_sink.__main__")

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipelines.commands.accounts import one_account
from pipelines.commands.cli import (
    ALL_WELL,
    SOME_FAILED,
    add_output_options,
    level_of,
    moment,
    run_command,
    say,
    seconds,
)
from pipelines.terminal.log import log_to_stderr
from pipelines.terminal.output import Report
from pipelines.terminal.process import Interrupts, interruptible, lost_output, stops
from sources.command_line import Parser
from webhook_sink.endpoints.providers import KNOWN, Manager
from webhook_sink.endpoints.secrets import TO_FORGET, Secrets
from webhook_sink.follow import follow
from webhook_sink.http.server import serve
from webhook_sink.replay import Selection, replay
from webhook_sink.settings import SinkSettings, read_sink_settings
from webhook_sink.sink import CANCEL_AGAIN, Sink

if TYPE_CHECKING:
    from webhook_sink.endpoints.endpoints import Endpoint

ABOUT = "receive webhooks, replay them, create the endpoint, or poll for events instead."
STATUSES = ("failed", "ignored", "processing", "processed")


def main(arguments: Sequence[str] | None = None, prog: str = "python -m webhook_sink") -> int:
    """Parses the command line and runs."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = [_serve_as(prog), *arguments]
    return run_command(_parser(prog), _run, arguments, log_format="json", is_batch=False)


def _run(options: argparse.Namespace) -> Report | int:
    read = KNOWN[getattr(options, "provider", "stripe")].read_settings
    settings = read(destination="postgres", dataset=options.dataset, log_format=options.log_format)
    log_to_stderr(level_of(options), settings.log_format or "json", waits=False)
    host, port = getattr(options, "host", None), getattr(options, "port", None)
    report: Report | int = options.run(settings, read_sink_settings(host=host, port=port), options)
    return report


def _parser(prog: str = "python -m webhook_sink") -> argparse.ArgumentParser:
    parser = Parser(prog, description=ABOUT)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands, _serve_as(prog))
    _add_replay(commands)
    _add_endpoint(commands)
    _add_follow(commands)
    return parser


def _serve_as(prog: str) -> str:
    """The name of the command that receives webhooks."""
    return "sink" if prog == "stripe-elt" else "serve"


def _add_serve(commands: Any, name: str) -> None:
    command = _command(commands, name, "receive webhooks (the default)", _serve, "Stripe's tables (default: stripe)")
    command.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    command.add_argument("--port", type=int, help="port to listen on (default: 8080)")
    command.set_defaults(is_service=True)


def _add_replay(commands: Any) -> None:
    command = _command(commands, "replay", "merge events of the ledger again", _replay)
    _add_provider(command)
    command.add_argument("--status", choices=STATUSES, action="append", help="status of the events (default: failed)")
    command.add_argument("--since", type=moment, metavar="TIME", help="only events received at or after this time")
    command.add_argument("--type", help="only events of this type, such as invoice.paid")


def _add_endpoint(commands: Any) -> None:
    parser = commands.add_parser("endpoint", help="create, list or delete our webhook endpoints")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    create = _command(actions, "create", "create our endpoint, or update it", _create_endpoint)
    create.add_argument("url", metavar="URL", help="public address of the sink: https://host/webhooks")
    create.add_argument("--connect", action="store_true", help="receive the events of connected accounts")
    create.add_argument("--print", action="store_true", help="print the secret instead of storing it in the database")
    listed = _command(actions, "list", "our endpoints", _list_endpoints)
    delete = _command(actions, "delete", "delete our endpoint", _delete_endpoint)
    delete.add_argument("endpoint", metavar="ID|URL", help="as `endpoint list` shows it")
    for command in (create, listed, delete):
        _add_provider(command)


def _add_follow(commands: Any) -> None:
    command = _command(commands, "follow", "poll for events: no public address needed", _follow)
    _add_provider(command)
    command.add_argument(
        "--since", type=moment, metavar="TIME", help="first event to read (default: where the ledger ends, or now)"
    )
    command.add_argument("--interval", type=seconds, default=5.0, metavar="SECONDS", help="default: 5")
    command.add_argument("--once", action="store_true", help="exit when no more events are left")


def _add_provider(command: argparse.ArgumentParser) -> None:
    command.add_argument("--provider", choices=tuple(KNOWN), default="stripe", help="default: stripe")


Run = Callable[[Any, SinkSettings, argparse.Namespace], Report | int]


def _command(
    commands: Any, name: str, about: str, run: Run, dataset: str = "the tables (default: the provider's)"
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about)
    command.add_argument("--dataset", help=f"schema that holds {dataset}")
    add_output_options(command)
    command.set_defaults(run=run)
    return command


def _serve(settings: Any, sink_settings: SinkSettings, options: argparse.Namespace) -> int:
    serve(settings, sink_settings)
    return ALL_WELL


def _replay(settings: Any, sink_settings: SinkSettings, options: argparse.Namespace) -> Report:
    selection = Selection(tuple(options.status or ["failed"]), options.since, options.type)
    outcomes = _with_sink(settings, sink_settings, options, lambda sink: replay(sink, selection))
    counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    print(f"{outcomes.total()} events: {counts or 'nothing to replay'}")
    has_failed = bool(outcomes.keys() & {"failed", "unavailable", "unreadable"})
    return Report(SOME_FAILED if has_failed else ALL_WELL, {"events": outcomes.total(), **outcomes})


def _follow(settings: Any, sink_settings: SinkSettings, options: argparse.Namespace) -> int:
    settings = one_account(settings)
    KNOWN[options.provider].provider().open_client(settings).close()  # fails at once if there is no usable key
    since = int(options.since.timestamp()) if options.since else None

    def run(sink: Sink) -> Awaitable[None]:
        return follow(sink, since=since, interval=options.interval, once=options.once)

    _with_sink(settings, sink_settings, options, run)
    return ALL_WELL


def _create_endpoint(settings: Any, sink_settings: SinkSettings, options: argparse.Namespace) -> Report:
    known = KNOWN[options.provider]
    endpoints = known.endpoints(settings)
    if options.print:
        endpoint = _create_or_update(endpoints, options)
        if endpoint.secret is not None:
            print(f"{known.secret}={endpoint.secret}", flush=True)
        code = ALL_WELL if lost_output() is None else SOME_FAILED
        return Report(code, {**_described(endpoint), "secret": endpoint.secret})
    with Secrets(settings, options.provider) as secrets:
        endpoint = keep_endpoint(endpoints, secrets, options.url, is_live=settings.is_live, connect=options.connect)
        is_kept = endpoint.id in secrets.known()
    _tell(endpoint, known.secret, is_kept=is_kept)
    return Report(ALL_WELL, _described(endpoint))


def keep_endpoint(endpoints: Manager, secrets: Secrets, url: str, *, is_live: bool, connect: bool = False) -> Endpoint:
    """Creates our endpoint with this URL, or updates it, and stores its secret in the database."""
    secrets.check()  # before anything is created: the secret is shown only once
    endpoint = endpoints.create(url, connect=connect)
    if endpoint.secret is not None:
        try:
            secrets.keep(endpoint.id, endpoint.url, endpoint.secret, endpoint.api_version, is_live)
        except Exception:
            endpoints.delete(endpoint.id)
            say("The secret of the endpoint could not be stored, so the endpoint was deleted again.")
            raise
    return endpoint


def _create_or_update(endpoints: Manager, options: argparse.Namespace) -> Endpoint:
    endpoint = endpoints.create(options.url, connect=options.connect)
    _tell(endpoint, KNOWN[options.provider].secret)
    return endpoint


def _tell(endpoint: Endpoint, variable: str, *, is_kept: bool = False) -> None:
    print(f"{endpoint.id}  {endpoint.url}  {endpoint.described}")
    if endpoint.secret is None:
        print("It existed already and is up to date.")
    if is_kept:
        print("Its secret is stored in the database, where the sink reads it.")
    elif endpoint.secret is None:
        print(f"Its secret was shown when it was created, and is not in the database. Set {variable} to it.")


def _described(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint as JSON values, without its secret."""
    return {name: value for name, value in asdict(endpoint).items() if name != "secret"}


def _list_endpoints(settings: Any, sink_settings: SinkSettings, options: argparse.Namespace) -> Report:
    known = KNOWN[options.provider]
    with Secrets(settings, options.provider) as secrets:
        kept_ids = secrets.known()
    found = known.endpoints(settings).ours()
    for endpoint in found:
        kept = "secret kept" if endpoint.id in kept_ids else "secret not kept"
        print(f"{endpoint.id}  {endpoint.url}  {endpoint.status}  {endpoint.described}  {kept}")
    if not found:
        print(f"There is no endpoint of ours. `{known.create}` creates it.")
    return Report(ALL_WELL, [{**_described(endpoint), "is_secret_kept": endpoint.id in kept_ids} for endpoint in found])


def _delete_endpoint(settings: Any, sink_settings: SinkSettings, options: argparse.Namespace) -> Report:
    with Secrets(settings, options.provider) as secrets:
        deleted = forget_endpoint(KNOWN[options.provider].endpoints(settings), secrets, options.endpoint)
    for endpoint in deleted:
        print(f"{endpoint.id}  {endpoint.url}  deleted")
    return Report(ALL_WELL, [{**_described(endpoint), "status": "deleted"} for endpoint in deleted])


def forget_endpoint(endpoints: Manager, secrets: Secrets, id_or_url: str) -> list[Endpoint]:
    """Deletes our endpoints with this id or URL, and their secrets."""
    secrets.check(TO_FORGET)
    deleted = endpoints.delete(id_or_url)
    secrets.forget(endpoint.id for endpoint in deleted)
    return deleted


# --- a sink without a server ------------------------------------------------------------------------------------------


def _with_sink(
    settings: Any, sink_settings: SinkSettings, options: argparse.Namespace, body: Callable[[Sink], Awaitable[Any]]
) -> Any:
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
        sink = Sink(settings, sink_settings, provider=KNOWN[options.provider].provider())
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
