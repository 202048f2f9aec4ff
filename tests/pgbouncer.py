"""A real PgBouncer in transaction mode before a test's database: each transaction may get another server connection.

PgBouncer 1.18 or newer, from the system's packages. Named prepared statements are off, as they are before 1.21 and in
many other poolers, and so is every startup parameter that PgBouncer does not know itself.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
MISSING = "PgBouncer is not installed (Debian and Ubuntu: apt-get install pgbouncer)"


@contextmanager
def transaction_pooler(address: str, *, pool_size: int = 5, **settings: object) -> Iterator[str]:
    """The address of the same database through a PgBouncer of its own. `settings` go to its `[pgbouncer]` section."""
    assert PROGRAM is not None, MISSING
    words = {name: str(value) for name, value in conninfo_to_dict(address).items()}
    folder = Path(tempfile.mkdtemp(prefix="pgb-"))  # a short path, for the socket
    given = {
        "pool_mode": "transaction",
        "default_pool_size": pool_size,
        "unix_socket_dir": folder,
        "listen_port": 6432,
        "auth_type": "trust",
        "auth_file": folder / "users",
        "query_wait_timeout": 60,  # a busy machine starts servers slowly
        "verbose": 1,
        **({"max_prepared_statements": 0} if _version() >= (1, 21) else {}),
        **settings,
    }
    target = " ".join(
        f"{key}={_quoted(words[key])}" for key in ("host", "port", "dbname", "password") if words.get(key)
    )
    user = words.get("user") or pwd.getpwuid(os.getuid()).pw_name
    (folder / "users").write_text(f'"{user}" "{words.get("password", "")}"\n')
    (folder / "ini").write_text(
        f"[databases]\n* = {target}\n[pgbouncer]\n" + "".join(f"{key} = {value}\n" for key, value in given.items())
    )
    account = _account(words.get("host", ""))
    if account is not None:
        for path in (folder, folder / "users", folder / "ini"):
            shutil.chown(path, account)
    command = [PROGRAM, *(() if account is None else ("-u", account)), str(folder / "ini")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said: list[str] = []
    rest = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)  # a full pipe would stop it
    try:
        said += _read_until_up(process)
        rest.start()
        yield make_conninfo(user=user, host=str(folder), port=6432, dbname=words.get("dbname", user))
    finally:
        process.kill()
        process.wait()
        if rest.is_alive():
            rest.join()
        print("".join(said))  # shown where the test fails
        shutil.rmtree(folder, ignore_errors=True)


def _read_until_up(process: subprocess.Popen[str]) -> list[str]:
    """The lines of its log until it takes connections."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "process up" in line:
            return said
    raise AssertionError("PgBouncer did not start:\n" + "".join(said))


def _version() -> tuple[int, int]:
    said = subprocess.run([str(PROGRAM), "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)\.(\d+)", said)
    assert found is not None, said
    return int(found[1]), int(found[2])


def _account(host: str) -> str | None:
    """PgBouncer refuses to run as root: then it runs as whoever owns the server's socket, or as nobody."""
    if os.getuid() != 0:
        return None
    owner = Path(host).owner() if host.startswith("/") else "nobody"
    return owner if owner != "root" else "nobody"


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
