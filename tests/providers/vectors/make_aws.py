"""Makes `aws.json` anew: `python make_aws.py` in an environment with botocore. What botocore signs and reads is what ours is held to."""

import base64
import datetime
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import botocore
import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
JSON = [["content-type", "application/json"]]
RUNTIME = "bedrock-runtime.us-east-1.amazonaws.com"
REQUESTS: list[dict[str, Any]] = [
    {
        "host": "bedrock-runtime.eu-west-1.amazonaws.com",
        "region": "eu-west-1",
        "target": "/model/global.anthropic.claude-opus-5-5/invoke",
        "body": '{"a":1}',
    },
    {"target": "/model/anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke-with-response-stream"},
    {
        "target": "/anthropic/v1/messages",
        "headers": [*JSON, ["anthropic-version", "2023-06-01"]],
        "body": '{"text":"grüße"}',
        "session_token": "FwoGZXIvYXdzE//EXAMPLE==",
    },
    {"target": "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fx/invoke", "body": "{}"},
    {
        "method": "GET",
        "host": "bedrock.us-east-1.amazonaws.com",
        "target": "/foundation-models?byProvider=Anthropic&byInferenceType=ON_DEMAND",
        "headers": [],
    },
    {
        "host": "localhost:8443",
        "target": "/openai/v1/chat/completions",
        "headers": [*JSON, ["x-note", "  two   words  "]],
        "body": "x" * 1000,
    },
]


def signed(number: int, request: dict[str, Any]) -> dict[str, Any]:
    plain = {"method": "POST", "host": RUNTIME, "headers": JSON, "body": "", "session_token": "", "region": "us-east-1"}
    case = {**plain, "service": "bedrock", "now": f"2026112{number}T09300{number}Z", **request}
    now = datetime.datetime.strptime(case["now"], "%Y%m%dT%H%M%SZ")
    botocore.auth.get_current_datetime = lambda *_, **__: now
    url = f"https://{case['host']}{case['target']}"
    sent = AWSRequest(case["method"], url, headers=dict(case["headers"]), data=case["body"].encode())
    credentials = Credentials("AKIDEXAMPLE", SECRET, case["session_token"] or None)
    botocore.auth.SigV4Auth(credentials, case["service"], case["region"]).add_auth(sent)
    return {**case, "authorization": sent.headers["Authorization"]}


def header(name: str, kind: int, value: bytes) -> bytes:
    return bytes([len(name)]) + name.encode() + bytes([kind]) + value


def text(name: str, value: str) -> bytes:
    return header(name, 7, struct.pack(">H", len(value.encode())) + value.encode())


def frame(headers: bytes, payload: bytes) -> bytes:
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def chunk(event: dict[str, Any]) -> bytes:
    payload = {"bytes": base64.b64encode(json.dumps(event).encode()).decode(), "p": "abcdef"}
    names = text(":event-type", "chunk") + text(":content-type", "application/json") + text(":message-type", "event")
    return frame(names, json.dumps(payload).encode())


EVERY_TYPE = (
    header("t", 0, b"") + header("f", 1, b"") + header("b", 2, b"\x05") + header("s", 3, b"\0\5")
    + header("i", 4, b"\0\0\0\7") + header("l", 5, b"\0" * 7 + b"\1") + header("bin", 6, b"\0\3abc")
    + text("text", "wörd") + header("when", 8, b"\0" * 8) + header("uuid", 9, b"\1" * 16)
)  # fmt: skip
FRAMES = [
    chunk({"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "content": []}}),
    chunk({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Grüße \U0001f600"}}),
    frame(b"", b""),
    frame(EVERY_TYPE, b"payload"),
    frame(
        text(":exception-type", "throttlingException") + text(":message-type", "exception"),
        b'{"message":"Too many requests"}',
    ),
    frame(
        text(":message-type", "error")
        + text(":error-code", "InternalError")
        + text(":error-message", "Something broke"),
        b"",
    ),
    chunk({"type": "message_stop"}),
]


def read(data: bytes) -> dict[str, Any]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    message = next(iter(buffer))
    headers = {name: value for name, value in message.headers.items() if isinstance(value, str)}
    return {"frame": data.hex(), "headers": headers, "payload": message.payload.decode()}


if __name__ == "__main__":
    made = {
        "made_with": f"botocore {botocore.__version__}",
        "sigv4": [signed(number, request) for number, request in enumerate(REQUESTS)],
        "eventstream": [read(data) for data in FRAMES],
    }
    file = Path(__file__).parent / "aws.json"
    file.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
