"""A Responses request, checked as OpenAI checks it and cut down to what the answer depends on.

In: the raw body and the `Arrival`. Out: a frozen `Asked`; `RefusedError` with the vendor's error. Written from
https://platform.openai.com/docs/api-reference/responses/create; the wording of refusals is the vendor's where it is
known from reports. Nothing is stored here, so that no earlier response or item can be referred to.
"""

import re
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from trunkline.simulate.arrival import Arrival
from trunkline.simulate.asked import Asked, Tool, decode
from trunkline.simulate.responses.errors import above, below, invalid_value, missing, unknown, unsupported, wrong_type
from trunkline.simulate.responses.items import check_input, count_items, items_of, text_of
from trunkline.simulate.seals import prefix_of
from trunkline.simulate.vendor_errors import refuse

FIELDS = {
    "access_programs", "background", "background_options", "image",
    "context_management", "conversation", "include", "input", "instructions", "max_output_tokens",
    "max_tool_calls", "metadata", "model", "moderation", "parallel_tool_calls", "previous_response_id", "prompt",
    "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "reasoning", "safety_identifier",
    "service_tier", "store", "stream", "stream_options", "temperature", "text", "tool_choice", "tools",
    "top_logprobs", "top_p", "truncation", "user",
}  # fmt: skip
INCLUDES = (
    "file_search_call.results", "web_search_call.results", "web_search_call.action.sources",
    "message.input_image.image_url", "computer_call_output.output.image_url", "code_interpreter_call.outputs",
    "reasoning.encrypted_content", "message.output_text.logprobs",
)  # fmt: skip
ENCRYPTED = "reasoning.encrypted_content"
EFFORTS = {"none": 0, "minimal": 0, "low": 64, "medium": 192, "high": 640, "xhigh": 1280, "max": 1920}
"""Reasoning effort -> simulated reasoning tokens."""
SUMMARIES = ("auto", "concise", "detailed")
FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]+")
LEAST_OUTPUT = 16


def read_request(raw: bytes, arrival: Arrival) -> Asked:
    """Reads and checks a body. Raises `RefusedError`."""
    body = decode(raw)
    check_fields(body)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise missing("model")
    reasoning = any(fnmatchcase(model, pattern) for pattern in arrival.behaviour.reasoning_models)
    check_state(body)
    check_ranges(body, reasoning)
    wanted = read_reasoning(body, reasoning)
    tools = read_tools(body.get("tools"))
    items = items_of(body.get("input"))
    check_input(items, arrival)
    newest = max((n for n, item in enumerate(items) if item.get("role") == "user"), default=0)
    thinks = reasoning and wanted.get("summary") is not None
    return Asked(
        model=model,
        reasoning=reasoning,
        stream=body.get("stream") is True,
        include_usage=True,
        message=text_of(items[newest]),
        tool_rounds=rounds(items[newest:]),
        prompt_tokens=count_items(items) + (len(str(body.get("instructions") or "")) + 3) // 4,
        tools=tools,
        tool_choice=read_choice(body.get("tool_choice"), tools),
        output_schema=read_schema(body, items),
        reasoning_tokens=EFFORTS[wanted.get("effort") or "medium"] if reasoning else 0,
        max_tokens=body.get("max_output_tokens"),
        stop=(),
        key=msgspec.json.encode([items, body.get("instructions"), body.get("tools"), body.get("text")], order="sorted"),
        shows_thinking=thinks,
        thinks=thinks,
        prefix=prefix_of(b""),
        body=body,
    )


def check_fields(body: dict[str, Any]) -> None:
    for name in body:
        if name not in FIELDS:
            raise unknown(name)
    for name in ("stream", "store", "parallel_tool_calls", "background"):
        if not isinstance(body.get(name), bool | None):
            raise wrong_type(name, "a boolean", body[name])
    if body.get("stream_options") is not None and body.get("stream") is not True:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise refuse(message, param="stream_options")
    for n, name in enumerate(body.get("include") or []):
        if name not in INCLUDES:
            raise invalid_value(f"include[{n}]", name, INCLUDES)
    check_metadata(body.get("metadata"))


def check_metadata(metadata: object) -> None:
    """At most 16 pairs, keys of 64 and values of 512 characters (API reference, `metadata`)."""
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise wrong_type("metadata", "an object", metadata)
    if len(metadata) > 16:
        raise refuse(
            "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an "
            f"object with {len(metadata)} properties instead.",
            param="metadata",
            code="object_above_max_properties",
        )
    for name, value in metadata.items():
        if not isinstance(value, str):
            raise wrong_type(f"metadata.{name}", "a string", value)


def check_state(body: dict[str, Any]) -> None:
    previous = body.get("previous_response_id")
    if previous is not None:
        raise refuse(
            f"Previous response with id '{previous}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    if body.get("conversation") is not None:
        raise refuse("Conversation not found.", param="conversation", status=404)


def check_ranges(body: dict[str, Any], reasoning: bool) -> None:
    limit = body.get("max_output_tokens")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool)):
        raise wrong_type("max_output_tokens", "an integer", limit)
    if limit is not None and limit < LEAST_OUTPUT:
        raise below("max_output_tokens", LEAST_OUTPUT, limit)
    for name, most in (("temperature", 2), ("top_p", 1)):
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise wrong_type(name, "a decimal", value)
        if reasoning:  # https://platform.openai.com/docs/guides/latest-model, "Parameter compatibility"
            raise unsupported(name)
        if value > most:
            raise above(name, most, value)
        if value < 0:
            raise below(name, 0, value, kind="decimal")
    top = body.get("top_logprobs")
    if top is not None and reasoning:
        raise unsupported("top_logprobs")


