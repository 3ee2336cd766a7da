"""An index for the changes of a product's configuration in order of time."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "create index mqtt_config_revisions_of_product"
        " on mqtt_config_revisions (product_id, changed_at, revision)"
    )


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
