"""Reads the installed `stripe` SDK's source: its object classes and parameter types, field by field, with the docs.

For generators and tests, never for a run: reading every object class takes seconds. No code of `stripe` is executed:
everything is read with `ast`, because `typing.get_type_hints` fails on many of its classes, whose imports are under
TYPE_CHECKING. Knows no table, no column and no HTTP. `sdk_operations.py` reads the services (operations with their
paths).

    sdk = Sdk()                                            # the installed SDK, or Sdk(root=<folder of another>)
    sdk.object_classes()["customer"]                       # Ref("stripe._customer", "Customer")
    sdk.fields(Ref("stripe._customer", "Customer"))        # {"address": Field(...), "balance": Field(...), ...}
    sdk.fields(field.type.refs[0])                         # the shape of a nested object, an array's or a list's item
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sources.stripe_api.generate.sdk_annotations import Kind, Ref, Type, head, parsed, type_of

__all__ = ["Field", "Kind", "Ref", "Sdk", "Type"]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object class, or a parameter; `required` is false for a parameter typed NotRequired."""

    name: str
    type: Type
    doc: str
    required: bool = True


@dataclass(frozen=True)
class Module:
    """A parsed module: its classes by dotted name, and the names that it imports."""

    name: str
    tree: ast.Module
    classes: Mapping[str, ast.ClassDef] = field(default_factory=dict)
    imports: Mapping[str, Ref] = field(default_factory=dict)


class Sdk:
    """The SDK's source in a folder (that of the installed package by default); parses each module once."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or _installed()
        self._modules: dict[str, Module] = {}

    @cached_property
    def version(self) -> str:
        """The SDK's version ("16.1.0")."""
        return str(ast.literal_eval(_assigned(self.module("stripe._version").tree, "VERSION")))

    @cached_property
    def api_version(self) -> str:
        """The API version that the SDK pins ("2026-10-28.endive")."""
        body = self.class_of(Ref("stripe._api_version", "_ApiVersion"))
        return str(ast.literal_eval(_assigned(body, "CURRENT")))

    def object_classes(self) -> dict[str, Ref]:
        """Stripe's `object` values with the class of each; those of v2 begin with "v2." ("list" is that of v1)."""
        tree = self.module("stripe._object_classes").tree
        found: dict[str, Ref] = {}
        for name in ("V2_OBJECT_CLASSES", "OBJECT_CLASSES"):
            found |= {key: Ref(*value) for key, value in ast.literal_eval(_assigned(tree, name)).items()}
        return found

    def fields(self, ref: Ref) -> dict[str, Field]:
        """Fields of a class in the order of the source, those of its bases (but RequestOptions) first."""
        module, node = self.module(ref.module), self.class_of(ref)
        found: dict[str, Field] = {}
        for base in node.bases:
            parent = _resolve(module, ref.name, base.id) if isinstance(base, ast.Name) else None
            if parent and parent.name not in ("RequestOptions", "StripeObject"):
                found |= self.fields(parent)
        renamed = _renamed(node)
        for statement, doc in _documented(node.body):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                name, annotation = statement.target.id, parsed(statement.annotation)
                if not name.startswith("_") and head(annotation) != "ClassVar":
                    name = renamed.get(name, name)
                    found[name] = Field(name, self.annotation(ref, annotation), doc, head(annotation) != "NotRequired")
        return found

    def annotation(self, scope: Ref, node: ast.expr) -> Type:
        """Type of an annotation that stands in a class."""
        module = self.module(scope.module)
        return type_of(node, lambda name: _resolve(module, scope.name, name))

    def doc(self, ref: Ref) -> str:
        """Docstring of a class; empty if it has none."""
        return ast.get_docstring(self.class_of(ref)) or ""

    def class_of(self, ref: Ref) -> ast.ClassDef:
        """The class's syntax tree. Raises KeyError if the SDK has no such class."""
        return self.module(ref.module).classes[ref.name]

    def module(self, name: str) -> Module:
        """A module by its dotted name, parsed once."""
        if name not in self._modules:
            path = self.root.joinpath(*name.split(".")[1:])
            path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            tree = ast.parse(path.read_text(encoding="utf-8"))
            self._modules[name] = Module(name, tree, dict(_classes(tree)), dict(_imports(tree.body)))
        return self._modules[name]


def _resolve(module: Module, scope: str, name: str) -> Ref | None:
    """Class that `name` means inside class `scope` (dotted) of a module: nested, then the module's, then imported."""
    parts = scope.split(".") if scope else []
    for depth in range(len(parts), -1, -1):
        dotted = ".".join([*parts[:depth], name])
        if dotted in module.classes:
            return Ref(module.name, dotted)
    first, _, rest = name.partition(".")
    if first in module.imports:
        target = module.imports[first]
        return Ref(target.module, f"{target.name}.{rest}" if rest else target.name)
    return None


def _renamed(node: ast.ClassDef) -> dict[str, str]:
    """Python's name of a field -> Stripe's name, if that is a Python keyword: {"from_": "from"}."""
    try:
        return dict(ast.literal_eval(_assigned(node, "_field_remappings")))
    except KeyError:
        return {}


def _installed() -> Path:
    spec = importlib.util.find_spec("stripe")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the stripe SDK is not installed: pip install stripe")
    return Path(spec.origin).parent


def _classes(node: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, ast.ClassDef]]:
    for child in node.body:
        if isinstance(child, ast.ClassDef):
            yield prefix + child.name, child
            yield from _classes(child, f"{prefix}{child.name}.")


def _imports(body: list[ast.stmt]) -> Iterator[tuple[str, Ref]]:
    """The names that a module imports from the SDK at its top level, which are all that annotations use."""
    for node in body:
        if isinstance(node, ast.If):  # TYPE_CHECKING
            yield from _imports([*node.body, *node.orelse])
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("stripe"):
            for alias in node.names:
                yield alias.asname or alias.name, Ref(node.module, alias.name)


def _documented(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    """Statements, each with the string literal after it, by which the SDK documents fields."""
    for statement, following in zip(body, [*body[1:], ast.Pass()], strict=True):
        match following:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield statement, inspect.cleandoc(text)
            case _:
                yield statement, ""


def _assigned(scope: ast.Module | ast.ClassDef, name: str) -> ast.expr:
    """Value that a module or a class body assigns to a name."""
    for node in scope.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                return value
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == name:
                return value
    raise KeyError(f"the SDK assigns no {name}")
