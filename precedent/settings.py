"""One `Settings`, read once from `PRECEDENT_*` (and the few names that hosts set); every field says its unit and reason."""

from __future__ import annotations

import os
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from precedent.errors import SettingsInvalid
from precedent.production import refused_values


class Settings(BaseSettings):
    """Configuration of one process. Frozen: pass it along, never mutate it."""

    model_config = SettingsConfigDict(env_prefix="PRECEDENT_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True)

    mode: Literal["development", "production"] = Field(
        "development", description="production refuses demo secrets, missing keys, debug and plain HTTP"
    )
    home: Path = Field(Path(".precedent"), description="folder of the embedded database, keys, development token and logs")
    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("PRECEDENT_DATABASE_URL", "DATABASE_URL"),
        description="PostgreSQL 15 or newer with pgvector 0.8.4 or newer; empty: the embedded one under home",
    )
    chain: str = Field("main", description="name of the chain this process appends to; one a tenant")

    api_host: str = Field("127.0.0.1", description="address the API binds to; 0.0.0.0 in a container")
    tls_at_proxy: bool = Field(
        False, description="whoever reaches the API comes by a proxy that ends TLS; without it production binds to loopback alone"
    )
    api_port: int = Field(8000, ge=1, le=65535, validation_alias=AliasChoices("PRECEDENT_API_PORT", "PORT"), description="port of the API")
    dagster_port: int = Field(3000, ge=1, le=65535, description="port of the Dagster webserver, on loopback")
    docs_port: int = Field(8080, ge=1, le=65535, description="port of the dbt docs, on loopback")
    dagster_url: str | None = Field(None, description="where the API reaches Dagster; empty: loopback at dagster_port")
    time_zone: str = Field("UTC", description="zone of the daily schedules (06:00, 06:10, 06:20)")

    pipeline_start: date = Field(date(2011, 9, 1), description="first day that the pipeline can compute; a day costs nothing until it is")

    internal_job_token: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("PRECEDENT_INTERNAL_JOB_TOKEN", "INTERNAL_JOB_TOKEN"),
        description="x-internal-token of POST /jobs/…; empty: made at first start, in home/internal-token (development only)",
    )
    keys_dir: Path | None = Field(
        None, description="folder of epoch, lookup and signer keys, mode 700, outside the database; empty: home/keys"
    )
    root_key: SecretStr | None = Field(
        None, description="key of look-ups by pseudonym, 64 hex digits; with epoch_keys, in place of the files among the keys"
    )
    epoch_keys: SecretStr | None = Field(
        None, description="keys that wrap subjects' keys, the newest month current: epoch-2026-11=<64 hex digits> …; or python:module:name"
    )
    signer_key: SecretStr | None = Field(
        None, description="Ed25519 key that signs checkpoints, 64 hex digits, during a rotation `old,new`; empty: signer.key among the keys"
    )
    signer: Literal["inline", "process"] = Field(
        "inline", description="process: checkpoints are signed by `precedent signer`, which alone has to reach the key"
    )
    signer_socket: Path | None = Field(
        None, description="socket of that process, which makes it with mode 600; empty: home/run/signer.sock"
    )
    anchor_dir: str | None = Field(
        None,
        description="folders outside the database for the newest checkpoint, with commas; or python:module:name; empty: home/anchor",
    )

    openai_api_key: SecretStr | None = Field(
        None, validation_alias=AliasChoices("PRECEDENT_OPENAI_API_KEY", "OPENAI_API_KEY"), description="turns model advice on"
    )
    openai_base_url: str | None = Field(
        None, validation_alias=AliasChoices("PRECEDENT_OPENAI_BASE_URL", "OPENAI_BASE_URL"), description="any compatible server"
    )
    summary_model: str | None = Field(None, description="chat model that words snapshots, with OPENAI_API_KEY; empty: a template does")
    model_costs_file: Path | None = Field(
        None, description="YAML with your prices of models and their daily budgets; empty: calls are counted, none priced nor refused"
    )
    slack_bot_token: SecretStr | None = Field(
        None, validation_alias=AliasChoices("PRECEDENT_SLACK_BOT_TOKEN", "SLACK_BOT_TOKEN"), description="turns Slack on"
    )
    outbox: Literal["inline", "process"] = Field(
        "inline", description="who delivers messages: each API process, or process: `precedent outbox run` alone"
    )
    outbox_keep_days: int = Field(30, ge=1, description="how long delivered messages are kept; dead ones stay until they are replayed")
    webhook_networks: str = Field("", description="networks that webhooks may reach besides public addresses, with commas, as 10.1.0.0/16")
    slack_base_url: str = Field("https://slack.com/api", description="where Slack's Web API is; tests point it at loopback")

    body_limit_bytes: int = Field(64 * 1024, ge=1024, description="largest body of one request")
    stream_line_limit_bytes: int = Field(64 * 1024, ge=1024, description="largest line of an NDJSON stream of events")
    batch_limit_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="largest body of a batch")
    rate_per_second: float = Field(1000.0, gt=0, description="requests a token may make on one API process; beyond it 429")
    rate_burst_seconds: float = Field(2.0, gt=0, description="how long a token that was quiet may save up, so that it may ask more at once")
    connection_limit: int = Field(1024, ge=1, description="connections an API process holds at once; beyond it 503")
    head_timeout_seconds: float = Field(10.0, gt=0, description="how long the head of a request may take")
    body_timeout_seconds: float = Field(30.0, gt=0, description="how long a body may take; of a stream, each pause in it")
    send_timeout_seconds: float = Field(30.0, gt=0, description="how long an answer may wait to be read")
    append_queue_limit: int = Field(2048, ge=1, description="entries waiting for a commit; beyond it 503, so that waiting stays short")
    append_timeout_seconds: float = Field(5.0, gt=0, description="how long an append is tried again while the database is away")
    read_pool_size: int = Field(4, ge=1, description="connections an API process keeps for reading")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    otlp_endpoint: str | None = Field(None, description="where traces go, by OTLP over HTTP, with its path (/v1/traces); none: no traces")
    debug: bool = Field(False, description="tracebacks in answers; refused in production")

    @field_validator(
        "database_url",
        "internal_job_token",
        "openai_api_key",
        "slack_bot_token",
        "otlp_endpoint",
        "keys_dir",
        "root_key",
        "epoch_keys",
        "signer_key",
        "signer_socket",
        "anchor_dir",
        "dagster_url",
        "openai_base_url",
        "summary_model",
        "model_costs_file",
        mode="before",
    )
    @classmethod
    def _empty_is_absent(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"no such time zone: {value}") from error
        return value

    @model_validator(mode="after")
    def _production_is_strict(self) -> Settings:
        if self.mode == "production" and (reasons := list(refused_values(self))):
            raise ValueError(f"production refuses to start: {'; '.join(reasons)}")
        return self

    @cached_property
    def home_dir(self) -> Path:
        """`home`, absolute."""
        return self.home.expanduser().resolve()

    @cached_property
    def keys_path(self) -> Path:
        """Folder of the keys, absolute."""
        return (self.keys_dir or self.home_dir / "keys").expanduser().resolve()

    @cached_property
    def anchor_places(self) -> tuple[str, ...]:
        """Where checkpoints are anchored, as it was set; none where that is home/anchor."""
        return tuple(place.strip() for place in (self.anchor_dir or "").split(",") if place.strip())

    @cached_property
    def anchor_path(self) -> Path:
        """The first folder of the anchored checkpoints, absolute."""
        folders = [place for place in self.anchor_places if not place.startswith("python:")]
        return Path(folders[0]).expanduser().resolve() if folders else self.home_dir / "anchor"

    @cached_property
    def signer_socket_path(self) -> Path:
        """Socket of the signer's process, absolute."""
        return (self.signer_socket or self.home_dir / "run" / "signer.sock").expanduser().resolve()

    @cached_property
    def signer_path(self) -> Path:
        """Folder in which the signer remembers; not that of the keys, which may be mounted read-only."""
        return self.home_dir / "signer"

    @property
    def api_url(self) -> str:
        host = "127.0.0.1" if self.api_host in {"0.0.0.0", "::"} else self.api_host  # noqa: S104
        return f"http://{host}:{self.api_port}"

    @property
    def dagster_address(self) -> str:
        return self.dagster_url or f"http://127.0.0.1:{self.dagster_port}"

    @property
    def docs_url(self) -> str:
        return f"http://127.0.0.1:{self.docs_port}"


def load_settings(**overrides: object) -> Settings:
    """The settings of this process's environment.

    Raises: SettingsInvalid naming each setting and why.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {fault['msg']}" for fault in error.errors())
        raise SettingsInvalid(f"couldn't read the settings: {faults}") from error


def project_root() -> Path:
    """The checkout that holds policies/, dbt/ and dagster_project/: `PRECEDENT_ROOT`, else the parent of this package."""
    return Path(os.environ.get("PRECEDENT_ROOT") or Path(__file__).resolve().parent.parent)
