"""Finds the operation of a request: the paths of the installed SDK, joined with the catalogue's tables.

    routes = Routes(Sdk())
    routes.match("GET", "/v1/customers/cus_1/tax_ids") -> Match(route, {"customer": "cus_1"})

Searches (`/v1/customers/search`) are not served: they are not a source of truth. Knows no object and no rule of lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

from simulator.api.parameters import Spec, specs
from sources.catalogue import Resource
from sources.stripe_api.catalogue import CATALOGUE, RESOURCES, TABLES
from sources.stripe_api.generate.sdk import Ref, Sdk
from sources.stripe_api.generate.sdk_operations import Operation, operations

Kind = Literal["list", "object", "delete", "create", "update"]


@dataclass(frozen=True, slots=True)
class Route:
    """An operation of the simulator: `table` is the table that it reads, `parameters` are the query's."""

    kind: Kind
    method: str
    path: str
    table: str
    objects: tuple[str, ...]
    parameters: Mapping[str, Spec]
    resource: Resource | None
    deletable: bool = False

    @property
    def version(self) -> Literal["v1", "v2"]:
        """The API generation, which decides pages and errors."""
        return "v2" if self.path.startswith("/v2/") else "v1"


@dataclass(frozen=True, slots=True)
class Match:
    """A request's route, and the values of its path's placeholders, in order."""

    route: Route
    values: Mapping[str, str]


@dataclass(slots=True)
class _Node:
    """A node of the path tree: children by name, the child of a placeholder, the routes that end here by method."""

    named: dict[str, _Node] = field(default_factory=dict)
    placeholder: _Node | None = None
    routes: dict[str, tuple[Route, tuple[str, ...]]] = field(default_factory=dict)


class Routes:
    """All routes. A fixed segment wins over a placeholder (`/v1/invoices/search` is not an invoice)."""

    def __init__(self, sdk: Sdk) -> None:
        self.sdk = sdk
        self._root = _Node()
        self.all: list[Route] = []
        names = {ref: name for name, ref in sdk.object_classes().items()}
        for operation in operations(sdk):
            route = _route(sdk, operation, names)
            if route is not None:
                self._insert(route)

    def match(self, method: str, path: str) -> Match | None:
        """The route of a request; None if Stripe has no such URL."""
        parts = path.split("/")[1:]
        found = _walk(self._root, [unquote(part) for part in parts] if "%" in path else parts, [])
        if found is None or method not in found[0].routes:
            return None
        route, names = found[0].routes[method]
        return Match(route, dict(zip(names, found[1], strict=True)))

    def _insert(self, route: Route) -> None:
        node, names = self._root, []
        for part in route.path.split("/")[1:]:
            if part.startswith("{"):
                node.placeholder = node.placeholder or _Node()
                node = node.placeholder
                names.append(part.strip("{}"))
            else:
                node = node.named.setdefault(part, _Node())
        node.routes[route.method] = (route, tuple(names))
        self.all.append(route)


def _walk(node: _Node, parts: list[str], values: list[str]) -> tuple[_Node, list[str]] | None:
    if not parts:
        return (node, values) if node.routes else None
    named = node.named.get(parts[0])
    if named is not None:
        found = _walk(named, parts[1:], values)
        if found is not None:
            return found
    if node.placeholder is not None and parts[0]:
        return _walk(node.placeholder, parts[1:], [*values, parts[0]])
    return None


def _route(sdk: Sdk, operation: Operation, names: Mapping[Ref, str]) -> Route | None:
    method, path = operation.http.upper(), operation.path
    objects = tuple(names[ref] for ref in operation.returns.refs if ref in names)
    if method == "GET" and operation.page == "list":
        resource = _resource(path)
        if resource is None:
            return None
        return Route("list", method, path, resource.table, resource.objects, specs(sdk, operation.params), resource)
    if method == "GET" and operation.page == "none":
        table, resource = _owner(path, objects)
        if table is None:
            return None
        deletable = any("deleted" in sdk.fields(ref) for ref in operation.returns.refs)
        return Route("object", method, path, table, objects, specs(sdk, operation.params), resource, deletable)
    kind = _writes(operation)
    if kind is not None:
        table, resource = _owner(path, objects)
        if table is not None:
            return Route(kind, method, path, table, objects, specs(sdk, operation.params), resource)
    return None


def _writes(operation: Operation) -> Literal["create", "update", "delete"] | None:
    """The kind of a writing operation that is served; None for all others."""
    last = operation.name.rpartition(".")[2]
    if operation.http == "delete" and last in ("delete", "cancel"):
        return "delete"
    if operation.path.startswith("/v1/webhook_endpoints") and last in ("create", "update"):
        return "create" if last == "create" else "update"
    return None


def _resource(path: str) -> Resource | None:
    return next((resource for resource in RESOURCES.values() if resource.path == path), None)


def _owner(path: str, objects: Iterable[str]) -> tuple[str | None, Resource | None]:
    """The table (and the list) of an object that is read at a path."""
    exact = _resource(path)
    if exact is not None:
        return exact.table, exact
    base = path.rpartition("/")[0]
    for resource in RESOURCES.values():
        if _shape(resource.path) == _shape(base) and path.endswith("}"):
            return resource.table, resource
    tables = {CATALOGUE.table_of_object(name) for name in objects} - {None}
    table = tables.pop() if len(tables) == 1 else None
    if table is None or table not in TABLES:
        return None, None
    return table, next((r for r in RESOURCES.values() if r.table == table and r.kind != "child"), None)


def _shape(path: str) -> tuple[str, ...]:
    return tuple("{}" if part.startswith("{") else part for part in path.split("/"))
