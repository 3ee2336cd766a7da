"""How to connect: MQTT 5, WebSockets, own certificates; and how much a subscription works on side by side."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    alter table mqtt_configs
        add protocol text not null default '3.1.1' check (protocol in ('3.1.1', '5')),
        add session_expiry_seconds bigint not null default 604800
            check (session_expiry_seconds between 0 and 4294967295),
        add transport text not null default 'tcp' check (transport in ('tcp', 'websockets')),
        add websocket_path text not null default '/mqtt'
            check (char_length(websocket_path) <= 255 and websocket_path ~ '^/[^\\x01-\\x20\\x7f#]*$'),
        add tls_min_version text not null default '1.2' check (tls_min_version in ('1.2', '1.3')),
        add ca_certificate text check (
            char_length(ca_certificate) <= 100000 and ca_certificate ~ '-----BEGIN CERTIFICATE-----'
            and ca_certificate !~ 'PRIVATE KEY'
        ),
        add client_certificate text check (
            char_length(client_certificate) <= 100000 and client_certificate ~ '-----BEGIN CERTIFICATE-----'
            and client_certificate !~ 'PRIVATE KEY'
        ),
        add client_key text,
        add check ((client_certificate is null) = (client_key is null))
    """,
    "comment on column mqtt_configs.client_key is 'Fernet token under the service key'",
    "alter table mqtt_config_revisions add client_key text",
    "comment on column mqtt_config_revisions.client_key is 'Fernet token under the service key, for restore'",
    """
    alter table mqtt_subscriptions
        add concurrency integer not null default 16 check (concurrency between 1 and 1000)
    """,
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
