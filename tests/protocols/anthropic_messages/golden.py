"""The fixtures of Messages, and what the tests need to run them: contexts, framing cut anywhere, and JSON without the differences that are declared."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from trunkline.ir.events import Event
from trunkline.ir.parts import Text, Turn
from trunkline.ir.request import Reasoning, Request
from trunkline.protocols.anthropic_messages import NAME, codec
from trunkline.protocols.codec import QUIRKS, AnswerContext, RequestContext, Target
from trunkline.protocols.sse import Framer, events

GOLDEN = Path(__file__).parents[2] / "golden" / "anthropic_messages"
SECRET = b"account-secret"
CONTEXT = RequestContext(request_id="req_1", secret=SECRET)
TARGET = Target(
    protocol=NAME,
    upstream_model="claude-sonnet-4-5",
    quirks=msgspec.structs.replace(
        QUIRKS[NAME],
        system_in_middle=True,
        alternate_roles=False,
        limit_required=False,
        refused_while_thinking=frozenset(),
    ),
)
"""As Anthropic itself with its newest models, but for what would change a request."""
BUDGET = msgspec.structs.replace(TARGET, quirks=msgspec.structs.replace(TARGET.quirks, reasoning="budget"))


def files(kind: str) -> list[str]:
    return sorted(path.name for path in (GOLDEN / kind).iterdir())


def body(kind: str, name: str) -> bytes:
    return (GOLDEN / kind / name).read_bytes()


def asking(reasoning: Reasoning | None = None, **fields: Any) -> Request:
    return Request(origin=NAME, model="m", turns=(Turn("user", (Text("Hi"),)),), reasoning=reasoning, **fields)


def answering(request: Request | None = None, keep: Callable[[str, bytes], None] | None = None) -> AnswerContext:
    return AnswerContext(
        request=request or asking(Reasoning(enabled=True)),
        request_id="req_1",
        model="claude-sonnet-4-5",
        created_s=1,
        secret=SECRET,
        keep=keep or (lambda _key, _data: None),
    )


def read_stream(chunks: Iterable[bytes], target: Target = TARGET) -> list[Event]:
    framer, reader = Framer(), codec.stream_reader(target)
    found: list[Event] = []
    for chunk in chunks:
        for one in events(framer.feed(chunk)):
            found += reader.feed(one)
    return found + reader.end()


def plain(value: Any) -> Any:
    """JSON without the declared differences: one text is a list of one block, five minutes are the life that need not be said, and `custom`
    the kind of tool; null and empty content are not there; system prompts stand in their slot."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: plain(one) for key, one in value.items() if one is not None}
    for key in ("content", "system"):
        if isinstance(found.get(key), str) and found.get("type") != "compaction":
            found[key] = [{"type": "text", "text": found[key]}] if found[key] else []
    if found.get("type") == "tool_result" and not found.get("content"):
        found.pop("content", None)
    return found


def loaded(data: bytes) -> Any:
    return plain(json.loads(data))
