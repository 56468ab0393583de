"""The profile `small-local`, requests: what a small model of our own needs so that it can answer as OpenAI's chat
protocol promises.

In: a caller's request body. Out: a `Plan`: the body for a llama-server, and how to read what comes (`small_answers`).
No IO.
A tool that must be called becomes a schema that the runtime enforces; one that may be called is offered in words and
found in the text;
results of tools go back as words of the user (a repeated call is what small models make of anything else).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from trunkline.errors import InvalidParams
from trunkline.protocols.openai_chat.small_calls import Call, Tool

FORWARDED = (
    "temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "repeat_penalty", "seed", "stop",
    "logit_bias", "logprobs", "top_logprobs", "n", "max_tokens",
)  # fmt: skip
"""What the child takes as it came. The rest is left out: the runtime has switches (`grammar`, slots, caches) that are
not the caller's."""
RENAMED = {"max_completion_tokens": "max_tokens", "repetition_penalty": "repeat_penalty"}
_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(dict[str, Any]).decode

OFFER = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n{tools}\n</tools>\n\n"
    "For each function call, return a json object with function name and arguments within "
    "<tool_call></tool_call> XML tags:\n<tool_call>\n"
    '{{"name": <function-name>, "arguments": <args-json-object>}}\n</tool_call>'
)
"""The words of Qwen2.5's own chat template (Apache-2.0), on which it was trained: with other words the 0.5B called in 6
of 10 cases where it had to, with these in 10 of 10."""
MAY_CALL = (
    "\n\nCall a function only if the question needs it. "
    "If not, answer the question in plain words without calling a function."
)
"""With it the 0.5B left functions alone in 10 of 10 questions that need none, without it in 9."""
DEFAULT_SYSTEM = "You are a helpful assistant."


class Plan(msgspec.Struct, frozen=True):
    """One call of the child: what to send, and how to read what comes. `mode` is `text`, `forced` or `auto`."""

    body: bytes
    mode: str
    model: str
    streamed: bool
    usage_wanted: bool
    tools: dict[str, Tool]
    request: dict[str, Any]


def prepare(body: bytes) -> Plan:
    """Read a chat request and make the child's of it. Raises InvalidParams where it is none."""
    try:
        request = _DECODE(body)
    except msgspec.DecodeError as error:
        raise InvalidParams(f"the body is not a JSON object: {error}") from error
    tools = _tools(request)
    choice = request.get("tool_choice") or "auto"
    mode, offered = _mode(choice, tools, request)
    options = request.get("stream_options") or {}
    return Plan(
        body=_child_body(request, mode, offered),
        mode=mode,
        model=str(request.get("model", "")),
        streamed=bool(request.get("stream")),
        usage_wanted=bool(isinstance(options, dict) and options.get("include_usage")),
        tools=offered,
        request=request,
    )


def _tools(request: dict[str, Any]) -> dict[str, Tool]:
    tools = {}
    for index, item in enumerate(request.get("tools") or ()):
        function = item.get("function") if isinstance(item, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise InvalidParams(f"tools[{index}] has no function with a name", param="tools")
        parameters = function.get("parameters") or {"type": "object", "properties": {}}
        tools[function["name"]] = Tool(function["name"], str(function.get("description") or ""), parameters)
    return tools


def _mode(choice: Any, tools: dict[str, Tool], request: dict[str, Any]) -> tuple[str, dict[str, Tool]]:
    """How tools take part in this answer, and which of them."""
    if isinstance(choice, dict):
        return "forced", _chosen(choice, tools)
    if choice == "required" and not tools:
        raise InvalidParams("tool_choice is required, but there are no tools", param="tool_choice")
    if choice == "required":
        return "forced", tools
    # A schema for the answer and a free choice of tools exclude each other here: the schema is what can be kept for
    # sure.
    if choice == "none" or not tools or _response_schema(request) or _ends_with_result(request):
        return "text", {}
    return "auto", tools


def _chosen(choice: dict[str, Any], tools: dict[str, Tool]) -> dict[str, Tool]:
    if choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools", {})
        names = [item.get("function", {}).get("name") for item in allowed.get("tools", ())]
    else:
        names = [choice.get("function", {}).get("name")]
    missing = [name for name in names if name not in tools]
    if missing or not names:
        raise InvalidParams(f"tool_choice names a function that is not in tools: {missing}", param="tool_choice")
    return {name: tools[name] for name in names}


def _ends_with_result(request: dict[str, Any]) -> bool:
    messages = request.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, dict) and last.get("role") in ("tool", "function")


def _child_body(request: dict[str, Any], mode: str, tools: dict[str, Tool]) -> bytes:
    body = {key: request[key] for key in FORWARDED if request.get(key) is not None}
    body |= {new: request[old] for old, new in RENAMED.items() if request.get(old) is not None}
    body["messages"] = _messages(request, _hint(mode, tools))
    schema = _forced_schema(tools) if mode == "forced" else _response_schema(request)
    if schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    if mode != "text":
        body.pop("n", None)
        body.pop("logprobs", None)
        body.pop("top_logprobs", None)
    return _ENCODE(body | {"stream": True, "stream_options": {"include_usage": True}})


