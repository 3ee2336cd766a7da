"""The settings of an instance."""

from __future__ import annotations

import os
import re
from email.utils import parseaddr
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator

from mqtt_shared.messages import Broker, Topics
from mqtt_shared.sealing import InvalidKeyError, Keyring
from mqtt_shared.settings import NatsSettings, check_url

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["INSTANCE_ID", "InstanceSettings", "ProductSettings", "secret", "variables"]

INSTANCE_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_PRODUCT_IDS = 2**31 - 1

# What a topic may not carry to a broker, whoever writes the topic.
_SECRET = re.compile(r"password|passwd|secret|token|key|credential|auth|private|cookie|_url$|_dsn$")


class ProductSettings(NatsSettings):
    """What it takes to ask NATS about a product."""

    product_id: int = Field(ge=1, le=_PRODUCT_IDS, description="The product that this is an instance of.")
    config_wait_seconds: float = Field(
        default=3, ge=0, le=600, description="Wait for NATS at the start before the last known good is used."
    )


class InstanceSettings(ProductSettings):
    """Settings of one product instance; `mqtt_*` are the fallback when no configuration is known."""

    product_key: SecretStr | None = Field(
        default=None, description="Opens the sealed part of snapshots; shown when the product was created."
    )
    instance_id: str | None = Field(
        default=None, description="Stable name of this instance: 1 to 100 letters, digits, - and _."
    )
    state_dir: Path = Field(
        validate_default=True,
        default=Path("~/.local/state/product-instance"),
        description="Folder for the instance id and the last known good configuration (sealed).",
    )
    heartbeat_interval_seconds: float = Field(default=5, gt=0, le=3600, description="Period of heartbeats.")
    application_id: str | None = Field(default=None, description="Value of {application_id} in topics.")
    actions: str = Field(
        default="",
        description="Python modules, comma-separated, each with a register(actions) that adds action types.",
    )
    connect_timeout_seconds: float = Field(
        default=10, gt=0, le=300, description="Longest wait for a broker's answer."
    )
    action_timeout_seconds: float = Field(
        default=30, gt=0, le=3600, description="Longest attempt of an action that sets no timeout_seconds."
    )
    smtp_url: str | None = Field(
        default=None,
        description="Mail server of smtp_email: smtp://, smtp+starttls:// or smtps://host:port.",
    )
    smtp_username: str | None = Field(default=None, description="User name at the mail server.")
    smtp_password: SecretStr | None = Field(default=None, description="Password at the mail server.")
    smtp_from: str | None = Field(default=None, description="Sender of mails; needed with SMTP_URL.")
    drain_timeout_seconds: float = Field(
        default=10, gt=0, le=600, description="Longest time for work in flight at an orderly stop."
    )
    config_refresh_seconds: float = Field(
        default=30, gt=0, le=86400, description="Mean period of asking NATS for the configuration again."
    )
    mqtt_host: str | None = Field(default=None, description="Fallback: host of the broker.")
    mqtt_port: Annotated[int, Field(ge=1, le=65535)] = Field(default=1883, description="Fallback: its port.")
    mqtt_use_tls: bool = Field(default=False, description="Fallback: speak TLS.")
    mqtt_username: str | None = Field(default=None, description="Fallback: user name.")
    mqtt_password: SecretStr | None = Field(default=None, description="Fallback: password.")
    mqtt_topic_prefix: str = Field(
        default="/v3/applications", min_length=1, max_length=255, description="Fallback: topic prefix."
    )
    mqtt_use_shared_subscriptions: bool = Field(default=True, description="Fallback: subscribe in a group.")
    mqtt_shared_group: str = Field(
        default="bre", pattern=r"^[^/+#\x00]{1,100}$", description="Fallback: the group."
    )

    if TYPE_CHECKING:
        # What a type checker makes of the fields wants `product_id`, which may come from the environment.
        def __init__(self, **settings: Any) -> None:
            """What is not given comes from the environment."""

    @field_validator("instance_id")
    @classmethod
    def _instance_id_is_a_token(cls, value: str | None) -> str | None:
        if value is not None and not INSTANCE_ID.fullmatch(value):
            # It becomes one token of a NATS subject.
            raise ValueError("must be 1 to 100 letters, digits, '-' or '_'; leave it out to have one made")
        return value

    @field_validator("state_dir")
    @classmethod
    def _state_dir_is_expanded(cls, value: Path) -> Path:
        return value.expanduser()

    @field_validator("smtp_url")
    @classmethod
    def _smtp_url_is_a_url(cls, value: str | None) -> str | None:
        if value is not None:
            check_url(value, ("smtp", "smtp+starttls", "smtps"))
            if "@" in value:
                raise ValueError("must not hold credentials: set SMTP_USERNAME and SMTP_PASSWORD")
        return value

    @field_validator("smtp_from")
    @classmethod
    def _smtp_from_is_an_address(cls, value: str | None) -> str | None:
        if value is not None and ("@" not in parseaddr(value)[1] or not value.isprintable()):
            raise ValueError("must be a mail address such as 'Control plane <noreply@example.com>'")
        return value

    @field_validator("product_key")
    @classmethod
    def _product_key_is_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                Keyring([value.get_secret_value()])
            except InvalidKeyError as error:
                raise ValueError(f"{error}; copy it from the answer that created the product") from None
        return value

    @property
    def fallback_source(self) -> Literal["environment", "defaults"]:
        """Where the fallback comes from: MQTT_HOST decides."""
        return "environment" if self.mqtt_host else "defaults"

    @property
    def fallback_broker(self) -> Broker:
        """The broker when no configuration is known."""
        return Broker(
            host=self.mqtt_host or "localhost",
            port=self.mqtt_port,
            use_tls=self.mqtt_use_tls,
            username=self.mqtt_username,
        )

    @property
    def fallback_topics(self) -> Topics:
        """The topic rules when no configuration is known."""
        return Topics(
            prefix=self.mqtt_topic_prefix,
            use_shared=self.mqtt_use_shared_subscriptions,
            shared_group=self.mqtt_shared_group,
        )

    @property
    def action_modules(self) -> list[str]:
        """The names in ACTIONS."""
        return [name.strip() for name in self.actions.split(",") if name.strip()]


def secret(value: SecretStr | None) -> str | None:
    """The text of a setting that is secret."""
    return value.get_secret_value() if value else None


def variables(
    settings: InstanceSettings, instance_id: str, environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The values that an instance knows for `{variables}`: its environment, names in lower case.

    Names that speak of secrets are left out: whoever may write a topic must not be able to send a secret to
    a broker in it.
    """
    found: dict[str, Any] = {
        name.lower(): value
        for name, value in (os.environ if environment is None else environment).items()
        if not _SECRET.search(name.lower())
    }
    if settings.application_id is not None:
        found["application_id"] = settings.application_id
    return found | {"instance_id": instance_id, "product_id": str(settings.product_id)}
