"""Google's words for our own: reasons to finish, status words, kinds of media, ids. In: one. Out: the other. Tables only.

https://ai.google.dev/api/generate-content#FinishReason, https://cloud.google.com/apis/design/errors#handling_errors
"""

import re
from collections.abc import Mapping
from typing import Literal

from trunkline.ir.response import FinishReason

NAME = "gemini"

_FILTERED = "SAFETY RECITATION LANGUAGE BLOCKLIST PROHIBITED_CONTENT SPII IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION MODEL_ARMOR"
_BROKEN = "MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS MALFORMED_RESPONSE"
_OTHERS = "OTHER IMAGE_OTHER NO_IMAGE MISSING_THOUGHT_SIGNATURE ESCALATION PUP_LIMITED_DISABLED CONTINUATION"

REASONS: Mapping[str, FinishReason] = {
    "STOP": FinishReason.END,
    "MAX_TOKENS": FinishReason.LENGTH,
    **dict.fromkeys(_FILTERED.split(), FinishReason.CONTENT_FILTER),
    **dict.fromkeys(_BROKEN.split(), FinishReason.BROKEN_TOOL_CALL),
    **dict.fromkeys(_OTHERS.split(), FinishReason.OTHER),
}
_WORDS: Mapping[FinishReason, str] = {
    FinishReason.END: "STOP",
    FinishReason.TOOL_CALLS: "STOP",
    FinishReason.STOP_SEQUENCE: "STOP",
    FinishReason.LENGTH: "MAX_TOKENS",
    FinishReason.CONTEXT_FULL: "MAX_TOKENS",
    FinishReason.CONTENT_FILTER: "SAFETY",
    FinishReason.REFUSAL: "SAFETY",
    FinishReason.BROKEN_TOOL_CALL: "MALFORMED_FUNCTION_CALL",
    FinishReason.PAUSED: "OTHER",
    FinishReason.OTHER: "OTHER",
}
BLOCKED = "promptFeedback."
"""Begins our native word where the prompt was blocked, so that there is no candidate at all."""

STATUS: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

_KINDS: Mapping[str, Literal["image", "audio", "video"]] = {"image": "image", "audio": "audio", "video": "video"}
# The first bytes of files, as base64 has them.
_BEGINNINGS = ((b"iVBOR", "image/png"), (b"/9j/", "image/jpeg"), (b"R0lG", "image/gif"), (b"UklGR", "image/webp"), (b"JVBER", "application/pdf"))  # fmt: skip
_ENDINGS: Mapping[str, str] = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp", "heic": "image/heic",
    "pdf": "application/pdf", "txt": "text/plain", "md": "text/md", "html": "text/html", "csv": "text/csv",
    "mp3": "audio/mp3", "wav": "audio/wav", "ogg": "audio/ogg", "flac": "audio/flac", "mp4": "video/mp4", "mov": "video/mov", "webm": "video/webm",
}  # fmt: skip
_USUAL: Mapping[str, str] = {
    "image": "image/jpeg",
    "audio": "audio/wav",
    "video": "video/mp4",
    "file": "application/pdf",
}
_ENDING = re.compile(r"\.([a-z0-9]{2,4})(?:[?#]|$)", re.IGNORECASE)
_POSITION = re.compile(r"call_\d+")


def reason_of(native: str, called: bool) -> FinishReason:
    """Why an answer ended; Google has no word of its own for waiting on tools."""
    reason = REASONS.get(native, FinishReason.OTHER)
    return FinishReason.TOOL_CALLS if called and reason is FinishReason.END else reason


def native_of(reason: FinishReason, native: str) -> str:
    """Google's word: the one that it said itself, if it did."""
    return native if native in REASONS else _WORDS[reason]


def kind_of(mime: str) -> Literal["image", "audio", "video", "file"]:
    return _KINDS.get(mime.partition("/")[0], "file")


def guessed_mime(kind: str, data: memoryview | bytes | None, url: str) -> str:
    """A MIME type, which Google always wants, for what was given without one."""
    if data is not None:
        beginning = bytes(data[:8])
        return next((mime for begins, mime in _BEGINNINGS if beginning.startswith(begins)), _USUAL[kind])
    ending = _ENDING.search(url)
    return _ENDINGS.get(ending[1].lower() if ending else "", _USUAL[kind])


def place_id(number: int) -> str:
    """The id of a call in a history that gives it none."""
    return f"call_{number}"


def is_place_id(call_id: str) -> bool:
    return _POSITION.fullmatch(call_id) is not None
