"""The tables. What one filters or sums by is a column of `records`; `detail` holds the rest, so that a record comes back exactly.

Few indexes, since each costs time per request: the records' ids, the time of receipt; on PostgreSQL their answers' ids too. Attempts have no
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

from trunkline.accounts.types import DEFAULT_ORGANISATION
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
    Column("org_id", Text, nullable=False, server_default=DEFAULT_ORGANISATION),
    Column("project_id", Text, nullable=False, server_default=""),
    Column("member_id", Text, nullable=False, server_default=""),
    Column("kind", Text, nullable=False, server_default="inference"),
    # `accounts.types.KeyRules` as JSON.
    Column("rules", Text, nullable=False, server_default="{}"),
    Column("rotated_from", Text, nullable=False, server_default=""),
)

organisations = Table(
    "organisations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("prepaid", Boolean, nullable=False, server_default=false()),
)

members = Table(
    "members",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("email", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("disabled_ms", BigInteger),
    Column("issuer", Text, nullable=False, server_default=""),
    Column("subject", Text, nullable=False, server_default=""),
    # Of argon2, in its own format; empty: no password.
    Column("password", Text, nullable=False, server_default=""),
)

# Links that work once: the first administrator's, invitations, new passwords. Only the HMAC of a link's secret is kept.
links = Table(
    "links",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("member_id", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
)

sessions = Table(
    "sessions",
    metadata,
    # The HMAC of what is in the cookie.
    Column("hash", Text, primary_key=True),
    # Empty: signed in with the master key.
    Column("member_id", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
)
Index("sessions_member_id", sessions.c.member_id)

projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("archived_ms", BigInteger),
)

budgets = Table(
    "budgets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("scope_id", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("limit_pico_usd", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    # Percents, as a JSON list.
    Column("alerts", Text, nullable=False, server_default="[80,100]"),
)

wallets = Table(
    "wallets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
)

# Both are append-only: triggers refuse changes (see the migration).
ledger = Table(
    "ledger",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reference", Text, nullable=False, unique=True),
    Column("note", Text, nullable=False),
    Column("actor", Text, nullable=False),
)
Index("ledger_org_id_at_ms", ledger.c.org_id, ledger.c.at_ms)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("account", Text, primary_key=True),
    Column("transaction_id", Text, primary_key=True),
    Column("amount_pico_usd", BigInteger, nullable=False),
)

Index("ledger_entries_transaction_id", ledger_entries.c.transaction_id)
# Statements leave spending out, of which there is a transaction for every batch of records.
_is_act = ledger.c.kind != "spend"
Index("ledger_acts", ledger.c.org_id, ledger.c.at_ms, ledger.c.id, sqlite_where=_is_act, postgresql_where=_is_act)

# The sums of `ledger_entries` by account, kept by a trigger of the store and by nothing else; `ledger.check` adds up anew.
balances = Table(
    "balances",
    metadata,
    Column("account", Text, primary_key=True),
    Column("amount_pico_usd", BigInteger, nullable=False),
)

# Alerts that were sent: each once. `key` says about what, and for which period.
alerts_told = Table(
    "alerts_told",
    metadata,
    Column("key", Text, primary_key=True),
    Column("told_ms", BigInteger, nullable=False),
)

# Append-only as well.
audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("org_id", Text, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
Index("audit_actor_id", audit.c.actor_id, audit.c.number)
Index("audit_target", audit.c.target, audit.c.number)

provider_credentials = Table(
    "provider_credentials",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("member_id", Text, nullable=False, server_default=""),
    Column("provider", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("revoked_ms", BigInteger),
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
    # Empty on SQLite, which has one.
    Column("gateway", Text, nullable=False, server_default=""),
    sqlite_with_rowid=False,
)

# On PostgreSQL: the gateways that write to this store. `beats` grows while one lives.
gateways = Table(
    "gateways",
    metadata,
    Column("id", Text, primary_key=True),
    Column("started_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Column("beats", BigInteger, nullable=False),
)

# On PostgreSQL: batches of records that no fold has put into the rollups yet. Whoever deletes a row folds its records (see `postgres_rollups`).
unfolded = Table(
    "unfolded",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    # A JSON list.
    Column("record_ids", Text, nullable=False),
)

# On SQLite: hashes of the ids of answers (see `answer_index`). PostgreSQL has the index `records_answer_id` instead.
answer_index = Table(
    "answer_index",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    # Of the last of so many records, in the order in which they were stored.
    Column("last_id", Text, nullable=False),
    Column("records", Integer, nullable=False),
    Column("hashes", LargeBinary, nullable=False),
)

# Of whoever could not show who they are: a hash of the address or the account, and when, in Unix milliseconds, as a JSON list.
tries = Table(
    "tries",
    metadata,
    Column("name", Text, primary_key=True),
    Column("times", Text, nullable=False),
    Column("ends_ms", BigInteger, nullable=False),
    Index("tries_ends_ms", "ends_ms"),
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
