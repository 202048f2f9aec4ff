"""docs/reference/settings.md and .dlt/config.toml, from the settings of the code."""

from __future__ import annotations

import textwrap
from dataclasses import MISSING, Field, fields

from generators.markdown_page import code, page, table
from pipelines.configuration.fields import environment_name
from pipelines.configuration.orb_settings import OrbSettings
from pipelines.configuration.settings import SECTION, Settings
from pipelines.sync.stripe_api.settings import SECTION as SYNC_SECTION
from pipelines.sync.stripe_api.settings import SyncSettings
from webhook_sink.settings import SECTION as SINK_SECTION
from webhook_sink.settings import SinkSettings

SETTINGS: tuple[tuple[str, type, str], ...] = (
    (SECTION, Settings, "Stripe, the database, and how fast"),
    (SYNC_SECTION, SyncSettings, "Scheduled runs"),
    (SINK_SECTION, SinkSettings, "The webhook sink"),
    (OrbSettings.section, OrbSettings, "Orb"),
)
ABOUT_ORB = (
    "What this section lacks of the settings of Stripe's section (the database, the packages, retries, `workers`,"
    " `rate_limit_share`) is read from there. It can also have all of these itself (`SOURCES__ORB__WORKERS`). The"
    " dataset is never read from Stripe's section."
)


def shown_fields(kind: type) -> list[Field[object]]:
    """The fields that a section shows: its own first; of Orb's, those that it shares with Stripe's are left out."""
    names = list(kind.__annotations__)
    own = sorted((each for each in fields(kind) if each.name in names), key=lambda each: names.index(each.name))
    shared = [each for each in fields(kind) if each.name not in kind.__annotations__]
    return own if kind is OrbSettings else own + shared


def settings_page() -> str:
    """Every setting with its default, its names and its meaning."""
    return page(
        "Settings",
        "A command reads its settings once, when it starts. The first of these places that has a setting wins: the"
        " command's option, the short environment variable, the long environment variable, `.dlt/secrets.toml`,"
        " `.dlt/config.toml`. The folder `.dlt` is the one in the folder where the command is started. A file `.env` in"
        " that folder sets environment variables that are not set.",
        "The value of a secret can also be in a file: `_FILE` behind its variable (`STRIPE_SECRET_KEY_FILE`,"
        " `DATABASE_URL_FILE`), or `_file` behind its name in `.dlt`, takes the path of a file that holds the value and"
        " nothing else.",
        "In the files, each setting is in the section that is named here, under the name in the first column. Put"
        " secret settings into `secrets.toml`.",
        "A setting is read only in its section: a variable `WORKERS` or `DATASET` of another program has no effect. If"
        " one of these sections contains an unknown name, the command ends with exit code 2 and suggests the nearest"
        " name. A section whose name is nearly one of these, or lacks a part of it, causes a warning on stderr. So do"
        " `resources`, `since`, `until` and `full_refresh`, which only `stripe_source()` reads. Messages name a setting"
        " and never repeat its value.",
        "dlt's own settings (`FULL_REFRESH`, `DEV_MODE`, `LOAD__…`, `NORMALIZE__…`, `DESTINATION__…`, `[pipelines…]`)"
        " have no effect on the loads of these commands, which give dlt their own configuration. These settings of dlt"
        " do have an effect: the credentials in `destination.postgres.credentials`, the"
        " [schema contract](../scheduling/schema_contract.md), and `log_level` and `log_format` in `runtime`. To use"
        " another folder that contains `.dlt`, set `DLT_PROJECT_DIR`.",
        *(part for section, kind, title in SETTINGS for part in _settings_section(section, kind, title)),
        "## People's data",
        "Section `[privacy]`: what becomes of the fields that hold it. [People's data](../privacy.md) explains it.",
        table(
            ("Setting", "Environment", "Meaning"),
            [
                (code("people"), code("PRIVACY__PEOPLE"), "`hash`, `drop` or `keep` of [every such field](people.md)."),
                (
                    "a table and its field, such as `customers.email`",
                    code("PRIVACY__CUSTOMERS__EMAIL"),
                    "The same of one field, and of all below it.",
                ),
                (code("salt"), code("PRIVACY__SALT"), "The key of the hash, at least 16 characters. **Secret.**"),
            ],
        ),
    )


def _settings_section(section: str, kind: type, title: str) -> list[str]:
    rows = (_setting_row(each, section) for each in shown_fields(kind))
    head = ("Setting", "Default", "Environment", "Meaning")
    about = [ABOUT_ORB] if kind is OrbSettings else []
    return [f"## {title}", f"Section `[{section}]`.", *about, table(head, rows)]


def _setting_row(each: Field[object], section: str) -> tuple[str, str, str, str]:
    default = "" if each.default in (None, MISSING) else str(each.default)
    variables = (each.metadata["env"], each.metadata["also"], environment_name(each.name, section))
    names = " or ".join(code(name) for name in variables if name)
    secret = " **Secret.**" if each.metadata["secret"] else ""
    return code(each.name), code(default), names, each.metadata["about"] + secret


CONFIG_HEAD = """\
# Settings that are not secret. Put secrets into secrets.toml beside this file, or into the environment, which wins.
# dlt looks for this folder where a command is started. The defaults are shown; to change one, remove the # in front.
# Generated by docs/generate_reference.py from the settings of the code.

[runtime]
dlthub_telemetry = false
"""


def config_toml() -> str:
    """The project's `.dlt/config.toml`: telemetry off, every other setting commented out with its default."""
    lines = [CONFIG_HEAD]
    for section, kind, title in SETTINGS:
        lines += [f"# {title}", f"[{section}]"]
        for each in shown_fields(kind):
            if not each.metadata["secret"]:
                lines += textwrap.wrap(each.metadata["about"], 118, initial_indent="# ", subsequent_indent="# ")
                lines.append(f"# {each.name} = {_toml(each.default)}")
        lines.append("")
    return "\n".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else f'"{value or ""}"'
