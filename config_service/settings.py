"""Settings of config-service, from the environment and from command-line options of the same name."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from mqtt_shared.sealing import InvalidKeyError, Keyring
from mqtt_shared.settings import NatsSettings, Settings, check_url

from .core import network

__all__ = ["DatabaseSettings", "KeySettings", "ServeSettings", "StoreSettings"]

_SHORTEST_ADMIN_TOKEN = 16
_DATABASES = ("postgresql://", "postgres://")


class DatabaseSettings(Settings):
    """What `migrate` needs."""

    database_url: str = Field(
        description="PostgreSQL, such as postgresql://user:password@host:5432/name; the owner of the tables."
    )

    @field_validator("database_url")
    @classmethod
    def _postgresql(cls, value: str) -> str:
        if not value.startswith(_DATABASES):
            raise ValueError("must begin with postgresql://")
        check_url(value, ("postgresql", "postgres"), host=False)
        return value


class KeySettings(Settings):
    """The keys for secrets at rest."""

    mqtt_password_encryption_key: SecretStr = Field(
        description="One or more Fernet keys, comma-separated: the first encrypts, all decrypt."
    )

    @field_validator("mqtt_password_encryption_key")
    @classmethod
    def _fernet(cls, value: SecretStr) -> SecretStr:
        keys = _split(value)
        for number, key in enumerate(keys, 1):
            try:
                Keyring([key])
            except InvalidKeyError as error:
                which = f"key {number} of {len(keys)}: " if len(keys) > 1 else ""
                raise ValueError(f"{which}{error}") from None
        if not keys:
            raise ValueError("must hold at least one Fernet key")
        return value

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys in the clear, the first for encryption."""
        return tuple(_split(self.mqtt_password_encryption_key))


def _split(value: SecretStr) -> list[str]:
    return [key.strip() for key in value.get_secret_value().split(",") if key.strip()]


class StoreSettings(DatabaseSettings, KeySettings, NatsSettings):
    """What a command needs that works on the stored configurations."""


class ServeSettings(StoreSettings):
    """What `serve` needs."""

    http_host: str = Field(default="127.0.0.1", description="Address to listen on.")
    http_port: int = Field(default=8004, ge=0, le=65535, description="Port to listen on; 0: any free one.")
    admin_token: SecretStr = Field(
        description=f"Bearer token of the first administrator, at least {_SHORTEST_ADMIN_TOKEN} characters."
    )
    trust_forwarded_headers: bool = Field(
        default=False,
        description="Believe X-Forwarded-Proto and X-Forwarded-Host: only behind a proxy that sets both.",
    )
    test_denied_networks: str = Field(
        default=network.DEFAULT_DENIED,
        description="Networks that the connection test may not reach, comma-separated; `none` denies none.",
    )
    test_concurrency: int = Field(default=10, ge=1, le=1000, description="Most connection tests at a time.")
    test_timeout_seconds: float = Field(
        default=10, gt=0, le=120, description="Longest time of a connection test."
    )
    database_pool_size: int = Field(default=10, ge=2, le=1000, description="Most connections to PostgreSQL.")
    nats_replicas: int = Field(
        default=1, ge=1, le=5, description="How many servers of a NATS cluster keep the snapshots."
    )
    shutdown_timeout_seconds: float = Field(
        default=10, gt=0, le=600, description="Longest time that running requests have to end in."
    )

    @field_validator("admin_token")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        token = value.get_secret_value()
        if len(token) < _SHORTEST_ADMIN_TOKEN:
            raise ValueError(f"must have at least {_SHORTEST_ADMIN_TOKEN} characters")
        if not token.isascii() or any(char.isspace() or not char.isprintable() for char in token):
            raise ValueError("must be printable ASCII without spaces: it is sent in a header")
        return value

    @field_validator("test_denied_networks")
    @classmethod
    def _networks(cls, value: str) -> str:
        network.parse(value)
        return value

    @property
    def test_policy(self) -> network.NetworkPolicy:
        """The denied networks, parsed."""
        return network.parse(self.test_denied_networks)
