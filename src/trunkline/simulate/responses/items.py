"""The input items of a Responses request: messages, calls and their outputs, reasoning that comes back.

In: `input`. Out: items; nothing, or `RefusedError`. Rules: https://platform.openai.com/docs/api-reference/responses/create
(`input`) and https://platform.openai.com/docs/guides/reasoning, "Keeping reasoning items in context".
"""

from typing import Any

import msgspec

from trunkline.simulate.arrival import Arrival
from trunkline.simulate.responses.errors import invalid_value, missing, too_long, unknown, wrong_id, wrong_type
from trunkline.simulate.seals import opened
from trunkline.simulate.vendor_errors import RefusedError, refuse

IMAGE_TOKENS = 85
CALL_ID, MESSAGE_ID = "call_sim", "msg_sim"
"""What follows reasoning of the same answer has the answer's tag after one of these."""
LONGEST_CALL_ID = 64
ROLES = ("assistant", "system", "developer", "user")
TO_MODEL = ("input_text", "input_image", "input_file", "input_audio")
FROM_MODEL = ("output_text", "refusal")
# Type -> fields besides `type`, `id` and `status`; an item whose type is not here is the vendor's own and not looked into.
FIELDS = {
    "message": {"role", "content", "phase"},
    "function_call": {"call_id", "name", "arguments", "namespace", "caller", "async"},
    "function_call_output": {"call_id", "output", "caller", "name", "namespace"},
    "custom_tool_call": {"call_id", "name", "input", "namespace", "caller", "async"},
    "custom_tool_call_output": {"call_id", "output", "caller"},
    "reasoning": {"summary", "content", "encrypted_content"},
}
NEEDED = {
    "message": ("role", "content"),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
    "custom_tool_call": ("call_id", "name", "input"),
    "custom_tool_call_output": ("call_id", "output"),
    "reasoning": ("summary",),
}
PREFIXES = {"message": "msg", "function_call": "fc", "custom_tool_call": "ctc", "reasoning": "rs"}
CALLS, OUTPUTS = ("function_call", "custom_tool_call"), ("function_call_output", "custom_tool_call_output")


def items_of(told: object) -> list[dict[str, Any]]:
    """The input as items, each with its type."""
    if told is None:
        raise missing("input")
    if isinstance(told, str):
        return [{"type": "message", "role": "user", "content": told}]
    if not isinstance(told, list):
        raise wrong_type("input", "a string or an array of items", told)
    if not told:
        raise refuse("Invalid 'input': empty array. Expected an array with minimum length 1, but got an empty array "
                     "instead.", param="input", code="empty_array")  # fmt: skip
    for n, item in enumerate(told):
        if not isinstance(item, dict):
            raise wrong_type(f"input[{n}]", "an object", item)
    return [{"type": "message", **item} if "role" in item else item for item in told]


def check_input(items: list[dict[str, Any]], arrival: Arrival) -> None:
    for n, item in enumerate(items):
        check_item(f"input[{n}]", item)
    check_pairs(items)
    for n, item in enumerate(items):
        if item["type"] == "reasoning":
            check_reasoning(item, items[n + 1 :], arrival)


def check_item(where: str, item: dict[str, Any]) -> None:
    kind = item.get("type")
    if kind is None:
        raise missing(f"{where}.type")
    if kind not in FIELDS:
        return
    for name in NEEDED[kind]:
        if name not in item:
            raise missing(f"{where}.{name}")
    for name in set(item) - FIELDS[kind] - {"type", "id", "status"}:
        raise unknown(f"{where}.{name}")
    id_ = item.get("id")
    if id_ is not None and kind in PREFIXES and not str(id_).startswith(PREFIXES[kind]):
        raise wrong_id(f"{where}.id", id_, PREFIXES[kind])
    if kind == "message":
        check_message(where, item)
    elif kind in CALLS or kind in OUTPUTS:
        check_call(where, item)


def check_message(where: str, item: dict[str, Any]) -> None:
    role, content = item["role"], item["content"]
    if role not in ROLES:
        raise invalid_value(f"{where}.role", role, ROLES)
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise wrong_type(f"{where}.content", "a string or an array of objects", content)
    for n, part in enumerate(content):
        check_part(f"{where}.content[{n}]", part, FROM_MODEL if role == "assistant" else TO_MODEL)


def check_part(where: str, part: object, allowed: tuple[str, ...]) -> None:
    if not isinstance(part, dict):
        raise wrong_type(where, "an object", part)
    kind = part.get("type")
    if kind not in allowed:
        raise invalid_value(f"{where}.type", kind, allowed)
    if kind in ("input_text", "output_text") and not isinstance(part.get("text"), str):
        raise (
            missing(f"{where}.text")
            if part.get("text") is None
            else wrong_type(f"{where}.text", "a string", part["text"])
        )
    if kind == "input_image":
        check_image(where, part)


