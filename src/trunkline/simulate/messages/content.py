"""The turns of a Messages request: roles, blocks, and tool results beside their calls.

In: the `messages` and `system` of a body. Out: nothing, or `RefusedError`; turns with their content as blocks. Rules:
https://platform.claude.com/docs/en/api/messages/create (`messages`) and
https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls
"""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from trunkline.simulate.messages import models
from trunkline.simulate.messages.errors import refuse

ID = re.compile(r"[a-zA-Z0-9_-]+")
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
OF_USER = (
    "text",
    "image",
    "document",
    "search_result",
    "tool_result",
    "container_upload",
    "tool_addition",
    "tool_removal",
)
OF_ASSISTANT = (
    "text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "web_search_tool_result",
    "web_fetch_tool_result", "code_execution_tool_result", "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result", "tool_search_tool_result", "advisor_tool_result", "mcp_tool_use",
    "mcp_tool_result", "mcp_tool_listing", "fallback", "compaction",
)  # fmt: skip
IN_RESULT = ("text", "image", "document", "search_result", "tool_reference")
# What a block may hold besides `type` and `cache_control`; a block that is not listed is not looked into.
FIELDS = {
    "text": {"text", "citations"},
    "image": {"source", "transformations"},
    "document": {"source", "title", "context", "citations"},
    "tool_use": {"id", "name", "input", "caller", "toolset_name"},
    "tool_result": {"tool_use_id", "content", "is_error", "toolset_name"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
}


def check_system(system: object) -> None:
    if system is None or isinstance(system, str):
        return
    if not isinstance(system, list):
        raise refuse("system: Input should be a valid string or a list of text blocks")
    for n, block in enumerate(system):
        if not isinstance(block, dict) or block.get("type") != "text":
            raise refuse(f"system.{n}.type: Input should be 'text'")
        check_block(f"system.{n}", block, ("text",))


def check_messages(messages: object, model: str) -> None:
    if not isinstance(messages, list):
        raise refuse("messages: Input should be a valid list")
    if not messages:
        raise refuse("messages: at least one message is required")
    for n, message in enumerate(messages):
        check_message(n, message, model, last=n == len(messages) - 1)
    if messages[0]["role"] != "user":
        raise refuse('messages: first message must use the "user" role')
    check_end(messages[-1], model)
    check_pairs(messages)


def check_message(n: int, message: object, model: str, *, last: bool) -> None:
    if not isinstance(message, dict):
        raise refuse(f"messages.{n}: Input should be a valid dictionary")
    for name in ("role", "content"):
        if name not in message:
            raise refuse(f"messages.{n}.{name}: Field required")
    for name in set(message) - {"role", "content"}:
        raise refuse(f"messages.{n}.{name}: Extra inputs are not permitted")
    role, content = message["role"], message["content"]
    if role not in ("user", "assistant", "system"):
        raise refuse(f"messages.{n}.role: Input should be 'user' or 'assistant'")
    if role == "system" and not models.takes_system_turns(model):
        raise refuse(f"messages.{n}: role 'system' is not supported on this model")
    if not isinstance(content, str | list):
        raise refuse(f"messages.{n}.content: Input should be a valid list")
    if not content and not (last and role == "assistant"):
        message_ = "all messages must have non-empty content except for the optional final assistant message"
        raise refuse(f"messages.{n}: {message_}")
    if isinstance(content, str):
        return
    allowed = {"user": OF_USER, "assistant": OF_ASSISTANT, "system": ("text",)}[role]
    for m, block in enumerate(content):
        check_block(f"messages.{n}.content.{m}", block, allowed)


def check_block(where: str, block: object, allowed: tuple[str, ...]) -> None:
    if not isinstance(block, dict):
        raise refuse(f"{where}: Input should be a valid dictionary")
    kind = block.get("type")
    if kind is None:
        raise refuse(f"{where}.type: Field required")
    if kind not in allowed:
        tags = ", ".join(map(repr, allowed))
        raise refuse(f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}")
    for name in set(block) - FIELDS.get(kind, set(block)) - {"type", "cache_control"}:
        raise refuse(f"{where}.{kind}.{name}: Extra inputs are not permitted")
    if block.get("cache_control") and kind in ("thinking", "redacted_thinking"):
        raise refuse(f"{where}.{kind}.cache_control: Extra inputs are not permitted")
    if kind in CHECKS:
        CHECKS[kind](where, block)


def check_text(where: str, block: dict[str, Any]) -> None:
    if not isinstance(block.get("text"), str):
        raise refuse(f"{where}.text.text: Input should be a valid string")
    if not block["text"]:
        raise refuse("messages: text content blocks must be non-empty")
    if not block["text"].strip():
        raise refuse("messages: text content blocks must contain non-whitespace text")


def check_image(where: str, block: dict[str, Any]) -> None:
    source = source_of(where, block, ("base64", "url", "file"))
    if source["type"] == "base64":
        if source.get("media_type") not in IMAGE_TYPES:
            types = "'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
            raise refuse(f"{where}.image.source.base64.media_type: Input should be {types}")
        check_data(f"{where}.image.source.base64", source.get("data"))


def check_document(where: str, block: dict[str, Any]) -> None:
    source = source_of(where, block, ("base64", "text", "url", "content", "file"))
    if source["type"] == "base64":
        if source.get("media_type") != "application/pdf":
            raise refuse(f"{where}.document.source.base64.media_type: Input should be 'application/pdf'")
        check_data(f"{where}.document.source.base64", source.get("data"))
    if source["type"] == "text" and source.get("media_type") != "text/plain":
        raise refuse(f"{where}.document.source.text.media_type: Input should be 'text/plain'")


def source_of(where: str, block: dict[str, Any], kinds: tuple[str, ...]) -> dict[str, Any]:
    source = block.get("source")
    if not isinstance(source, dict) or source.get("type") not in kinds:
        raise refuse(f"{where}.{block['type']}.source: Input should be one of {', '.join(map(repr, kinds))}")
    url = source.get("url")
    if source["type"] == "url" and not (isinstance(url, str) and url.startswith(("https://", "http://"))):
        raise refuse(f"{where}.{block['type']}.source.url.url: Only HTTPS URLs are supported.")
    return source


def check_data(where: str, data: object) -> None:
    if not isinstance(data, str) or not data:
        raise refuse(f"{where}.data: Field required")
    try:
        base64.b64decode(data, validate=True)
    except binascii.Error:
        raise refuse(f"{where}: invalid base64 data") from None


def check_tool_use(where: str, block: dict[str, Any]) -> None:
    for name in ("id", "name", "input"):
        if name not in block:
            raise refuse(f"{where}.tool_use.{name}: Field required")
    if not isinstance(block["id"], str) or not ID.fullmatch(block["id"]):
        raise refuse(f"{where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
    if not isinstance(block["input"], dict):
        raise refuse(f"{where}.tool_use.input: Input should be a valid dictionary")


def check_tool_result(where: str, block: dict[str, Any]) -> None:
    if "tool_use_id" not in block:
        raise refuse(f"{where}.tool_result.tool_use_id: Field required")
    if not isinstance(block.get("is_error", False), bool | None):
        raise refuse(f"{where}.tool_result.is_error: Input should be a valid boolean")
    content = block.get("content")
    if content is not None and not isinstance(content, str | list):
        raise refuse(f"{where}.tool_result.content: Input should be a valid string or a list of blocks")
    for n, inner in enumerate(content if isinstance(content, list) else []):
        check_block(f"{where}.tool_result.content.{n}", inner, IN_RESULT)
        if block.get("is_error") and inner["type"] != "text":
            raise refuse(f'{where}.tool_result: all content must be type "text" if "is_error" is true')


CHECKS: dict[str, Callable[[str, dict[str, Any]], None]] = {
    "text": check_text,
    "image": check_image,
    "document": check_document,
    "tool_use": check_tool_use,
    "tool_result": check_tool_result,
}


def check_end(last: dict[str, Any], model: str) -> None:
    """A conversation that ends with the assistant's words is to be continued by the model."""
    if last["role"] != "assistant":
        return
    if not models.takes_prefill(model):
        message = (
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
        raise refuse(message)
    text = last["content"] if isinstance(last["content"], str) else text_of(last["content"][-1:])
    if text != text.rstrip():
        raise refuse("messages: final assistant content cannot end with trailing whitespace")


def normal_turns(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Content as blocks, without cache marks, and turns of one role in a row as one, as the vendor joins them."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        blocks = [{name: value for name, value in block.items() if name != "cache_control"} for block in blocks]
        if turns and turns[-1]["role"] == message["role"]:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": message["role"], "content": blocks})
    return turns


def check_pairs(messages: list[dict[str, Any]]) -> None:
    """Each call is answered in the next turn, before anything else there, and each result answers one."""
    open_ids: list[str] = []
    turns = normal_turns([message for message in messages if message["role"] != "system"])
    for n, turn in enumerate(turns):
        results = leading_results(turn["content"]) if turn["role"] == "user" else []
        missing = [id_ for id_ in open_ids if id_ not in results]
        if missing:
            raise refuse(
                f"messages.{n - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message."
            )
        check_results(n, turn, open_ids)
        open_ids = [block["id"] for block in turn["content"] if block.get("type") == "tool_use"]
        if len(set(open_ids)) < len(open_ids):
            raise refuse(f"messages.{n}: `tool_use` ids must be unique")
    if open_ids and turns[-1]["role"] == "assistant":
        raise refuse(
            f"messages.{len(turns) - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(open_ids)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
            "message."
        )


def leading_results(content: list[dict[str, Any]]) -> list[str]:
    found = []
    for block in content:
        if block.get("type") != "tool_result":
            break
        found.append(block["tool_use_id"])
    return found


def check_results(n: int, turn: dict[str, Any], open_ids: list[str]) -> None:
    seen: set[str] = set()
    for m, block in enumerate(turn["content"]):
        if block.get("type") != "tool_result":
            continue
        id_ = block["tool_use_id"]
        if id_ not in open_ids:
            raise refuse(
                f"messages.{n}.content.{m}: unexpected `tool_use_id` found in `tool_result` blocks: {id_}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
        if id_ in seen:
            raise refuse(
                f"messages.{n}.content.{m}: each tool_use must have a single result. Found multiple `tool_result` "
                f"blocks with id: {id_}"
            )
        seen.add(id_)


def text_of(content: list[dict[str, Any]]) -> str:
    return "\n".join(block["text"] for block in content if block.get("type") == "text")
