"""The messages of a Converse request, checked as Amazon and the models behind it check them.

In: decoded messages. Out: nothing, or texts and counts of them; `RefusedError`. Shapes: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html
"""

import base64
import binascii
import re
from typing import Any

from trunkline.simulate.arrival import Arrival
from trunkline.simulate.converse.errors import malformed, refuse
from trunkline.simulate.seals import opened

BLOCKS = {
    "text",
    "image",
    "document",
    "video",
    "toolUse",
    "toolResult",
    "reasoningContent",
    "cachePoint",
    "guardContent",
}
INNER = {"text", "json", "image", "document", "video"}
IMAGES = {"png", "jpeg", "gif", "webp"}
DOCUMENTS = {"pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"}
VIDEOS = {"mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp"}
FORMATS = {"image": IMAGES, "document": DOCUMENTS, "video": VIDEOS}
TOOL_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
DOCUMENT_NAME = re.compile(r"(?!.*\s\s)[A-Za-z0-9\s()\[\]-]{1,200}")
IMAGE_TOKENS = 85

Block = dict[str, Any]


def check_messages(messages: object, arrival: Arrival, model: str) -> list[Block]:
    """Raises `RefusedError`."""
    if not isinstance(messages, list) or not messages:
        raise refuse(
            "A conversation must start with a user message. Try again with a conversation that starts with a user message."
        )
    for n, message in enumerate(messages):
        if set(message) != {"role", "content"} or not isinstance(message["content"], list) or not message["content"]:
            raise refuse(
                f"The content field in the Message object at messages.{n} is empty. Add a ContentBlock object."
            )
        wanted = "user" if n % 2 == 0 else "assistant"
        if message["role"] != wanted and n == 0:
            raise refuse(
                "A conversation must start with a user message. Try again with a conversation that starts with a user message."
            )
        if message["role"] != wanted:
            raise malformed("roles must alternate between user and assistant")
        for m, block in enumerate(message["content"]):
            check_block(block, f"messages.{n}.content.{m}", message["role"], arrival, model)
        check_documents(message["content"], n)
    check_results(messages)
    return messages


def check_block(block: Block, where: str, role: str, arrival: Arrival, model: str) -> None:
    kind = only(block, BLOCKS, where)
    if kind == "text" and not block["text"].strip():
        raise refuse(
            f"The text field in the ContentBlock object at {where} is blank. Add text to the text field, and try again."
        )
    if kind in FORMATS:
        check_media(kind, block[kind], where)
        if role != "user":
            raise refuse(f"The {kind} block at {where} is only allowed in user messages.")
    if kind == "toolUse":
        check_use(block["toolUse"], where, role)
    if kind == "toolResult":
        check_result(block["toolResult"], where, role)
    if kind == "reasoningContent":
        check_reasoning(block["reasoningContent"], where, arrival, model)
    if kind == "cachePoint" and block["cachePoint"] not in ({"type": "default"}, {"type": "default", "ttl": "1h"}):
        raise refuse(f"The cachePoint at {where} is not valid.")


def only(block: object, known: set[str], where: str) -> str:
    """The one key of a union."""
    if not isinstance(block, dict) or len(block) != 1 or not set(block) <= known:
        raise refuse(f"Invalid ContentBlock object at {where}: exactly one of {', '.join(sorted(known))} must be set.")
    return str(next(iter(block)))


def check_media(kind: str, media: Block, where: str) -> None:
    names = {"format", "source"} | ({"name"} if kind == "document" else set())
    if set(media) != names or media["format"] not in FORMATS[kind] or set(media["source"]) != {"bytes"}:
        raise refuse(f"The {kind} at {where} is not valid.")
    if kind == "document" and not DOCUMENT_NAME.fullmatch(media["name"]):
        raise malformed(
            f"the file name at {where} can only contain alphanumeric characters, whitespace, hyphens, parentheses and square brackets"
        )
    try:
        base64.b64decode(media["source"]["bytes"], validate=True)
    except (binascii.Error, ValueError):
        raise refuse(f"The bytes at {where} are not base64.") from None


def check_use(use: Block, where: str, role: str) -> None:
    if set(use) != {"toolUseId", "name", "input"} or not isinstance(use["input"], dict) or role != "assistant":
        raise refuse(f"The toolUse block at {where} is not valid.")
    if not TOOL_ID.fullmatch(use["toolUseId"]):
        raise refuse(f"Value at '{where}.toolUse.toolUseId' failed to satisfy constraint: [a-zA-Z0-9_.:-]+")


def check_result(result: Block, where: str, role: str) -> None:
    if not {"toolUseId", "content"} <= set(result) <= {"toolUseId", "content", "status"} or role != "user":
        raise refuse(f"The toolResult block at {where} is not valid.")
    if result.get("status", "success") not in ("success", "error"):
        raise refuse(f"The status of the toolResult block at {where} is not valid.")
    for m, block in enumerate(result["content"]):
        kind = only(block, INNER, f"{where}.toolResult.content.{m}")
        if kind in FORMATS:
            check_media(kind, block[kind], where)


def check_reasoning(told: Block, where: str, arrival: Arrival, model: str) -> None:
    """Claude's must come back as it was."""
    if only(told, {"reasoningText", "redactedContent"}, where) == "redactedContent":
        return
    text = told["reasoningText"]
    if not {"text"} <= set(text) <= {"text", "signature"}:
        raise refuse(f"The reasoningContent at {where} is not valid.")
    if (
        "claude" in model
        and opened(arrival.secret, "thinking", text.get("signature", ""), text["text"].encode()) is None
    ):
        raise malformed(f"{where}: Invalid `signature` in `thinking` block")


def check_documents(content: list[Block], n: int) -> None:
    if any("document" in block for block in content) and not any("text" in block for block in content):
        raise refuse(f"Message {n} has a document and no text. Add a text field, and try again.")
    names = [block["document"]["name"] for block in content if "document" in block]
    if len(names) != len(set(names)):
        raise malformed("documents must not have the same name")


def check_results(messages: list[Block]) -> None:
    """https://docs.aws.amazon.com/bedrock/latest/userguide/tool-use-inference-call.html: the results of all calls, right behind them."""
    for n, message in enumerate(messages):
        called = [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]
        following = messages[n + 1]["content"] if n + 1 < len(messages) else []
        answered = [block["toolResult"]["toolUseId"] for block in following if "toolResult" in block]
        if following and sorted(called) != sorted(answered):
            raise refuse(
                f"The number of toolResult blocks at messages.{n + 1}.content does not match the number of toolUse blocks of previous turn."
            )


def text_of(message: Block) -> str:
    return "\n".join(block["text"] for block in message["content"] if "text" in block)


def is_question(message: Block) -> bool:
    return message["role"] == "user" and any("text" in block for block in message["content"])


def count(blocks: list[Block]) -> int:
    """Four bytes a token and a flat price an image."""
    tokens = 0
    for block in blocks:
        media = [kind for kind in FORMATS if kind in block]
        tokens += IMAGE_TOKENS if media else (len(str(block).encode()) + 3) // 4
    return tokens
