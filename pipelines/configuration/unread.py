"""Settings that nobody reads: refused in our own sections, and warned of where a name is nearly one of ours."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Mapping

from pipelines.configuration.reading import settings_found
from sources.errors import NEAR, BadConfiguration, shown

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


def refuse_unread(section: str, names: Collection[str]) -> None:
    """Raises BadConfiguration for a setting in the section that nobody reads, with the nearest name that there is.

    A section that is nearly this one, or a part of it, and has one of these names, gets a warning: it may be another
    program's. So does a setting that only `stripe_source()` reads.
    """
    options = OF_THE_SOURCE.get(section, {})
    known = {*names, *DLTS_OWN.get(section, ()), *options}
    for place, found, name in settings_found():
        if found == section and name in options:
            LOG.warning(
                "The commands do not read the setting %s, which is an argument of stripe_source() only. Use"
                " the option %s instead.",
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
                "The setting %s is not read: no command has this section. Did you mean %s?",
                _told(place, found, name),
                _told(place, section, name),
            )


def warn_misspelt(section: str, names: Collection[str]) -> None:
    """Warns of a setting in a section of dlt's whose name is nearly one of these, but none of them."""
    for place, found, name in settings_found():
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
