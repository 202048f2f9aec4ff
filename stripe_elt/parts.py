"""Runs the parts of `stripe-elt start`, each as a process of its own in this process group, with the same log.

When one of them ends, or a signal arrives, all of them end. Postgres only, like the sink.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.commands.accounts import each_account, own_account
from pipelines.commands.cli import ALL_WELL, SOME_FAILED, say, settings_of
from pipelines.configuration.settings import Settings
from pipelines.loading.session import open_database
from pipelines.state import read_overview
from pipelines.terminal.process import COULD_NOT_START, raise_if_interrupted
from pipelines.warehouse.problems import database_problems
from sources.errors import BadConfiguration, ConnectorError, RetryLater
from sources.stripe_api.catalogue import select
from sources.stripe_api.provider import STRIPE
from stripe_elt.commands.tables import migrate
from stripe_elt.tunnel import opened_tunnel, tunnel_program
from webhook_sink.__main__ import forget_endpoint, keep_endpoint
from webhook_sink.endpoints.endpoints import Endpoints
from webhook_sink.endpoints.secrets import Secrets
from webhook_sink.settings import SinkSettings, read_sink_settings

log = logging.getLogger("stripe_elt")

PAUSE, GRACE = 0.2, 40.0  # seconds between two checks of the parts, and until a part that does not end is killed
BEGIN = "import sys; sys.path.insert(0, {root!r}); from stripe_elt.__main__ import main; main()"


@dataclass
class Parts:
    """The started processes, by name. Each gets the `options`.

    With `as_json`, their output goes to stderr, because stdout is for the report.
    """

    options: Sequence[str]
    as_json: bool = False
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def begin(self, name: str, *words: str) -> None:
        """Starts `stripe-elt WORDS`. It imports our packages, not modules of the working folder."""
        root = str(Path(__file__).resolve().parent.parent)
        command = [sys.executable, "-P", "-c", BEGIN.format(root=root), *words, *self.options]
        stdout = sys.stderr.fileno() if self.as_json else None
        self.running[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout)

    def ended(self) -> Iterator[tuple[str, int]]:
        """The parts that have ended since the last call, with their exit codes."""
        for name, process in list(self.running.items()):
            if (code := process.poll()) is not None:
                del self.running[name]
                yield name, code

    def stop(self) -> None:
        """Tells all parts to end, and waits. A part that does not end in time is killed, which loses nothing."""
        for process in self.running.values():
            process.terminate()
        deadline = time.monotonic() + GRACE
        for process in self.running.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()


def start(options: argparse.Namespace) -> int:
    """Runs until a part ends unexpectedly, and returns its exit code; a signal raises KeyboardInterrupt."""
    settings = settings_of(options)
    if settings.destination != "postgres":
        raise BadConfiguration(
            "start needs Postgres, because the sink does: add --destination postgres, or set"
            " SOURCES__STRIPE__DESTINATION. For DuckDB, run `stripe-elt full` and then `stripe-elt sync --follow`."
        )
    sink_settings = read_sink_settings(port=options.port)
    if options.tunnel is not None:
        tunnel_program(options.tunnel)  # refuses wrong values before anything is created
    with database_problems(), closing(open_database(settings)) as database:
        migrate(database, settings, list(STRIPE.catalogue.tables))
        never = _never_loaded(read_overview(database, settings.dataset)["resources"])
    with ExitStack() as stack:
        parts = Parts(_shared(options), as_json=options.json)
        stack.callback(parts.stop)
        _receive(stack, parts, settings, sink_settings, options)
        sync = ["sync", *_loading(options), "--follow", f"{options.every.total_seconds():.0f}"]
        if never:
            log.info("loading %d resources that were never loaded", len(never))
            parts.begin("the first load", "full", *_loading(options), "--resources", ",".join(never))
        else:
            parts.begin("the sync", *sync)
        return _watch(parts, sync)


def _never_loaded(resources: Sequence[dict[str, object]]) -> list[str]:
    known = {resource["resource"] for resource in resources if resource["status"] in ("complete", "skipped")}
    return [resource.name for resource in select() if resource.name not in known]


def _watch(parts: Parts, sync: Sequence[str]) -> int:
    """Waits until a part ends unexpectedly. Starts the syncs after the first load."""
    while True:
        raise_if_interrupted()
        for name, code in parts.ended():
            if name == "the first load" and code in (ALL_WELL, SOME_FAILED):
                parts.begin("the sync", *sync)
                continue
            say(f"{name[0].upper()}{name[1:]} has ended with exit code {code}, so everything else ends too.")
            return COULD_NOT_START if code == COULD_NOT_START else SOME_FAILED
        time.sleep(PAUSE)


# --- how events arrive ------------------------------------------------------------------------------------------------


def _receive(
    stack: ExitStack, parts: Parts, settings: Settings, sink_settings: SinkSettings, options: argparse.Namespace
) -> None:
    """Starts the sink behind a tunnel. Without a tunnel, or if no endpoint can be created, polls for events."""
    if options.tunnel is not None:
        path = sorted(sink_settings.paths)[0]
        tunnel = stack.enter_context(opened_tunnel(options.tunnel, sink_settings.host, sink_settings.port))
        try:
            stack.enter_context(_endpoint(settings, tunnel.url.rstrip("/") + path))
        except RetryLater:
            raise
        except ConnectorError as error:
            say(f"No webhook endpoint could be created, so the sink polls for events instead. {error}")
        else:
            port = [] if options.port is None else ["--port", str(options.port)]
            parts.begin("the sink", "sink", *port)
            if tunnel.process is not None:
                parts.running[f"the tunnel {options.tunnel}"] = tunnel.process
            return
    accounts = each_account(settings)
    if len(accounts) == 1:
        parts.begin("the polling of events", "follow")
    else:
        say("Events are polled for one account only. The syncs apply the events of all accounts.")


@contextmanager
def _endpoint(settings: Settings, url: str) -> Iterator[None]:
    """Our endpoint at this address. If it did not exist before, it is deleted at the end."""
    with Secrets(settings) as secrets:
        endpoints = Endpoints(own_account(settings))
        made = keep_endpoint(endpoints, secrets, url, is_live=settings.is_live)
        log.info("the endpoint %s receives webhooks at %s", made.id, made.url)
        try:
            yield
        finally:
            if made.secret is not None:
                forget_endpoint(endpoints, secrets, made.id)
                log.info("the endpoint %s was deleted", made.id)


# --- options of the parts ---------------------------------------------------------------------------------------------


def _shared(options: argparse.Namespace) -> list[str]:
    """Options that every part takes."""
    words = [f"--log-format={options.log_format or 'text'}"]
    words += [f"--dataset={options.dataset}"] if options.dataset else []
    return words + [f"--{name}" for name in ("debug", "quiet") if getattr(options, name)]


def _loading(options: argparse.Namespace) -> list[str]:
    """Options of the parts that load."""
    account = [f"--stripe-account={options.stripe_account}"] if options.stripe_account else []
    return ["--destination=postgres", *account]
