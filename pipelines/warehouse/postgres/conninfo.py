"""Converts connection strings that people paste into `DATABASE_URL` to libpq's options.

Frameworks, poolers and hosting consoles show strings that resemble libpq's. Options without a meaning here are dropped,
other spellings are translated, and other options are refused by their name. Messages never repeat a value, because a
password that is not percent-encoded can become part of any option. Opens no connection.
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import cache
from urllib.parse import unquote

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from pipelines.warehouse.problems import DatabaseProblem
from sources.errors import shown

log = logging.getLogger("stripe_elt.database")

CREDENTIALS = "destination.postgres.credentials"
EXAMPLE = "postgresql://user:password@host:5432/database"
ENCODED = (
    "A character in the user name or the password has a special meaning in a URL. Write it percent-encoded:"
    " %40 for @, %3A for :, %2F for /, %3F for ?, %23 for #, %25 for %, %5B for [, %20 for a blank."
)
SCHEME = re.compile(r"(?:jdbc:)?(?:postgres|postgresql|postgis|pgsql)(?:\+\w+)?://", re.IGNORECASE)
SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

# Options of other clients, reduced to their letters: settings for pools, prepared statements, logs and names.
IDLE = re.compile(
    "adaptivefetch|asyncfallback|binarytransfer|charset|connmaxage|defaultrowfetchsize|driver|encoding|loggerlevel"
    "|pgbouncer|pooling|poolpreping|preparedstatementcachequeries|preparedstatementcachesize|preparethreshold"
    "|rewritebatchedinserts|serverversion|singleuseconnections|statementcachesize|supa|tcpkeepalive|uselibpqcompat"
    "|workaround"
)
# The same, but users may rely on their effect, so the log says what happens instead.
MISSED = {
    **dict.fromkeys(
        ("currentschema", "schema", "searchpath"),
        "the tables go into the schema that the setting dataset names",
    ),
    **dict.fromkeys(
        ("connectionlimit", "maxconnections", "maxoverflow", "maxpoolsize", "minpoolsize", "poolsize", "pooltimeout"),
        "no command opens more than ten connections",
    ),
    **dict.fromkeys(
        ("maxconnectionlifetime", "maxidleconnectionlifetime", "sockettimeout"),
        "a connection stays open as long as it is needed",
    ),
    **dict.fromkeys(
        ("statementtimeout", "locktimeout", "idleintransactionsessiontimeout"),
        "each statement may take as long as it needs",
    ),
    "timezone": "times are stored in UTC",
}
# Options that change whom the client trusts or what the session may do -> what to write instead.
INSTEAD = {
    "sslaccept": "sslmode",
    "sslfactory": "sslmode",
    "sslhostnameverifier": "sslmode=verify-full",
    "sslidentity": "sslcert and sslkey",
    "targetservertype": "target_session_attrs",
    "readonly": "ALTER ROLE … SET default_transaction_read_only on the server",
}
RENAMED = {"username": "user", "database": "dbname"}
NUMBERS = re.compile("connect_timeout|keepalives(_idle|_interval|_count)?|tcp_user_timeout")
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’"}
_INVISIBLE = "\ufeff\u200b\u2060 \t\r\n"


def options_of(text: str, name: str) -> dict[str, str]:
    """A connection string as libpq's options: `{"host": …, "dbname": …}`. `name` is the setting that messages name.

    Accepts libpq's URLs and `key=value` words, also with pasted blanks, quotes, `psql` or `DATABASE_URL=` around them,
    and URLs of SQLAlchemy, Prisma, JDBC, Django and similar clients. Raises `DatabaseProblem` for anything else.
    """
    text = _bare(text, name)
    if scheme := SCHEME.match(text):
        return checked(_of_url(text[scheme.end() :], name), name)
    if re.match(r"[\w+.:-]*//", text):
        raise unusable(name, "It is a URL, but not one that begins with postgresql://.")
    if re.match(r"[\w ]+=[^;']*;[\w ]+=", text):
        raise unusable(name, "It has semicolons between its options, as in .NET's format, which libpq cannot read.")
    return checked(_parsed(text, name, "libpq cannot read it. A value with blanks needs 'single quotes'."), name)


def checked(given: Mapping[str, object], name: str) -> dict[str, str]:
    """The given options in libpq's spelling. Raises `DatabaseProblem` for those that cannot be used."""
    options: dict[str, str] = {}
    ssl: dict[str, str] = {}  # an `sslmode` takes precedence over it
    for key, value in given.items():
        letters = _letters(key)
        if letters == "replication":
            raise unusable(name, "Its option replication opens a connection for a replica. Remove it.")
        if option := _spelling().get(RENAMED.get(letters, letters)):
            options[option] = str(value)
        elif letters == "ssl":
            ssl = _sslmode(str(value), name)
        elif letters in MISSED:
            _tell_once(f"{name}: the option {key} is ignored: {MISSED[letters]}.")
        elif letters in INSTEAD and (letters, value) != ("sslaccept", "accept_invalid_certs"):
            raise unusable(name, f"libpq has no option {key}. Write {INSTEAD[letters]} instead.")
        elif letters != "sslaccept" and not IDLE.fullmatch(letters):
            raise unusable(
                name, f"It has an option that libpq does not have, {shown(key, _spelling().values())}. Remove it."
            )
    options = ssl | options
    _check_values(options, name)
    return options


