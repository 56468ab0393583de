"""What the load generator asks, in each of the four protocols: the small request of the first rows, a conversation
with a tool of a given size, and one with an image.

In: the protocol, the model, the text that the user says. Out: a body, padded to the byte where a size is given.
"""

import base64
import random
from typing import Any

import msgspec

CHAT, RESPONSES, MESSAGES, GEMINI = "openai.chat", "openai.responses", "anthropic.messages", "gemini"
SHORT = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES, "gemini": GEMINI}
"""Name in rows and model slugs -> protocol."""
PATHS = {
    CHAT: "/api/v1/chat/completions",
    RESPONSES: "/api/v1/responses",
    MESSAGES: "/api/anthropic/v1/messages",
    GEMINI: "/api/vertex-ai/v1beta/models/{model}:{operation}",
}
_SYSTEM = "You are a helpful assistant."
_QUESTION, _REPLY = "What is the weather in Oslo?", "Cold and clear. Shall I look at tomorrow too?"
_ABOUT, _NAME = "Get the weather of a place.", "get_weather"
_SCHEMA = {
    "type": "object",
    "properties": {
        "place": {"type": "string", "description": "City and country."},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "description": "How many days ahead."},
    },
    "required": ["place"],
}
_MOST = 1024
_PNG = b"\x89PNG\r\n\x1a\n"


def path(template: str, model: str, stream: bool) -> str:
    operation = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return template.replace("{model}", model).replace("{operation}", operation)


def body(protocol: str, model: str, text: str, *, stream: bool, size_bytes: int = 0, image: bool = False) -> bytes:
    """`size_bytes` is what the body has in the end, filled up with words of the system prompt, or with the image."""
    if not size_bytes and protocol == CHAT:
        return _small_chat(model, text, stream)
    write = _WRITERS[protocol]
    if not size_bytes:
        return msgspec.json.encode(write(model, _SYSTEM, text, "", stream))
    bare = len(msgspec.json.encode(write(model, _SYSTEM, text, "AAAA" if image else "", stream)))
    data = _png(size_bytes - bare) if image else ""
    filled = size_bytes - bare - max(len(data) - 4, 0)
    words = ("Answer in short plain sentences. " * (filled // 32 + 1))[:filled]
    made = msgspec.json.encode(write(model, _SYSTEM + words, text, data, stream))
    if len(made) != size_bytes:
        raise ValueError(f"a body of {size_bytes} bytes became one of {len(made)}")
    return made


def _png(room_bytes: int) -> str:
    """Base64 of what looks like a PNG, drawn the same each time, as long as the room allows in whole groups of four."""
    size = room_bytes // 4 * 3
    return base64.b64encode(_PNG + random.Random(1).randbytes(size - len(_PNG))).decode()


def _small_chat(model: str, text: str, stream: bool) -> bytes:
    """As the official SDKs send it."""
    said = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": text}]
    return msgspec.json.encode({"model": model, "messages": said, **_streamed(stream)})


def _streamed(stream: bool) -> dict[str, Any]:
    return {"stream": True} if stream else {}


def _chat(model: str, system: str, text: str, image: str, stream: bool) -> dict[str, Any]:
    last: Any = text
    if image:
        last = [_part(text), {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}}]
    return {
        "model": model,
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": _QUESTION},
            {"role": "assistant", "content": _REPLY},
            {"role": "user", "content": last},
        ],
        "max_completion_tokens": _MOST,
        "tools": [{"type": "function", "function": {"name": _NAME, "description": _ABOUT, "parameters": _SCHEMA}}],
        **({"stream": True, "stream_options": {"include_usage": True}} if stream else {}),
    }


def _responses(model: str, system: str, text: str, image: str, stream: bool) -> dict[str, Any]:
    last: list[Any] = [{"type": "input_text", "text": text}]
    if image:
        last.append({"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{image}"})
    return {
        "model": model,
        "instructions": system,
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": _QUESTION}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": _REPLY}]},
            {"role": "user", "content": last},
        ],
        "max_output_tokens": _MOST,
        "store": False,
        "tools": [{"type": "function", "name": _NAME, "description": _ABOUT, "parameters": _SCHEMA, "strict": False}],
        **_streamed(stream),
    }


def _messages(model: str, system: str, text: str, image: str, stream: bool) -> dict[str, Any]:
    last = [_part(text)]
    if image:
        last.append({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": image}})
    return {
        "model": model,
        "max_tokens": _MOST,
        "system": [_part(system)],
        "messages": [
            {"role": "user", "content": [_part(_QUESTION)]},
            {"role": "assistant", "content": [_part(_REPLY)]},
            {"role": "user", "content": last},
        ],
        "tools": [{"name": _NAME, "description": _ABOUT, "input_schema": _SCHEMA}],
        **_streamed(stream),
    }


def _gemini(_model: str, system: str, text: str, image: str, _stream: bool) -> dict[str, Any]:
    last: list[Any] = [{"text": text}]
    if image:
        last.append({"inlineData": {"mimeType": "image/png", "data": image}})
    return {
        "systemInstruction": {"parts": [{"text": system}]},
        "contents": [
            {"role": "user", "parts": [{"text": _QUESTION}]},
            {"role": "model", "parts": [{"text": _REPLY}]},
            {"role": "user", "parts": last},
        ],
        "generationConfig": {"maxOutputTokens": _MOST},
        "tools": [{"functionDeclarations": [{"name": _NAME, "description": _ABOUT, "parametersJsonSchema": _SCHEMA}]}],
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


_WRITERS = {CHAT: _chat, RESPONSES: _responses, MESSAGES: _messages, GEMINI: _gemini}
