"""A request with another output limit, every other byte of it as it came. In: top-level fields, a protocol, a limit. Out: top-level fields."""

import msgspec

from trunkline.protocols.codec import CHAT, GEMINI, MESSAGES, RESPONSES
from trunkline.protocols.rawjson import Fields, is_null, join, raw, split

_CONFIG = ("generationConfig", "generation_config")
_LIMIT = ("maxOutputTokens", "max_output_tokens")


def with_limit(fields: Fields, protocol: str, tokens: int) -> Fields:
    """In the words that the caller uses, where it has set a limit. Raises one of `rawjson.UNREADABLE`."""
    if protocol == GEMINI:
        name = next((name for name in _CONFIG if name in fields), _CONFIG[0])
        config = split(bytes(fields[name])) if not is_null(fields.get(name)) else {}
        limit = next((one for one in _LIMIT if one in config), _LIMIT[0])
        return {**fields, name: msgspec.Raw(join({**config, limit: raw(tokens)}))}
    return {**fields, _word(fields, protocol): raw(tokens)}


def _word(fields: Fields, protocol: str) -> str:
    if protocol == RESPONSES:
        return "max_output_tokens"
    if protocol == MESSAGES:
        return "max_tokens"
    assert protocol == CHAT, "callers speak four protocols"
    # The older word, where it alone is said: some vendors know no other.
    return (
        "max_tokens"
        if is_null(fields.get("max_completion_tokens")) and not is_null(fields.get("max_tokens"))
        else "max_completion_tokens"
    )
