"""The tables. What one filters or sums by is a column of `records`; `detail` holds the rest, so that a record comes back exactly.

Few indexes, since each costs time per request: the records' ids, their answers' ids, the time of receipt. Attempts have no
table: they are in `detail`, and the view `attempts` (see the first migration) shows them as rows, at no cost to a request.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
)

from trunkline.storage.columns import TOKEN_COLUMNS, USE_ROLLUP_SUMS

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("zero_retention", Boolean, nullable=False, server_default=false()),
)

records = Table(
    "records",
    metadata,
    Column("id", Text, primary_key=True),
    Column("received_ms", Double, nullable=False),
    Column("ended_ms", Double, nullable=False),
    Column("first_token_ms", Double),
    Column("model", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("offer", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("finish_reason", Text, nullable=False),
    Column("answer_id", Text, nullable=False),
    Column("streamed", Boolean, nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("cost_pico_usd", BigInteger, nullable=False),
    *(Column(name, BigInteger, nullable=False) for name in TOKEN_COLUMNS),
    Column("detail", LargeBinary, nullable=False),
)

# Many records have no answer; partial, so that those cost nothing here.
_has_answer = records.c.answer_id != ""
Index("records_answer_id", records.c.answer_id, sqlite_where=_has_answer, postgresql_where=_has_answer)
Index("records_received_ms", records.c.received_ms)

intents = Table(
    "intents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("started_ms", Double, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("offer", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("reserved_pico_usd", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

kept = Table(
    "kept",
    metadata,
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
Index("kept_expires_ms", kept.c.expires_ms)

# What records add up to, per offer; written with them (see `rollups`). By time first: what is written lies together.
offer_rollups = Table(
    "offer_rollups",
    metadata,
    Column("width_s", Integer, primary_key=True, autoincrement=False),
    Column("start_s", BigInteger, primary_key=True, autoincrement=False),
    Column("offer", Text, primary_key=True),
    *(
        Column(name, BigInteger, nullable=False)
        for name in (
            "attempts", "ok", "failed", "limited", "apart", "input_tokens", "cached_tokens", "output_tokens",
            "tool_calls", "tool_errors",
        )
    ),
    Column("latency", LargeBinary, nullable=False),
    Column("speed", LargeBinary, nullable=False),
    Column("causes", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)  # fmt: skip

use_rollups = Table(
    "use_rollups",
    metadata,
    Column("width_s", Integer, primary_key=True, autoincrement=False),
    Column("start_s", BigInteger, primary_key=True, autoincrement=False),
    Column("model", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("protocol", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in USE_ROLLUP_SUMS),
    sqlite_with_rowid=False,
)
