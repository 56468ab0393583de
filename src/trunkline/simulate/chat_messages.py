"""The messages of a chat completions request: roles, parts, and tool messages beside their calls.

In: `messages`. Out: nothing, or `RefusedError` in OpenAI's words. Rules:
https://platform.openai.com/docs/api-reference/chat/create (`messages`) and
https://platform.openai.com/docs/guides/function-calling
"""

from typing import Any

from trunkline.simulate.vendor_errors import refuse

ROLES = ("system", "assistant", "user", "function", "tool", "developer")
TEXT_ONLY = ("text",)
PARTS = {
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
    "system": TEXT_ONLY,
    "developer": TEXT_ONLY,
    "tool": TEXT_ONLY,
    "function": TEXT_ONLY,
}
LONGEST_ID = 64
"""It was 40, and is 64 as reported in https://github.com/openclaw/openclaw/pull/875"""


def check_messages(messages: list[dict[str, Any]]) -> None:
    for n, message in enumerate(messages):
        check_message(f"messages[{n}]", message)
    check_pairs(messages)


def check_message(where: str, message: dict[str, Any]) -> None:
    role = message.get("role")
    if role not in ROLES:
        raise invalid_value(f"{where}.role", role, ROLES)
    content = message.get("content")
    if content is None and not (role == "assistant" and (message.get("tool_calls") or message.get("refusal"))):
        raise refuse(
            f"Invalid value for 'content': expected a string, got null. ({where})",
            param=f"{where}.content",
            code="invalid_type",
        )
    for n, part in enumerate(content if isinstance(content, list) else []):
        check_part(f"{where}.content[{n}]", part, PARTS[role])
    for n, call in enumerate(message.get("tool_calls") or []):
        check_call(f"{where}.tool_calls[{n}]", call)
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        name = f"{where}.tool_call_id"
        raise refuse(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def check_part(where: str, part: object, allowed: tuple[str, ...]) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or kind not in allowed:
        raise invalid_value(f"{where}.type", kind, allowed)
    if kind == "text" and not isinstance(part.get("text"), str):
        raise refuse(
            f"Missing required parameter: '{where}.text'.", param=f"{where}.text", code="missing_required_parameter"
        )
    if kind == "image_url" and not isinstance(part.get("image_url"), dict):
        message = f"Invalid type for '{where}.image_url': expected an object, but got a string instead."
        raise refuse(message, param=f"{where}.image_url", code="invalid_type")


def check_call(where: str, call: object) -> None:
    if not isinstance(call, dict):
        raise refuse(f"Invalid type for '{where}': expected an object.", param=where, code="invalid_type")
    id_ = call.get("id")
    if not isinstance(id_, str):
        raise refuse(
            f"Missing required parameter: '{where}.id'.", param=f"{where}.id", code="missing_required_parameter"
        )
    if len(id_) > LONGEST_ID:
        message = (
            f"Invalid '{where}.id': string too long. Expected a string with maximum length {LONGEST_ID}, but got a "
            f"string with length {len(id_)} instead."
        )
        raise refuse(message, param=f"{where}.id", code="string_above_max_length")
    function = call.get("function")
    if isinstance(function, dict) and not isinstance(function.get("arguments"), str):
        message = f"Invalid type for '{where}.function.arguments': expected a string, but got an object instead."
        raise refuse(message, param=f"{where}.function.arguments", code="invalid_type")


def check_pairs(messages: list[dict[str, Any]]) -> None:
    """Right behind its calls come the tool messages that answer them, one each."""
    open_ids: list[str] = []
    for n, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_ids:
                raise refuse(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'.",
                    param=f"messages.[{n}].role",
                )
            open_ids.remove(message["tool_call_id"])
            continue
        if open_ids:
            raise unanswered(n, open_ids)
        open_ids = [call["id"] for call in message.get("tool_calls") or []]
    if open_ids:
        raise unanswered(len(messages), open_ids)


def unanswered(n: int, ids: list[str]) -> Exception:
    return refuse(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(ids)}",
        param=f"messages.[{n}].role",
    )


def invalid_value(where: str, value: object, allowed: tuple[str, ...]) -> Exception:
    listed = ", ".join(f"'{name}'" for name in allowed)
    return refuse(f"Invalid value: '{value}'. Supported values are: {listed}.", param=where, code="invalid_value")
