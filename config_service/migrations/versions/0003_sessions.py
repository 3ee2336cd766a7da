"""Sessions of browsers."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    create table api_sessions (
        hash bytea primary key,
        token_id integer references api_tokens on delete cascade,
        created_at timestamptz not null default now(),
        expires_at timestamptz not null
    )
    """,
    "comment on column api_sessions.hash is 'HMAC of the cookie under ADMIN_TOKEN: a new one ends all'",
    "comment on column api_sessions.token_id is 'Null: signed in with ADMIN_TOKEN'",
    "create index api_sessions_expires_at on api_sessions (expires_at)",
    "create index api_sessions_token_id on api_sessions (token_id)",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop table api_sessions")
