"""What later requests ask for again: stored responses, and state behind the ids of tool calls; encrypted, until it expires; and keys that want none."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "kept",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_index("kept_expires_ms", "kept", ["expires_ms"])
    op.add_column("api_keys", sa.Column("zero_retention", sa.Boolean, nullable=False, server_default=sa.false()))
