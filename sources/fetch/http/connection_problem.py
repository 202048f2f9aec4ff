"""Turns failures of connections and broken answers into our errors, with messages for people. Pure.

The cause is found in the chain of exceptions of urllib3, http.client and ssl. The message names the cause and the
setting to check.
"""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from urllib3.exceptions import (
    ConnectTimeoutError,
    InvalidHeader,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    TimeoutError,
)

from sources.errors import BrokenPage, RetryLater, Unreachable
from sources.fetch.http.api_name import ApiName
from sources.fetch.http.bounded import MAX_BODY, MAX_HEAD, Garbled, TooLarge, TooLate

SEE_BASE = "Check {api_base} and the network"
SEE_PROXY = "Check the address of the proxy in HTTPS_PROXY"
ELSEWHERE = "If this persists, check whether {api_base} or a proxy leads to something other than {api}'s API."

CERTIFICATES = {
    9: ("its certificate is not valid yet", "Check whether the clock of this machine is right"),
    10: (
        "its certificate has expired",
        "Check whether the clock of this machine is right, and tell the server's owner",
    ),
    62: ("its certificate is for another host name", "Check the host in {api_base}"),
    64: ("its certificate is for another IP address", "Check the host in {api_base}"),
}
"""OpenSSL's numbers (X509_V_ERR_…) for problems of a certificate other than its signature."""

OTHER_TLS = re.compile("PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|NO_PROTOCOLS|VERSION_TOO_LOW|HANDSHAKE_FAILURE|NO_SHARED")
NO_TLS = re.compile("WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|HTTP_REQUEST|UNKNOWN_PROTOCOL|PACKET_LENGTH_TOO_LONG")
"""OpenSSL's error names: for a server that supports none of our TLS versions, and for one that does not use TLS."""

_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")


def connection_problem(
    error: Exception, path: str, base: str, deadline: float, *, began: bool, api: ApiName
) -> RetryLater:
    """The error to raise for an exception of urllib3, of the system or of `bounded`, at GET `path` below `base`.

    `deadline` is the limit for a whole request, in seconds; `began` says that the answer's headers had been read.
    """
    host, chain = urlsplit(base).netloc, list(_chain(error))
    if isinstance(error, TooLate):
        return Unreachable(
            f"The answer of {host} to GET {path} did not end within {deadline:g} seconds. Run again later; if the"
            f" connection is known to be slow, set {api.setting('request_deadline')} to more seconds."
        )
    if (broken := _broken(error, chain, began)) is not None:
        return BrokenPage(f"The answer of {host} to GET {path} {api.filled(broken)}")
    what, advice = map(api.filled, _unreached(chain))
    return Unreachable(f"{host} could not be reached for GET {path}: {what}. {advice}, and run again later.")


def _broken(error: Exception, chain: list[BaseException], began: bool) -> str | None:
    """What is wrong with the answer; None if no answer came."""
    if isinstance(error, TooLarge):
        most = (MAX_HEAD if str(error) == "headers" else MAX_BODY) >> 20
        return f"is too large: at most {most} MB of {error} are read. {ELSEWHERE}"
    if isinstance(error, Garbled):
        return f"cannot be decompressed: {error}. {ELSEWHERE}"
    for cause in chain:
        # http.client has no class of its own for too many headers.
        if isinstance(cause, http.client.LineTooLong) or type(cause) is http.client.HTTPException:
            return f"has too many or too long headers. {ELSEWHERE}"
        if isinstance(cause, InvalidHeader):
            return f"has headers that contradict each other. {ELSEWHERE}"
        if isinstance(cause, http.client.RemoteDisconnected):
            return None
        if isinstance(cause, http.client.BadStatusLine | http.client.UnknownProtocol):
            return "is not HTTP. Check whether {api_base} must begin with https://, and whether its port is right."
    if began and not isinstance(error, TimeoutError):
        return "ended too early, or its chunks are malformed. Run again later."
    return None


def _unreached(chain: list[BaseException]) -> tuple[str, str]:
    """Why no answer came, and what to check."""
    proxy = any(isinstance(cause, ProxyError) for cause in chain)
    it, its, see = ("the proxy", "the proxy's", SEE_PROXY) if proxy else ("it", "its", SEE_BASE)
    for cause in chain:
        if (refused := _TUNNEL.search(str(cause))) is not None and proxy:
            wants = " because it requires a user and a password" if refused[1] == "407" else ""
            return f"the proxy refused to connect (HTTP {refused[1]}){wants}", SEE_PROXY
        if isinstance(cause, ssl.SSLCertVerificationError):
            unknown = (
                f"{its} certificate is not signed by an authority that this machine trusts",
                "Check SSL_CERT_FILE",
            )
            what, advice = CERTIFICATES.get(cause.verify_code, unknown)
            return what.replace("its", its), SEE_PROXY if proxy and "{api_base}" in advice else advice
        if isinstance(cause, ssl.SSLError) and (reason := cause.reason or _unnamed_reason(cause)):
            return _of_tls(reason, it), see
        for kind, what, advice in (
            (NameResolutionError, f"{its} name is not known", see),
            (
                ConnectTimeoutError,
                f"{it} did not accept a connection in time",
                "Check {connect_timeout}",
            ),
            (TimeoutError, f"{it} did not answer in time", "Check {read_timeout}"),
            (ConnectionRefusedError, f"{it} refused the connection", see),
            (ssl.SSLEOFError, f"{it} closed the connection during the TLS handshake", see),
        ):
            if isinstance(cause, kind) and type(cause) is not NewConnectionError:  # its cause, which follows, says more
                return what, advice
    if any(isinstance(cause, NewConnectionError) for cause in chain):
        return f"the system found no route to {it}", see
    return f"{it} dropped the connection without an answer", see


def _unnamed_reason(error: ssl.SSLError) -> str | None:
    """The reason of an error that has no name in Python 3.11: OpenSSL 3 refuses the signatures of old TLS versions."""
    return "UNSUPPORTED_PROTOCOL" if "legacy sigalg" in str(error) else None


def _of_tls(reason: str, it: str) -> str:
    if NO_TLS.search(reason):
        return f"{it} does not use TLS, so its address may have to begin with http://, or its port may be wrong"
    if OTHER_TLS.search(reason):
        return f"{it} supports no version of TLS that this machine accepts ({reason})"
    if "EOF" in reason:
        return f"{it} closed the connection during the TLS handshake"
    return f"no TLS connection could be made ({reason})"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it wraps or was raised from, the outermost first, each once."""
    waiting, seen = [error], set[int]()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        wrapped = (*cause.args, getattr(cause, "original_error", None), cause.__cause__)
        waiting += [each for each in wrapped if isinstance(each, BaseException)]
