"""The section `[privacy]` of the settings -> a `Privacy`. Refuses unknown fields and treatments that cannot work. Pure.

[privacy]
people = "hash"                          # every field that holds a person's data
customers.phone = "drop"                 # a single field: the table, and the path of the field
charges.billing_details.email = "hash"
customers.name = "keep"
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any, cast

from sources.catalogue import Catalogue
from sources.errors import NEAR, BadConfiguration, shown
from sources.privacy import ANY_KEY, OBJECT, TREATMENTS, Path, Privacy, Treatment

SECTION, PEOPLE, SALT = "privacy", "people", "salt"
SHORTEST_SALT = 16
WORDS = f"{', '.join(TREATMENTS[:-1])} or {TREATMENTS[-1]}"


def privacy_of(catalogue: Catalogue, given: Mapping[Path, Any], salt: str | None) -> Privacy:
    """The `Privacy` for these settings: path, with the table first -> treatment; ("people",) is the preset.

    Raises BadConfiguration. Its message repeats no value, which may be a misplaced secret.
    """
    preset: Treatment = "keep"
    rules: dict[str, dict[Path, Treatment]] = {}
    for path, value in given.items():
        if value not in TREATMENTS:
            raise BadConfiguration(f"The setting {_shown(path)} has an invalid value. Set it to {WORDS}.")
        treatment = cast("Treatment", value)
        if path == (PEOPLE,):
            preset = treatment
        else:
            check_rule(catalogue, path, treatment)
            rules.setdefault(path[0], {})[path[1:]] = treatment
    if "hash" in (preset, *(each for table in rules.values() for each in table.values())):
        _check_salt(salt)
    return Privacy(catalogue, rules, preset, salt or "")


def _check_salt(salt: str | None) -> None:
    if not salt:
        raise BadConfiguration(
            "The privacy settings hash values, and there is no salt. Without one, anybody could find an address by"
            " hashing addresses. Set PRIVACY__SALT, PRIVACY__SALT_FILE, or salt in the section [privacy] of"
            " .dlt/secrets.toml to at least 16 random characters, and never change it: values hashed with another salt"
            " do not join."
        )
    if len(salt) < SHORTEST_SALT:
        raise BadConfiguration(
            f"The setting PRIVACY__SALT has fewer than {SHORTEST_SALT} characters, so that it could be guessed. Set it"
            " to random ones, such as those of: openssl rand -hex 32"
        )


def check_rule(catalogue: Catalogue, path: Path, treatment: Treatment) -> None:
    """Raises BadConfiguration for a path that does not exist, or that must not be changed."""
    table, *fields = path
    if table not in catalogue.tables:
        raise BadConfiguration(f"There is no table {_near(table, [*catalogue.tables, PEOPLE, SALT])}")
    if not fields:
        raise BadConfiguration(
            f"The setting {_shown(path)} names a table. Name a field of it too, such as privacy.customers.email."
        )
    kinds = catalogue.fields(table)
    shape: Any = {**dict.fromkeys(kinds, 0), **catalogue.shape_of(table)}
    for place, name in enumerate(fields):
        if isinstance(shape, str):
            raise BadConfiguration(
                f"The setting {_shown(path)} goes through {'.'.join(fields[:place])}, which is a whole object of its"
                f" own: {shape.removeprefix(OBJECT).replace(' ', ' or ')}. Set the path of that object's table; it"
                " holds wherever the object is expanded."
            )
        if not isinstance(shape, Mapping) or not ({name, ANY_KEY} & shape.keys()):
            names = list(shape) if isinstance(shape, Mapping) else []
            raise BadConfiguration(f"There is no field {'.'.join((table, *fields[:place]))}.{_near(name, names)}")
        shape = shape[name] if name in shape else shape[ANY_KEY]
    if treatment == "keep":
        return
    if fields[0] in _needed(catalogue, table):
        raise BadConfiguration(
            f"The setting {_shown(path)} is not possible: rows are found, ordered and joined by {table}.{fields[0]}."
        )
    if treatment == "hash" and kinds.get(fields[0]) not in ("text", "json"):
        raise BadConfiguration(
            f"The setting {_shown(path)} cannot be hash, because the column holds no text. Set it to drop."
        )


def _needed(catalogue: Catalogue, table: str) -> Collection[str]:
    """The fields that the connector itself and joins need."""
    known = catalogue.tables[table]
    lists = [resource.created_field for resource in catalogue.resources.values() if resource.table == table]
    needed = {*known.key, known.witness, known.parent_field, *lists, *catalogue.references(table)}
    return {name for name in needed if name is not None}


def _near(name: str, names: Collection[str]) -> str:
    near = difflib.get_close_matches(name, names, 1, NEAR)
    advice = f". Did you mean {near[0]}?" if near else ". docs/reference/tables.md has the tables and their fields."
    return f"{shown(name, names)}{advice}"


def _shown(path: Path) -> str:
    return ".".join((SECTION, *path))
