"""The exception tree, named by what the caller can do. Knows no HTTP library, no database, no column.

    ConnectorError
    ├── StopRun                 nothing more can be done in this run (exit 2)
    │   ├── AuthenticationFailed    401: missing, malformed, revoked or expired key
    │   ├── BadConfiguration        a setting that cannot work: message names the setting
    │   │   └── UnknownResource     a resource name that the catalogue does not have
    │   ├── DatabaseProblem         the database refuses or is away (pipelines/warehouse/problems.py)
    │   └── AlreadyRunning          another run has the lock (the same file)
    ├── SkipResource            the account lacks the product, or the key the permission: skip and report
    ├── RequestRefused          refused for any other reason (400, 404): the resource is in error
    │   └── ObjectMissing           the request names an object that does not exist (any more)
    └── RetryLater              gave up after the allowed retries: the resource is in error, the others go on
        ├── Throttled               429
        ├── Unreachable             connection refused, DNS, time-out, dropped connection
        ├── ServerFailed            5xx, 409
        └── BrokenPage              a body that is not the requested JSON, or a 200 with an error in it

Messages are one paragraph: what happened, to which request, what to do. They hold no key and no customer's data. They
repeat a user's input only as `shown` gives it, because it may be a misplaced secret.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

SECRET = re.compile(r"(?i)\b(?:sk|rk|pk)_(?:live|test)_|\bwhsec_|\bpostgres(?:ql)?:|://[^/\s]*@|\bpassword\b")
NAME = re.compile(r"-{0,2}[a-z][\w.-]{0,99}", re.ASCII | re.IGNORECASE)
SHOWN = 60  # characters of an id or a name that are shown
NEAR = 0.75
"""How similar a text has to be to a known name (0 to 1) to count as a misspelling of it, which messages repeat."""


def looks_secret(text: str) -> bool:
    """Whether a text has the form of a key of Stripe's, a signing secret or a connection string."""
    return SECRET.search(text) is not None


def shown(text: str, names: Iterable[str] = ()) -> str:
    """A user's text as a message may repeat it: quoted if it resembles one of the names, otherwise only its shape.

    A password can have the form of any name, so a text that resembles no known name is treated as one.
    """
    if NAME.fullmatch(text) and not looks_secret(text) and difflib.get_close_matches(text, names, 1, NEAR):
        return repr(text)
    return shape(text)


def shape(text: str) -> str:
    """The shape of a text that may be a secret: "(7 letters and digits)"."""
    kinds = {
        "letters": any(map(str.isalpha, text)),
        "digits": any(map(str.isdecimal, text)),
        "other characters": not all(map(str.isalnum, text)),
    }
    *rest, last = [kind for kind, is_there in kinds.items() if is_there] or ["characters"]
    named = f"{', '.join(rest)} and {last}" if rest else last
    return f"({len(text)} {named.removesuffix('s') if len(text) == 1 else named})"


def shortened(name: str) -> str:
    """A name as it can be printed: unprintable characters escaped, a long one cut with its length."""
    shown = name if len(name) <= SHOWN else f"{name[:SHOWN]}… ({len(name):,} characters)"
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in shown)


class ConnectorError(Exception):
    """The root of all errors that the connector raises on purpose.

    `request_id` is Stripe's, to quote to its support; `status` the HTTP status; `code` and `param` are those of the
    error body (https://docs.stripe.com/error-codes). Each is None if the answer has none.
    """

    def __init__(
        self,
        message: str,
        *,
        request_id: str | None = None,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.request_id = request_id
        self.status = status
        self.code = code
        self.param = param


class StopRun(ConnectorError):
    """Nothing more can be done in this run."""


class AuthenticationFailed(StopRun):
    """401: the key is missing, malformed, revoked or expired."""


class BadConfiguration(StopRun):
    """A setting that cannot work; the message names it."""


class UnknownResource(BadConfiguration):
    """A resource name that the catalogue does not have; the message suggests the nearest."""


class SkipResource(ConnectorError):
    """The account lacks the product or the key lacks the permission: skip this resource and report it."""


class RequestRefused(ConnectorError):
    """The provider refused the request for another reason (400, 404): this resource is in error."""


class ObjectMissing(RequestRefused):
    """The request names an object that does not exist (any more); `param` says where: `id`, `starting_after`, …."""


class RetryLater(ConnectorError):
    """Gave up after the allowed retries: this resource is in error, the others go on.

    `retry_after` is the wait that the answer requires, in seconds; None if it names none.
    """

    retry_after: float | None = None


class Throttled(RetryLater):
    """429 at every attempt."""


class Unreachable(RetryLater):
    """No answer: connection refused, name not found, time-out, connection dropped."""


class ServerFailed(RetryLater):
    """5xx or 409 at every attempt."""


class BrokenPage(RetryLater):
    """A body that is not the requested JSON: no JSON, cut off, or a 200 with an error in it."""
