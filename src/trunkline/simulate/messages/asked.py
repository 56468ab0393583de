"""A Messages request, checked as Anthropic checks it and cut down to what the answer depends on.

In: the raw body and the `Arrival`. Out: a frozen `Asked`; `RefusedError` with the vendor's error. Written from
https://platform.claude.com/docs/en/api/messages/create; the wording of refusals is the vendor's where it is known from
reports, and its place in the body always comes first.
"""

import re
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import msgspec

from trunkline.simulate.arrival import Arrival, Mark
from trunkline.simulate.asked import Asked, Tool
from trunkline.simulate.messages import models
from trunkline.simulate.messages.content import check_messages, check_system, normal_turns, text_of
from trunkline.simulate.messages.errors import refuse
from trunkline.simulate.messages.thinking import check_seals, check_thinking, is_thinking
from trunkline.simulate.seals import prefix_of

ANY_BETA = "-20"
"""Every beta's name ends with a date."""
# Top-level fields -> the beta that must be asked for with them, if any.
FIELDS: dict[str, str | None] = {
    "model": None, "messages": None, "max_tokens": None, "system": None, "metadata": None, "stop_sequences": None,
    "stream": None, "temperature": None, "top_k": None, "top_p": None, "thinking": None, "tools": None,
    "tool_choice": None, "service_tier": None, "cache_control": None, "container": None, "output_config": None,
    "inference_geo": None, "diagnostics": None, "speed": None, "user_profile_id": None, "workspace_id": None,
    "billing_policy": ANY_BETA, "compaction": ANY_BETA, "fallback_credit_token": ANY_BETA, "fallbacks": ANY_BETA,
    "output_format": "structured-outputs", "context_management": "context-management",
    "mcp_servers": "mcp-client", "thread": "message-threads",
}  # fmt: skip
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
OWN_TOOL = re.compile(r"_20\d{6}$")
"""The type of the vendor's own tools ends with a date."""
TTL_S = {"5m": 300, "1h": 3600}
MOST_BREAKPOINTS = 4
EFFORTS = ("low", "medium", "high", "xhigh", "max")


def read_count(raw: bytes, arrival: Arrival) -> Asked:
    """https://platform.claude.com/docs/en/api/messages/count_tokens: the same body without `max_tokens`."""
    return read_request(raw, arrival, counts=True)


def read_request(raw: bytes, arrival: Arrival, *, counts: bool = False) -> Asked:
    """Reads and checks a body. Raises `RefusedError`."""
    check_headers(arrival)
    body = decode(raw)
    check_fields(body, arrival, counts=counts)
    model = body["model"]
    tools = read_tools(body.get("tools"))
    check_sampling(body, model)
    check_system(body.get("system"))
    check_messages(body["messages"], model)
    check_thinking(body, model, beta_of(arrival))
    check_choice(body, tools)
    turns = normal_turns(body["messages"])
    told = [[unmarked(block) for block in blocks_of(body.get(name))] for name in ("system", "tools")]
    check_seals(body["messages"], arrival, model, told)
    newest = newest_question(turns)
    thinks = is_thinking(body, model)
    marks = places(body)
    return Asked(
        model=model,
        reasoning=thinks,
        stream=body.get("stream") is True,
        include_usage=True,
        message=text_of(turns[newest]["content"]),
        tool_rounds=sum(1 for turn in turns[newest:] if has_calls(turn)),
        prompt_tokens=max(marks[-1].tokens, 1) + 4,
        tools=tools,
        tool_choice=read_choice(body.get("tool_choice")),
        output_schema=read_schema(body),
        reasoning_tokens=0,
        max_tokens=body.get("max_tokens"),
        stop=read_stop(body.get("stop_sequences")),
        key=msgspec.json.encode([turns, *told, body.get("output_config")], order="sorted"),
        shows_thinking=thinks,
        thinks=thinks,
        redacts=thinks,
        marks=marks,
        prefix=prefix_of(msgspec.json.encode([*told, turns], order="sorted")),
        body=body,
    )


def check_headers(arrival: Arrival) -> None:
    """https://platform.claude.com/docs/en/api/versioning: every request needs the header, with a date."""
    version = arrival.headers.get(b"anthropic-version", b"").decode("latin-1")
    if not version:
        raise refuse("anthropic-version: header is required")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", version):
        raise refuse(f'anthropic-version: "{version}" is not a valid version')


def beta_of(arrival: Arrival) -> str:
    return arrival.headers.get(b"anthropic-beta", b"").decode("latin-1")


