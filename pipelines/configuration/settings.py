"""One frozen `Settings`, read once from the environment and `.dlt`, in dlt's own order and under dlt's own names.

Every field says in its metadata what it is for; docs/reference/settings.md is generated from here.
Knows no command line: scripts replace fields with `dataclasses.replace`.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args, get_type_hints

from pipelines.configuration.reading import configured
from pipelines.configuration.unread import LIKE, LOG, refuse_unread
from pipelines.terminal.log import LogFormat
from sources.errors import BadConfiguration, looks_secret

if TYPE_CHECKING:
    from sources.columns.contract import Contract

Destination = Literal["duckdb", "postgres"]
Indexes = Literal["default", "none"]

BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
"""How a setting that is on or off may be written."""


def setting(default: Any, about: str, *, env: str | None = None, also: str | None = None, secret: bool = False) -> Any:
    """A field: `env` is a shorter environment variable that wins over it, and `also` one that other tools read."""
    metadata = {"about": about, "env": env, "also": also, "secret": secret}
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True)
class CommonSettings:
    """What can be set for each provider. Paths are relative to the working folder, rates are requests a second."""

    section: ClassVar[str]
    key_variable: ClassVar[str]

    max_retries: int = setting(5, "Number of times that a request is retried after a temporary failure.")
    initial_retry_delay: float = setting(
        0.5, "Longest wait before the first retry, in seconds; it doubles for each further one."
    )
    max_retry_delay: float = setting(60.0, "Longest wait before a retry, in seconds.")
    connect_timeout: float = setting(10.0, "Seconds to wait for a connection.")
    read_timeout: float = setting(80.0, "Seconds to wait for the start of an answer, and for each further part of it.")
    request_deadline: float = setting(
        180.0, "Seconds that a whole request may take, up to the last byte of its answer."
    )
    max_clock_skew: float = setting(
        600.0,
        "Seconds by which the `Date` of an answer may differ from the clock that confirms it, which is this"
        " machine's or the database's; `inf` for a simulated account.",
    )
    rate_limit_share: float = setting(
        0.5, "Share of the account's rate limit to use, above 0 and at most 1. The rest is left for your own checkout."
    )
    workers: int = setting(16, "Maximum number of concurrent requests.")
    package_rows: int = setting(40_000, "Approximate number of rows in one load package.")
    package_megabytes: int = setting(32, "Approximate size of one load package, in megabytes.")
    package_seconds: float = setting(
        30.0, "Longest time that fetched rows wait before their package is loaded, in seconds."
    )
    destination: Destination = setting("duckdb", "`duckdb` or `postgres`.")
    dataset: str = setting(
        "stripe",
        "Schema that holds the tables. Its name begins with a letter and has at most 28 lower-case letters,"
        " digits and underscores. It must not end in `_current`, `_metrics`, `_staging` or `_secrets`, which are"
        " reserved for the project's other schemas.",
    )
    duckdb_path: str = setting(
        "stripe_data.duckdb",
        "DuckDB file. Its name without the extension must differ from the dataset's name, or table names"
        " become ambiguous.",
        env="DUCKDB_PATH",
    )
    duckdb_memory_limit: str = setting("1GB", "Maximum memory that DuckDB may use.")
    indexes: Indexes = setting(
        "default",
        "`default` makes indexes on every reference and on `created` after a load into Postgres, in tables of"
        " four megabytes or more; `none` makes none, and leaves those that are there.",
    )
    database_url: str | None = setting(
        None,
        "libpq connection string, or a URL in another client's format (see docs/postgres.md). The default is"
        " dlt's own `destination.postgres.credentials`.",
        env="DATABASE_URL",
        secret=True,
    )
    database_ca: str | None = setting(
        None,
        "Certificate of the authority that signed the database server's certificate: the path of a file, PEM, or base64"
        " of PEM. It replaces `sslrootcert`, and makes `sslmode` `verify-full` where nothing else is set.",
        env="DATABASE_CA",
    )

    log_format: LogFormat | None = setting(
        None, "`text` or `json`: lines of the log on stderr. The default is `json` for the sink, and `text` elsewhere."
    )

    @property
    def is_live(self) -> bool:
        """Whether the key is a live one."""
        raise NotImplementedError

    @property
    def told_account(self) -> str | None:
        """Whose objects are read, where the settings tell."""
        raise NotImplementedError

    @property
    def accounts(self) -> str:
        """The accounts to work on besides the key's own: ids separated by commas, or `all`."""
        return ""

    @property
    def names_several_accounts(self) -> bool:
        """Whether a command works on more than one account, one after the other."""
        return False

    @property
    def has_key(self) -> bool:
        """Whether there is a key to read with."""
        raise NotImplementedError

    def acting_for(self, account: str | None) -> Self:
        """The settings for a connected account, or for the key's own (None), which is all that most providers have."""
        return self

    @property
    def asked_version(self) -> str | None:
        """The version of the API to request, where the settings tell."""
        return None

    @property
    def identity(self) -> str:
        """The key and whatever else decides whose objects it reads. Secret."""
        raise NotImplementedError


