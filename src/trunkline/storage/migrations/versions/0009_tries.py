"""How often somebody could not show who they are, for all consoles of the store."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "tries",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("times", sa.Text, nullable=False),
        sa.Column("ends_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("tries_ends_ms", "tries", ["ends_ms"])
