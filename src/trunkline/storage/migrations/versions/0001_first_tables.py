"""The first tables. Written out and not taken from `schema`: a migration stays as it was when the schema moves on."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TOKEN_COLUMNS = (
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "input_audio_tokens", "input_image_tokens", "output_tokens", "reasoning_tokens", "output_audio_tokens",
    "output_image_tokens", "web_searches",
)  # fmt: skip


def upgrade() -> None:
    _make_meta()
    _make_api_keys()
    _make_records()
    _make_attempts()
    _make_intents()


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _bigint(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _double(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _make_meta() -> None:
    table = op.create_table("meta", sa.Column("key", sa.Text, primary_key=True), _text("value"))
    op.bulk_insert(table, [{"key": "keys_revision", "value": "0"}])


def _make_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        _text("name"),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
        _text("hint"),
        _bigint("created_ms"),
        sa.Column("expires_ms", sa.BigInteger),
        sa.Column("revoked_ms", sa.BigInteger),
    )


def _make_records() -> None:
    table = op.create_table(
        "records",
        sa.Column("id", sa.Text, primary_key=True),
        _double("received_ms"),
        _double("ended_ms"),
        sa.Column("first_token_ms", sa.Double),
        *(_text(name) for name in ("model", "provider", "offer", "key_id", "session_id", "protocol", "outcome")),
        sa.Column("status", sa.Integer, nullable=False),
        _text("finish_reason"),
        _text("answer_id"),
        _flag("streamed"),
        _flag("simulated"),
        _flag("estimated"),
        _bigint("cost_pico_usd"),
        *(_bigint(name) for name in _TOKEN_COLUMNS),
        sa.Column("detail", sa.LargeBinary, nullable=False),
    )
    has_answer = table.c.answer_id != ""
    op.create_index("records_answer_id", "records", ["answer_id"], sqlite_where=has_answer, postgresql_where=has_answer)
    op.create_index("records_received_ms", "records", ["received_ms"])


def _make_attempts() -> None:
    # Of each attempt: the fields of `records.types.Attempt`, by their place. See `storage.rows` for the order of `detail`.
    if op.get_bind().dialect.name == "postgresql":
        return op.execute(_ATTEMPTS_OF_POSTGRESQL)
    return op.execute("""
        CREATE VIEW attempts AS SELECT
            records.id AS record_id,
            attempt.key AS number,
            json_extract(attempt.value, '$[0]') AS provider,
            json_extract(attempt.value, '$[1]') AS offer,
            json_extract(attempt.value, '$[3]') AS started_ms,
            json_extract(attempt.value, '$[4]') AS ended_ms,
            json_extract(attempt.value, '$[5]') AS outcome,
            json_extract(attempt.value, '$[6]') AS status,
            json_extract(attempt.value, '$[8]') AS first_token_ms,
            json_extract(attempt.value, '$[9]') AS last_token_ms,
            json_extract(attempt.value, '$[10][7]') + json_extract(attempt.value, '$[10][8]')
                + json_extract(attempt.value, '$[10][9]') + json_extract(attempt.value, '$[10][10]') AS output_tokens,
            json_extract(attempt.value, '$[11][1]') AS cost_pico_usd,
            records.received_ms, records.streamed, records.simulated
        FROM records, json_each(CAST(records.detail AS TEXT), '$[11]') AS attempt
    """)


_ATTEMPTS_OF_POSTGRESQL = """
    CREATE VIEW attempts AS SELECT
        records.id AS record_id,
        attempt.number - 1 AS number,
        attempt.value ->> 0 AS provider,
        attempt.value ->> 1 AS offer,
        (attempt.value ->> 3)::double precision AS started_ms,
        (attempt.value ->> 4)::double precision AS ended_ms,
        attempt.value ->> 5 AS outcome,
        (attempt.value ->> 6)::bigint AS status,
        (attempt.value ->> 8)::double precision AS first_token_ms,
        (attempt.value ->> 9)::double precision AS last_token_ms,
        (attempt.value -> 10 ->> 7)::bigint + (attempt.value -> 10 ->> 8)::bigint
            + (attempt.value -> 10 ->> 9)::bigint + (attempt.value -> 10 ->> 10)::bigint AS output_tokens,
        (attempt.value -> 11 ->> 1)::bigint AS cost_pico_usd,
        records.received_ms, records.streamed, records.simulated
    FROM records, json_array_elements(convert_from(records.detail, 'UTF8')::json -> 11)
        WITH ORDINALITY AS attempt(value, number)
"""


def _make_intents() -> None:
    op.create_table(
        "intents",
        sa.Column("id", sa.Text, primary_key=True),
        _double("started_ms"),
        *(_text(name) for name in ("protocol", "model", "offer", "provider", "key_id")),
        _bigint("reserved_pico_usd"),
        sqlite_with_rowid=False,
    )
