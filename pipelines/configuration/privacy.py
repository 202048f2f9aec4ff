"""Reads the section `[privacy]` from the environment and `.dlt`, like every other setting. Knows no database."""

from __future__ import annotations

import difflib
from typing import Any

from pipelines.configuration.fields import FILE, secret_of_file
from pipelines.configuration.reading import configured, settings_found
from sources.catalogue import Catalogue
from sources.errors import BadConfiguration
from sources.privacy import TREATMENTS, Privacy
from sources.privacy_rules import SALT, SECTION, check_rule, privacy_of

ALIKE = 0.8
"""How similar a section's name has to be to this one (0 to 1) to count as a misspelling."""


def read_privacy(catalogue: Catalogue) -> Privacy:
    """The treatment of people's data; `sources.privacy_rules` describes the settings.

    A rule about a field of another provider is ignored here: that provider's commands apply it. Raises
    BadConfiguration, also for a section with a similar name, because its rules would have no effect.
    """
    given: dict[tuple[str, ...], Any] = {}
    for place, section, name in settings_found():
        first, *path = (*section.split("."), name)
        if first != SECTION:
            if difflib.SequenceMatcher(None, first, SECTION).ratio() >= ALIKE:
                where = "the environment" if place == "environment" else place
                raise BadConfiguration(f"There is a section [{first}] in {where}. Did you mean [{SECTION}]?")
        elif "." in name:
            raise BadConfiguration(
                f"A setting in the section [{first}] of {place} is in quotes. Write it without them."
            )
        elif path not in ([SALT], [SALT + FILE]):
            given[tuple(path)] = configured(f"{section}.{name}")
    kept = {path: value for path, value in given.items() if not _is_anothers(catalogue, path, value)}
    return privacy_of(catalogue, kept, _salt())


def _is_anothers(catalogue: Catalogue, path: tuple[str, ...], value: Any) -> bool:
    """Whether a rule is not valid for this provider, but is for another one."""
    if len(path) < 2 or value not in TREATMENTS or _is_rule(catalogue, path, value):
        return False
    from sources.orb_api.catalogue import CATALOGUE as orb  # here, because few people have rules for two providers
    from sources.stripe_api.catalogue import CATALOGUE as stripe

    return any(_is_rule(other, path, value) for other in (stripe, orb) if other is not catalogue)


def _is_rule(catalogue: Catalogue, path: tuple[str, ...], value: Any) -> bool:
    try:
        check_rule(catalogue, path, value)
    except BadConfiguration:
        return False
    return True


def _salt() -> str | None:
    """The salt: a setting like other secrets, or the text of a file."""
    if salt := configured(f"{SECTION}.{SALT}", secret=True):
        return str(salt)
    path = configured(f"{SECTION}.{SALT}{FILE}")
    return secret_of_file(str(path), f"PRIVACY__{SALT}{FILE}".upper()) if path else None
