"""AWS's binary event stream, taken apart, and Bedrock's frames of it made into Server-Sent Events. In: bytes as they come. Out: messages, SSE. Sans-IO.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html (the encoding), https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html
"""

import base64
import binascii
import struct
import zlib
from collections.abc import Iterator

import msgspec

MAX_MESSAGE_BYTES = 24 * 1024 * 1024
_PRELUDE = struct.Struct(">III")
_CRC_BYTES = 4
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Type of a header's value -> its length; the types 6 and 7 say theirs."""
_STRING = 7


class Broken(ValueError):
    """The bytes are no event stream."""


class Message(msgspec.Struct, frozen=True):
    """One frame. Headers that are no strings are left out: none that is used here is one."""

    headers: dict[str, str]
    payload: bytes


class Messages:
    """Takes bytes as they come."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Every message that is whole by now. Raises Broken."""
        self._buffer += data
        while len(self._buffer) >= _PRELUDE.size:
            total, headers_bytes, crc = _PRELUDE.unpack_from(self._buffer)
            if zlib.crc32(self._buffer[: _PRELUDE.size - _CRC_BYTES]) != crc:
                raise Broken("the checksum of a frame's lengths is wrong")
            if not _PRELUDE.size + headers_bytes + _CRC_BYTES <= total <= MAX_MESSAGE_BYTES:
                raise Broken(f"a frame of {total} bytes with {headers_bytes} of headers")
            if len(self._buffer) < total:
                return
            frame = bytes(self._buffer[:total])
            del self._buffer[:total]
            yield _message(frame, headers_bytes)

    @property
    def cut(self) -> bool:
        """Something is left of a frame: the stream ended in its middle."""
        return bool(self._buffer)


def _message(frame: bytes, headers_bytes: int) -> Message:
    if zlib.crc32(frame[:-_CRC_BYTES]) != int.from_bytes(frame[-_CRC_BYTES:]):
        raise Broken("the checksum of a frame is wrong")
    end = _PRELUDE.size + headers_bytes
    return Message(dict(_headers(frame[_PRELUDE.size : end])), frame[end:-_CRC_BYTES])


def _headers(data: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    try:
        while at < len(data):
            name_end = at + 1 + data[at]
            name, kind, at = data[at + 1 : name_end].decode(), data[name_end], name_end + 1
            if kind in _FIXED:
                at += _FIXED[kind]
                continue
            length = int.from_bytes(data[at : at + 2])
            value, at = data[at + 2 : at + 2 + length], at + 2 + length
            if len(value) != length:
                raise Broken("a header is longer than the headers")
            if kind == _STRING:
                yield name, value.decode()
    except (IndexError, UnicodeDecodeError):
        raise Broken("the headers of a frame cannot be read") from None
    if at != len(data):
        raise Broken("a header is longer than the headers")


class _Chunk(msgspec.Struct):
    bytes: str = ""


class _Fault(msgspec.Struct):
    message: str = ""


class _Typed(msgspec.Struct):
    type: str = ""


class BedrockEvents:
    """Makes server-sent events of Bedrock's frames.

    Of InvokeModelWithResponseStream what Anthropic's own API sends: the frames hold its events, base64 in JSON. Of ConverseStream one object
    each, with the name of the event as its one key. An exception in either becomes Anthropic's event `error`, with its own name in `exception`.
    """

    def __init__(self) -> None:
        self._messages = Messages()

    def feed(self, data: bytes) -> bytes:
        """Whole SSE events. Raises Broken."""
        return b"".join(map(_event, self._messages.feed(data)))

    @property
    def cut(self) -> bool:
        return self._messages.cut


# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html, in the words of https://platform.claude.com/docs/en/api/errors
_FAULTS = {
    "throttlingException": "rate_limit_error",
    "validationException": "invalid_request_error",
    "serviceUnavailableException": "overloaded_error",
    "modelTimeoutException": "timeout_error",
}


def _event(message: Message) -> bytes:
    kind = message.headers.get(":message-type", "event")
    try:
        if kind == "event":
            name = message.headers.get(":event-type", "")
            if name in ("", "initial-response"):
                return b""
            if name != "chunk":
                # https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html
                return _sse(name, b"{%b:%b}" % (msgspec.json.encode(name), message.payload or b"{}"))
            event = base64.b64decode(msgspec.json.decode(message.payload, type=_Chunk).bytes, validate=True)
            return _sse(msgspec.json.decode(event, type=_Typed).type, event)
        told = msgspec.json.decode(message.payload, type=_Fault).message if kind == "exception" else ""
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error):
        raise Broken("a frame holds no event") from None
    name = message.headers.get(":exception-type") or message.headers.get(":error-code", "")
    error = {
        "type": _FAULTS.get(name, "api_error"),
        "message": told or message.headers.get(":error-message", "") or name,
    }
    return _sse("error", msgspec.json.encode({"type": "error", "error": error, "exception": name}))


def _sse(name: str, data: bytes) -> bytes:
    # In JSON a line end can only be a blank between values.
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data.translate(_BLANKS))


_BLANKS = bytes.maketrans(b"\r\n", b"  ")