def read_reasoning(body: dict[str, Any], reasoning: bool) -> dict[str, Any]:
    wanted = body.get("reasoning") or {}
    if not isinstance(wanted, dict):
        raise wrong_type("reasoning", "an object", wanted)
    for name in wanted:
        if name not in ("effort", "summary", "generate_summary", "context", "mode"):
            raise unknown(f"reasoning.{name}")
    for name in ("effort", "summary"):
        if wanted.get(name) is not None and not reasoning:
            raise unsupported(f"reasoning.{name}")
    if wanted.get("effort") is not None and wanted["effort"] not in EFFORTS:
        raise invalid_value("reasoning.effort", wanted["effort"], tuple(EFFORTS))
    if wanted.get("summary") is not None and wanted["summary"] not in SUMMARIES:
        raise invalid_value("reasoning.summary", wanted["summary"], SUMMARIES)
    if ENCRYPTED in (body.get("include") or []) and not reasoning:
        raise refuse("Encrypted content is not supported with this model.", param="include")
    return wanted


def read_tools(tools: object) -> tuple[Tool, ...]:
    """Functions and custom tools; the vendor's own tools are never called here."""
    if tools is None:
        return ()
    if not isinstance(tools, list):
        raise wrong_type("tools", "an array of objects", tools)
    return tuple(read for n, tool in enumerate(tools) if (read := read_tool(f"tools[{n}]", tool)))


def read_tool(where: str, tool: object) -> Tool | None:
    if not isinstance(tool, dict):
        raise wrong_type(where, "an object", tool)
    kind = tool.get("type")
    if kind is None:
        raise missing(f"{where}.type")
    if kind not in ("function", "custom"):
        return None
    name = tool.get("name")
    if name is None:
        raise missing(f"{where}.name")
    if not isinstance(name, str) or not FUNCTION_NAME.fullmatch(name) or len(name) > 128:
        raise refuse(
            f"Invalid '{where}.name': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'.",
            param=f"{where}.name",
            code="invalid_value",
        )
    if kind == "custom":
        return Tool(name, {"type": "object", "properties": {"input": {"type": "string"}}})
    for field in set(tool) - {
        "type",
        "name",
        "description",
        "parameters",
        "strict",
        "defer_loading",
        "async",
        "allowed_callers",
        "output_schema",
    }:
        raise unknown(f"{where}.{field}")
    schema = tool.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(schema, dict):
        raise wrong_type(f"{where}.parameters", "an object", schema)
    if tool.get("strict") is True:
        check_strict(name, schema, f"{where}.parameters", ())
    return Tool(name, schema)


def check_strict(name: str, schema: object, where: str, path: tuple[str, ...]) -> None:
    """https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas"."""
    if not isinstance(schema, dict):
        return
    properties = schema.get("properties") or {}
    problem = ""
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        problem = "'additionalProperties' is required to be supplied and to be false."
    elif absent := sorted(set(properties) - set(schema.get("required") or [])):
        problem = (
            "'required' is required to be supplied and to be an array including every key in properties. "
            f"Missing '{absent[0]}'."
        )
    if problem:
        message = f"Invalid schema for function '{name}': In context={path}, {problem}"
        raise refuse(message, param=where, code="invalid_function_parameters")
    for key, value in properties.items():
        check_strict(name, value, where, (*path, "properties", key))
    check_strict(name, schema.get("items"), where, (*path, "items"))


def read_choice(choice: object, tools: tuple[Tool, ...]) -> str:
    if choice is None:
        return "auto"
    if isinstance(choice, str):
        if choice not in ("auto", "none", "required"):
            raise invalid_value("tool_choice", choice, ("none", "auto", "required"))
        if choice == "required" and not tools:
            raise refuse("Tool choice 'required' must be specified with 'tools' parameter.", param="tool_choice")
        return choice
    if not isinstance(choice, dict):
        raise wrong_type("tool_choice", "a string or an object", choice)
    if choice.get("type") in ("function", "custom"):
        if "name" not in choice:
            raise missing("tool_choice.name")
        if choice["name"] not in {tool.name for tool in tools}:
            raise refuse(f"Tool choice '{choice['type']}' not found in 'tools' parameter.", param="tool_choice")
        return f"={choice['name']}"
    return "required" if choice.get("mode") == "required" else "auto"


def read_schema(body: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, Any] | None:
    """https://platform.openai.com/docs/guides/structured-outputs; in this API the schema stands in `text.format`."""
    wanted = (body.get("text") or {}).get("format")
    if not isinstance(wanted, dict) or wanted.get("type", "text") == "text":
        return None
    if wanted["type"] == "json_schema":
        for name in ("name", "schema"):
            if wanted.get(name) is None:
                raise missing(f"text.format.{name}")
        return dict(wanted["schema"])
    if wanted["type"] != "json_object":
        raise invalid_value("text.format.type", wanted["type"], ("json_object", "json_schema", "text"))
    told = " ".join([str(body.get("instructions") or ""), *(text_of(item) for item in items)])
    if "json" not in told.lower():
        message = (
            "Response input messages must contain the word 'json' in some form to use 'text.format' of type "
            "'json_object'."
        )
        raise refuse(message, param="input")
    return {}


def rounds(items: list[dict[str, Any]]) -> int:
    """Groups of calls: those that follow one another without a result between them are one turn's."""
    calls = [
        item.get("type") in ("function_call", "custom_tool_call") for item in items if item.get("type") != "reasoning"
    ]
    return sum(1 for before, now in zip([False, *calls], calls, strict=False) if now and not before)
