"""Answers a request as Stripe does: checks key, version, route, account, budget, permission, product and parameters.

    answer = Api(...).answer(Request("GET", "/v1/customers", "limit=3", headers, b""))

The checks run in Stripe's order. Knows no socket; faults are in `http/faults.py` and are applied by the server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import orjson

from simulator.account.account import Account
from simulator.api import gates, lists, lists_v2, refusals
from simulator.api.expand import Expansion
from simulator.api.keys import Key, Keys, permit
from simulator.api.parameters import CURSOR, Spec, Typed, Value, check, parse
from simulator.api.refusals import Refusal
from simulator.api.routes import Match, Routes
from simulator.api.writes import Writes
from simulator.http.limits import Limits

VERSION = re.compile(r"20\d\d-\d\d-\d\d(\.[a-z_]+)?(;.*)?")
PAGE = {"page": CURSOR}


@dataclass(frozen=True, slots=True)
class Request:
    """A request; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: status, JSON body, and additional headers.

    `endpoint` is the route's path, for counters and budgets; `values` are the query's parameters; `admitted` says that
    the budget counts the request as being answered.
    """

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    endpoint: str = ""
    values: Mapping[str, object] = field(default_factory=dict)
    admitted: bool = False


class Api:
    """Answers for the platform's account (`account`) and its connected accounts, which `connected` returns by id."""

    def __init__(
        self,
        routes: Routes,
        keys: Keys,
        account: Account,
        connected: Callable[[str], Account | None],
        limits: Limits,
        writes: Writes,
    ) -> None:
        self.routes, self.keys, self.account, self.limits = routes, keys, account, limits
        self._connected, self._writes = connected, writes
        self._expansions: dict[tuple[str, tuple[str, ...]], Expansion] = {}

    def answer(self, request: Request) -> Answer:
        """Stripe's answer, which can be a refusal."""
        found = self.routes.match(request.method, request.path)
        endpoint = found.route.path if found else request.path
        raw = parse(request.query)
        admitted = False
        try:
            key = self.keys.of(request.headers.get("authorization"))
            _check_version(request)
            account = self._account(request, key.secret)
            reason = self.limits.admit(endpoint)
            if reason is not None:
                raise refusals.throttled(reason)
            admitted = True
            body = self._serve(request, found, key, account, raw)
        except Refusal as refusal:
            error = orjson.dumps({"error": refusal.error})
            return Answer(refusal.status, error, refusal.headers, endpoint, raw, admitted)
        return Answer(200, body, (), endpoint, raw, admitted)

    def _serve(
        self, request: Request, found: Match | None, key: Key, account: Account, raw: Mapping[str, Value]
    ) -> bytes:
        if found is None:
            raise refusals.unrecognized(request.method, request.path)
        route = found.route
        permit(key, route.table, route.objects[0], account.id, write=route.method != "GET")
        if route.resource is not None and gates.lacking(route.resource, account.lacks, livemode=account.livemode):
            raise gates.refusal(route.resource, request.method, request.path)
        raw = raw if request.method == "GET" else parse(request.body.decode())
        values = check(raw, _parameters(found))
        with account.lock:
            if request.method != "GET":
                return self._writes.answer(account, found, values)
            if route.kind == "object":
                return self._object(account, found, values)
            if route.version == "v2":
                return lists_v2.page(account, found, values, raw, request.path)
            return lists.page(account, found, values, self._expansion(found, values), request.path)

    def _account(self, request: Request, key: str) -> Account:
        """The account that a request acts for: Stripe-Account, or the last account in Stripe-Context."""
        named = request.headers.get("stripe-account") or request.headers.get("stripe-context", "").rpartition("/")[2]
        if not named or named == self.account.id:
            return self.account
        connected = self._connected(named)
        if connected is None:
            raise refusals.no_access(key, named)
        return connected

    def _object(self, account: Account, found: Match, values: Mapping[str, Typed]) -> bytes:
        """A single object by its id (or the object of a singleton), or the stub of a deleted object."""
        route, ids = found.route, list(found.values.values())
        table = account.tables[route.table]
        if not ids:
            id = account.id if route.table == "accounts" else ""
            row = table.get(id)
        else:
            id, parents = ids[-1], "/".join(ids[:-1])
            row = table.get(id, parents or None)
            if row is not None and parents and row.parent != parents:
                row = None
        if row is None:
            gone = account.deleted[route.table].get(id)
            if gone is not None and route.deletable:
                return orjson.dumps({"id": gone.id, "object": gone.object, "deleted": True})
            raise refusals.not_found(route.objects[0], id, "intent" if "{intent}" in route.path else "id")
        expansion = self._expansion(found, values)
        return account.views.of(route.table, row) if expansion is None else expansion.apply(account, route.table, row)

    def _expansion(self, found: Match, values: Mapping[str, Typed]) -> Expansion | None:
        paths = values.get("expand")
        if not isinstance(paths, list) or not paths:
            return None
        names = tuple(str(path) for path in paths)
        made = self._expansions.get((found.route.path, names))
        if made is None:
            listed = found.route.kind == "list"
            made = Expansion(self.routes.sdk, found.route.table, found.route.objects, names, listed=listed)
            self._expansions[found.route.path, names] = made
        return made


def _parameters(found: Match) -> Mapping[str, Spec]:
    """The parameters of an endpoint; v2 lists also accept the token of a page."""
    route = found.route
    return {**route.parameters, **PAGE} if route.kind == "list" and route.version == "v2" else route.parameters


def _check_version(request: Request) -> None:
    version = request.headers.get("stripe-version")
    if version is None and request.path.startswith("/v2/"):
        raise refusals.missing_version()
    if version is not None and not VERSION.fullmatch(version):
        raise refusals.invalid_version(version)
