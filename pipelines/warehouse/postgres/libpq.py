"""Builds libpq's connection string from our settings. Knows no table and no load."""

from __future__ import annotations

import atexit
import base64
import os
import tempfile
from pathlib import Path

from psycopg.conninfo import make_conninfo

from pipelines.warehouse.postgres.conninfo import CREDENTIALS, options_of
from pipelines.warehouse.problems import DatabaseProblem

BEGIN = "-----BEGIN CERTIFICATE-----"


def postgres_conninfo(url: str | None, certificate: str | None) -> str:
    """libpq's connection string from the settings `database_url` and `database_ca`, or from dlt's own credentials.

    Raises `DatabaseProblem` if nothing is set, or the value is not a connection string.
    """
    if url and url.strip():
        given = url, "DATABASE_URL"
    else:
        from pipelines.warehouse.postgres.dlt_credentials import dlt_credentials  # with dlt: it takes a second

        given = dlt_credentials(), CREDENTIALS
    options = options_of(*given)
    if certificate:
        options["sslrootcert"] = certificate if _is_file(certificate) else _certificate_file(certificate)
        if not os.environ.get("PGSSLMODE"):
            options.setdefault("sslmode", "verify-full")  # libpq's own default would ignore the certificate
    return make_conninfo(**options)


def _is_file(certificate: str) -> bool:
    try:
        return Path(certificate).is_file()
    except (OSError, ValueError):  # a text that cannot be a path
        return False


def _certificate_file(certificate: str) -> str:
    """Writes the certificate to a file, which libpq needs. Only we can read it, and it is deleted when the process
    ends.
    """
    text = _pem(certificate)
    try:
        handle, name = tempfile.mkstemp(prefix="stripe-elt-ca-", suffix=".pem")
        atexit.register(Path(name).unlink, missing_ok=True)
        with os.fdopen(handle, "w") as file:
            file.write(text)
    except OSError as error:
        raise DatabaseProblem(
            "The certificate of DATABASE_CA cannot be written to the temporary folder:"
            f" {os.strerror(error.errno or 0)}. Set TMPDIR to a folder that can be written."
        ) from error
    return name


def _pem(certificate: str) -> str:
    """The certificate as PEM, from PEM, from PEM with `\\n` for its line breaks, or from base64 of PEM."""
    text = certificate.replace("\\n", "\n") if BEGIN in certificate else _decoded(certificate)
    if BEGIN not in text or not text.isascii():
        raise DatabaseProblem(
            "DATABASE_CA is neither a PEM certificate, nor base64 of one, nor the path of a file that exists. Set it to"
            " the certificate of the authority that signed the database server's certificate."
        )
    return text


def _decoded(certificate: str) -> str:
    try:
        return base64.b64decode("".join(certificate.split()), validate=True).decode("ascii")
    except ValueError:
        return ""
