"""Messages for connections that cannot be opened, without values of the connection string. libpq, the drivers and the
server repeat hosts, ports, users and parts of a misquoted password.

Their errors are changed where they are raised, so that no traceback, log or table contains these values. Opens no
connection.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from pipelines.warehouse.postgres.conninfo import SSLMODES
from pipelines.warehouse.problems import DatabaseProblem

NO_CONNECT = (
    "The role may not connect to the database. Run this as its owner: GRANT CONNECT ON DATABASE <database>"
    " TO <role>; docs/postgres.md has the roles."
)
_LOGIN_REFUSED = re.compile(
    r"(?:password|Peer|Ident) authentication failed|no password supplied|no pg_hba\.conf entry"
    r"|(?:role|database) \S+ does not exist"
)
SHORTEST = 4  # characters; shorter values are recognised only in quotes
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'|»[^«]*«|«[^»]*»|„[^“”]*[“”]|“[^”]*”")
_FILES = ("pg_hba.conf", "pg_service.conf")


@contextmanager
def values_hidden(conninfo: str) -> Iterator[None]:
    """Removes the values of the connection string from the errors of both drivers, and raises these again.

    Raises `DatabaseProblem` if the role may not connect, because waiting would not help.
    """
    try:
        yield
    except psycopg.Error as error:
        if "CONNECT privilege" in str(error):
            raise DatabaseProblem(NO_CONNECT) from None
        error.args = (hidden(str(error), conninfo),)
        error.__cause__ = error.__context__ = None
        raise


def hidden(text: str, conninfo: str, environment: Mapping[str, str] = os.environ) -> str:
    """A text in which each value is replaced by the name of its option (`<host>`) or libpq variable (`<PGHOST>`).

    Other quoted text is removed, because it can come from a service file or a password file.
    """
    names = _names_of_values(conninfo, environment)
    if names:
        longest_first = sorted(names, key=len, reverse=True)
        quoted = [re.escape(value) for value in longest_first]
        bare = [re.escape(value) for value in longest_first if len(value) >= SHORTEST]
        pattern = rf"(?P<open>[\"'»«„“])(?P<quoted>{'|'.join(quoted)})[\"'»«“”]"
        pattern += rf"|(?P<bare>{'|'.join(bare)})" if bare else ""
        text = re.sub(pattern, lambda found: f"<{names[found.groupdict().get('bare') or found['quoted']]}>", text)
    return _QUOTED.sub(lambda found: found[0] if _is_word_of_libpq(found[0][1:-1]) else "…", text)


def refuses_login(error: psycopg.Error) -> bool:
    """Whether the server is up but refuses this login, so that waiting would not help. libpq has no SQLSTATE for a
    failed connection, so the English message is matched: a server with messages in another language counts as down.
    """
    return error.sqlstate is None and _LOGIN_REFUSED.search(str(error)) is not None


def not_connected(error: psycopg.Error, conninfo: str) -> DatabaseProblem:
    """The error for a connection that could not be opened; the message names the settings to check."""
    variables = libpq_variables(conninfo)
    also = f" These variables also decide how the server is reached: {', '.join(variables)}." if variables else ""
    where = "DATABASE_URL (or destination.postgres.credentials in .dlt/secrets.toml)"
    if refuses_login(error):
        what, advice = "Postgres refuses the login", f"Check the user, the password and the database in {where}."
    else:
        what, advice = "Postgres could not be reached", f"Check {where} and that the server is up."
    return DatabaseProblem(f"{what}: {sentences(str(error))} {advice}{also}")


def libpq_variables(conninfo: str) -> list[str]:
    """Names of libpq's variables that are set and that the connection string does not override."""
    given = conninfo_to_dict(conninfo)
    options = [
        (option.keyword.decode(), option.envvar.decode()) for option in pq.Conninfo.get_defaults() if option.envvar
    ]
    return [variable for keyword, variable in options if os.environ.get(variable) and keyword not in given]


def sentences(text: str) -> str:
    """libpq's lines joined into one, each ended by a full stop."""
    lines = (" ".join(line.split()) for line in text.splitlines() if line.strip())
    return " ".join(line if line[-1] in ".?!:" else f"{line}." for line in lines)


def _names_of_values(conninfo: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Each value, and each part of a list of hosts or ports -> the option or variable that set it; the string takes
    precedence.
    """
    named = [(option.envvar.decode(), option.envvar.decode()) for option in pq.Conninfo.get_defaults() if option.envvar]
    given = [(name, environment.get(variable, "")) for name, variable in named]
    given += [(key, str(value)) for key, value in conninfo_to_dict(conninfo).items()]
    found = {part: name for name, value in given for part in (*value.split(","), value)}
    return {value: name for value, name in found.items() if value and value not in SSLMODES}


def _is_word_of_libpq(word: str) -> bool:
    return word in _FILES or any(word == option.keyword.decode() for option in pq.Conninfo.get_defaults())
