"""Canonical parts as content of Chat messages. In: parts of a settled request. Out: wire parts with the keys of their carries; media as marks of `Blobs`."""

from collections.abc import Sequence
from typing import Any

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.parts import CacheMark, Carry, Media, Opaque, Part, Refusal, Text, Thinking
from trunkline.protocols.carry import carried
from trunkline.protocols.codec import Target
from trunkline.protocols.fields import word
from trunkline.protocols.media import Blobs
from trunkline.protocols.openai_chat import NAME

Wire = dict[str, Any]

_USUAL_MIMES = {"image": "image/png", "audio": "audio/wav", "file": "application/pdf", "video": "video/mp4"}
# https://platform.openai.com/docs/guides/audio: `wav` and `mp3`; others go by their subtype.
_AUDIO_WORDS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "mp4": "m4a", "x-m4a": "m4a"}
_MARK = {"type": "ephemeral"}


class PartWriter:
    """What the parts of one request are written with: the target, whose carries are put back, and the body's large strings."""

    __slots__ = ("_blobs", "_origin", "target")

    def __init__(self, target: Target, blobs: Blobs, origin: str) -> None:
        self.target = target
        self._blobs = blobs
        self._origin = origin

    def content(self, parts: Sequence[Part], between: str) -> Any:
        """A string where one says all, else a list; `between` joins texts for those who take no list."""
        parts = [part for part in parts if not (isinstance(part, Text) and not part.text and self.is_plain(part))]
        texts = [part.text for part in parts if isinstance(part, Text) and self.is_plain(part)]
        if len(texts) != len(parts) or (len(texts) > 1 and self.target.quirks.content_parts):
            return [self.part(part) for part in parts]
        return between.join(texts)

    def is_plain(self, part: Text) -> bool:
        return part.cache is None and not self.carried(part.carry)

    def carried(self, carry: Carry | None) -> dict[str, msgspec.Raw]:
        return carried(carry, NAME, self.target.dialect)

    def is_chunk(self, part: Thinking) -> bool:
        """Mistral's reasoning stands in the content (https://docs.mistral.ai/capabilities/reasoning)."""
        return "type" in self.carried(part.carry)

    def part(self, part: Part) -> Wire:
        if isinstance(part, Text):
            written: Wire = {"type": "text", "text": part.text}
        elif isinstance(part, Thinking):
            written = {"type": "thinking", "thinking": [{"type": "text", "text": part.text}]}
        elif isinstance(part, Refusal):
            written = {"type": "refusal", "refusal": part.text}
        elif isinstance(part, Media):
            written = self._media(part)
        else:
            assert isinstance(part, Opaque)
            written = {}
        return merged(written, self.carried(part.carry), part.cache)

    def _media(self, part: Media) -> Wire:
        if part.kind == "audio":
            return {"type": "input_audio", "input_audio": self._audio(part)}
        if part.kind == "file":
            return {"type": "file", "file": self._file(part)}
        name = f"{part.kind}_url"
        detail = {"detail": part.detail} if part.detail else {}
        return {"type": name, name: {"url": part.url or self._data_url(part), **detail}}

    def _audio(self, part: Media) -> Wire:
        if part.data is None:
            raise self._refused(part)
        subtype = (part.mime or _USUAL_MIMES["audio"]).partition("/")[2].partition(";")[0]
        return {"data": self._blobs.put(part.data), "format": _AUDIO_WORDS.get(subtype, subtype)}

    def _file(self, part: Media) -> Wire:
        name = {"filename": part.name} if part.name else {}
        if part.file_id:
            return {"file_id": part.file_id, **name}
        if part.data is None and part.url and self._origin == NAME:
            return {**name, "file_data": part.url}
        if part.data is None:
            raise self._refused(part)
        if not part.mime and self._origin == NAME:
            return {**name, "file_data": self._blobs.put(part.data)}
        # OpenAI wants a name with the content (https://platform.openai.com/docs/guides/pdf-files?api-mode=chat).
        return {"filename": part.name or _file_name(part.mime), "file_data": self._data_url(part)}

    def _data_url(self, part: Media) -> msgspec.Raw:
        assert part.data is not None
        mime = part.mime or _USUAL_MIMES[part.kind]
        return self._blobs.put(part.data, b"data:%b;base64," % mime.encode())

    def _refused(self, part: Media) -> InvalidParams:
        field = word(part.kind, self._origin)
        why = "the protocol takes no URL here; send the content as base64"
        return InvalidParams(f"`{field}` cannot be sent to this offer: {why}.", param=field)


def merged(written: Wire, carried: dict[str, msgspec.Raw], cache: CacheMark | None = None) -> Wire:
    """A wire object with the keys of its carry; where both have an object under one name, its keys."""
    for name, value in carried.items():
        inner = written.get(name)
        written[name] = (
            {**inner, **msgspec.json.decode(value, type=dict[str, msgspec.Raw])} if isinstance(inner, dict) else value
        )
    if cache is not None:
        written["cache_control"] = _MARK if cache.ttl_s == 300 else {**_MARK, "ttl": "1h"}
    return written


def _file_name(mime: str) -> str:
    subtype = (mime or _USUAL_MIMES["file"]).partition("/")[2]
    return f"file.{'txt' if subtype == 'plain' else subtype}"
