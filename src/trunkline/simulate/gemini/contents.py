"""The turns of a Gemini request: roles, parts, function responses beside their calls, thought signatures.

In: `contents`. Out: turns with camelCase names; `RefusedError`. Rules: https://ai.google.dev/api/caching#Content,
https://ai.google.dev/gemini-api/docs/function-calling and https://ai.google.dev/gemini-api/docs/thought-signatures
"""

import base64
import binascii
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from trunkline.simulate.arrival import Arrival
from trunkline.simulate.gemini import names
from trunkline.simulate.gemini.errors import in_request, refuse, wrong_value
from trunkline.simulate.gemini.names import known, listed
from trunkline.simulate.seals import opened

PASSES = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
"""Taken in place of a signature that another model's history does not have (thought signatures, FAQ)."""
STRUCT = "type.googleapis.com/google.protobuf.Struct"
SIGNED_AT_WILL = b""


def read_contents(told: object, arrival: Arrival, model: str) -> list[dict[str, Any]]:
    """Raises `RefusedError` where the vendor refuses."""
    turns = [read_content(content, f"contents[{n}]") for n, content in enumerate(listed(told))]
    if not turns:
        raise in_request("contents", "contents is not specified")
    for n, turn in enumerate(turns):
        if turn.get("role", "user") not in ("user", "model"):
            raise refuse("Please use a valid role: user, model.")
        for m, part in enumerate(turn["parts"]):
            check_signature(part, f"contents[{n}].parts[{m}]", arrival)
    joined = joined_turns(turns)
    check_order(joined)
    check_missing(turns, arrival, model)
    return joined


def read_content(told: object, where: str) -> dict[str, Any]:
    content = known(told, names.CONTENT, where)
    parts = listed(content.get("parts"))
    if not parts:
        raise in_request(f"{where}.parts", "contents.parts must not be empty.")
    return content | {"parts": [read_part(part, f"{where}.parts[{n}]") for n, part in enumerate(parts)]}


def read_part(told: object, where: str) -> dict[str, Any]:
    part = known(told, names.PART, where)
    data = [name for name in names.DATA if name in part]
    if not data and "thoughtSignature" not in part:
        raise in_request(f"{where}.data", "required oneof field 'data' must have one initialized field")
    if len(data) > 1:
        raise refuse(
            f"Invalid value at '{where}' (oneof), oneof field 'data' is already set. Cannot set '{names.snake(data[1])}'"
        )
    if "text" in part and not isinstance(part["text"], str):
        raise wrong_value(f"{where}.text", "TYPE_STRING", part["text"])
    if "inlineData" in part:
        part["inlineData"] = read_blob(part["inlineData"], f"{where}.inline_data")
    if "fileData" in part:
        part["fileData"] = known(part["fileData"], names.FILE, f"{where}.file_data")
        if not part["fileData"].get("fileUri"):
            raise in_request(f"{where}.file_data.file_uri", "[REQUIRED_FIELD_MISSING]")
    if "functionCall" in part:
        part["functionCall"] = read_call(part["functionCall"], f"{where}.function_call")
    if "functionResponse" in part:
        part["functionResponse"] = read_result(part["functionResponse"], f"{where}.function_response")
    return part


def read_blob(told: object, where: str) -> dict[str, Any]:
    blob = known(told, names.BLOB, where)
    if not blob.get("mimeType"):
        raise in_request(f"{where}.mime_type", "[REQUIRED_FIELD_MISSING]")
    decoded(blob.get("data", ""), f"{where}.data")
    return blob


def decoded(value: object, where: str) -> bytes:
    try:
        text = str(value).replace("-", "+").replace("_", "/")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise refuse(
            f"Invalid value at '{where}' (TYPE_BYTES), Base64 decoding failed for \"{str(value)[:20]}\""
        ) from None


def read_call(told: object, where: str) -> dict[str, Any]:
    call = known(told, names.CALL, where)
    if not call.get("name"):
        raise in_request(f"{where}.name", "[REQUIRED_FIELD_MISSING]")
    if not isinstance(call.get("args", {}), dict):
        raise wrong_value(f"{where}.args", STRUCT, call["args"])
    return call


def read_result(told: object, where: str) -> dict[str, Any]:
    result = known(told, names.RESULT, where)
    if not result.get("name"):
        raise in_request(f"{where}.name", "[REQUIRED_FIELD_MISSING]")
    if "response" not in result:
        raise in_request(f"{where}.response", "[REQUIRED_FIELD_MISSING]")
    if not isinstance(result["response"], dict):
        raise wrong_value(f"{where}.response", STRUCT, result["response"])
    return result


