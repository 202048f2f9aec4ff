"""One frozen `Settings`, read once from the environment and `.dlt`, in dlt's own order and under dlt's own names.

Every field has its description in its metadata; docs/reference/settings.md is generated from here.
Knows no command line: scripts replace fields with `dataclasses.replace`.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

from pipelines.configuration.fields import full_name, read_fields, refuse_wrong, setting
from pipelines.configuration.reading import configured
from pipelines.terminal.log import LogFormat

if TYPE_CHECKING:
    from sources.columns.contract import Contract

Destination = Literal["duckdb", "postgres"]
Indexes = Literal["default", "none"]
ALL_ACCOUNTS = "all"


@dataclass(frozen=True)
class CommonSettings:
    """The settings of every provider. Paths are relative to the working folder, rates are requests a second."""

    section: ClassVar[str]
    key_variable: ClassVar[str]
    account_setting: ClassVar[str] = ""
    account_prefix: ClassVar[str] = ""
    """The setting that names accounts besides the key's own ("" if the provider has none), and the prefix of their ids.
    """

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
        "`default` creates indexes on every reference and on `created` after a load into Postgres, in tables of"
        " four megabytes or more; `none` creates none, and keeps existing ones.",
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
        " of PEM. It replaces `sslrootcert`; `sslmode` is then `verify-full` unless another mode is set.",
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
    def configured_account(self) -> str | None:
        """The id of the account whose objects are read, if the settings have it."""
        raise NotImplementedError

    @property
    def accounts(self) -> str:
        """The accounts to work on besides the key's own: ids separated by commas, or `all`."""
        return ""

    @property
    def account_names(self) -> list[str]:
        """The accounts to work on besides the key's own, each once."""
        return list(dict.fromkeys(name for each in self.accounts.split(",") if (name := each.strip())))

    @property
    def names_several_accounts(self) -> bool:
        """Whether the settings name several accounts, so that a command works on one after the other."""
        return self.account_names == [ALL_ACCOUNTS] or len(self.account_names) > 1

    @property
    def has_key(self) -> bool:
        """Whether there is a key to read with."""
        raise NotImplementedError

    def acting_for(self, account: str | None) -> Self:
        """The settings for a connected account, or for the key's own account (None)."""
        return self

    def connected_accounts(self) -> list[str]:
        """Ids of the accounts that the key can act for besides its own, as the provider lists them."""
        return []

    @property
    def asked_version(self) -> str | None:
        """The API version to request, if the settings have one."""
        return None

    @property
    def identity(self) -> str:
        """The key, and everything else that decides which account it reads. Secret."""
        raise NotImplementedError


@dataclass(frozen=True)
class Settings(CommonSettings):
    """The settings of Stripe."""

    section: ClassVar[str] = "sources.stripe"
    key_variable: ClassVar[str] = "STRIPE_SECRET_KEY"
    account_setting: ClassVar[str] = "stripe_account"
    account_prefix: ClassVar[str] = "acct_"

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
    def configured_account(self) -> str | None:
        """The id of the account whose objects are read, if the settings have it: a connected account before
        `account_id`.
        """
        return self.stripe_account or self.account_id

    @property
    def account_rate(self) -> float:
        """Requests a second that this process may send for the account."""
        return (self.live_rate if self.is_live else self.sandbox_rate) * self.rate_limit_share

    @property
    def accounts(self) -> str:
        """The connected accounts to work on."""
        return self.stripe_account or ""

    @property
    def has_key(self) -> bool:
        """Whether there is a key to read with."""
        return bool(self.stripe_secret_key)

    def acting_for(self, account: str | None) -> Self:
        """The settings for a connected account. `account_id` is dropped, because it is the platform's."""
        return replace(self, stripe_account=account, account_id=None if account else self.account_id)

    def connected_accounts(self) -> list[str]:
        """Ids of the accounts connected to the key's platform, as Stripe lists them. Raises the client's errors."""
        from sources.stripe_api.connected import connected
        from sources.stripe_api.provider import open_client

        with open_client(self) as client:
            return list(connected(client))

    @property
    def asked_version(self) -> str | None:
        """The API version to request, if the settings have one."""
        return self.stripe_version

    @property
    def identity(self) -> str:
        """The key and the account that it acts for. Secret."""
        return f"{self.stripe_secret_key}\n{self.stripe_context or ''}"


SECTION = Settings.section
DATASET = r"(?!pg_|\w*_(?:staging|secrets)(?:_|\Z)|\w*_(?:current|metrics)\Z)[a-z][a-z0-9_]{0,27}"
"""Short enough for Postgres' 63 characters together with `_staging_` and the name of a part; not the name of another
dataset's schema of views, metrics, staging tables or secrets."""

FOREIGN_SCHEMAS = ("information_schema", "temp", "system")


def read_settings(**given: Any) -> Settings:
    """Reads every field: from `given` if it is not None, then the short variable, then dlt's environment and files.

    Raises `BadConfiguration`, which names the setting that cannot be used.
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
        with suppress(ValueError):  # contract_of has the message
            given = json.loads(given)
    return contract_of(given, section)


def check_common(settings: CommonSettings, **others: bool) -> None:
    """Raises BadConfiguration for the first setting that cannot be used. `others` are checks of the provider's
    settings: name -> whether the value is right.
    """
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
