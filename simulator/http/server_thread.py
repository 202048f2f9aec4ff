"""Runs a server in a thread. Knows no provider."""

from __future__ import annotations

import asyncio
import threading

from simulator.http.server import Connection, Respond


class ServerThread:
    """Serves `respond` on 127.0.0.1 from `start` to `stop`. It cannot be started a second time."""

    def __init__(self, respond: Respond, name: str) -> None:
        self._respond, self._name = respond, name
        self._loop = _event_loop()
        self._connections: set[Connection] = set()
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None
        self._port = 0

    def start(self, port: int) -> int:
        """Listens on a port (0: a free one); returns the port. Raises OSError if the port cannot be used."""
        started = threading.Event()
        self._port = port
        self._thread = threading.Thread(target=self._run, args=(started,), name=self._name, daemon=True)
        self._thread.start()
        started.wait()
        if self._stop is None:
            raise OSError(f"the simulator cannot listen on 127.0.0.1:{port}: choose another port")
        return self._port

    def stop(self) -> None:
        """Ends all connections and the thread."""
        if self._thread is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._thread = None

    def _run(self, started: threading.Event) -> None:
        try:
            self._loop.run_until_complete(self._serve(started))
        finally:
            started.set()
            self._loop.close()

    async def _serve(self, started: threading.Event) -> None:
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(self._connection, "127.0.0.1", self._port, backlog=1024)
        except OSError:
            return
        self._port = server.sockets[0].getsockname()[1]
        self._stop = asyncio.Event()
        started.set()
        await self._stop.wait()
        server.close()
        for connection in list(self._connections):
            connection.close()

    def _connection(self) -> Connection:
        return Connection(self._respond, self._connections)


def _event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's event loop if it is installed (it is not available for every platform), else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
