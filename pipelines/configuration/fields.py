"""Settings as fields of a frozen dataclass: the purpose, the type and the sources of each value.

A value is looked up in the field's short variables, then in dlt's own places. Knows no setting by name.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from pipelines.configuration.reading import configured
from pipelines.configuration.unread import LIKE, LOG, refuse_unread
from sources.errors import BadConfiguration, looks_secret

BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
"""Spellings of true and false."""


def setting(default: Any, about: str, *, env: str | None = None, also: str | None = None, secret: bool = False) -> Any:
    """A field: `env` is a shorter environment variable that takes precedence, `also` one that other tools read."""
    metadata = {"about": about, "env": env, "also": also, "secret": secret}
    return field(default=default, metadata=metadata, repr=not secret)


def full_name(name: str, section: str) -> str:
    """dlt's path of a setting, as in `.dlt/config.toml`: `sources.stripe.api_base`."""
    return f"{section}.{name}"


def environment_name(name: str, section: str) -> str:
    """dlt's environment variable of a setting: `SOURCES__STRIPE__API_BASE`."""
    return full_name(name, section).replace(".", "__").upper()


def read_fields(
    kind: type[Any], section: str, given: Mapping[str, Any], shared: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """The values that are set for a dataclass whose fields are made by `setting`; `read_settings` has the order of
    precedence.

    `shared` maps names of settings to another section, which is used if their own section lacks them.
    """
    values: dict[str, Any] = {}
    hints = get_type_hints(kind)
    names = [each.name for each in fields(kind)]
    in_files = [f"{each.name}{FILE}" for each in fields(kind) if each.metadata["secret"]]
    refuse_unread(section, [*names, *in_files])
    _warn_of_variables(kind, section)
    for each in fields(kind):
        value = given.get(each.name)
        for place in (section, shared.get(each.name)):
            if value is None and place is not None:
                value = _found_value(each.metadata, each.name, place)
        if value is not None:
            if not each.metadata["secret"] and looks_secret(str(value)):
                raise BadConfiguration(
                    f"The setting {each.name} contains what looks like a key, a signing secret or a"
                    f" connection string, which does not belong there. {_set(each.name, section)}"
                )
            values[each.name] = _typed(each.name, section, value, hints[each.name])
    return values


def _warn_of_variables(kind: type[Any], section: str) -> None:
    """Warns of an environment variable whose name resembles that of a setting without a value.

    It may belong to another program, so it is not refused. For long names, only a missing underscore is found.
    """
    set_names = {_joined(name): name for name in os.environ}
    for each in fields(kind):
        long = environment_name(each.name, section)
        short = [name for name in (each.metadata["env"], each.metadata.get("also")) if name]
        found = {name: long for name in [set_names.get(_joined(long), long)] if name.count("__") < long.count("__")}
        others = os.environ.keys() - set(short)
        for name in short:
            alike = [given for given in others if given[0] == name[0] and abs(len(given) - len(name)) <= 2]
            found |= dict.fromkeys(difflib.get_close_matches(name, alike, 1, LIKE), name)
        if found and _found_value(each.metadata, each.name, section) is None:
            for given, meant in found.items():
                LOG.warning("The variable %s is not read. Did you mean %s?", given, meant)


def _joined(variable: str) -> str:
    return variable.replace("__", "_")


FILE = "_file"
"""The suffix of a variable that names a file with the secret."""


def _found_value(metadata: Mapping[str, Any], name: str, section: str) -> Any:
    """The value of a setting: from its short variables, then from dlt's own places; a secret may also be in a file."""
    is_secret = metadata["secret"]
    for variable in filter(None, (metadata["env"], metadata.get("also"))):
        if value := os.environ.get(variable):
            return value
        if is_secret and (path := os.environ.get(f"{variable}{FILE.upper()}")):
            return secret_of_file(path, f"{variable}{FILE.upper()}")
    value = configured(full_name(name, section), secret=is_secret)
    if value is None and is_secret and (path := configured(full_name(f"{name}{FILE}", section))):
        return secret_of_file(str(path), environment_name(f"{name}{FILE}", section))
    return value


def secret_of_file(path: str, name: str) -> str:
    """The text of a secret's file, without the blanks around it. Raises BadConfiguration, which names the setting."""
    try:
        text = Path(path).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadConfiguration(
            f"The file that the setting {name} names cannot be read: {why}. Set it to the path of a file that holds the"
            " value and nothing else."
        ) from None
    if not text:
        raise BadConfiguration(f"The file that the setting {name} names is empty. It has to hold the value.")
    return text


def is_set(kind: type[Any], name: str) -> bool:
    """Whether a setting has been set, in the environment or in `.dlt`."""
    metadata = next(each.metadata for each in fields(kind) if each.name == name)
    return _found_value(metadata, name, kind.section) is not None


def _typed(name: str, section: str, value: Any, hint: Any) -> Any:
    kind = next((kind for kind in (int, float, bool) if hint is kind), str)
    if kind is bool:
        if str(value).lower() in BOOLEANS:
            return BOOLEANS[str(value).lower()]
        raise BadConfiguration(f"The setting {name} is neither true nor false. {_set(name, section)}")
    try:
        if isinstance(value, Mapping | list | bool) or (kind is int and isinstance(value, float)):
            raise ValueError
        return kind(value)
    except (ValueError, OverflowError):
        wanted = {int: "whole number", float: "number", str: "text"}[kind]
        raise BadConfiguration(f"The setting {name} is not a {wanted}. {_set(name, section)}") from None


def refuse_wrong(kind: type[Any], section: str, is_right: Mapping[str, bool]) -> None:
    """Raises BadConfiguration for the first setting that is not right. The message has no value: it may be a secret."""
    for each in fields(kind):
        if not is_right.get(each.name, True):
            variable = each.metadata["env"] or environment_name(each.name, section)
            file = "secrets" if each.metadata["secret"] else "config"
            raise BadConfiguration(
                f"The setting {each.name} has an invalid value. {each.metadata['about']} Set {variable}, or {each.name}"
                f" in the section [{section}] of .dlt/{file}.toml."
            )


def _set(name: str, section: str) -> str:
    return f"Set {environment_name(name, section)}, or {name} in the section [{section}] of .dlt/config.toml."
