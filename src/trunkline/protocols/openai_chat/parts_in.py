"""Content parts of a caller's messages. In: the value of `content`. Out: canonical parts, each naming its field where it is wrong.

The parts are those of https://platform.openai.com/docs/api-reference/chat/create, with `video_url` of Qwen and OpenRouter
(https://openrouter.ai/docs/features/multimodal/videos) and `thinking` of Mistral (https://docs.mistral.ai/capabilities/reasoning).
"""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from trunkline.ir.parts import Carry, Media, Opaque, Part, Refusal, Text, Thinking
from trunkline.protocols.media import base64_of, data_url
from trunkline.protocols.openai_chat import NAME
from trunkline.protocols.openai_chat.looking import OBJECTS, TEXT, Keys, begins, is_null
from trunkline.protocols.rawjson import join

MIMES = {"mp3": "audio/mpeg", "wav": "audio/wav"}
_PARTS = "a string, or a list of parts such as {'type': 'text', 'text': '...'}"


def read_content(message: Keys) -> list[Part]:
    """The parts of a message, in order. Empty text makes none, unless it bears a carry."""
    value = message.raw("content")
    if value is None:
        return []
    kind = begins(value)
    if kind == '"':
        text = message.decoded("content", value, TEXT)
        return [Text(text)] if text else []
    if kind != "[":
        raise message.wrong("content", f"it must be {_PARTS}")
    found = message.decoded("content", value, OBJECTS)
    parts = [_part(Keys(part, f"{message.name('content')}[{at}]")) for at, part in enumerate(found)]
    return [part for part in parts if part is not None]


def _part(keys: Keys) -> Part | None:
    kind = keys.text("type") or _kind_of(keys)
    read = _READ.get(kind)
    if read is not None:
        return read(keys)
    if not kind:
        raise keys.wrong("type", "a part must say what it is, e.g. `text` or `image_url`")
    cache = keys.cache()
    return Opaque(kind, Carry(NAME, msgspec.Raw(join({"type": _word(kind), **keys.left}))), cache)


def _kind_of(keys: Keys) -> str:
    """Some clients leave out `type`."""
    return next((kind for kind in _READ if kind in keys.left), "")


def _text(keys: Keys) -> Text | None:
    text, cache = keys.text("text"), keys.cache()
    carry = keys.carry()
    return Text(text, carry=carry, cache=cache) if text or carry else None


def _refusal(keys: Keys) -> Refusal | None:
    text, cache = keys.text("refusal"), keys.cache()
    carry = keys.carry()
    return Refusal(text, carry=carry, cache=cache) if text or carry else None


def _image(keys: Keys) -> Media:
    return _by_url(keys, "image", "image_url")


def _video(keys: Keys) -> Media:
    return _by_url(keys, "video", "video_url")


def _by_url(keys: Keys, kind: Literal["image", "video"], name: str) -> Media:
    """`{"url", "detail"}`, or the URL alone, as some clients write it."""
    value = keys.raw(name)
    if value is not None and begins(value) == '"':
        return _located(keys, Keys({"url": value}, keys.name(name)), kind, "")
    inner = Keys(keys.decoded(name, value, _object), keys.name(name)) if value is not None else None
    if inner is None:
        raise keys.wrong(name, "it must be an object with a `url`")
    return _located(keys, inner, kind, name)


def _located(keys: Keys, inner: Keys, kind: Literal["image", "video"], name: str) -> Media:
    url = inner.raw("url")
    if url is None or begins(url) != '"':
        raise inner.wrong("url", "it must be a URL, or a data URL such as `data:image/png;base64,...`")
    detail, cache = inner.text("detail"), keys.cache()
    carry = keys.carry(**{name: inner}) if name else keys.carry()
    found = data_url(url)
    if found is None:
        return Media(kind=kind, url=inner.decoded("url", url, TEXT), detail=detail, carry=carry, cache=cache)
    return Media(kind=kind, mime=found[0], data=found[1], detail=detail, carry=carry, cache=cache)


def _audio(keys: Keys) -> Media:
    inner = keys.below("input_audio")
    data = inner.raw("data") if inner is not None else None
    if inner is None or data is None or begins(data) != '"':
        raise keys.wrong("input_audio", "it must be an object with `data` in base64 and a `format` such as `wav`")
    word, cache = inner.text("format"), keys.cache()
    found = data_url(data)
    mime = MIMES.get(word, f"audio/{word}") if word else (found[0] if found else "")
    content = found[1] if found else base64_of(data)
    return Media(kind="audio", mime=mime, data=content, carry=keys.carry(input_audio=inner), cache=cache)


def _file(keys: Keys) -> Media:
    inner = keys.below("file")
    if inner is None:
        raise keys.wrong("file", "it must be an object with `file_data` or `file_id`")
    name, file_id, data, cache = inner.text("filename"), inner.text("file_id"), inner.raw("file_data"), keys.cache()
    if data is None and not file_id:
        raise inner.wrong("file_data", "give the content as a data URL, or a `file_id`")
    carry = keys.carry(file=inner)
    if data is None:
        return Media(kind="file", file_id=file_id, name=name, carry=carry, cache=cache)
    if begins(data) != '"':
        raise inner.wrong("file_data", "it must be a string")
    found = data_url(data)
    if found is not None:
        return Media(kind="file", mime=found[0], data=found[1], name=name, carry=carry, cache=cache)
    if bytes(memoryview(data)[:9]).startswith((b'"http://', b'"https://')):
        url = inner.decoded("file_data", data, TEXT)
        return Media(kind="file", url=url, name=name, carry=carry, cache=cache)
    return Media(kind="file", data=base64_of(data), name=name, carry=carry, cache=cache)


def _thinking(keys: Keys) -> Thinking:
    """Mistral's chunk goes back as it is, so its kind is its carry."""
    value = keys.raw("thinking")
    cache = keys.cache()
    text = "" if value is None else thinking_text(keys, value)
    return Thinking(text, carry=Carry(NAME, msgspec.Raw(join({"type": _word("thinking"), **keys.left}))), cache=cache)


def thinking_text(keys: Keys, value: msgspec.Raw) -> str:
    """Of a list of text chunks, or of a string."""
    if begins(value) == '"':
        return keys.decoded("thinking", value, TEXT)
    found = keys.decoded("thinking", value, OBJECTS)
    texts = [TEXT.decode(part["text"]) for part in found if "text" in part and not is_null(part["text"])]
    return "".join(texts)


def _word(kind: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(kind))


_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_READ: Mapping[str, Callable[[Keys], Part | None]] = {
    "text": _text,
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
    "video_url": _video,
    "refusal": _refusal,
    "thinking": _thinking,
}
