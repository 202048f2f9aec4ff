"""The sink's parts put together, from the settings: pool, schema, writer, re-reading. Knows no HTTP server.

Everything that takes a database or Stripe happens in the background, so that the sink starts before Postgres is up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from pipelines.account import open_client
from pipelines.accounts import own_account
from pipelines.loading.contracted import read_contract
from pipelines.settings import Settings
from pipelines.warehouse.postgres.libpq import postgres_conninfo
from pipelines.warehouse.problems import DatabaseProblem, database_error_of, explained, state_of
from sources.columns.columns import api_version
from sources.errors import BadConfiguration, RetryLater, StripeSourceError
from sources.stripe_api.client.client import Client
from webhook_sink import endpoint_secrets, startup
from webhook_sink.commit import ledger
from webhook_sink.commit.connection import describe_error, new_pool, transaction
from webhook_sink.commit.entry import Entry, Fate
from webhook_sink.commit.schema import SchemaState
from webhook_sink.commit.stager import Stager
from webhook_sink.commit.transaction import Transactions
from webhook_sink.commit.writer import Writer
from webhook_sink.decision import Decision, Policy, decide
from webhook_sink.event import Event, refuse_future
from webhook_sink.metrics import Metrics
from webhook_sink.rereads import Rereader
from webhook_sink.settings import SinkSettings

log = logging.getLogger("stripe_elt.sink")

START_PAUSE, CANCEL_AGAIN = 1.0, 0.5
NOT_ALLOWED = "42501"
HOUSEKEEPING_PAUSE, RETENTION_ROWS = 15.0, 5_000


class Sink:
    """`start` begins in the background; `is_ready` when events can be committed. One event loop.

    `settings` may name several accounts: they stay in `synced`, for syncs on request. The sink works for the platform.
    With `takes_webhooks` it is hopeless without a webhook secret, in the settings or in the database. `clock`
    gives unix seconds.
    """

    def __init__(
        self,
        settings: Settings,
        sink: SinkSettings,
        *,
        takes_webhooks: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings, self.synced = own_account(settings), settings
        self.options, self._takes_webhooks, self.clock = sink, takes_webhooks, clock
        self.metrics = Metrics()
        self.secrets: tuple[str, ...] = sink.secrets
        self.policy: Policy | None = None
        self._conninfo = postgres_conninfo(settings)
        self._statements = ledger.statements(settings.dataset)
        self.pool = new_pool(self._conninfo, sink.database_timeout)
        self._schema = SchemaState(self._conninfo, settings.dataset, read_contract())
        transactions = Transactions(
            self.pool,
            self._schema,
            self._statements,
            self.metrics,
            timeout=sink.database_timeout,
            reread_delay=sink.reread_delay,
        )
        self.writer = Writer(
            transactions,
            Stager(self._schema, self.metrics),
            self.metrics,
            queue_events=sink.queue_events,
            queue_bytes=sink.queue_megabytes * 1_048_576,
            batch_events=sink.batch_events,
            timeout=sink.database_timeout,
        )
        self._clients: dict[str | None, Client] = {}
        self.rereader = Rereader(
            self.pool,
            self._statements,
            self.writer,
            self.metrics,
            self.client_of,
            workers=sink.reread_workers,
            attempts=sink.reread_attempts,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self.failure: StripeSourceError | None = None
        if sink.revalidated and not settings.stripe_secret_key:
            raise BadConfiguration("The setting revalidate takes a key to read with: set STRIPE_SECRET_KEY.")

    @property
    def is_ready(self) -> bool:
        """Whether the database was reached and the schema is known."""
        return self.policy is not None

    @property
    def can_read(self) -> bool:
        """Whether there is a key to read objects again with."""
        return bool(self.settings.stripe_secret_key)

    def start(self, on_failure: Callable[[], None] = lambda: None) -> None:
        """Begins in the background. `on_failure` is called when starting is hopeless; `failure` says why."""
        self._tasks = [asyncio.create_task(self._begin(on_failure), name="begin")]

    async def opened(self) -> None:
        """Returns when the sink is ready. Raises what makes it hopeless."""
        await self._tasks[0]
        if self.failure is not None:
            raise self.failure

    async def stop(self) -> None:
        """Commits what was accepted, and closes."""
        if self.is_ready:
            await self.writer.drained()
        pending = set(self._tasks)
        while pending := {task for task in pending if not task.done()}:
            # More than once: before Python 3.12 wait_for loses a cancellation that comes together with a result.
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=CANCEL_AGAIN)
        self.rereader.close()
        await self.pool.close()
        for client in self._clients.values():
            client.close()

    def submit(self, event: Event) -> asyncio.Future[Fate]:
        """Decides on an event and queues it. Raises QueueFull. Only when `is_ready`."""
        assert self.policy is not None
        loop = asyncio.get_running_loop()
        account_id = event.account or self.policy.account_id
        try:
            refuse_future(event.created, self.clock(), self.settings.max_clock_skew)
            decision, broken = decide(event, self.policy), None
        except StripeSourceError as error:
            decision, broken = Decision({}), error
        if decision.doubt is not None:
            then = "read again" if decision.reread else "believed"
            self.metrics.distrusted.labels(decision.doubt, then).inc()
        entry = Entry(decision, account_id, loop.create_future(), loop.time(), event, broken=broken)
        if decision.reread is not None:
            entry.done.add_done_callback(lambda _: self.rereader.wake())
        return self.writer.submit(entry)

    async def take(self, event: Event) -> Fate:
        """Decides on an event, queues it when there is room, and returns its fate. Only when `is_ready`."""
        while self.writer.is_full:
            await self.writer.drained()
        return await self.submit(event)

    def client_of(self, context: str | None) -> Client:
        """The client that asks as a connected account, or as our own. Raises BadConfiguration without a key."""
        client = self._clients.get(context)
        if client is None:
            settings = replace(self.settings, stripe_account=context or self.settings.stripe_account)
            client = self._clients[context] = open_client(settings)
        return client

    async def _begin(self, on_failure: Callable[[], None]) -> None:
        """Waits for Postgres, makes what is missing, learns whose account it is, and lets the others begin."""
        try:
            owner = await self._prepared()
            while owner is None:
                await asyncio.sleep(START_PAUSE)
                owner = await self._prepared()
        except StripeSourceError as error:
            self.failure = error
            on_failure()
            return
        for name, work in (("writer", self.writer.run()), ("housekeeping", self._keep_house())):
            self._tasks.append(asyncio.create_task(work, name=name))
        if self.can_read:
            self._tasks.append(asyncio.create_task(self.rereader.run(), name="rereads"))
        version = self.settings.stripe_version or api_version()
        self.policy = Policy(owner.account_id, version, owner.livemode, self.can_read, self.options.revalidated)
        log.info("ready: events of %s go into %s", owner.account_id, self.settings.dataset)

    async def _prepared(self) -> startup.Owner | None:
        """Whose events these are, when all is there; None when it is worth waiting. Raises what makes it hopeless."""
        try:
            if not await asyncio.to_thread(startup.create_tables, self._conninfo, self.settings.dataset):
                log.warning("waiting for the database: the server is a standby, and takes no changes until promoted")
                return None
            await self._schema.create()
            await self.pool.open(wait=True, timeout=self.options.database_timeout)
            await self.renew_secrets()
            if self._takes_webhooks and not self.secrets:
                raise BadConfiguration(startup.NO_SECRET)
            return await asyncio.to_thread(startup.owner_of, self.settings, self._conninfo, self.client_of)
        except RetryLater as error:
            log.warning("waiting for Stripe: %s", error)
        except StripeSourceError:
            raise
        except Exception as error:
            found = database_error_of(error)
            if found is not None and state_of(found) == NOT_ALLOWED:
                raise DatabaseProblem(explained(found)) from error
            log.warning("waiting for the database: %s", describe_error(error))
        return None

    async def renew_secrets(self) -> None:
        """Reads the secrets of the endpoints that were made here; those of the settings come first.

        Raises BadConfiguration where the role may not read them, and the settings have none.
        """
        dataset, kept = self.settings.dataset, list[tuple[str]]()
        async with transaction(self.pool) as connection:
            readable = await (
                await connection.execute(endpoint_secrets.READABLE, (endpoint_secrets.schema_of(dataset),))
            ).fetchone()
            if readable == (True,):
                statement = endpoint_secrets.read_statement(dataset).encode()
                kept = await (await connection.execute(statement)).fetchall()
        if readable == (False,) and not self.options.secrets:
            raise BadConfiguration(endpoint_secrets.unreadable(dataset))
        self.secrets = tuple(dict.fromkeys((*self.options.secrets, *(row[0] for row in kept))))

    async def _keep_house(self) -> None:
        """Now and then: secrets that are new, payloads that are old, and how many events are open."""
        while True:
            try:
                await self.renew_secrets()
                await self._count_open()
                await self.drop_old_payloads()
            except Exception as error:
                log.warning("the database could not be asked: %s", describe_error(error))
            await asyncio.sleep(HOUSEKEEPING_PAUSE)

    async def drop_old_payloads(self) -> None:
        """Drops up to 5,000 payloads of events that were done with longer ago than the setting says."""
        if self.options.payload_days == float("inf"):
            return
        async with transaction(self.pool) as connection:
            await connection.execute(self._statements.forget, (self.options.payload_days, RETENTION_ROWS))

    async def _count_open(self) -> None:
        async with transaction(self.pool) as connection:
            found = dict(await (await connection.execute(self._statements.open_events)).fetchall())
        for status in ("processing", "failed"):
            self.metrics.open.labels(status).set(found.get(status, 0))
