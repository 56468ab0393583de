"""AWS's binary event stream, as a provider writes it. In: names of events and their JSON. Out: frames.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html describes the encoding.
"""

import struct
import zlib
from typing import Any

import msgspec

CONTENT_TYPE = b"application/vnd.amazon.eventstream"
TEXT = 7


def event(name: str, told: dict[str, Any]) -> bytes:
    """Bedrock fills each event up with letters (`p`), so that its length does not betray the token."""
    payload = msgspec.json.encode(told | {"p": "abcdefghijklmnop"[: 3 + len(name) % 9]})
    names = ((":event-type", name), (":content-type", "application/json"), (":message-type", "event"))
    return frame(names, payload)


def exception(name: str, message: str) -> bytes:
    names = ((":exception-type", name), (":content-type", "application/json"), (":message-type", "exception"))
    return frame(names, msgspec.json.encode({"message": message}))


def frame(headers: tuple[tuple[str, str], ...], payload: bytes) -> bytes:
    told = b"".join(header(name, value) for name, value in headers)
    lengths = struct.pack(">II", 16 + len(told) + len(payload), len(told))
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + told + payload
    return body + struct.pack(">I", zlib.crc32(body))


def header(name: str, value: str) -> bytes:
    written = value.encode()
    return bytes([len(name)]) + name.encode() + bytes([TEXT]) + struct.pack(">H", len(written)) + written
