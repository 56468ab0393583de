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
KEY_COLUMNS = ("id", "name", "hash", "hint", "created_ms", "expires_ms", "revoked_ms", "zero_retention")
KEYS_REVISION = "keys_revision"
"""The row of `meta` that grows with each change of the keys."""
