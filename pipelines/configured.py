"""Settings from dlt's providers (the environment, `.dlt`, a vault), and those that are set there and read by nobody.

A name is looked up in its section alone: dlt's shorter forms would take `WORKERS` of another program. Messages have no
value of a setting. Knows no setting by name but those of dlt itself.
"""

from __future__ import annotations

import difflib
import logging
import os
import tomllib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import dlt
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.doc import BaseDocProvider
from dlt.common.configuration.specs import PluggableRunContext, RuntimeConfiguration

from sources.stripe_api.errors import NEAR, BadConfiguration, shown

LOG = logging.getLogger("stripe_elt")

DLTS_OWN: Mapping[str, Collection[str]] = {"sources.stripe": ("schema_contract", "max_table_nesting", "schema")}
"""Names in our sections that others than the settings' classes read: what dlt itself knows of a source."""

OF_THE_SOURCE: Mapping[str, Mapping[str, str]] = {
    "sources.stripe": {
        "resources": "--resources",
        "since": "--since",
        "until": "--until",
        "full_refresh": "--full-refresh",
    }
}
"""Arguments of `stripe_source()` in our sections -> the options that the commands take instead."""

SHORTENED: Mapping[str, Collection[str]] = {"sources.stripe": ("", "stripe", "sources")}
"""Sections of a file that leave out a part of ours, as dlt's other settings may."""

LIKE = 0.9
"""How alike two sections have to be for one to be taken for the other with a typing error."""


def configured(key: str, *, secret: bool = False) -> Any:
    """The value of a setting by its full name (`sources.stripe.workers`), None where it is not set.

    Raises BadConfiguration where dlt cannot read its configuration at all.
    """
    _providers()
    return (dlt.secrets if secret else dlt.config).get(key)


def refuse_unread(section: str, names: Collection[str]) -> None:
    """Raises BadConfiguration for a setting in the section that nobody reads, with the nearest name that there is.

    A section that is nearly this one, or a part of it, and has one of these names, gets a warning: it may be another
    program's. So does a setting that only `stripe_source()` reads.
    """
    options = OF_THE_SOURCE.get(section, {})
    known = {*names, *DLTS_OWN.get(section, ()), *options}
    for place, found, name in _found():
        if found == section and name in options:
            LOG.warning(
                "The setting %s is an argument of stripe_source() alone, and the commands do not read it: give %s.",
                _told(place, found, name),
                options[name],
            )
        elif found == section and name not in known:
            if (
                not (near := difflib.get_close_matches(name, known, 1))
                and place == "environment"
                and "." not in section
            ):
                continue  # `SYNC__…` may be another program's
            advice = f"Did you mean {near[0]}?" if near else f"Its settings are: {', '.join(sorted(names))}."
            raise BadConfiguration(f"There is no setting {_given(place, found, name, known)}. {advice}")
        elif name in known and (_is_nearly(found, section) or _is_shortened(place, found, section)):
            LOG.warning(
                "The setting %s is not read: its section is not one of ours. Did you mean %s?",
                _told(place, found, name),
                _told(place, section, name),
            )


def warn_misspelt(section: str, names: Collection[str]) -> None:
    """Warns of a setting in a section of dlt's whose name is nearly one of these, but none of them."""
    for place, found, name in _found():
        near = difflib.get_close_matches(name.lower(), names, 1, NEAR)
        if found.lower() == section and near and name != near[0]:
            LOG.warning("The setting %s is not read. Did you mean %s?", _given(place, found, name, names), near[0])


def _is_nearly(found: str, section: str) -> bool:
    if found == section or found.startswith((f"{section}_", f"{section}.")):
        return False
    return difflib.SequenceMatcher(None, found.lower(), section).ratio() >= LIKE


def _is_shortened(place: str, found: str, section: str) -> bool:
    return place != "environment" and found.lower() in SHORTENED.get(section, ())


def _told(place: str, section: str, name: str) -> str:
    if place == "environment":
        return f"{section}.{name}".replace(".", "__").upper()
    return f"{name} in the section [{section}] of {place}" if section else f"{name} at the top of {place}"


def _given(place: str, section: str, name: str, known: Collection[str]) -> str:
    """A setting whose name is none of ours, and may be a value in the wrong place."""
    told = shown(name, known)
    return _told(place, section, name if told == repr(name) else "…") + ("" if told == repr(name) else f" {told}")


def _found() -> Iterator[tuple[str, str, str]]:
    """Where a setting is, its section and its name; of the environment those that have a section."""
    for variable in os.environ:
        *sections, name = variable.lower().split("__")
        if sections and name:
            yield "environment", ".".join(sections), name
    for provider in _providers():
        if isinstance(provider, BaseDocProvider):
            for section, name in _leaves(tomllib.loads(provider.to_toml())):
                yield f".dlt/{provider.name}" if provider.name.endswith(".toml") else provider.name, section, name


def _leaves(document: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{section}.{name}" if section else name)
        else:
            yield section, name


def _providers() -> Collection[Any]:
    """dlt's providers. The first call in a process reads its files, and sets up its log."""
    try:
        return Container()[PluggableRunContext].providers.providers
    except Exception as error:  # whatever dlt, its files' parser, or a vault's client raise: their words repeat values
        if file := getattr(error, "file_name", None):
            raise BadConfiguration(f"The file .dlt/{file} is not valid TOML, or it cannot be read.") from None
        raise BadConfiguration(
            f"dlt cannot read its configuration ({type(error).__name__}). A setting of its own has a value that dlt"
            f" does not take: {_suspects(getattr(error, 'field_name', None))}. Remove it: no command needs it."
        ) from None


def _suspects(field: str | None) -> str:
    """dlt's own setting of this name, or those that are set, as `RUNTIME__LOG_LEVEL`."""
    if field is not None:
        section = "RUNTIME" if field in RuntimeConfiguration().get_resolvable_fields() else "PROVIDERS"
        return f"{section}__{field.upper()}, or {field} in the section [{section.lower()}] of .dlt"
    levels = logging.getLevelNamesMapping()  # what the commands set themselves is one of them
    found = [
        name
        for name in sorted(os.environ)
        if name.startswith(("RUNTIME__", "PROVIDERS__"))
        and name != "RUNTIME__DLTHUB_TELEMETRY"
        and not (name == "RUNTIME__LOG_LEVEL" and os.environ[name] in levels)
    ]
    return " or ".join([*found, "one in the sections [runtime] and [providers] of .dlt"])
