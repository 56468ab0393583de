"""Makes `converse.json` anew: `python make_vectors.py` in an environment with botocore.

Out: what botocore's model of the service says of a request's shape, as JSON Schema; and what it reads from answers and frames.
"""

import base64
import gzip
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import botocore
from botocore.eventstream import EventStream
from botocore.exceptions import EventStreamError
from botocore.model import ServiceModel
from botocore.parsers import create_parser

HERE = Path(__file__).parent
DATA = Path(botocore.__file__).parent / "data" / "bedrock-runtime" / "2023-09-30" / "service-2.json.gz"
SERVICE = ServiceModel(json.loads(gzip.decompress(DATA.read_bytes())))
GOLDEN = HERE.parent.parent / "golden" / "bedrock_converse"
SIMPLE = {
    "string": "string",
    "integer": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "boolean": "boolean",
}


def schema_of(shape: Any, seen: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema of a shape; structures are named, since they may hold one another."""
    if shape.type_name == "structure" and getattr(shape, "is_document_type", False):
        return {}
    if shape.type_name == "structure":
        if shape.name not in seen:
            seen[shape.name] = {}
            seen[shape.name] = structure_of(shape, seen)
        return {"$ref": f"#/$defs/{shape.name}"}
    if shape.type_name == "list":
        bounds = {
            ours: shape.metadata[name]
            for name, ours in (("min", "minItems"), ("max", "maxItems"))
            if name in shape.metadata
        }
        return {"type": "array", "items": schema_of(shape.member, seen), **bounds}
    if shape.type_name == "map":
        bounds = {
            ours: shape.metadata[name]
            for name, ours in (("min", "minProperties"), ("max", "maxProperties"))
            if name in shape.metadata
        }
        names = {name: value for name, value in schema_of(shape.key, seen).items() if name != "type"}
        return {
            "type": "object",
            "propertyNames": names,
            "additionalProperties": schema_of(shape.value, seen),
            **bounds,
        }
    if shape.type_name == "blob":
        return {"type": "string", "contentEncoding": "base64", "pattern": "^[A-Za-z0-9+/]*={0,2}$"}
    return simple_of(shape)


def structure_of(shape: Any, seen: dict[str, Any]) -> dict[str, Any]:
    members = {name: schema_of(member, seen) for name, member in shape.members.items() if name != "modelId"}
    made: dict[str, Any] = {"type": "object", "properties": members, "additionalProperties": False}
    required = [name for name in shape.required_members if name != "modelId"]
    union = {"minProperties": 1, "maxProperties": 1} if shape.is_tagged_union else {}
    return {**made, **({"required": required} if required else {}), **union}


def simple_of(shape: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"type": SIMPLE[shape.type_name]}
    text = shape.type_name == "string"
    for name, ours in (("min", "minLength" if text else "minimum"), ("max", "maxLength" if text else "maximum")):
        if name in shape.metadata:
            made[ours] = shape.metadata[name]
    if getattr(shape, "enum", None):
        made["enum"] = shape.enum
    if "pattern" in shape.metadata:
        # A hyphen between a comma and a dot is meant as itself.
        made["pattern"] = f"^(?:{shape.metadata['pattern'].replace(',-.', ',.-')})$"
    return made


def header(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()


def frame(names: dict[str, str], payload: bytes) -> bytes:
    headers = b"".join(header(name, value) for name, value in names.items())
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def frames_of(path: Path) -> bytes:
    """The frames that a golden stream was, or would be."""
    made = b""
    for line in path.read_text().splitlines():
        if not line.startswith("data: "):
            continue
        told = json.loads(line.removeprefix("data: "))
        if "exception" in told:
            names = {
                ":exception-type": told["exception"],
                ":content-type": "application/json",
                ":message-type": "exception",
            }
            made += frame(names, json.dumps({"message": told["error"]["message"]}).encode())
            continue
        ((name, payload),) = told.items()
        names = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
        made += frame(names, json.dumps(payload).encode())
    return made


class Raw:
    """As much of an HTTP answer as botocore's reader of frames wants."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def stream(self, *_: Any, **__: Any) -> Any:
        yield self.data

    def close(self) -> None: ...


def read_stream(data: bytes) -> list[Any]:
    shape = SERVICE.operation_model("ConverseStream").get_event_stream_output()
    parser = create_parser("rest-json")
    events: list[Any] = []
    try:
        events.extend(map(plain, EventStream(Raw(data), shape, parser._event_stream_parser, "ConverseStream")))
    except EventStreamError as error:
        events.append({"exception": error.response["Error"]["Code"], "message": error.response["Error"]["Message"]})
    return events


def read_answer(body: bytes) -> Any:
    told = {"status_code": 200, "headers": {"x-amzn-requestid": "r"}, "body": body}
    found = create_parser("rest-json").parse(told, SERVICE.operation_model("Converse").output_shape)
    found.pop("ResponseMetadata", None)
    return plain(found)


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    seen: dict[str, Any] = {}
    top = schema_of(SERVICE.operation_model("Converse").input_shape, seen)
    streams = {path.stem: frames_of(path) for path in sorted((GOLDEN / "streams").glob("*.sse"))}
    made = {
        "made_with": f"botocore {botocore.__version__}",
        "request": {**top, "$defs": seen},
        "answers": {path.stem: read_answer(path.read_bytes()) for path in sorted((GOLDEN / "answers").glob("*.json"))},
        "streams": {name: {"frames": data.hex(), "events": read_stream(data)} for name, data in streams.items()},
    }
    (HERE / "converse.json").write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n")
