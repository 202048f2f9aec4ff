"""Reads the installed `orb-billing` SDK: list and read operations, models of objects, event types.

For generators and tests, never for a run: importing the SDK takes a second. Models are pydantic classes with fields;
operations are read from the resources' source with `ast`. Knows no table and no column.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orb
import orb.resources
from orb.types import unwrap_webhook_event


@dataclass(frozen=True, slots=True)
class Operation:
    """A GET. `model` is that of a list's objects, or of the answer; `parameters` are the query's, as in a URL."""

    path: str
    is_list: bool
    model: Any
    parameters: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Shape:
    """A field of an object, over all its models: the annotations without null, and whether every model requires it."""

    annotations: list[Any] = field(default_factory=list)
    is_required: bool = True


def version() -> str:
    """The SDK's version ("4.90.0")."""
    return str(orb.__version__)


def operations() -> list[Operation]:
    """Every GET operation, sorted by path; for equal paths, lists come first."""
    names = [package.name for package in pkgutil.walk_packages(orb.resources.__path__, "orb.resources.")]
    found = [operation for name in names for operation in _operations_of(importlib.import_module(name))]
    return sorted(found, key=lambda operation: (operation.path, not operation.is_list))


def event_models() -> dict[str, Any]:
    """The model of each event type."""
    return {_literals(member.model_fields["type"].annotation)[0]: member for member in members(_UNION)}


def shapes(model: Any) -> dict[str, Shape]:
    """The fields of a model, or of all members of a union, by the names that they have in JSON."""
    variants = members(model)
    found: dict[str, Shape] = {}
    for variant in variants:
        for name, info in variant.model_fields.items():
            found.setdefault(info.alias or name, Shape()).annotations.extend(members(info.annotation))
    required = [
        {info.alias or name for name, info in model.model_fields.items() if info.is_required()} for model in variants
    ]
    return {name: Shape(shape.annotations, all(name in fields for fields in required)) for name, shape in found.items()}


def members(annotation: Any) -> list[Any]:
    """The types that an annotation allows except null: the members of a union, without `Annotated` wrappers."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return members(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [member for each in typing.get_args(annotation) for member in members(each)]
    return [] if annotation is type(None) else [annotation]


def item_of(annotation: Any) -> Any:
    """The type of an array's items. Raises ValueError if it is not an array."""
    (array,) = members(annotation)
    if typing.get_origin(array) is not list:
        raise ValueError(f"{array} is not an array")
    return typing.get_args(array)[0]


_UNION: Any = unwrap_webhook_event.UnwrapWebhookEvent


def _literals(annotation: Any) -> tuple[str, ...]:
    return typing.get_args(annotation)


def _operations_of(module: types.ModuleType) -> Iterator[Operation]:
    tree = ast.parse(inspect.getsource(module))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("Async"):
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and _name(call.func) in ("_get", "_get_api_list"):
                    yield _operation(module, call)


def _operation(module: types.ModuleType, call: ast.Call) -> Operation:
    path = next(str(node.value) for node in ast.walk(call.args[0]) if isinstance(node, ast.Constant))
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    is_list = "model" in given
    names = [node.id for node in ast.walk(given["model" if is_list else "cast_to"]) if isinstance(node, ast.Name)]
    model = getattr(module, next(name for name in names if name not in ("cast", "Any", "Type")))
    parameters = next((_parameters(module, node) for node in ast.walk(call) if _name(node) == "maybe_transform"), {})
    required = frozenset(name for name, is_required in parameters.items() if is_required)
    return Operation("/v1" + path, is_list, model, frozenset(parameters), required)


def _parameters(module: types.ModuleType, transform: ast.AST) -> dict[str, bool]:
    """The query's parameters, spelled as in a URL -> whether it is required."""
    assert isinstance(transform, ast.Call)
    file, _, name = ast.unparse(transform.args[1]).partition(".")
    given = getattr(getattr(module, file), name)
    found = {}
    for key, annotation in typing.get_type_hints(given, include_extras=True).items():
        aliases = [getattr(inner, "alias", None) for inner in _annotations(annotation)]
        found[next(filter(None, aliases), key)] = key in given.__required_keys__
    return found


def _annotations(annotation: Any) -> list[Any]:
    """The metadata of an `Annotated` type, also inside `Required` or `NotRequired`."""
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *noted = typing.get_args(annotation)
        return [*noted, *_annotations(inner)]
    return [inner for each in typing.get_args(annotation) for inner in _annotations(each)]


def _name(node: ast.AST) -> str:
    """The last part of a call's or an expression's dotted name; empty for anything else."""
    match node:
        case ast.Call(func=func):
            return _name(func)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""
