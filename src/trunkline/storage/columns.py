"""The columns that the driver-level writers and readers use, in order. `schema` has the same as tables; a test compares them.

Apart from `schema`, because the data plane starts without SQLAlchemy (its import alone takes a third of a second).
"""

TOKEN_COLUMNS = (
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "input_audio_tokens", "input_image_tokens", "output_tokens", "reasoning_tokens", "output_audio_tokens",
    "output_image_tokens", "web_searches",
)  # fmt: skip
RECORD_COLUMNS = (
    "id", "received_ms", "ended_ms", "first_token_ms", "model", "provider", "offer", "key_id", "session_id", "protocol",
    "outcome", "status", "finish_reason", "answer_id", "streamed", "simulated", "estimated", "cost_pico_usd",
    *TOKEN_COLUMNS, "detail",
)  # fmt: skip
INTENT_COLUMNS = ("id", "started_ms", "protocol", "model", "offer", "provider", "key_id", "reserved_pico_usd")
KEPT_COLUMNS = ("key", "kind", "key_id", "created_ms", "expires_ms", "data")
KEY_COLUMNS = (
    "id", "name", "hash", "hint", "created_ms", "expires_ms", "revoked_ms", "zero_retention", "org_id", "project_id",
    "member_id", "kind", "rules", "rotated_from",
)  # fmt: skip
BUDGET_COLUMNS = ("id", "org_id", "scope", "scope_id", "period", "limit_pico_usd", "created_ms", "ended_ms", "alerts")
WALLET_COLUMNS = ("id", "org_id", "kind", "name", "created_ms", "expires_ms")
CREDENTIAL_COLUMNS = (
    "id", "org_id", "member_id", "provider", "name", "hint", "created_ms", "created_by", "revoked_ms",
)  # fmt: skip
"""Without `sealed`."""
OFFER_ROLLUP_KEY = ("width_s", "start_s", "offer")
OFFER_ROLLUP_COLUMNS = (
    *OFFER_ROLLUP_KEY, "attempts", "ok", "failed", "limited", "apart", "input_tokens", "cached_tokens", "output_tokens",
    "tool_calls", "tool_errors", "latency", "speed", "causes",
)  # fmt: skip
"""`width_s` is 60, 3600 or 86400. `latency`, `speed`: `records.histogram`, packed; `causes`: MessagePack, cause -> count."""
USE_ROLLUP_KEY = ("width_s", "start_s", "model", "provider", "protocol", "key_id")
USE_ROLLUP_SUMS = (
    "requests",
    "failed",
    "abandoned",
    "attempts",
    *TOKEN_COLUMNS,
    "cost_pico_usd",
    "estimated",
    "unpriced",
)
USE_ROLLUP_COLUMNS = (*USE_ROLLUP_KEY, *USE_ROLLUP_SUMS)
"""`width_s` is 3600 or 86400."""
FOLDED = "rollups_folded_rowid"
"""The row of `meta` that says which records the rollups hold: those up to this rowid."""
OFFERS_ROLLED = "offer_rollups_rolled_s"
"""The row of `meta` that says until when minutes are part of the rows of hours and days."""
USE_ROLLED = "use_rollups_rolled_s"
"""The same for hours in days."""
KEYS_REVISION = "keys_revision"
"""The row of `meta` that grows with each change of keys, budgets, wallets, organisations and stored credentials: of all that gateways follow."""
MADE_UP_UNTIL = "made_up_until_ms"
"""The row of `meta`, in a store with a made-up past, that says until when (see `backfill`)."""
