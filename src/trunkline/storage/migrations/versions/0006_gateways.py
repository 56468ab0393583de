"""Several gateways on one store: which ones there are, whose an intent is, and which records the rollups do not hold yet."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

# The columns of `records` as the writer has them: rows travel as an array of these, which costs half of what an array for each column does.
_RECORD_ROW = (
    "id text, received_ms double precision, ended_ms double precision, first_token_ms double precision, model text, provider text, "
    "offer text, key_id text, session_id text, protocol text, outcome text, status integer, finish_reason text, answer_id text, "
    "streamed smallint, simulated smallint, estimated smallint, cost_pico_usd bigint, input_tokens bigint, cache_read_tokens bigint, "
    "cache_write_tokens bigint, cache_write_5m_tokens bigint, cache_write_1h_tokens bigint, input_audio_tokens bigint, "
    "input_image_tokens bigint, output_tokens bigint, reasoning_tokens bigint, output_audio_tokens bigint, output_image_tokens bigint, "
    "web_searches bigint, detail bytea"
)


def upgrade() -> None:
    op.add_column("intents", sa.Column("gateway", sa.Text, nullable=False, server_default=""))
    op.create_table(
        "gateways",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("started_ms", sa.BigInteger, nullable=False),
        sa.Column("seen_ms", sa.BigInteger, nullable=False),
        sa.Column("beats", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "unfolded",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("record_ids", sa.Text, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("intents_gateway", "intents", ["gateway"])
        op.execute(f"CREATE TYPE record_row AS ({_RECORD_ROW})")
        _tune()


def _tune() -> None:
    # Rows of these come and go all the time; cleaned early they stay small (https://www.postgresql.org/docs/14/routine-vacuuming.html).
    for table in ("intents", "unfolded", "kept", "gateways"):
        op.execute(
            f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500)"
        )
    # Each fold writes these again; room on their page keeps them out of the index (heap-only tuples).
    for table in ("offer_rollups", "use_rollups"):
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05)")
    # What is packed already: compressing it again costs time and gains nothing.
    op.execute("ALTER TABLE kept ALTER COLUMN data SET STORAGE EXTERNAL")
