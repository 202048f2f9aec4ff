"""Parses annotations in the `stripe` SDK's source: an expression -> a Type. Knows only `ast`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "string", "integer", "number", "boolean", "decimal", "object", "array", "map", "list", "expandable", "bytes", "any"
]
SCALARS: Mapping[str, Kind] = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "bytes": "bytes",
    "Decimal": "decimal",
    "Any": "any",
    "object": "any",
}


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """A class of the SDK: its module and its (dotted, for nested classes) name in it."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a field.

    `refs` are the SDK classes of an object, of an array's, map's or list's items, or of the object of an expandable id
    (several for a union). `list` is a page of objects (`{"object": "list", "data": […], "has_more": …}`), `expandable`
    an id or, when expanded, an object. `item` is the type of an array's, map's or list's items, `literals` the values
    that a string can have.
    """

    kind: Kind
    nullable: bool = False
    refs: tuple[Ref, ...] = ()
    item: Type | None = None
    literals: tuple[str, ...] = ()


Resolve = Callable[[str], Ref | None]


def type_of(node: ast.expr, resolve: Resolve) -> Type:
    """The type of an annotation; `resolve` finds the class that a name means at the annotation's place."""
    node = parsed(node)
    name, inner = head(node), arguments(node)
    match name:
        case "NotRequired" | "Required":
            return type_of(inner[0], resolve)
        case "Optional":
            return _union([*inner, ast.Constant(None)], resolve)
        case "Union":
            return _union(inner, resolve)
        case "Literal":
            return _literal([ast.literal_eval(value) for value in inner])
        case "List" | "ListObject" | "SearchResultObject":
            item = type_of(inner[0], resolve)
            return Type("array" if name == "List" else "list", refs=item.refs, item=item)
        case "Dict" | "Mapping" | "UntypedStripeObject" | "StripeObject":
            item = type_of(inner[-1], resolve) if inner else Type("any")
            return Type("map", refs=item.refs, item=item)
        case "ExpandableField":
            return Type("expandable", refs=type_of(inner[0], resolve).refs)
    if name in SCALARS:
        return Type(SCALARS[name])
    ref = resolve(name)
    return Type("object", refs=(ref,)) if ref else Type("any")


def parsed(node: ast.expr) -> ast.expr:
    """The expression of an annotation, which may be written as a string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return ast.parse(node.value, mode="eval").body
    return node


def head(node: ast.expr) -> str:
    """The outermost type: `Optional` for `Optional[int]`, `Charge.Refund` for itself, `Union` for `int|str`."""
    if isinstance(node, ast.Subscript):
        return head(node.value)
    if isinstance(node, ast.BinOp):
        return "Union"
    return ast.unparse(node)


def arguments(node: ast.expr) -> list[ast.expr]:
    """The arguments of a type: `int` and `str` for `Union[int, str]` or `int|str`."""
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if not isinstance(node, ast.Subscript):
        return []
    return node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]


def _literal(values: list[object]) -> Type:
    if all(isinstance(value, bool) for value in values):
        return Type("boolean")
    return Type("string", literals=tuple(str(value) for value in values))


def _union(members: list[ast.expr], resolve: Resolve) -> Type:
    """One type for a union: null makes it nullable, objects join their classes, an open enum is a string."""
    present = [m for m in members if not (isinstance(m, ast.Constant) and m.value is None)]
    types = [type_of(member, resolve) for member in present]
    kinds = {t.kind for t in types}
    nullable = len(present) < len(members) or any(t.nullable for t in types)
    refs = tuple(ref for t in types for ref in t.refs)
    literals = tuple(text for t in types for text in t.literals)
    return Type(types[0].kind if len(kinds) == 1 else "any", nullable, refs, types[0].item, literals)