def _response_schema(request: dict[str, Any]) -> Any:
    wanted = request.get("response_format") or {}
    if not isinstance(wanted, dict):
        raise InvalidParams("response_format must be an object", param="response_format")
    if wanted.get("type") == "json_object":
        return {"type": "object"}
    if wanted.get("type") != "json_schema":
        return None
    holder = wanted.get("json_schema")
    if not isinstance(holder, dict) or not isinstance(holder.get("schema"), dict):
        raise InvalidParams("response_format.json_schema.schema must be an object", param="response_format")
    return holder["schema"]


def _forced_schema(tools: dict[str, Tool]) -> dict[str, Any]:
    """The schema of a call: name first, then arguments, so that both can be streamed as they come."""
    definitions: dict[str, Any] = {}
    calls = [_call_schema(index, tool, definitions) for index, tool in enumerate(tools.values())]
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return schema | ({"$defs": definitions} if definitions else {})


def _call_schema(index: int, tool: Tool, definitions: dict[str, Any]) -> dict[str, Any]:
    """A tool's own definitions move to the root, where a `$ref` finds them."""
    own = {key: tool.parameters.get(key) or {} for key in ("$defs", "definitions")}
    bare = {key: value for key, value in tool.parameters.items() if key not in (*own, "$schema")}
    for key, group in own.items():
        definitions |= {f"t{index}_{name}": _moved(value, index, key) for name, value in group.items()}
    arguments = _moved(bare, index, *own)
    properties = {"name": {"const": tool.name}, "arguments": {"type": "object"} | arguments}
    return {
        "type": "object",
        "properties": properties,
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _moved(value: Any, index: int, *groups: str) -> Any:
    """A copy in which `#/$defs/X` is `#/$defs/t{index}_X`."""
    if isinstance(value, list):
        return [_moved(item, index, *groups) for item in value]
    if not isinstance(value, dict):
        return value
    moved = {key: _moved(item, index, "$defs", "definitions") for key, item in value.items()}
    target = moved.get("$ref")
    if isinstance(target, str) and target.startswith(("#/$defs/", "#/definitions/")):
        moved["$ref"] = f"#/$defs/t{index}_{target.split('/', 2)[2]}"
    return moved


def _hint(mode: str, tools: dict[str, Tool]) -> str:
    if not tools:
        return ""
    return OFFER.format(tools="\n".join(map(_signature, tools.values()))) + (MAY_CALL if mode == "auto" else "")


def _signature(tool: Tool) -> str:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return _ENCODE({"type": "function", "function": function}).decode()


def _messages(request: dict[str, Any], hint: str) -> list[dict[str, str]]:
    """The conversation in the three roles that small models know."""
    raw = request.get("messages")
    if not isinstance(raw, list) or not all(isinstance(item, dict) for item in raw):
        raise InvalidParams("messages must be a list of objects", param="messages")
    names = {
        call.get("id"): call.get("function", {}).get("name") for item in raw for call in item.get("tool_calls") or ()
    }
    turns = [_turn(item, names) for item in raw]
    if hint and turns and turns[0]["role"] == "system":
        turns[0] = {"role": "system", "content": f"{turns[0]['content']}\n\n{hint}"}
    elif hint:
        turns.insert(0, {"role": "system", "content": f"{DEFAULT_SYSTEM}\n\n{hint}"})
    return _joined(turns)


def _turn(item: dict[str, Any], names: Mapping[Any, Any]) -> dict[str, str]:
    role = item.get("role")
    text = _text(item.get("content"))
    if role in ("tool", "function"):
        name = item.get("name") or names.get(item.get("tool_call_id")) or "the function"
        return {"role": "user", "content": f"Function {name} returned: {text}. Answer my question with this result."}
    if role == "assistant":
        calls = [call.get("function", {}) for call in item.get("tool_calls") or ()]
        said = [f"I call {call.get('name')} with {call.get('arguments')}." for call in calls]
        return {"role": "assistant", "content": "\n".join([*([text] if text else []), *said])}
    return {"role": "system" if role in ("system", "developer") else "user", "content": text}


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    parts = [part for part in content if isinstance(part, dict)]
    foreign = next((part.get("type") for part in parts if part.get("type") not in ("text", "refusal")), None)
    if foreign:
        raise InvalidParams(f"this model takes text only, not {foreign}", param="messages")
    return "\n".join(str(part.get("text") or part.get("refusal") or "") for part in parts)


def _joined(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """Neighbours of one role as one turn: several results of tools, or texts, in a row."""
    joined: list[dict[str, str]] = []
    for turn in turns:
        if joined and joined[-1]["role"] == turn["role"]:
            joined[-1] = {"role": turn["role"], "content": f"{joined[-1]['content']}\n{turn['content']}"}
        else:
            joined.append(turn)
    return joined


def correction(plan: Plan, call: Call) -> Plan:
    """The one further try after a call that could not be used: the same tool, its form enforced."""
    tools = {call.name: plan.tools[call.name]}
    return msgspec.structs.replace(plan, body=_child_body(plan.request, "forced", tools), mode="forced", tools=tools)


def invalid(error: InvalidParams) -> bytes:
    """A request that `prepare` refused, as OpenAI's error."""
    fields = {"message": error.message, "type": "invalid_request_error", "param": error.param, "code": None}
    return _ENCODE({"error": fields})
