"""Settings of status-collector."""

from __future__ import annotations

from urllib.parse import urlsplit

from msgspec import Struct
from pydantic import Field, SecretStr, ValidationInfo, field_validator

from mqtt_shared.settings import NatsSettings, check_url

__all__ = ["CollectorSettings", "Retention"]

_DAY_SECONDS = 86_400.0


class Retention(Struct, frozen=True):
    """How long things are kept, in seconds."""

    instances: float
    boots: float
    activity: float
    minutes: float
    hours: float


class CollectorSettings(NatsSettings):
    """Each field is an environment variable (in capitals) and a command-line option."""

    database_url: SecretStr = Field(description="postgresql:// URL of a login in role mqtt_status_collector.")
    http_host: str = Field(default="127.0.0.1", description="Address for /healthz, /readyz and /metrics.")
    http_port: int = Field(default=8005, ge=0, le=65535, description="Port for the same; 0 takes a free one.")
    flush_interval_seconds: float = Field(default=0.25, gt=0, le=10, description="Time between two flushes.")
    flush_size: int = Field(
        default=10_000,
        ge=1,
        le=50_000,
        description="Most boots in one flush; so many waiting begin one at once.",
    )
    sweep_interval_seconds: float = Field(
        default=1.0, gt=0, le=60, description="Time between two looks for stale instances."
    )
    redelivery_seconds: float = Field(
        default=30,
        ge=0.5,
        le=300,
        description="After this the stream delivers again what a collector took and did not commit.",
    )
    heartbeat_retention_hours: float = Field(
        default=168, gt=0, le=8760, description="How long the stream keeps the last heartbeat of a boot."
    )
    boot_retention_days: float = Field(
        default=30, gt=0, description="How long a silent boot or instance stays; longer than the stream's."
    )
    instance_retention_days: float = Field(
        default=7,
        gt=0,
        description="How long a silent instance is shown; not longer than its boots are kept.",
    )
    activity_retention_days: float = Field(
        default=30, ge=1, le=36_500, description="How long the activity of instances is kept."
    )
    minute_retention_days: float = Field(
        default=7, ge=2, le=36_500, description="How long the history per minute is kept."
    )
    hour_retention_days: float = Field(
        default=400, ge=31, le=36_500, description="How long the history per hour is kept."
    )
    shutdown_timeout_seconds: float = Field(
        default=10, gt=0, le=300, description="Time for the last flush when told to stop."
    )

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, url: SecretStr) -> SecretStr:
        if urlsplit(url.get_secret_value()).scheme not in {"postgresql", "postgres"}:
            raise ValueError("must be a URL that begins with postgresql://")
        check_url(url.get_secret_value(), ("postgresql", "postgres"), host=False)
        return url

    @field_validator("boot_retention_days")
    @classmethod
    def _outlives_the_stream(cls, days: float, info: ValidationInfo) -> float:
        # A boot that is forgotten while the stream still holds its last heartbeat would be counted twice.
        hours = info.data.get("heartbeat_retention_hours")
        if hours is not None and days * 24 < hours + 1:
            raise ValueError(f"must be more than HEARTBEAT_RETENTION_HOURS ({hours:g}) by an hour or more")
        return days

    @field_validator("instance_retention_days")
    @classmethod
    def _is_not_longer_than_that_of_boots(cls, days: float, info: ValidationInfo) -> float:
        boots = info.data.get("boot_retention_days")
        if boots is not None and days > boots:
            raise ValueError(f"must be at most BOOT_RETENTION_DAYS ({boots:g})")
        return days

    @property
    def retention(self) -> Retention:
        """How long things are kept."""
        return Retention(
            instances=self.instance_retention_days * _DAY_SECONDS,
            boots=self.boot_retention_days * _DAY_SECONDS,
            activity=self.activity_retention_days * _DAY_SECONDS,
            minutes=self.minute_retention_days * _DAY_SECONDS,
            hours=self.hour_retention_days * _DAY_SECONDS,
        )