def check_image(where: str, part: dict[str, Any]) -> None:
    """Here `image_url` is a string, while in chat completions it is an object."""
    url = part.get("image_url")
    if url is None and part.get("file_id") is None:
        raise missing(f"{where}.image_url")
    if url is not None and not isinstance(url, str):
        raise wrong_type(f"{where}.image_url", "an image URL", url)
    if url is not None and not url.startswith(("https://", "http://", "data:image/")):
        message = f"Invalid '{where}.image_url'. Expected a base64-encoded data URL with an image MIME type, or a URL."
        raise refuse(message, param=f"{where}.image_url", code="invalid_value")


def check_call(where: str, item: dict[str, Any]) -> None:
    call_id = item["call_id"]
    if not isinstance(call_id, str) or not call_id:
        raise wrong_type(f"{where}.call_id", "a string", call_id)
    if len(call_id) > LONGEST_CALL_ID:
        raise too_long(f"{where}.call_id", LONGEST_CALL_ID, len(call_id))
    for name in ("arguments", "input", "name"):
        if name in item and not isinstance(item[name], str):
            raise wrong_type(f"{where}.{name}", "a string", item[name])
    output = item.get("output")
    if isinstance(output, list):
        for n, part in enumerate(output):
            check_part(f"{where}.output[{n}]", part, TO_MODEL)
    elif "output" in item and not isinstance(output, str):
        raise wrong_type(f"{where}.output", "a string or an array of objects", output)


def check_pairs(items: list[dict[str, Any]]) -> None:
    """Calls and outputs are matched by `call_id`, wherever they stand."""
    calls = [item["call_id"] for item in items if item["type"] in CALLS]
    outputs = [item["call_id"] for item in items if item["type"] in OUTPUTS]
    seen: set[str] = set()
    for item in items:
        if item["type"] in CALLS:
            seen.add(item["call_id"])
        if item["type"] in OUTPUTS and item["call_id"] not in seen:
            message = f"No tool call found for function call output with call_id {item['call_id']}."
            raise refuse(message, param="input")
    for call_id in calls:
        if call_id not in outputs:
            raise refuse(f"No tool output found for function call {call_id}.", param="input")


def check_reasoning(item: dict[str, Any], after: list[dict[str, Any]], arrival: Arrival) -> None:
    """Nothing is stored, so that reasoning is known by its encrypted content alone; what it led to must follow it."""
    id_ = str(item.get("id", ""))
    token = item.get("encrypted_content")
    if token is None:
        raise refuse(
            f"Item with id '{id_}' not found. Items are not persisted when `store` is set to false. Try again with "
            "`store` set to true, or remove this item from your input.",
            param="input",
            status=404,
        )
    mark = opened(arrival.secret, "reasoning", str(token), b"")
    if mark is None:
        raise unverified(str(token))
    follower = after[0] if after else {}
    if follower.get("role", "assistant") != "assistant" or follower.get("type") not in ("message", "reasoning", *CALLS):
        message = f"Item '{id_}' of type 'reasoning' was provided without its required following item."
        raise refuse(message, param="input")
    for made_here, named in ((CALL_ID, "call_id"), (MESSAGE_ID, "id")):
        told = str(follower.get(named, ""))
        if told.startswith(made_here) and not told.startswith(made_here + mark.tag.hex()):
            raise unverified(str(token))


def unverified(token: str) -> RefusedError:
    """As reported in https://github.com/openai/codex/issues/8145; the vendor shortens the content in this way, too."""
    message = f"The encrypted content {token[:4]}...{token[-4:]} could not be verified."
    return refuse(message, code="invalid_encrypted_content")


def text_of(item: dict[str, Any]) -> str:
    content = item.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def count_items(items: list[dict[str, Any]]) -> int:
    """Four bytes a token and a flat price an image."""
    images = sum(item_images(item) for item in items)
    told = [item.get("content") if item["type"] == "message" else item for item in items]
    size = sum(len(text_of(item).encode()) for item in items if item["type"] == "message")
    size += sum(len(msgspec.json.encode(item)) for item in told if isinstance(item, dict))
    return 3 + 4 * len(items) + (size + 3) // 4 + images * IMAGE_TOKENS


def item_images(item: dict[str, Any]) -> int:
    content = item.get("content")
    return sum(1 for part in content if part.get("type") == "input_image") if isinstance(content, list) else 0