def unusable(name: str, reason: str) -> DatabaseProblem:
    """The error for a connection string: names the setting, and shows an example."""
    return DatabaseProblem(
        f"{name} is not a connection string that can be used. {reason} A valid one looks like {EXAMPLE}."
    )


def _bare(text: str, name: str) -> str:
    """The connection string without pasted blanks, quotes, `export DATABASE_URL=` or `psql` around it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise unusable(name, "It contains bytes that are not UTF-8. Write them percent-encoded.") from None
    before = None
    while text != before:
        before = text
        text = text.strip(_INVISIBLE).removesuffix(";")
        text = re.sub(r"\A(?:(?:export\s+)?DATABASE_URL\s*=\s*|psql\s+)(?=\S)", "", text)
        if len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
            text = text[1:-1]
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise unusable(name, "It contains a line break or another control character.")
    return text


def _of_url(rest: str, name: str) -> dict[str, str]:
    """Splits a URL, without its scheme, like libpq: user and password end at an `@` before any `/`."""
    user = re.match(r"[^@/]*@", rest)
    end = user.end() if user else 0
    place, _, query = rest[end:].partition("?")
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    given = [(unquote(key), value) for key, equals, value in pairs if equals]
    is_foreign = any(not _is_known(key) for key, _ in given)
    if "@" in place or len(given) < len(pairs) or (is_foreign and "@" in query):
        raise unusable(name, ENCODED)
    options = _parsed(f"postgresql://{rest[:end]}{place}", name, ENCODED)
    for key, value in given:
        options |= {key: _decoded(value, name)}
    return options


def _decoded(value: str, name: str) -> str:
    try:
        decoded = unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise unusable(name, ENCODED) from None
    if re.search(r"%(?![0-9A-Fa-f]{2})", value) or "\0" in decoded:
        raise unusable(name, ENCODED)
    return decoded


def _parsed(text: str, name: str, reason: str) -> dict[str, str]:
    try:
        return {key: str(value) for key, value in conninfo_to_dict(text).items()}
    except (psycopg.Error, ValueError):  # libpq's message repeats what it could not read
        raise unusable(name, reason) from None


def _check_values(options: dict[str, str], name: str) -> None:
    """Refuses values for which libpq's message would repeat the value."""
    if "sslmode" in options:
        options |= _sslmode(options["sslmode"], name)
    hosts, ports = (options.get(key, "").split(",") for key in ("host", "port"))
    if any("@" in host[1:] for host in hosts) or not all(_is_port(port) for port in ports):
        raise unusable(name, f"Its port is not a number from 1 to 65535, or its host contains an @. {ENCODED}")
    for key, value in options.items():
        if NUMBERS.fullmatch(key) and not re.fullmatch(r"\s*-?\d{1,9}\s*", value, re.ASCII):
            raise unusable(name, f"Its option {key} is not a whole number.")


def _is_port(text: str) -> bool:
    return not text.strip() or (re.fullmatch(r"\s*\d{1,5}\s*", text, re.ASCII) is not None and 0 < int(text) < 65536)


def _sslmode(value: str, name: str) -> dict[str, str]:
    """Translates an `sslmode` or `ssl` of libpq, JDBC, .NET, node-postgres or asyncpg to libpq's `sslmode`."""
    letters = _letters(value)
    known = {_letters(mode): mode for mode in SSLMODES}
    known |= dict.fromkeys(("true", "1", "on", "yes", "noverify", "required"), "require")
    known |= dict.fromkeys(("false", "0", "off", "no"), "prefer")
    if letters not in known:
        raise unusable(name, f"Its sslmode must be {', '.join(SSLMODES[:-1])} or {SSLMODES[-1]}.")
    return {"sslmode": known[letters]}


def _letters(key: str) -> str:
    return re.sub(r"[\s_-]", "", key).lower()


def _is_known(key: str) -> bool:
    letters = _letters(key)
    return letters in {*_spelling(), *RENAMED, *MISSED, *INSTEAD, "ssl"} or IDLE.fullmatch(letters) is not None


@cache
def _spelling() -> Mapping[str, str]:
    """Letters -> libpq's option: `{"sslmode": "sslmode", "connecttimeout": "connect_timeout"}`."""
    return {_letters(option.keyword.decode()): option.keyword.decode() for option in pq.Conninfo.get_defaults()}


@cache
def _tell_once(message: str) -> None:
    log.info("%s", message)