@dataclass(frozen=True)
class Settings(CommonSettings):
    """Everything that can be set for Stripe."""

    section: ClassVar[str] = "sources.stripe"
    key_variable: ClassVar[str] = "STRIPE_SECRET_KEY"

    stripe_secret_key: str | None = setting(
        None,
        "Secret or restricted key. It needs only read permissions.",
        env="STRIPE_SECRET_KEY",
        also="STRIPE_API_KEY",
        secret=True,
    )
    api_base: str = setting("https://api.stripe.com", "Address of Stripe's API, of a proxy, or of the simulator.")
    stripe_version: str | None = setting(
        None, "API version to request. The default is the version of the installed SDK."
    )
    stripe_account: str | None = setting(
        None, "Connected account to read (`acct_…`), sent as `Stripe-Account`; several separated by commas, or `all`."
    )
    stripe_context: str | None = setting(None, "Account or organisation path to read, sent as `Stripe-Context`.")
    account_id: str | None = setting(
        None, "The account's id, which is written to `_account_id`. Set it if the key may not read `/v1/account`."
    )
    live_rate: float = setting(100.0, "Stripe's limit for a live account, in requests per second; `inf` for no limit.")
    sandbox_rate: float = setting(
        25.0, "Stripe's limit for a sandbox or test-mode account, in requests per second; `inf` for no limit."
    )
    endpoint_rate: float = setting(
        25.0, "Stripe's limit for each endpoint, in requests per second; `inf` for no limit."
    )

    @property
    def is_live(self) -> bool:
        """Whether the key is a live one: `sk_live_…` or `rk_live_…`."""
        return "_live_" in (self.stripe_secret_key or "")

    @property
    def told_account(self) -> str | None:
        """Whose objects are read, where the settings tell: a connected account's are its own, not the platform's."""
        return self.stripe_account or self.account_id

    @property
    def account_rate(self) -> float:
        """Requests a second that this process may spend on the account."""
        return (self.live_rate if self.is_live else self.sandbox_rate) * self.rate_limit_share

    @property
    def accounts(self) -> str:
        """The connected accounts that are asked for."""
        return self.stripe_account or ""

    @property
    def names_several_accounts(self) -> bool:
        """Whether a command works on more than one account, one after the other."""
        return self.accounts == "all" or "," in self.accounts

    @property
    def has_key(self) -> bool:
        """Whether there is a key to read with."""
        return bool(self.stripe_secret_key)

    def acting_for(self, account: str | None) -> Self:
        """The settings for a connected account. `account_id` names the platform, if any: it applies to its own only."""
        return replace(self, stripe_account=account, account_id=None if account else self.account_id)

    @property
    def asked_version(self) -> str | None:
        """The version of the API to request, where the settings tell."""
        return self.stripe_version

    @property
    def identity(self) -> str:
        """The key and the account that it acts for. Secret."""
        return f"{self.stripe_secret_key}\n{self.stripe_context or ''}"