def decode(raw: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refuse(f"The request body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise refuse("The request body must be a JSON object")
    return body


def check_fields(body: dict[str, Any], arrival: Arrival, *, counts: bool) -> None:
    betas = beta_of(arrival)
    for name in body:
        needed = FIELDS.get(name, "")
        if needed is not None and (not needed or needed not in betas):
            raise refuse(f"{name}: Extra inputs are not permitted")
    if "thread" in body:  # What the SDKs read before they go on without threads; the simulator keeps none.
        details = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
        raise refuse("thread: Message threads are not supported for this request", details=details)
    for name in ("model", "messages") if counts else ("model", "max_tokens", "messages"):
        if name not in body:
            raise refuse(f"{name}: Field required")
    if not isinstance(body["model"], str) or not body["model"]:
        raise refuse("model: Input should be a valid string")
    if not counts and not whole(body["max_tokens"]):
        raise refuse("max_tokens: Input should be a valid integer")
    if not counts and body["max_tokens"] < 1:
        raise refuse("max_tokens: must be greater than or equal to 1")
    check_small_fields(body)


def check_small_fields(body: dict[str, Any]) -> None:
    if not isinstance(body.get("stream", False), bool):
        raise refuse("stream: Input should be a valid boolean")
    for name in body.get("metadata") or {}:
        if name != "user_id":
            raise refuse(f"metadata.{name}: Extra inputs are not permitted")
    if body.get("service_tier", "auto") not in ("auto", "standard_only"):
        raise refuse("service_tier: Input should be 'auto' or 'standard_only'")
    effort = (body.get("output_config") or {}).get("effort", "high")
    if effort not in EFFORTS:
        raise refuse(f"output_config.effort: Input should be one of {', '.join(map(repr, EFFORTS))}")


def whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_sampling(body: dict[str, Any], model: str) -> None:
    """Ranges: API reference, `temperature` ("Ranges from 0.0 to 1.0"), `top_p`, `top_k`."""
    given = [name for name in ("temperature", "top_p", "top_k") if body.get(name) is not None]
    for name in given:
        value = body[name]
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise refuse(f"{name}: Input should be a valid number")
        if name != "top_k" and not 0 <= value <= 1:
            raise refuse(f"{name}: range: 0..1")
        if name == "top_k" and (not whole(value) or value < 0):
            raise refuse("top_k: Input should be greater than or equal to 0")
        if not models.takes_sampling(model) and not (name != "top_k" and value == 1):
            raise refuse(f"`{name}` is deprecated for this model.")
    if {"temperature", "top_p"} <= set(given) and not models.takes_both_samplings(model):
        message = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        raise refuse(message)


def read_tools(tools: object) -> tuple[Tool, ...]:
    """https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview, "Define tools". Tools of
    the vendor's own have a dated type and are never called here."""
    if tools is None:
        return ()
    if not isinstance(tools, list):
        raise refuse("tools: Input should be a valid list")
    for n, tool in enumerate(tools):
        check_kind(f"tools.{n}", tool)
    found = [read_tool(f"tools.{n}", tool) for n, tool in enumerate(tools) if is_custom(tool)]
    names = [tool.get("name") for tool in tools if isinstance(tool, dict)]
    if len(set(names)) < len(names):
        raise refuse("tools: Tool names must be unique.")
    return tuple(found)


def is_custom(tool: object) -> bool:
    return not isinstance(tool, dict) or tool.get("type") in ("custom", None)


def check_kind(where: str, tool: object) -> None:
    kind = tool.get("type", "custom") if isinstance(tool, dict) else "custom"
    if kind is not None and kind not in ("custom", "mcp_toolset") and not OWN_TOOL.search(str(kind)):
        raise refuse(
            f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags: 'custom'"
        )


def read_tool(where: str, tool: object) -> Tool:
    if not isinstance(tool, dict):
        raise refuse(f"{where}: Input should be a valid dictionary")
    for name in ("name", "input_schema"):
        if name not in tool:
            raise refuse(f"{where}.custom.{name}: Field required")
    known = {"type", "name", "description", "input_schema", "cache_control", "strict", "eager_input_streaming"}
    known |= {"defer_loading", "allowed_callers", "input_examples"}
    for name in set(tool) - known:
        raise refuse(f"{where}.custom.{name}: Extra inputs are not permitted")
    if not isinstance(tool["name"], str) or not TOOL_NAME.fullmatch(tool["name"]):
        raise refuse(f"{where}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    schema = tool["input_schema"]
    if not isinstance(schema, dict):
        raise refuse(f"{where}.custom.input_schema: Input should be a valid dictionary")
    if schema.get("type") != "object":
        problem = "Input should be 'object'" if "type" in schema else "Field required"
        raise refuse(f"{where}.custom.input_schema.type: {problem}")
    return Tool(tool["name"], schema)


def check_choice(body: dict[str, Any], tools: tuple[Tool, ...]) -> None:
    choice = body.get("tool_choice")
    if choice is None:
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind not in ("auto", "any", "tool", "none"):
        raise refuse(f"tool_choice: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
                     "'auto', 'any', 'tool', 'none'")  # fmt: skip
    if not body.get("tools"):
        raise refuse("tool_choice: tool_choice may only be specified while providing tools")
    if kind == "tool" and choice.get("name") not in {tool.name for tool in tools}:
        raise refuse(f"tool_choice: Tool '{choice.get('name')}' not found in provided tools")
    thinks = (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    if kind in ("any", "tool") and thinks:
        # https://platform.claude.com/docs/en/build-with-claude/extended-thinking, "Extended thinking with tool use"
        raise refuse("Thinking may not be enabled when tool_choice forces tool use.")


def read_choice(choice: object) -> str:
    kind = choice.get("type") if isinstance(choice, dict) else "auto"
    if isinstance(choice, dict) and kind == "tool":
        return "=" + str(choice.get("name"))
    return {"any": "required", "none": "none"}.get(str(kind), "auto")


def read_schema(body: dict[str, Any]) -> dict[str, Any] | None:
    """https://platform.claude.com/docs/en/build-with-claude/structured-outputs, "JSON Schema limitations"."""
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format")
    if wanted is None:
        return None
    if wanted.get("type") != "json_schema":
        raise refuse("output_config.format.type: Input should be 'json_schema'")
    schema = wanted.get("schema")
    if not isinstance(schema, dict):
        raise refuse("output_config.format.schema: Field required")
    check_closed(schema)
    return schema


def check_closed(schema: object) -> None:
    if isinstance(schema, list):
        for item in schema:
            check_closed(item)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        message = "For 'object' type, 'additionalProperties' must be explicitly set to false"
        raise refuse(f"output_config.format.schema: {message}")
    for value in schema.values():
        check_closed(list(value.values()) if isinstance(value, dict) and "type" not in value else value)


def read_stop(stop: object) -> tuple[str, ...]:
    if stop is None:
        return ()
    if not isinstance(stop, list) or not all(isinstance(item, str) for item in stop):
        raise refuse("stop_sequences: Input should be a valid list of strings")
    if any(not item.strip() for item in stop):
        raise refuse("stop_sequences: each stop sequence must contain non-whitespace")
    return tuple(stop)


def has_calls(turn: dict[str, Any]) -> bool:
    return any(block.get("type") == "tool_use" for block in turn["content"])


def newest_question(turns: list[dict[str, Any]]) -> int:
    """The last user turn with more than tool results."""
    asked = [
        n
        for n, turn in enumerate(turns)
        if turn["role"] == "user" and any(block.get("type") != "tool_result" for block in turn["content"])
    ]
    return max(asked, default=0)


def places(body: dict[str, Any]) -> tuple[Mark, ...]:
    """All blocks of the prompt in the order in which they are kept: tools, system, messages."""
    blocks = [(f"tools.{n}", tool) for n, tool in enumerate(body.get("tools") or [])]
    blocks += [(f"system.{n}", block) for n, block in enumerate(blocks_of(body.get("system")))]
    for n, message in enumerate(body["messages"]):
        blocks += [(f"messages.{n}.content.{m}", block) for m, block in enumerate(blocks_of(message["content"]))]
    digest, tokens, found = blake2b(digest_size=16), 0, []
    for n, (where, block) in enumerate(blocks):
        digest.update(msgspec.json.encode([where, unmarked(block)]))
        tokens += 2 + size_of(block)
        automatic = body.get("cache_control") if n == len(blocks) - 1 else None
        control = block.get("cache_control") or automatic
        found.append(Mark(tokens, digest.digest(), read_ttl(where, control) if control else 0))
    check_breakpoints([where for where, _ in blocks], found)
    return tuple(found)


def blocks_of(content: object) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content if isinstance(content, list) else []


def unmarked(block: dict[str, Any]) -> dict[str, Any]:
    """Where a cache mark stands is no part of what the model was told."""
    return {name: value for name, value in block.items() if name != "cache_control"}


def size_of(block: dict[str, Any]) -> int:
    """Four bytes a token; an image or a document has a flat price."""
    if block.get("type") in ("image", "document"):
        return 1500
    text = block.get("text")
    return (len(text.encode() if isinstance(text, str) else msgspec.json.encode(block)) + 3) // 4


def read_ttl(where: str, control: object) -> int:
    kind = control.get("type") if isinstance(control, dict) else None
    if not isinstance(control, dict) or kind != "ephemeral":
        raise refuse(f"{where}.cache_control.type: Input should be 'ephemeral'")
    ttl = control.get("ttl", "5m")
    if ttl not in TTL_S:
        raise refuse(f"{where}.cache_control.ephemeral.ttl: Input should be '5m' or '1h'")
    return TTL_S[ttl]


def check_breakpoints(wheres: list[str], marks: list[Mark]) -> None:
    """At most four, and longer before shorter (prompt caching, "Mixing different TTLs")."""
    wanted = [(where, mark.ttl_s) for where, mark in zip(wheres, marks, strict=True) if mark.ttl_s]
    if len(wanted) > MOST_BREAKPOINTS:
        raise refuse(f"A maximum of 4 blocks with cache_control may be provided. Found {len(wanted)}.")
    for (_, before_s), (where, ttl_s) in pairwise(wanted):
        if ttl_s > before_s:
            raise refuse(
                f"{where}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' "
                "cache_control block. Note that blocks are processed in the following order: `tools`, `system`, "
                "`messages`."
            )
