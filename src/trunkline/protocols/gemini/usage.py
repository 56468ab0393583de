"""`usageMetadata`, into disjoint buckets and back. In: the raw object. Out: `Usage`; the object.

`promptTokenCount` includes what was cached; what tools brought in, and thoughts, are counted beside it and beside the candidates
(https://ai.google.dev/api/generate-content#UsageMetadata). Some answers of Vertex AI have the thoughts in the candidates, and say so by the total.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from trunkline.ir.usage import Usage
from trunkline.protocols.rawjson import Fields, join, split

Count = int | None


class _Modality(msgspec.Struct):
    modality: str = ""
    tokenCount: Count = 0  # noqa: N815


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: Count = 0
    cached_content_token_count: Count = 0
    candidates_token_count: Count = 0
    thoughts_token_count: Count = 0
    tool_use_prompt_token_count: Count = 0
    total_token_count: Count = 0
    prompt_tokens_details: list[_Modality] | None = None
    cache_tokens_details: list[_Modality] | None = None
    candidates_tokens_details: list[_Modality] | None = None
    traffic_type: str | None = None


_decoder = msgspec.json.Decoder(_Usage, strict=False)
_TIERS: Mapping[str | None, str] = {
    "ON_DEMAND": "default",
    "ON_DEMAND_PRIORITY": "priority",
    "ON_DEMAND_FLEX": "flex",
}
"""https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/GenerateContentResponse#TrafficType"""


def read_usage(raw: bytes | msgspec.Raw) -> Usage:
    """The buckets. Raises one of `rawjson.UNREADABLE` where it is no usage object. Searches are not in it: see `grounding.searches`."""
    found = _decoder.decode(raw)
    prompt, cached = found.prompt_token_count or 0, found.cached_content_token_count or 0
    tools, thoughts = found.tool_use_prompt_token_count or 0, found.thoughts_token_count or 0
    candidates, total = found.candidates_token_count or 0, found.total_token_count or 0
    if min(prompt, cached, tools, thoughts, candidates) < 0:
        raise msgspec.ValidationError("a count is negative")
    went_in, of_cache = _by_modality(found.prompt_tokens_details), _by_modality(found.cache_tokens_details)
    came_out = _by_modality(found.candidates_tokens_details)
    audio, image = (max(0, went_in.get(kind, 0) - of_cache.get(kind, 0)) for kind in ("AUDIO", "IMAGE"))
    audio_out, image_out = came_out.get("AUDIO", 0), came_out.get("IMAGE", 0)
    inside = thoughts > 0 and candidates >= thoughts and total == prompt + tools + candidates
    return Usage(
        input_tokens=max(0, prompt - cached - audio - image) + tools,
        cache_read_tokens=cached,
        input_audio_tokens=audio,
        input_image_tokens=image,
        output_tokens=max(0, candidates - (thoughts if inside else 0) - audio_out - image_out),
        reasoning_tokens=thoughts,
        output_audio_tokens=audio_out,
        output_image_tokens=image_out,
    )


def tier_of(raw: bytes | msgspec.Raw) -> str:
    """The tier that served, where it is told."""
    return _TIERS.get(_decoder.decode(raw).traffic_type, "")


def write_usage(usage: Usage) -> bytes:
    """The object. What was written to a cache is prompt, too; Google has no count of its own for it."""
    audio, image = usage.input_audio_tokens, usage.input_image_tokens
    came_out = usage.output_tokens + usage.output_audio_tokens + usage.output_image_tokens
    written: dict[str, Any] = {
        "promptTokenCount": usage.total_input_tokens,
        "candidatesTokenCount": came_out,
        "totalTokenCount": usage.total_input_tokens + usage.total_output_tokens,
    }
    if usage.cache_read_tokens:
        written["cachedContentTokenCount"] = usage.cache_read_tokens
    if usage.reasoning_tokens:
        written["thoughtsTokenCount"] = usage.reasoning_tokens
    if audio or image:
        text = usage.total_input_tokens - audio - image
        written["promptTokensDetails"] = _details(TEXT=text, AUDIO=audio, IMAGE=image)
    if usage.output_audio_tokens or usage.output_image_tokens:
        counts = {
            "TEXT": usage.output_tokens,
            "AUDIO": usage.output_audio_tokens,
            "IMAGE": usage.output_image_tokens,
        }
        written["candidatesTokensDetails"] = _details(**counts)
    return msgspec.json.encode(written)


def with_cost(usage: bytes, cost: bytes, details: bytes) -> bytes:
    """The object with what the answer cost."""
    fields: Fields = split(usage)
    fields["cost"] = msgspec.Raw(cost)
    if details:
        fields["costDetails"] = msgspec.Raw(details)
    return join(fields)


def _by_modality(details: Iterable[_Modality] | None) -> dict[str, int]:
    return {each.modality: each.tokenCount or 0 for each in details or ()}


def _details(**counts: int) -> list[dict[str, Any]]:
    return [{"modality": kind, "tokenCount": count} for kind, count in counts.items() if count]
