"""What is read in one go is what is read key by key: the same request with one key more, which nobody knows, goes the long way."""

from typing import Any

import msgspec
import pytest

from trunkline.catalog.types import PARAMETERS
from trunkline.ir.parts import Media
from trunkline.ir.request import Request
from trunkline.protocols.anthropic_messages import codec as messages
from trunkline.protocols.codec import Codec, RequestContext
from trunkline.protocols.gemini import codec as gemini
from trunkline.protocols.openai_chat import codec as chat
from trunkline.protocols.openai_responses import codec as responses

CODECS: dict[str, Codec] = {one.NAME: one for one in (chat, responses, messages, gemini)}  # type: ignore[attr-defined]
CONTEXT = RequestContext(request_id="req_1", secret=b"s" * 32, path_model="acme/one")
PICTURE = "data:image/png;base64,iVBORw0KGgo="
BLOB = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}

CONVERSATIONS: list[tuple[str, dict[str, Any]]] = [
    ("openai.chat", {"messages": [
        {"role": "system", "content": "Be kind."}, {"role": "user", "content": [{"type": "text", "text": "Größe?"}, {"type": "text", "text": ""}]},
        {"role": "assistant", "content": ""}, {"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}}, {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ]}, {"role": "user", "content": []},
    ]}),
    ("openai.responses", {"input": "Hello", "instructions": "Be kind."}),
    ("openai.responses", {"input": [
        {"role": "developer", "content": "Be kind."}, {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Größe?"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "One"}, {"type": "output_text", "text": ""}]},
        {"role": "assistant", "content": "Two"}, {"role": "assistant", "content": ""}, {"role": "user", "content": [
            {"type": "input_image", "image_url": PICTURE, "detail": "low"}, {"type": "input_image", "image_url": "https://example.com/a.png"},
        ]},
    ]}),
    ("anthropic.messages", {"max_tokens": 10, "system": [
        {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ], "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Größe?", "cache_control": {"type": "ephemeral"}}, {"type": "image", "source": BLOB}]},
        {"role": "assistant", "content": "Two"}, {"role": "user", "content": ""},
    ]}),
    ("anthropic.messages", {"max_tokens": 10, "system": "Be kind.", "messages": [{"role": "user", "content": "Hello"}]}),
    ("gemini", {"systemInstruction": {"parts": [{"text": "Be kind."}]}, "contents": [
        {"parts": [{"text": "Größe?"}, {"text": ""}]}, {"role": "model", "parts": [{"text": "Two"}]},
        {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]},
    ]}),
]  # fmt: skip
TURNS = {"openai.chat": "messages", "openai.responses": "input", "anthropic.messages": "messages", "gemini": "contents"}
UNUSUAL: dict[str, dict[str, Any]] = {
    "openai.chat": {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    "openai.responses": {"type": "function_call_output", "call_id": "call_1", "output": "42"},
    "anthropic.messages": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "42"}]},
    "gemini": {"role": "user", "parts": [{"functionResponse": {"name": "add", "response": {"output": "42"}}}]},
}  # fmt: skip


def read(name: str, body: dict[str, Any]) -> Request:
    codec, raw = CODECS[name], msgspec.json.encode({"model": "acme/one", **body})
    read_alone = codec.read_request(raw, CONTEXT)
    peeked = codec.peek(raw, CONTEXT, PARAMETERS)
    assert codec.read_request(raw, msgspec.structs.replace(CONTEXT, peeked=peeked)) == read_alone
    return read_alone


@pytest.mark.parametrize(("name", "body"), CONVERSATIONS)
def test_what_is_read_in_one_go_is_what_is_read_key_by_key(name: str, body: dict[str, Any]) -> None:
    usual = read(name, body)
    items = body[TURNS[name]]
    listed = items if isinstance(items, list) else [{"role": "user", "content": items}]
    slow = read(name, {**body, TURNS[name]: [*listed, UNUSUAL[name]]})
    assert shown(usual) == shown(slow)[: len(usual.turns)]
    assert len(slow.turns) == len(usual.turns) + 1


@pytest.mark.parametrize(("name", "body"), CONVERSATIONS)
def test_it_is_as_long_as_it_is_read_key_by_key(name: str, body: dict[str, Any]) -> None:
    """Of what is put behind it the size is known."""
    items = body[TURNS[name]]
    listed = items if isinstance(items, list) else [{"role": "user", "content": items}]
    longer = {**body, TURNS[name]: [*listed, UNUSUAL[name]]}
    usual, slow, alone = (
        CODECS[name].peek(msgspec.json.encode({"model": "acme/one", **one}), CONTEXT, PARAMETERS).facts
        for one in (body, longer, {"max_tokens": 10, TURNS[name]: [UNUSUAL[name]]})
    )
    assert (usual.prompt_bytes, usual.modalities) == (slow.prompt_bytes - alone.prompt_bytes, slow.modalities)


@pytest.mark.parametrize(("name", "body"), CONVERSATIONS)
def test_the_same_beside_another_conversation_is_the_same(name: str, body: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"generationConfig": {"temperature": 0.5}} if name == "gemini" else {"temperature": 0.5}
    first, second = read(name, {**body, **settings}), read(name, {**body, **settings})
    assert first == second
    assert first.temperature == 0.5
    assert read(name, body).temperature is None


def shown(request: Request) -> list[Any]:
    """Turns, with the bytes of media as such."""
    return [
        [
            turn.role,
            turn.carry,
            [
                msgspec.structs.replace(part, data=bytes(part.data)) if isinstance(part, Media) and part.data else part
                for part in turn.parts
            ],
        ]
        for turn in request.turns
    ]