SECTION = Settings.section
DATASET = r"(?!pg_|\w*_(?:staging|secrets)(?:_|\Z)|\w*_(?:current|metrics)\Z)[a-z][a-z0-9_]{0,27}"
"""Within Postgres' 63 characters with `_staging_` and the name of a part; not where another dataset has its views, its
metrics, its staging tables or its secrets."""

FOREIGN_SCHEMAS = ("information_schema", "temp", "system")


def full_name(name: str, section: str = SECTION) -> str:
    """dlt's path of a setting, as in `.dlt/config.toml`: `sources.stripe.api_base`."""
    return f"{section}.{name}"


def environment_name(name: str, section: str = SECTION) -> str:
    """dlt's environment variable of a setting: `SOURCES__STRIPE__API_BASE`."""
    return full_name(name, section).replace(".", "__").upper()


def read_settings(**given: Any) -> Settings:
    """Reads every field: what is `given` (not None) wins, then the short variable, then dlt's environment and files.

    Raises `BadConfiguration` naming the setting that cannot be used.
    """
    settings = Settings(**read_fields(Settings, SECTION, given))
    check_common(
        settings,
        live_rate=settings.live_rate > 0,
        sandbox_rate=settings.sandbox_rate > 0,
        endpoint_rate=settings.endpoint_rate > 0,
        api_base=settings.api_base.startswith(("http://", "https://")),
    )
    return settings


def read_contract(section: str = SECTION) -> Contract:
    """dlt's `schema_contract` of a source: a word, a table in `.dlt/config.toml`, or JSON in the environment.

    Raises BadConfiguration.
    """
    from sources.columns.contract import SETTING, contract_of

    given: Any = configured(full_name(SETTING, section))
    if isinstance(given, str) and given.strip().startswith("{"):
        with suppress(ValueError):  # contract_of says what is wrong with it
            given = json.loads(given)
    return contract_of(given, section)


def read_fields(
    kind: type[Any], section: str, given: Mapping[str, Any], shared: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """The set values of a dataclass whose fields are made by `setting`, in the order that `read_settings` says.

    `shared` are names of settings with another section, which has them where their own section does not.
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
    """Warns of an environment variable whose name is nearly a setting's, where the setting itself has no value.

    It may be another program's, and so is not refused. Of long names only those that lack an underscore are found.
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
"""What follows the name of a secret whose value is in a file."""


def _found_value(metadata: Mapping[str, Any], name: str, section: str) -> Any:
    """The value of a setting: of its short variables, then of dlt's own places; of a secret also what a file holds."""
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


def is_set(kind: type[CommonSettings], name: str) -> bool:
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


def check_common(settings: CommonSettings, **others: bool) -> None:
    """Raises BadConfiguration for the first setting that cannot be used; `others` says it of those of one provider."""
    limits = {
        "rate_limit_share": 0 < settings.rate_limit_share <= 1,
        "workers": 1 <= settings.workers <= 256,
        "max_retries": settings.max_retries >= 0,
        "initial_retry_delay": settings.initial_retry_delay >= 0,
        "max_retry_delay": settings.max_retry_delay >= 0,
        "connect_timeout": settings.connect_timeout > 0,
        "read_timeout": settings.read_timeout > 0,
        "request_deadline": settings.request_deadline > 0,
        "max_clock_skew": settings.max_clock_skew > 0,
        "package_seconds": settings.package_seconds >= 0,
        "package_rows": settings.package_rows >= 1,
        "package_megabytes": settings.package_megabytes >= 1,
        "log_format": settings.log_format in (None, *get_args(LogFormat)),
        "destination": settings.destination in get_args(Destination),
        "indexes": settings.indexes in get_args(Indexes),
        "dataset": re.fullmatch(DATASET, settings.dataset) is not None and settings.dataset not in FOREIGN_SCHEMAS,
    }
    refuse_wrong(type(settings), settings.section, limits | others)


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
