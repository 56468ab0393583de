"""Fixtures of Chat Completions and contexts to read and write them with."""

import json
from pathlib import Path
from typing import Any

import msgspec

from trunkline.ir.events import Event
from trunkline.ir.parts import Text, Turn
from trunkline.ir.request import Request
from trunkline.protocols.codec import CHAT, QUIRKS, AnswerContext, Bill, RequestContext, Target
from trunkline.protocols.openai_chat import codec
from trunkline.protocols.sse import Framer, events

GOLDEN = Path(__file__).parents[2] / "golden" / "openai_chat"
SECRET = b"secret of an account"
NO_BILL = Bill()
CONTEXT = RequestContext(request_id="req_1", secret=SECRET)


def fixtures(kind: str) -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in sorted((GOLDEN / kind).glob("*.json"))}


def streams() -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in sorted((GOLDEN / "streams").glob("*.sse"))}


def target(*, stream: bool = False, dialect: str = "", **quirks: Any) -> Target:
    """An offer that takes everything that Chat has a word for."""
    usual = {"cache_marks": True, "thinking_back": "text", "accepted": frozenset({"top_k"})}
    media = QUIRKS[CHAT].media | {"video"}
    fitted = msgspec.structs.replace(QUIRKS[CHAT], **{**usual, "media": media, **quirks})
    return Target(protocol=CHAT, upstream_model="m", dialect=dialect, quirks=fitted, stream=stream, request_id="req_1")


def asked(**fields: Any) -> Request:
    given = {"origin": CHAT, "model": "m", "turns": (Turn("user", (Text("Hi"),)),), "include_usage": True}
    return Request(**{**given, **fields})


class Kept(dict[str, bytes]):
    """A store of states that answers at once."""

    def keep(self, key: str, data: bytes) -> None:
        self[key] = data


def answer_context(request: Request | None = None, store: Kept | None = None) -> AnswerContext:
    return AnswerContext(
        request=request or asked(),
        request_id="req_1",
        model="m",
        created_s=1_700_000_000,
        secret=SECRET,
        keep=(store if store is not None else Kept()).keep,
    )


def read_stream(chunks: list[bytes], on: Target | None = None) -> list[Event]:
    framer, reader = Framer(), codec.stream_reader(on or target())
    found: list[Event] = []
    for chunk in chunks:
        for one in events(framer.feed(chunk)):
            found += reader.feed(one)
    return [*found, *reader.end()]


def written(found: list[Event], context: AnswerContext | None = None, bill: Bill = NO_BILL) -> bytes:
    """The stream that a caller gets; an event of failure is not for writers, as the reader's user sees to it."""
    writer = codec.stream_writer(context or answer_context())
    return b"".join([*[writer.feed(event) for event in found], writer.end(bill)])


def patched(wire: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    whole = dict(wire) if isinstance(wire, dict) else {}
    for name, value in patch.items():
        if value is None:
            whole.pop(name, None)
        else:
            whole[name] = patched(whole.get(name), value)
    return whole