def joined_turns(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turns of one role in a row are one: chats of the SDKs hold every chunk of a stream as a turn."""
    joined: list[dict[str, Any]] = []
    for turn in turns:
        role = turn.get("role", "user")
        if joined and joined[-1]["role"] == role:
            joined[-1]["parts"] = joined[-1]["parts"] + turn["parts"]
        else:
            joined.append({"role": role, "parts": turn["parts"]})
    return joined


def check_order(turns: list[dict[str, Any]]) -> None:
    """A call comes after the user's turn, its responses right after it, one for each call."""
    for n, turn in enumerate(turns):
        calls, results = having(turn, "functionCall"), having(turn, "functionResponse")
        before = turns[n - 1] if n else None
        if calls and (turn["role"] == "user" or before is None):
            raise refuse(
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn."
            )
        asked = having(before, "functionCall") if before else []
        if results and not asked:
            raise refuse("Please ensure that function response turn comes immediately after a function call turn.")
        if asked and len(results) != len(asked):
            raise refuse(
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        check_names(asked, results)
    if turns[-1]["role"] == "model":
        raise refuse("Please ensure that multiturn requests end with a user role or a function response.")


def check_names(asked: list[dict[str, Any]], results: list[dict[str, Any]]) -> None:
    if sorted(call["name"] for call in asked) != sorted(result["name"] for result in results):
        raise refuse(
            "Please ensure that function response parts have the names of the function call parts of the function "
            "call turn."
        )
    ids = {call["id"] for call in asked if "id" in call}
    wrong = [result["id"] for result in results if "id" in result and ids and result["id"] not in ids]
    if wrong:
        raise refuse(f"Function response id {wrong[0]} does not match any function call.")


def having(turn: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [part[name] for part in turn["parts"] if name in part]


def covered_by(part: dict[str, Any]) -> bytes:
    """What a signature holds for: a call with its arguments. Others may be on any part, since text is cut at will."""
    call = part.get("functionCall")
    if call is None:
        return SIGNED_AT_WILL
    name: bytes = call["name"].encode()
    return name + msgspec.json.encode(as_struct(call.get("args") or {}), order="sorted")


def as_struct(value: Any) -> Any:
    """Numbers are doubles in a protobuf Struct, so that 1 may come back as 1.0."""
    if isinstance(value, dict):
        return {name: as_struct(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [as_struct(inner) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def check_signature(part: dict[str, Any], where: str, arrival: Arrival) -> None:
    token = part.get("thoughtSignature")
    if token is None or token in PASSES:
        return
    raw = decoded(token, f"{where}.thought_signature")
    if opened(arrival.secret, "part", base64.b64encode(raw).decode(), covered_by(part)) is None:
        # As reported in https://github.com/google-gemini/gemini-cli/issues/13467
        raise refuse("Corrupted thought signature.")


def check_missing(turns: list[dict[str, Any]], arrival: Arrival, model: str) -> None:
    """From Gemini 3 on, the first call of each step of the current turn must have its signature."""
    if not any(fnmatchcase(model, pattern) for pattern in arrival.behaviour.signing_models):
        return
    asked = [n for n, turn in enumerate(turns) if is_question(turn)]
    stepped = False
    for n in range(max(asked, default=0), len(turns)):
        if turns[n].get("role", "user") != "model":
            stepped = False
            continue
        for part in turns[n]["parts"]:
            if "functionCall" not in part:
                continue
            if not stepped and not part.get("thoughtSignature"):
                raise missing_signature(part["functionCall"]["name"], n)
            stepped = True


def missing_signature(name: str, n: int) -> Exception:
    return refuse(
        "Function call is missing a thought_signature in functionCall parts. This is required for tools to work "
        "correctly, and missing thought_signature may lead to degraded model performance. Additional data, function "
        f"call `default_api:{name}` , position {n + 1}. Please refer to "
        "https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
    )


def is_question(turn: dict[str, Any]) -> bool:
    return turn.get("role", "user") == "user" and any("functionResponse" not in part for part in turn["parts"])


def text_of(turn: dict[str, Any]) -> str:
    return "\n".join(part["text"] for part in turn["parts"] if "text" in part and not part.get("thought"))
