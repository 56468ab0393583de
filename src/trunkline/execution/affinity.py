"""Turns of one conversation stay with the account that holds their prompt cache, and with the one whose state they bring back.

In: a request, and its attempt once it answered. Out: `Held` for `routing.order.draw`. A conversation is what the caller names as one, else its system
prompt and first user message; each API key and model has conversations of its own, for a client's session often spans several models.
"""

import re
from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from trunkline.execution.asked import Asked
from trunkline.execution.exchange import Exchange
from trunkline.execution.gateway import Gateway, Snapshot
from trunkline.ir.usage import Usage
from trunkline.protocols.codec import CHAT, GEMINI, MESSAGES, RESPONSES
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.providers.accounts import Account
from trunkline.records.types import Attempt
from trunkline.routing.affinity import Held
from trunkline.routing.order import Ranked

MIN_PROMPT_BYTES = 4096
"""A shorter prompt has fewer than the 1,024 tokens from which on providers cache (https://developers.openai.com/api/docs/guides/prompt-caching)."""
MIN_CACHED_TOKENS = 1024
TTL_S = 300.0
"""https://platform.claude.com/docs/en/build-with-claude/prompt-caching; OpenAI keeps for 5 to 10 minutes without use."""
LONG_TTL_S = 3600.0
RETENTION_TTL_S = 86_400.0
"""OpenAI's `prompt_cache_retention: "24h"`."""

_WHERE = {CHAT: "messages", MESSAGES: "messages", RESPONSES: "input", GEMINI: "contents"}
_BESIDE = {MESSAGES: ("system",), RESPONSES: ("instructions",), GEMINI: ("systemInstruction", "system_instruction")}
_STATE = {
    CHAT: re.compile(rb'"reasoning_details"\s*:'),
    MESSAGES: re.compile(rb'"type"\s*:\s*"(?:redacted_)?thinking"'),
    RESPONSES: re.compile(rb'"encrypted_content"\s*:\s*"'),
    GEMINI: re.compile(rb'"thought(?:S|_s)ignature"\s*:'),
}
"""Marks of state that only the account that made it may be able to open. That a platform opens another's is possible, and not relied upon."""
_EXPLICIT = frozenset({MESSAGES, "bedrock.converse"})
"""Protocols that cache what was marked, and tell of it; the others cache by themselves."""
_USER = re.compile(rb'"role"\s*:\s*"user"')
_MARKS = re.compile(rb',?\s*"cache_control"\s*:\s*\{[^{}]*\}')
"""Clients move them from turn to turn."""
_MAX_HASHED = 1024
_elements = msgspec.json.Decoder(list[msgspec.Raw])


class _Metadata(msgspec.Struct):
    user_id: str | None = None


_metadata = msgspec.json.Decoder(_Metadata | None)


def held_of(gateway: Gateway, asked: Asked, exchange: Exchange, ranked: Ranked) -> Held | None:
    """What an account still has of the conversation that a request goes on with; None where nothing depends on it."""
    if len(ranked.rated) == 1 and not _has_several_keys(gateway.snapshot, ranked.rated[0].step.offer.provider):
        return None
    if not len(gateway.holds):
        return None
    brings_state = _brings_state(asked)
    if not (brings_state or _is_cacheable(asked)):
        return None
    held = gateway.holds.find(_name(asked, exchange))
    if held is None:
        return None
    if brings_state:
        return msgspec.structs.replace(held, is_bound=True)
    return held if gateway.clock.now_s() < held.until_s else None


async def recall(gateway: Gateway, snapshot: Snapshot, asked: Asked, exchange: Exchange) -> None:
    """Have what other gateways know of the conversation, where something may depend on it. To be awaited before planning."""
    if not gateway.holds.is_shared or not (_is_cacheable(asked) or _brings_state(asked)):
        return
    model = snapshot.catalog.models.get(asked.facts.model)
    if model is not None and not asked.facts.wish.models:
        reachable = snapshot.reachable(model)
        if len(reachable) < 2 and not any(_has_several_keys(snapshot, offer.provider) for offer in reachable):
            return
    await gateway.holds.recall(_name(asked, exchange))


def note(gateway: Gateway, asked: Asked, exchange: Exchange, attempt: Attempt) -> None:
    """Remember who answered. To be called once, with the attempt that did."""
    if len(exchange.candidates) < 2 and not attempt.key:
        return
    usage = attempt.usage
    is_thinking = usage.reasoning_tokens > 0 or "reasoning" in asked.facts.needs
    if not (is_thinking or _is_cacheable(asked) or _brings_state(asked)):
        return
    name = _name(asked, exchange)
    ttl_s = _ttl_s(asked, usage, gateway.holds.find(name))
    # A cache lives from when it was used: that is the attempt's beginning.
    began_s = gateway.clock.now_s() - max(0.0, attempt.ended_ms - attempt.started_ms) / 1000
    held = Held(
        attempt.offer,
        int(attempt.key[1:]) - 1 if attempt.key else None,
        _cached_tokens(usage, attempt.protocol),
        began_s + ttl_s,
        ttl_s,
    )
    has_state = gateway.holds.is_shared and (is_thinking or _brings_state(asked))
    gateway.holds.keep(name, held, has_state=has_state)
    if asked.is_stored and exchange.answer_id:
        later = _digest(exchange.key_id, asked.facts.model, exchange.answer_id.encode())
        gateway.holds.keep(later, held, has_state=has_state)


