"""Every setting of the service, read once from `TALLYSTICK_*` environment variables and validated together.

`docs/settings.md` is rendered from the descriptions below (`render_settings_table`); a test keeps the two the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic.config import JsonDict
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tallystick.errors import TallystickError
from tallystick.ids import parse_address, parse_hash
from tallystick_platform.errors import SettingsError

ENV_PREFIX = "TALLYSTICK_"
EMBEDDED_CHAIN_ID = 73_571
REMOTE_CONFIRMATIONS = 12  # what wallets and exchanges wait for on a chain that may reorganise
MAX_TRANSACTION_BYTES = 131_072  # public node pools refuse more
MAX_BODY_BYTES = 16 * 1_048_576
MAX_SECONDS = 10 * 366 * 86_400  # ten years; times in receipts are 64 bits wide
MAX_CHAIN_ID = 2**53 - 1  # what JSON carries exactly
MIN_PROMISE_S, MAX_PROMISE_S = 60, 2_592_000  # what the contract takes (SPEC 6)
MAX_SKEW_S = 3_600
PROMISE_SHARE = 2
"""Work may take one part in this many of the log's promise; the rest is left for the way to the chain."""

MIN_LIKENESS = 0.75  # from which an unknown variable is taken for a misspelt setting
# Variables of the auditor's commands, which share the prefix and may look like settings.
_OTHER_COMMANDS = frozenset({"AUDITOR_KEY", "LOG", "RPC", "TOKEN", "TOKEN_FILE"})

_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_SECRET: JsonDict = {"secret": True}
_SECRET_URL: JsonDict = {"secret": True, "url": True}


