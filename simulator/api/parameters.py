"""Query parameters as Stripe reads them: nested brackets, strict names and types. Knows no table.

The names and types an endpoint takes come from the parameter classes of the installed SDK.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias
from urllib.parse import unquote_plus

from simulator.api import refusals
from sources.stripe_api.generate.sdk import Field, Ref, Sdk, Type

Value: TypeAlias = "str | list[Value] | dict[str, Value]"
Typed: TypeAlias = "str | int | bool | float | list[Typed] | dict[str, Typed]"

_KEY = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
_PART = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True, slots=True)
class Spec:
    """The type of a parameter; `fields` are those of an object, `item` is the type of an array's items."""

    kind: str
    required: bool = False
    choices: tuple[str, ...] = ()
    fields: Mapping[str, Spec] | None = None
    item: Spec | None = None


CURSOR = Spec("string")


def specs(sdk: Sdk, ref: Ref | None) -> Mapping[str, Spec]:
    """The parameters of an SDK class by name; empty if the operation has no such class."""
    return {} if ref is None else {name: _spec(sdk, field) for name, field in sdk.fields(ref).items()}


def parse(query: str) -> dict[str, Value]:
    """A query string as nested values: `created[gte]=1&types[]=a` is {"created": {"gte": "1"}, "types": ["a"]}."""
    found: dict[str, Value] = {}
    for pair in query.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        name = unquote_plus(name) if "%" in name or "+" in name else name
        value = unquote_plus(value) if "%" in value or "+" in value else value
        if "[" in name:
            _nest(found, name, value)
        else:
            found[name] = value
    return found


def check(values: Mapping[str, Value], allowed: Mapping[str, Spec]) -> dict[str, Typed]:
    """Converts the values to their types. Raises Refusal for an unknown, missing, empty or ill-typed parameter."""
    unknown = list(_unknown(values, allowed, ""))
    if unknown:
        raise refusals.unknown_parameters(unknown)
    for name, spec in allowed.items():
        if spec.required and name not in values:
            raise refusals.missing_parameter(name)
    return {name: _typed(value, allowed[name], name) for name, value in values.items()}


def _spec(sdk: Sdk, field: Field) -> Spec:
    return _of_type(sdk, field.type, field.required)


@cache
def _of_type(sdk: Sdk, type: Type, required: bool = False) -> Spec:
    if type.kind in ("array", "list"):
        return Spec("array", required, item=_of_type(sdk, type.item or Type("any")))
    if type.refs and type.kind != "map":
        fields = {name: value for ref in type.refs for name, value in specs(sdk, ref).items()}
        return Spec("object" if type.kind == "object" else "any", required, fields=fields)
    if type.literals == ("",):  # may be empty: Literal[""] | str, Literal[""] | dict[str, str]
        return Spec("map" if type.kind == "any" else type.kind, required)
    return Spec(type.kind, required, type.literals)


def _nest(found: dict[str, Value], name: str, value: str) -> None:
    match = _KEY.match(name)
    if match is None:
        found[name] = value
        return
    holder: dict[str, Value] = found
    parts = [match[1], *_PART.findall(match[2])]
    for index, part in enumerate(parts[:-1]):
        following = parts[index + 1]
        if following == "" or following.isdigit():
            items = holder.setdefault(part, [])
            if isinstance(items, list):
                items.append(value)
            return
        inner = holder.setdefault(part, {})
        if not isinstance(inner, dict):
            inner = holder[part] = {}
        holder = inner
    holder[parts[-1]] = value


def _unknown(values: Mapping[str, Value], allowed: Mapping[str, Spec], prefix: str) -> list[str]:
    found: list[str] = []
    for name, value in values.items():
        spec, path = allowed.get(name), f"{prefix}[{name}]" if prefix else name
        if spec is None:
            found.append(path)
        elif isinstance(value, dict) and spec.fields is not None:
            found += _unknown(value, spec.fields, path)
    return found


def _typed(value: Value, spec: Spec, path: str) -> Typed:
    if isinstance(value, dict):
        if spec.fields is None and spec.kind != "map":
            raise refusals.invalid_parameter(spec.kind if spec.kind != "any" else "string", value, path)
        fields = spec.fields or {}
        return {name: _typed(inner, fields.get(name, CURSOR), f"{path}[{name}]") for name, inner in value.items()}
    if isinstance(value, list):
        if spec.kind != "array":
            raise refusals.invalid_parameter(spec.kind if spec.kind != "any" else "string", value, path)
        item = spec.item or CURSOR
        return [_typed(inner, item, f"{path}[{index}]") for index, inner in enumerate(value)]
    if spec.kind in ("object", "array"):
        raise refusals.invalid_parameter(spec.kind, value, path)
    if value == "":
        raise refusals.empty_parameter(path)
    return _scalar(value, spec, path)


def _scalar(value: str, spec: Spec, path: str) -> Typed:
    if spec.kind == "integer" or (spec.kind == "any" and spec.fields is not None):
        return whole(value, path)
    if spec.kind == "boolean":
        if value not in ("true", "false"):
            raise refusals.invalid_parameter("boolean", value, path)
        return value == "true"
    if spec.choices and value not in spec.choices:
        raise refusals.invalid_choice(path, spec.choices)
    return value


def whole(value: str, path: str) -> int:
    """A whole number. Raises Refusal for anything else."""
    if not re.fullmatch(r"-?\d{1,18}", value):
        raise refusals.invalid_parameter("integer", value, path)
    return int(value)
