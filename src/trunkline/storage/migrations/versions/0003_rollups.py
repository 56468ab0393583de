"""What records add up to, by offer and by use, in minutes, hours and days. The writer fills them, from the first record on."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_OFFER_COUNTS = (
    "attempts", "ok", "failed", "limited", "apart", "input_tokens", "cached_tokens", "output_tokens", "tool_calls",
    "tool_errors",
)  # fmt: skip
_USE_SUMS = (
    "requests", "failed", "abandoned", "attempts", "input_tokens", "cache_read_tokens", "cache_write_tokens",
    "cache_write_5m_tokens", "cache_write_1h_tokens", "input_audio_tokens", "input_image_tokens", "output_tokens",
    "reasoning_tokens", "output_audio_tokens", "output_image_tokens", "web_searches", "cost_pico_usd", "estimated",
    "unpriced",
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "offer_rollups",
        *_bucket(),
        sa.Column("offer", sa.Text, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _OFFER_COUNTS),
        *(sa.Column(name, sa.LargeBinary, nullable=False) for name in ("latency", "speed", "causes")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "use_rollups",
        *_bucket(),
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("model", "provider", "protocol", "key_id")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _USE_SUMS),
        sqlite_with_rowid=False,
    )
    meta = sa.table("meta", sa.column("key", sa.Text), sa.column("value", sa.Text))
    marks = ("rollups_folded_rowid", "offer_rollups_rolled_s", "use_rollups_rolled_s")
    op.bulk_insert(meta, [{"key": key, "value": "0"} for key in marks])


def _bucket() -> tuple[sa.Column[int], sa.Column[int]]:
    return (
        sa.Column("width_s", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("start_s", sa.BigInteger, primary_key=True, autoincrement=False),
    )