class Mode(StrEnum):
    """What the service may do on its own."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Paths:
    """Where things lie under TALLYSTICK_HOME."""

    def __init__(self, home: Path) -> None:
        self.home = home = home.expanduser().absolute()
        self.keys_dir = keys = home / "keys"  # mode 0700; nothing but key files is ever written here
        self.epoch_keys_dir = keys / "epochs"  # a file for each epoch whose key the server still holds
        self.journal_path = home / "journal" / "journal.sqlite"
        self.chain_path = home / "chain"  # the embedded chain's folder
        self.models_dir = home / "models"  # converted models, cached
        self.exports_dir = home / "exports"  # published exports, and those being written
        self.run_dir = home / "run"  # sockets to the workers
        # What development mode generates:
        self.operator_key = keys / "operator.key"
        self.keeper_key = keys / "keeper.key"  # may name another writer
        self.auditor_key = keys / "auditor.key"
        self.auditor_public = keys / "auditor.pub"
        self.client_file = keys / "client.json"  # base URL, token and wallet of a client
        self.export_key = keys / "export.pem"  # signs exports; its public half lies beside it as `.pub`


class Settings(BaseSettings):
    """The validated settings. Read them with `load_settings`, which turns faults into `SettingsError`."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    home: Path = Field(
        Path(".tallystick"), description="Folder of all state: keys, journal, embedded chain, converted models."
    )
    mode: Mode = Field(
        Mode.DEVELOPMENT, description="`development` generates missing keys; `production` refuses generated ones."
    )
    host: str = Field("127.0.0.1", description="Address that the API listens on.")
    port: int = Field(8000, ge=0, le=65_535, description="Port that the API listens on.")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins of web pages that may call the API, such as `https://app.example`, comma-separated; `*`: all.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line that is written."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto",
        description="Log lines for programs or for people. `auto`: `text` where standard error is a terminal, else `json`.",
    )

    operator_key_file: Path | None = Field(
        None,
        description="Key of the log's writer: a wallet file, or a keystore. Production needs this or the next; else it is generated.",
    )
    operator_key: str | None = Field(
        None,
        description="The same key itself: 32 bytes of hex, or a wallet file's line. Anyone who sees the process's environment sees it.",
        json_schema_extra=_SECRET,
    )
    operator_password_file: Path | None = Field(
        None,
        description="File of mode 0600 with the password of the keystore that `TALLYSTICK_OPERATOR_KEY_FILE` names.",
    )
    signer_url: str | None = Field(
        None,
        description=(
            "JSON-RPC URL of a signer (web3signer, clef) that signs the writer's transactions. It signs nothing else: receipts, many a "
            "second, are signed here, so the key must be here too."
        ),
        json_schema_extra=_SECRET_URL,
    )
    auditor_public_keys: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="Public key files of the auditors, comma-separated. Required in production; else generated."
    )
    epoch_seconds: int = Field(
        86_400,
        ge=1,
        le=MAX_SECONDS,
        description="Lifetime of an epoch key in seconds; afterwards the server forgets it.",
    )
    custody: Literal["chain"] = Field(
        "chain", description="Who holds the records' secrets: `chain` needs the auditors' keys alone."
    )

    chain_rpc: str | None = Field(
        None,
        description="JSON-RPC URL of an EVM node. Unset: an embedded chain is started, if `tallystick[devchain]` is installed.",
        json_schema_extra=_SECRET_URL,
    )
    chain_port: int = Field(8545, ge=0, le=65_535, description="Loopback port of the embedded chain's JSON-RPC.")
    chain_id: int = Field(
        EMBEDDED_CHAIN_ID,
        ge=1,
        le=MAX_CHAIN_ID,
        description="Chain id; the service refuses a node that answers another.",
    )
    contract: str | None = Field(None, description="Address of the ledger contract. Unset: deployed on first start.")
    log_id: str | None = Field(None, description="The log to write, 32 bytes of hex. Unset: created on first start.")
    log_promise_s: int = Field(
        86_400,
        ge=MIN_PROMISE_S,
        le=MAX_PROMISE_S,
        description="What a new log promises for life: seconds within which every admission's record is on the chain.",
    )
    log_skew_s: int = Field(
        300,
        ge=0,
        le=MAX_SKEW_S,
        description="How far this machine's clock may be from a new log's chain, in seconds; for life, too.",
    )
    log_keeper: str | None = Field(
        None,
        description=(
            "Address that alone may name another writer of a new log; keep its key cold. Unset: in development a key is generated as "
            "keys/keeper.key; in production it must be set where a log is made."
        ),
    )
    confirmations: int = Field(
        0,
        ge=0,
        le=10_000,
        description=f"Blocks on a batch before it is final. Unset: 0 embedded, else {REMOTE_CONFIRMATIONS}.",
    )
    max_fee_per_gas_gwei: int = Field(
        500, ge=1, le=10**9, description="Most that the anchorer pays for a unit of gas; dearer: it waits."
    )

    batch_max_bytes: int = Field(
        98_304, ge=1_024, le=MAX_TRANSACTION_BYTES - 1_024, description="Calldata at which a batch is sent."
    )
    batch_max_age_ms: int = Field(
        1_000, ge=0, le=3_600_000, description="Age of the oldest waiting record at which a batch is sent."
    )
    max_unanchored_records: int = Field(
        10_000, ge=1, le=10**9, description="Records not yet on the chain at which new requests are answered 503."
    )

    request_timeout_s: float = Field(
        120.0, gt=0, le=3_600, description="Time that one request may take; at most half of the log's promise."
    )
    export_limit_s: int = Field(
        86_400,
        ge=60,
        le=MAX_PROMISE_S,
        description="Time from an export's request to its end; what is not done by then is given up, and recorded so.",
    )
    max_body_bytes: int = Field(1_048_576, ge=1_024, le=MAX_BODY_BYTES, description="Largest request body.")
    max_media_bytes: int = Field(
        MAX_BODY_BYTES, ge=1_024, le=MAX_BODY_BYTES, description="The same for a form with a file, such as a sound."
    )
    max_concurrent_requests: int = Field(256, ge=1, le=100_000, description="Requests admitted at the same time.")
    max_concurrent_per_token: int = Field(
        128, ge=1, le=100_000, description="Requests of one token admitted at the same time."
    )
    drain_timeout_s: float = Field(
        30.0, ge=0, le=3_600, description="Time that requests in flight get when the server stops."
    )

    model: str = Field(
        "demo",
        description="What the worker serves: `demo`, `demo-embedding` or `demo-transcription` (packaged models), or a folder with a model.",
    )
    model_signatures: Literal["required", "warn", "off"] = Field(
        "warn",
        description="What happens to a model without a good signature: `required` refuses it, `off` does not look.",
    )
    model_signers: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="Public key files, in PEM, of those whose model signatures count, comma-separated."
    )
    model_quota_bytes: int = Field(
        64 * 1_073_741_824, ge=0, le=2**53 - 1, description="Bytes that the models of one owner may take on disk."
    )
    upload_lifetime_s: int = Field(
        86_400, ge=60, le=MAX_SECONDS, description="Time that an upload may take; then what came of it is removed."
    )
    export_signing_key: Path | None = Field(
        None,
        description="EC private key, in PEM, that signs exports. Unset: generated in development; in production they are unsigned.",
    )
    workers: int = Field(1, ge=1, le=64, description="Worker processes, each with the model loaded.")
    worker_max_concurrent: int = Field(64, ge=1, le=4_096, description="Requests that one worker computes or queues.")
    worker_start_timeout_s: float = Field(
        300.0, gt=0, le=86_400, description="Time that a worker may take to load its model."
    )
    provider_id: str = Field("local", min_length=1, max_length=64, description="Provider's id in records.")
    provider_name: str = Field(
        "Local provider", min_length=1, max_length=128, description="Provider's name in records."
    )
    price_per_hour_micros: int = Field(
        500_000, ge=0, le=10**12, description="Price of the whole device set per hour, in millionths of the currency."
    )
    price_currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="ISO 4217 code of the price.")

    @model_validator(mode="before")
    @classmethod
    def _confirmations_by_chain(cls, data: Any) -> Any:
        if isinstance(data, dict) and "confirmations" not in data:
            return {**data, "confirmations": REMOTE_CONFIRMATIONS if data.get("chain_rpc") else 0}
        return data

    @field_validator("auditor_public_keys", "model_signers", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and _ORIGIN.fullmatch(origin) is None:
                raise ValueError(
                    f"{origin!r} is no origin: write it as `https://host` or `https://host:port`, in lower case"
                )
        return value

    @field_validator("chain_rpc", "signer_url")
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in {"http", "https"}:
            raise ValueError("must be an http:// or https:// URL")
        return value

    @field_validator("contract", "log_keeper")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            _parsed(parse_address, value)
        return value

    @field_validator("log_id")
    @classmethod
    def _hash(cls, value: str | None) -> str | None:
        if value is not None:
            _parsed(parse_hash, value)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        if self.log_id is not None and self.contract is None:
            raise ValueError("log_id names a log of a contract: set TALLYSTICK_CONTRACT too")
        if self.operator_key_file is not None and self.operator_key is not None:
            raise ValueError("operator_key and operator_key_file both name the writer's key: set one of them")
        self.check_promise(self.log_promise_s)
        if self.mode is Mode.PRODUCTION:
            if self.operator_key_file is None and self.operator_key is None:
                raise ValueError("production mode uses no generated keys: set TALLYSTICK_OPERATOR_KEY_FILE")
            if not self.auditor_public_keys:
                raise ValueError("production mode uses no generated keys: set TALLYSTICK_AUDITOR_PUBLIC_KEYS")
        return self

    def check_promise(self, promise_s: int) -> None:
        """Hold the time that a request may take to a log's promise: the setting's, or that of the log that is there already.

        Raises: ValueError
        """
        limit_s = longest_work_s(promise_s)
        if self.request_timeout_s > limit_s:
            raise ValueError(
                f"request_timeout_s is {self.request_timeout_s:g}, and the log promises each record within {promise_s} s of its "
                f"admission: a request may take {limit_s} s at most, so that as much is left for the way to the chain"
            )

    @property
    def paths(self) -> Paths:
        """Where things lie under TALLYSTICK_HOME."""
        return Paths(self.home)

    @property
    def embedded_chain(self) -> bool:
        """Whether the service runs its own chain."""
        return self.chain_rpc is None


def longest_work_s(promise_s: int) -> int:
    """The time that what was admitted may take before its record is written, on a log with this promise."""
    return promise_s // PROMISE_SHARE


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment, with overrides.

    Raises: SettingsError naming the first setting at fault, as an environment variable, or a variable that looks like a misspelt one.
    """
    _refuse_misspelt(os.environ)
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks each at run time
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ENV_PREFIX + str(first["loc"][0]).upper() if first["loc"] else "settings"
        raise SettingsError(setting=name, reason=str(first["msg"]).removeprefix("Value error, ")) from error


def _refuse_misspelt(names: Iterable[str]) -> None:
    """A misspelt setting would leave its default in force without a word."""
    known = [name.upper() for name in Settings.model_fields]
    for name in sorted(names):
        word = name.removeprefix(ENV_PREFIX)
        if word != name and word not in known and word not in _OTHER_COMMANDS:
            for near in get_close_matches(word, known, n=1, cutoff=MIN_LIKENESS):
                raise SettingsError(setting=name, reason=f"there is no such setting; is {ENV_PREFIX}{near} meant?")


def redacted(settings: Settings) -> Mapping[str, str]:
    """Every setting as text, fit to be shown: of a URL that may hold a key, only scheme and host; of a key, nothing."""
    shown = {}
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if value is not None and field.json_schema_extra == _SECRET:
            shown[name] = "[redacted]"
        elif value is not None and field.json_schema_extra == _SECRET_URL:
            parts = urlsplit(value)
            bare = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
            shown[name] = bare if value in {bare, bare + "/"} else bare + "/[redacted]"
        else:
            shown[name] = _as_text(value)
    return shown


def render_settings_table() -> str:
    """The Markdown table of docs/settings.md: variable, default, meaning."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = _as_text(field.default)
        rows.append(
            f"| `{ENV_PREFIX}{name.upper()}` | {f'`{default}`' if default else 'unset'} | {field.description} |"
        )
    return "\n".join(rows) + "\n"


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return str(value)


def _parsed(parse: Any, value: str) -> None:
    try:
        parse(value)
    except TallystickError as error:
        raise ValueError(str(error)) from error
