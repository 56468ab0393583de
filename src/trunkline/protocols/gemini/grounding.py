"""Where an answer has its content from: `groundingMetadata`, read as citations and made of them. In: one, and the text that is cited. Out: the other.

Google counts in bytes of UTF-8, the canonical form in characters. https://ai.google.dev/api/generate-content#GroundingMetadata
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from trunkline.ir.parts import Citation, Text
from trunkline.protocols.rawjson import UNREADABLE


class _Source(msgspec.Struct):
    uri: str | None = ""
    title: str | None = ""


class _Chunk(msgspec.Struct, rename="camel"):
    web: _Source | None = None
    retrieved_context: _Source | None = None
    maps: _Source | None = None


class _Segment(msgspec.Struct, rename="camel"):
    start_index: int | None = 0
    end_index: int | None = 0
    part_index: int | None = 0
    text: str | None = ""


class _Support(msgspec.Struct, rename="camel"):
    segment: _Segment | None = None
    grounding_chunk_indices: list[int] | None = None


class _Grounding(msgspec.Struct, rename="camel"):
    grounding_chunks: list[_Chunk] | None = None
    grounding_supports: list[_Support] | None = None
    web_search_queries: list[str] | None = None


_decoder = msgspec.json.Decoder(_Grounding)


def searches(raw: bytes | msgspec.Raw) -> int:
    """How many searches an answer made, which Google bills: https://ai.google.dev/gemini-api/docs/google-search#pricing."""
    try:
        return sum(1 for query in _decoder.decode(raw).web_search_queries or () if query)
    except UNREADABLE:
        return 0


def citations(raw: msgspec.Raw, text: str, part_index: int | None = None) -> list[Citation]:
    """The citations of one text, which is the part of this index, or the only one. Sources that support no passage cite the whole."""
    try:
        found = _decoder.decode(raw)
    except UNREADABLE:
        return []
    chunks = [chunk.web or chunk.retrieved_context or chunk.maps or _Source() for chunk in found.grounding_chunks or ()]
    supports = [each for each in found.grounding_supports or () if each.segment and each.grounding_chunk_indices]
    if not supports:
        return [Citation(url=chunk.uri or "", title=chunk.title or "") for chunk in chunks]
    encoded = text.encode()
    return [
        _citation(chunks[index], support.segment, encoded)
        for support in supports
        if support.segment is not None and part_index in (None, support.segment.part_index or 0)
        for index in support.grounding_chunk_indices or ()
        if 0 <= index < len(chunks)
    ]


def _citation(source: _Source, segment: _Segment, encoded: bytes) -> Citation:
    return Citation(
        url=source.uri or "",
        title=source.title or "",
        quote=segment.text or "",
        start=_characters(encoded, segment.start_index or 0),
        end=_characters(encoded, segment.end_index or 0),
    )


def _characters(encoded: bytes, count: int) -> int:
    return len(encoded[: max(0, count)].decode("utf-8", "ignore"))


def written(texts: Iterable[tuple[int, Text]], sources: Iterable[Citation] = ()) -> dict[str, Any] | None:
    """`groundingMetadata` of cited texts, each with the index of its part, and of what else was found. None where there is nothing."""
    chunks: dict[tuple[str, str], int] = {}
    supports: dict[tuple[int, int, int], dict[str, Any]] = {}
    for part_index, text in texts:
        for citation in text.citations:
            index = chunks.setdefault((citation.url, citation.title), len(chunks))
            if citation.start is None and not citation.quote:
                continue
            segment = _segment(part_index, text.text, citation)
            key = (part_index, segment.get("startIndex", 0), segment["endIndex"])
            support = supports.setdefault(key, {"segment": segment, "groundingChunkIndices": []})
            support["groundingChunkIndices"].append(index)
    for source in sources:
        chunks.setdefault((source.url, source.title), len(chunks))
    if not chunks:
        return None
    found: dict[str, Any] = {"groundingChunks": [{"web": {"uri": uri, "title": title}} for uri, title in chunks]}
    if supports:
        found["groundingSupports"] = list(supports.values())
    return found


def _segment(part_index: int, text: str, citation: Citation) -> dict[str, Any]:
    start = len(text[: citation.start or 0].encode())
    end = len((text if citation.end is None else text[: citation.end]).encode())
    segment: dict[str, Any] = {"partIndex": part_index, "startIndex": start, "endIndex": end}
    segment["text"] = citation.quote or text[citation.start or 0 : citation.end]
    return {key: value for key, value in segment.items() if value or key == "endIndex"}
