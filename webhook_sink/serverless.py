"""The sink on platforms that start and stop processes at any time, such as Cloud Run and Lambda.

    uvicorn --factory webhook_sink.serverless:create        ASGI
    webhook_sink.serverless.handler                         AWS Lambda, with the package `mangum`

An event is committed before it is answered, so a process can be frozen or killed after any answer. The background work
of a permanent sink is done by requests of the platform's scheduler, each limited to a number of seconds:

    POST /tasks/rereads?seconds=50     reads again the objects that are due
    POST /tasks/sync?seconds=50        a sync; the next one continues what it does not finish

These routes exist only if `STRIPE_TASKS_SECRET` is set. Requests send it as `Authorization: Bearer …`.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from webhook_sink.http.app import App
from webhook_sink.http.embedded import app_with
from webhook_sink.receiver import Receiver, Refused
from webhook_sink.settings import SinkSettings

SECONDS, MOST_SECONDS = 50, 3_600
GRACE = 5.0
"""Seconds that a sync gets to save its progress before it is killed, which loses nothing."""

STATUSES = {0: "complete", 1: "partial", 130: "stopped"}
"""Exit code of a sync -> its result."""

Task = Callable[[float], Awaitable[tuple[int, dict[str, Any]]]]
"""Works for at most this many seconds, and returns the status and the JSON of the answer."""


def create(**given: Any) -> App:
    """The ASGI app. `given` are settings, as for `create_app`. Raises BadConfiguration."""
    return app_with(task_routes, given)


@cache
def _lambda_handler() -> Any:
    from mangum import Mangum  # only Lambda needs it

    return Mangum(create(), lifespan="off")  # the sink starts with the first webhook, and stays for later ones


def handler(event: Any, context: Any) -> Any:
    """The handler for AWS Lambda, for events of an HTTP API or a function URL."""
    return _lambda_handler()(event, context)


def task_routes(receivers: Sequence[Receiver], settings: SinkSettings) -> Sequence[BaseRoute]:
    """The routes of the tasks; empty if their secret is not set."""
    if not settings.tasks_secret:
        return ()
    secret = settings.tasks_secret.encode()

    async def reread(seconds: float) -> tuple[int, dict[str, Any]]:
        return await _reread(receivers, seconds)

    tasks: dict[str, Task] = {"rereads": reread, "sync": _sync}
    return [Route(f"/tasks/{name}", _guarded(task, secret), methods=["POST"]) for name, task in tasks.items()]


def _guarded(task: Task, secret: bytes) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        given = request.headers.get("authorization", "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, b"Bearer " + secret):
            return JSONResponse({"error": "Authorization is missing or wrong"}, 401)
        text = request.query_params.get("seconds", str(SECONDS))
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_SECONDS):
            return JSONResponse({"error": f"seconds has to be a whole number from 1 to {MOST_SECONDS}"}, 400)
        status, told = await task(float(text))
        return JSONResponse(told, status)

    return answer


async def _reread(receivers: Sequence[Receiver], seconds: float) -> tuple[int, dict[str, Any]]:
    """Reads due objects until none is left or the time is over. Unfinished ones are due again in ten minutes."""
    deadline = time.monotonic() + seconds
    reading = [receiver for receiver in receivers if receiver.sink.can_read]
    if not reading:
        variables = " or ".join(receiver.sink.key_variable for receiver in receivers)
        return 400, {"error": f"Reading objects again needs a key: set {variables}."}
    try:
        reading = [receiver for receiver in reading if receiver.sink.is_ready or not receiver.sink.is_optional]
        for receiver in reading:
            await receiver.ready()
    except Refused as refused:
        return 503, {"error": str(refused)}
    try:
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + seconds):
            for receiver in reading:
                while time.monotonic() < deadline and await receiver.sink.rereader.read_due():
                    pass
    except TimeoutError:
        return 200, {"status": "stopped"}
    return 200, {"status": "complete"}


async def _sync(seconds: float) -> tuple[int, dict[str, Any]]:
    """Runs a sync in a process of its own, which ends in time and releases its memory."""
    root = str(Path(__file__).resolve().parent.parent)
    begin = f"import sys; sys.path.insert(0, {root!r}); from stripe_elt.__main__ import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", begin, "sync", "--destination", "postgres", "--quiet",
        stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, env=dict(os.environ),
    )  # fmt: skip
    said = asyncio.ensure_future(process.communicate())
    for wait, end in ((seconds, process.terminate), (GRACE, process.kill)):
        await asyncio.wait({said}, timeout=wait)
        if said.done():
            break
        end()
    _, errors = await said
    text = " ".join(errors.decode("utf-8", "replace").split())
    status = STATUSES.get(process.returncode or 0, "stopped" if (process.returncode or 0) < 0 else "error")
    return 500 if status == "error" else 200, {"status": status, **({"said": text} if text else {})}
