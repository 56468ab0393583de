"""The scripted model over Gemini. In: the body of a request. Out: `Conversation`; the answer whole and as events."""

import uuid
from collections.abc import Iterator
from typing import Any

from tests.clients.scripted.plan import Conversation, Message, Plan, Tool, compact, pieces, text_of
from tests.clients.scripted.words import interruptions

SIGNATURE = "c2NyaXB0ZWQtc2lnbmF0dXJl"
NO_SIGNATURE = "skip_thought_signature_validator"
"""For calls that no Gemini model made."""


def read(body: dict[str, Any], model: str, *, stream: bool) -> Conversation:
    talk = Conversation("gemini", model, stream, body)
    talk.system = text_of((body.get("systemInstruction") or {}).get("parts"))
    for content in body.get("contents") or []:
        _add(talk, content)
    for tool in body.get("tools") or []:
        for one in tool.get("functionDeclarations") or []:
            schema = one.get("parametersJsonSchema") or one.get("parameters") or {}
            talk.tools.append(Tool(one["name"], schema))
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    names = calling.get("allowedFunctionNames") or []
    forced = names[0] if len(names) == 1 else "any"
    talk.forced = {"ANY": forced, "NONE": "none"}.get(str(calling.get("mode")).upper())
    settings = body.get("generationConfig") or {}
    talk.schema = settings.get("responseJsonSchema") or settings.get("responseSchema")
    if talk.schema is None and settings.get("responseMimeType") == "application/json":
        talk.schema = {}
    return talk


def _add(talk: Conversation, content: dict[str, Any]) -> None:
    parts = content.get("parts") or []
    text = "\n".join(part["text"] for part in parts if part.get("text") and not part.get("thought"))
    results = [text_of(part["functionResponse"].get("response")) for part in parts if "functionResponse" in part]
    calls = sum("functionCall" in part for part in parts)
    images = sum("inlineData" in part for part in parts)
    role = "assistant" if content.get("role") == "model" else "user"
    talk.messages.append(Message(role, text, calls, results, images))


def objection(body: dict[str, Any]) -> str | None:
    """What Gemini 3 refuses: a turn whose first call has lost the signature of its thought.

    https://ai.google.dev/gemini-api/docs/thought-signatures
    """
    for content in body.get("contents") or []:
        first = next((part for part in content.get("parts") or [] if "functionCall" in part), None)
        if first is not None and first.get("thoughtSignature") not in (SIGNATURE, NO_SIGNATURE):
            return "Function call is missing a thought_signature in functionCall parts."
    return None


def whole(talk: Conversation, plan: Plan) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"text": plan.think, "thought": True}] if plan.think else []
    if plan.text or not plan.calls:
        parts.append({"text": plan.text})
    return _answer(talk, plan, uuid.uuid4().hex, parts + _calls(plan), "STOP")


def events(talk: Conversation, plan: Plan) -> Iterator[str]:
    answer_id = uuid.uuid4().hex
    for piece in pieces(plan.think, 24):
        yield _data(_answer(talk, plan, answer_id, [{"text": piece, "thought": True}]))
    error = {"code": 503, "message": "scripted error in the stream", "status": "UNAVAILABLE"}
    for piece in interruptions(plan):
        if piece is None:
            yield _data({"error": error})
            return
        yield _data(_answer(talk, plan, answer_id, [{"text": piece}]))
    yield _data(_answer(talk, plan, answer_id, _calls(plan) or [{"text": ""}], "STOP"))


def _data(value: dict[str, Any]) -> str:
    return f"data: {compact(value)}\r\n\r\n"


def _calls(plan: Plan) -> list[dict[str, Any]]:
    """Function calls; the first has the signature of the thought before it."""
    made = [{"functionCall": {"name": call.tool.name, "args": call.arguments}} for call in plan.calls]
    return [part | ({} if index else {"thoughtSignature": SIGNATURE}) for index, part in enumerate(made)]


def _answer(
    talk: Conversation, plan: Plan, answer_id: str, parts: list[dict[str, Any]], finish: str | None = None
) -> dict[str, Any]:
    candidate = {"index": 0, "content": {"role": "model", "parts": parts}}
    # Thoughts are counted apart here, and with the rest of the output in the other protocols.
    usage = {
        "promptTokenCount": plan.input_tokens,
        "candidatesTokenCount": plan.output_tokens - plan.reasoning_tokens,
        "thoughtsTokenCount": plan.reasoning_tokens,
        "totalTokenCount": plan.input_tokens + plan.output_tokens,
    }
    return {
        "candidates": [candidate | ({"finishReason": finish} if finish else {})],
        "usageMetadata": usage,
        "modelVersion": talk.model,
        "responseId": answer_id,
    }
