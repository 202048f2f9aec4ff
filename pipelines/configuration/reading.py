"""Reads the configuration from the environment, `.dlt/secrets.toml` and `.dlt/config.toml`, in dlt's order and under
dlt's names.

Importing dlt takes longer than an hourly sync that finds nothing new. This module therefore reads the files itself, as
dlt does (https://dlthub.com/docs/general-usage/credentials/setup), and uses dlt only if dlt may have other sources: a
vault, Airflow, a plugin, a workspace, a provider that the program has registered. The tests compare both. Knows no
setting.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import tempfile
import tomllib
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sources.errors import BadConfiguration

SECRETS, CONFIG = "secrets.toml", "config.toml"
SECRET_FILES = Path("/run/secrets")  # of Docker and Kubernetes
TELEMETRY, LOG_LEVEL = "RUNTIME__DLTHUB_TELEMETRY", "RUNTIME__LOG_LEVEL"


def configured(key: str, *, secret: bool = False) -> Any:
    """The value of a setting by its full name (`sources.stripe.workers`); None if it is not set.

    A value from the environment is text, a value from a file has its TOML type. Secrets are not read from
    `config.toml`. Raises BadConfiguration if the configuration cannot be read at all.
    """
    if _asks_dlt():
        _dlt_providers()
        import dlt

        return (dlt.secrets if secret else dlt.config).get(key)
    if (given := _of_environment(key, secret)) is not None:
        return given
    for name, document in _documents().items():
        if not (secret and name == CONFIG) and (found := _at(document, key)) is not None:
            return found
    return None


def settings_found() -> Iterator[tuple[str, str, str]]:
    """Every setting that is set: its place, section and name; from the environment only those with a section."""
    for variable in os.environ:
        *sections, name = variable.lower().split("__")
        if sections and name:
            yield "environment", ".".join(sections), name
    for place, document in (_dlt_documents() if _asks_dlt() else _documents()).items():
        for section, name in _leaves(document):
            yield f".dlt/{place}" if place.endswith(".toml") else place, section, name


def _at(document: Mapping[str, Any], key: str) -> Any:
    found: Any = document
    for name in key.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def _of_environment(key: str, secret: bool) -> str | None:
    variable = key.replace(".", "__").upper()
    if secret:
        name = variable.lower().replace("_", "-")
        for path in (SECRET_FILES / name / name, SECRET_FILES / name):
            if path.is_file() and os.access(path, os.R_OK):
                return path.read_text(encoding="utf-8")
    return os.environ.get(variable)


def _leaves(document: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{section}.{name}" if section else name)
        else:
            yield section, name


# --- the files --------------------------------------------------------------------------------------------------------


@cache
def _documents() -> Mapping[str, Mapping[str, Any]]:
    """The content of the two files; the project's override the user's. A process reads them once, as dlt does."""
    ours, users = _settings_folder(), _global_folder()
    return {name: _over(_read(ours / name), _read(users / name)) for name in (SECRETS, CONFIG)}


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError):  # its message repeats values
        raise _unreadable(path.name) from None


def _over(upper: Mapping[str, Any], lower: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**lower, **upper}
    for name, value in upper.items():
        if isinstance(value, Mapping) and isinstance(lower.get(name), Mapping):
            merged[name] = _over(value, lower[name])
    return merged


def _settings_folder() -> Path:
    return Path(os.environ.get("DLT_PROJECT_DIR", "."), _folder_name())


def _folder_name() -> str:
    return os.environ.get("DLT_CONFIG_FOLDER", ".dlt")


def _global_folder() -> Path:
    """dlt's folder of the user: for root, for a user with a home, for one without."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/dlt")
    home = os.path.expanduser("~")
    if not os.path.isdir(home) or not os.access(home, os.W_OK):
        return Path(tempfile.gettempdir(), "dlt")
    own = Path(home, _folder_name())
    return Path(os.environ["XDG_DATA_HOME"], "dlt") if "XDG_DATA_HOME" in os.environ and not own.is_dir() else own


def _unreadable(file: str) -> BadConfiguration:
    return BadConfiguration(f"The file .dlt/{file} is not valid TOML, or it cannot be read.")


# --- dlt --------------------------------------------------------------------------------------------------------------


def _asks_dlt() -> bool:
    """Whether dlt is imported already, or may have sources besides the environment and the two files."""
    return "dlt" in sys.modules or _finds_more()


@cache
def _finds_more() -> bool:
    from importlib.metadata import entry_points

    return (
        bool({"google.colab", "streamlit"} & sys.modules.keys())
        or importlib.util.find_spec("airflow") is not None
        or (_settings_folder() / ".workspace").is_file()
        or bool(_variables_of_dlt())
        or any(
            section.partition(".")[0] in ("providers", "runtime") and name != "dlthub_telemetry"
            for document in _documents().values()
            for section, name in _leaves(document)
        )
        or any(plugin.value != "dlt.__plugins__" for plugin in entry_points(group="dlt"))
    )


def _variables_of_dlt() -> Collection[str]:
    """Environment variables for dlt's own sections, without the two that the commands set themselves."""
    levels = logging.getLevelNamesMapping()
    return [
        name
        for name in sorted(os.environ)
        if name.startswith(("PROVIDERS__", "RUNTIME__"))
        and name != TELEMETRY
        and not (name == LOG_LEVEL and os.environ[name] in levels)
    ]


def _dlt_providers() -> Collection[Any]:
    """dlt's providers. The first call in a process reads its files, and sets up its log."""
    from dlt.common.configuration.container import Container
    from dlt.common.configuration.specs import PluggableRunContext

    try:
        return Container()[PluggableRunContext].providers.providers
    except Exception as error:  # any error of dlt, its files' parser or a vault's client: their messages repeat values
        if file := getattr(error, "file_name", None):
            raise _unreadable(file) from None
        raise BadConfiguration(
            f"dlt cannot read its configuration ({type(error).__name__}). One of dlt's own settings has a"
            f" value that dlt does not accept: {_candidates(getattr(error, 'field_name', None))}. Remove it:"
            " no command needs it."
        ) from None


def _dlt_documents() -> Mapping[str, Mapping[str, Any]]:
    from dlt.common.configuration.providers.doc import BaseDocProvider

    return {
        provider.name: tomllib.loads(provider.to_toml())
        for provider in _dlt_providers()
        if isinstance(provider, BaseDocProvider)
    }


def _candidates(field: str | None) -> str:
    """dlt's own setting of this name (`RUNTIME__LOG_LEVEL`); without a name, those that are set."""
    from dlt.common.configuration.specs import RuntimeConfiguration

    if field is not None:
        section = "RUNTIME" if field in RuntimeConfiguration().get_resolvable_fields() else "PROVIDERS"
        return f"{section}__{field.upper()}, or {field} in the section [{section.lower()}] of .dlt"
    return " or ".join([*_variables_of_dlt(), "one in the sections [runtime] and [providers] of .dlt"])
