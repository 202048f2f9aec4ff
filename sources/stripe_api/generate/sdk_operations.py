"""Reads the operations of the installed `stripe` SDK's services: method, path, parameters.

Walks the tree of services below `StripeClient.v1` and `.v2`, so that only operations that a client can reach count. For
generators and tests only, see `sdk.py`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sources.stripe_api.generate.sdk import Field, Ref, Sdk, Type

ROOTS = (("v1", Ref("stripe._v1_services", "V1Services")), ("v2", Ref("stripe._v2_services", "V2Services")))


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of a service.

    `name` is its dotted path from the client ("v1.customers.list"), `path` has named placeholders
    ("/v1/customers/{customer}/tax_ids"), `returns` is the answer's type (kind "list" for list and search operations),
    `params` the class of its parameters.
    """

    name: str
    http: str
    path: str
    returns: Type
    params: Ref | None
    doc: str

    @property
    def page(self) -> Literal["list", "search", "none"]:
        """Whether its answer is a page of a list, a page of a search result, or neither."""
        if self.returns.kind != "list":
            return "none"
        return "search" if self.name.endswith(".search") else "list"


def operations(sdk: Sdk) -> list[Operation]:
    """Every operation that a client can call, without the async twins, sorted by path and name."""
    found = [operation for prefix, ref in ROOTS for operation in _walk(sdk, prefix, ref)]
    return sorted(found, key=lambda operation: (operation.path, operation.name))


def parameters(sdk: Sdk, operation: Operation) -> dict[str, Field]:
    """Query parameters of an operation by name; empty if it has none."""
    return sdk.fields(operation.params) if operation.params else {}


def _walk(sdk: Sdk, prefix: str, ref: Ref) -> Iterator[Operation]:
    for node in sdk.class_of(ref).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            operation = _operation(sdk, f"{prefix}.{node.name}", ref, node)
            if operation:
                yield operation
    for name, module, service in _subservices(sdk, ref):
        yield from _walk(sdk, f"{prefix}.{name}", Ref(module, service))


def _subservices(sdk: Sdk, ref: Ref) -> Iterator[tuple[str, str, str]]:
    """Attribute, module and class of each service below a service."""
    for node in sdk.module(ref.module).tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "_subservices" for t in node.targets
        ):
            for name, (module, service) in ast.literal_eval(node.value).items():
                yield name, module, service


def _operation(sdk: Sdk, name: str, ref: Ref, node: ast.FunctionDef) -> Operation | None:
    """The operation that a method requests; None for a method that requests nothing itself."""
    request = next((call for call in ast.walk(node) if isinstance(call, ast.Call) and _is_request(call)), None)
    if request is None or node.returns is None:
        return None
    http, path = request.args[0], request.args[1]
    if isinstance(path, ast.Call) and isinstance(path.func, ast.Attribute):
        path = path.func.value
    returns = sdk.annotation(ref, node.returns)
    params = next((a.annotation for a in node.args.args if a.arg == "params" and a.annotation), None)
    refs = sdk.annotation(ref, params).refs if params else ()
    text = ast.get_docstring(node) or ""
    return Operation(name, ast.literal_eval(http), ast.literal_eval(path), returns, refs[0] if refs else None, text)


def _is_request(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "_request"