def is_elsewhere(held: Held | None, offer: str) -> bool:
    """Whether state that is bound to one offer goes to another, of which the caller is to be told."""
    return held is not None and held.is_bound and held.offer != offer


def _has_several_keys(snapshot: Snapshot, provider: str) -> bool:
    account = snapshot.accounts.get(provider)
    return isinstance(account, Account) and len(account.keys) > 1


def _is_cacheable(asked: Asked) -> bool:
    return asked.facts.prompt_bytes >= MIN_PROMPT_BYTES


def _brings_state(asked: Asked) -> bool:
    if asked.has_state:
        return True
    mark = _STATE.get(asked.protocol)
    if mark is None:
        return False
    if asked.previous and mark.search(asked.previous) is not None:
        return True
    # The whole body first, which need not be copied; then only the conversation, since a tool may have a property of that name.
    if mark.search(asked.body) is None:
        return False
    return mark.search(bytes(asked.fields.get(_WHERE[asked.protocol], b""))) is not None


def _cached_tokens(usage: Usage, protocol: str) -> int:
    """What the provider can be expected to read from its cache in the next turn."""
    written = usage.cache_write_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    if written or protocol in _EXPLICIT:
        return written + usage.cache_read_tokens
    total = usage.total_input_tokens
    return total if total >= MIN_CACHED_TOKENS else 0


def _ttl_s(asked: Asked, usage: Usage, before: Held | None) -> float:
    if usage.cache_write_1h_tokens:
        return LONG_TTL_S
    if bytes(asked.fields.get("prompt_cache_retention", b"")) == b'"24h"':
        return RETENTION_TTL_S
    # Only read this time: it lives on for as long as it did.
    return before.ttl_s if before is not None and usage.cache_read_tokens else TTL_S


# --- names


def _name(asked: Asked, exchange: Exchange) -> bytes:
    """Of the conversation, 16 bytes. Callers who say nothing of it and begin alike share one: then they share a cache as well."""
    said = asked.facts.session_id or exchange.session_id or _user_id(asked)
    if said:
        return _digest(exchange.key_id, asked.facts.model, said.encode())
    earlier = asked.fields.get("previous_response_id")
    if asked.previous and earlier is not None:
        return _digest(exchange.key_id, asked.facts.model, msgspec.json.decode(earlier, type=str).encode())
    return _digest(exchange.key_id, asked.facts.model, *beginning(asked))


def _user_id(asked: Asked) -> str:
    """Claude Code names the session in it: https://platform.claude.com/docs/en/api/messages/create."""
    value = asked.fields.get("metadata") if asked.protocol == MESSAGES else None
    if value is None:
        return ""
    try:
        found = _metadata.decode(value)
    except UNREADABLE:
        return ""
    return (found and found.user_id) or ""


def beginning(asked: Asked) -> list[bytes]:
    """What stays the same in each turn of a conversation: what goes before the first message of the user, and that; as bytes, long pieces shortened."""
    pieces = [asked.fields[name] for name in _BESIDE.get(asked.protocol, ()) if name in asked.fields]
    messages = bytes(asked.fields.get(_WHERE.get(asked.protocol, ""), b""))
    return [_steady(bytes(piece)) for piece in (*pieces, *_to_first_user(messages))]


def _to_first_user(messages: bytes) -> Sequence[bytes | msgspec.Raw]:
    user = _USER.search(messages)
    if not messages.startswith(b"["):
        return [messages]
    if user is None:
        return _parsed(messages)[:1]
    elements = _front(messages, user.end())
    end = 1
    for place, element in enumerate(elements):
        end = messages.index(b"{", end) + len(memoryview(element))
        if end >= user.end():
            return elements[: place + 1]
    return elements


def _front(messages: bytes, at: int) -> list[msgspec.Raw]:
    """The elements up to the one at a place and perhaps some more; a long conversation is not read to its end for it."""
    after = messages.find(b'"role"', at)
    cut = messages.rfind(b"{", at, after) if after >= 0 else -1
    if cut >= 0:
        found = _parsed(messages[:cut].rstrip(b", \n\r\t") + b"]")
        if found:
            return found
    return _parsed(messages)


def _parsed(messages: bytes) -> list[msgspec.Raw]:
    try:
        return _elements.decode(messages)
    except UNREADABLE:
        return []


def _steady(piece: bytes) -> bytes:
    if piece.find(b'"cache_control"') >= 0:
        piece = _MARKS.sub(b"", piece)
    if len(piece) > 2 * _MAX_HASHED:
        return b"%d" % len(piece) + piece[:_MAX_HASHED] + piece[-_MAX_HASHED:]
    return piece


def _digest(key_id: str, model: str, *pieces: bytes) -> bytes:
    return blake2b(b"\0".join((key_id.encode(), model.encode(), *pieces)), digest_size=16).digest()
