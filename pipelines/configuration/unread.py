"""Finds settings that nothing reads: refuses them in our own sections, and warns of names that resemble ours
elsewhere."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Mapping

from pipelines.configuration.reading import settings_found
from sources.errors import NEAR, BadConfiguration, shown

LOG = logging.getLogger("stripe_elt")

DLTS_OWN: Mapping[str, Collection[str]] = {"sources.stripe": ("schema_contract", "max_table_nesting", "schema")}
"""Names in our sections that dlt itself reads for a source."""

OF_THE_SOURCE: Mapping[str, Mapping[str, str]] = {
    "sources.stripe": {
        "resources": "--resources",
        "since": "--since",
        "until": "--until",
        "full_refresh": "--full-refresh",
    }
}
"""Arguments of `stripe_source()` in our sections -> the options of the commands that do the same."""

SHORTENED: Mapping[str, Collection[str]] = {"sources.stripe": ("", "stripe", "sources")}
"""Shorter names of our sections, which dlt accepts for other settings."""

LIKE = 0.9
"""How similar two sections' names have to be (0 to 1) to count as a misspelling."""


def refuse_unread(section: str, names: Collection[str]) -> None:
    """Raises BadConfiguration for a setting in the section that nothing reads; the message suggests the nearest name.

    A warning is logged for one of these names in a section with a similar or shorter name, which may belong to another
    program, and for a setting that only `stripe_source()` reads.
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
    """Warns of a setting in one of dlt's sections whose name resembles one of these."""
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
    """An unknown setting as a message may show it, because its name may be a misplaced secret."""
    told = shown(name, known)
    return _told(place, section, name if told == repr(name) else "…") + ("" if told == repr(name) else f" {told}")
