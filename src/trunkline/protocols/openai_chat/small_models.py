"""The profile `small-local`, requests: what a small model needs so that it can answer as OpenAI's chat protocol promises.

In: a caller's request body. Out: a `Plan`: the body for a llama-server, and how to read what comes (`small_answers`).
No IO. A tool that must be called becomes a schema that the runtime enforces; one that may be called is offered in words
and found in the text; results of tools go back as words of the user (of anything else small models make a second call).
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
RESULT_ROLES = ("tool", "function")
NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}
MAX_SCHEMA_DEPTH = 40
"""Levels of objects and lists; the runtime's own reader is native and recursive."""
DEFAULT_SYSTEM = "You are a helpful assistant."


class _Function(msgspec.Struct, frozen=True):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(msgspec.Struct, frozen=True):
    function: _Function


class _Called(msgspec.Struct, frozen=True):
    name: str = ""
    arguments: str = ""


class _Call(msgspec.Struct, frozen=True):
    id: str = ""
    function: _Called = _Called()


class _Part(msgspec.Struct, frozen=True):
    type: str
    text: str = ""
    refusal: str = ""


class _Message(msgspec.Struct, frozen=True):
    role: str
    content: str | list[_Part] | None = None
    name: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


class _Named(msgspec.Struct, frozen=True):
    name: str


class _NamedTool(msgspec.Struct, frozen=True):
    function: _Named


class _Allowed(msgspec.Struct, frozen=True):
    tools: list[_NamedTool]
    mode: str = "auto"


class _Choice(msgspec.Struct, frozen=True):
    function: _Named | None = None
    allowed_tools: _Allowed | None = None


class _Schema(msgspec.Struct, frozen=True):
    schema: dict[str, Any]


class _Format(msgspec.Struct, frozen=True):
    type: str
    json_schema: _Schema | None = None


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None


class _Request(msgspec.Struct, frozen=True):
    """The fields that are read here (https://platform.openai.com/docs/api-reference/chat/create)."""

    messages: list[_Message]
    model: str = ""
    tools: list[_Tool] | None = None
    tool_choice: str | _Choice | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Format | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


class Plan(msgspec.Struct, frozen=True):
    """One call of the child: what to send, and how to read what comes. `mode` is `text`, `forced` or `auto`."""

    body: bytes
    mode: str
    tools: dict[str, Tool]
    request: _Request
    forwarded: dict[str, Any]

    @property
    def model(self) -> str:
        return self.request.model

    @property
    def streamed(self) -> bool:
        return bool(self.request.stream)

    @property
    def usage_wanted(self) -> bool:
        return bool(self.request.stream_options and self.request.stream_options.include_usage)


def prepare(body: bytes) -> Plan:
    """Read a chat request and make the child's of it. Raises InvalidParams, which names the field, where it is none."""
    try:
        raw = _DECODE(body)
        request = msgspec.convert(raw, _Request)
    except msgspec.DecodeError as error:
        raise InvalidParams(f"the body is not a chat request: {error}", param=_field(str(error))) from error
    except RecursionError as error:
        raise InvalidParams("the body is nested too deeply") from error
    mode, tools = _mode(request, _tools(request))
    forwarded = {key: raw[key] for key in FORWARDED if raw.get(key) is not None}
    forwarded |= {new: raw[old] for old, new in RENAMED.items() if raw.get(old) is not None}
    return Plan(_child_body(request, forwarded, mode, tools), mode, tools, request, forwarded)


def _field(words: str) -> str | None:
    """The top-level field in msgspec's `... - at `$.field[0].name``."""
    return words.partition("`$.")[2].partition("`")[0].partition("[")[0].partition(".")[0] or None


def _tools(request: _Request) -> dict[str, Tool]:
    functions = [tool.function for tool in request.tools or ()]
    return {
        each.name: Tool(each.name, each.description or "", _checked(each.parameters or NO_PARAMETERS, "tools"))
        for each in functions
    }


def _mode(request: _Request, tools: dict[str, Tool]) -> tuple[str, dict[str, Tool]]:
    """How tools take part in this answer, and which of them."""
    choice = request.tool_choice
    if isinstance(choice, _Choice):
        mode, tools = _chosen(choice, tools)
    else:
        mode = "forced" if choice == "required" else "auto"
    if mode == "forced":
        if not tools:
            raise InvalidParams("tool_choice is required, but there are no tools", param="tool_choice")
        return "forced", tools
    # A schema for the answer and a free choice of tools exclude each other here: the schema can be kept for sure.
    if choice == "none" or not tools or _response_schema(request) or _ends_with_result(request):
        return "text", {}
    return "auto", tools


def _chosen(choice: _Choice, tools: dict[str, Tool]) -> tuple[str, dict[str, Tool]]:
    if choice.allowed_tools is not None:
        names = [tool.function.name for tool in choice.allowed_tools.tools]
        mode = "forced" if choice.allowed_tools.mode == "required" else "auto"
    else:
        names, mode = [choice.function.name] if choice.function else [], "forced"
    missing = [name for name in names if name not in tools]
    if missing or not names:
        raise InvalidParams(f"tool_choice names a function that is not in tools: {missing}", param="tool_choice")
    return mode, {name: tools[name] for name in names}


def _ends_with_result(request: _Request) -> bool:
    return bool(request.messages) and request.messages[-1].role in RESULT_ROLES


def _child_body(request: _Request, forwarded: dict[str, Any], mode: str, tools: dict[str, Tool]) -> bytes:
    left_out = () if mode == "text" else ("n", "logprobs", "top_logprobs")
    body = {key: value for key, value in forwarded.items() if key not in left_out}
    body["messages"] = _messages(request, _hint(mode, tools))
    schema = _forced_schema(tools) if mode == "forced" else _response_schema(request)
    if schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return _ENCODE(body | {"stream": True, "stream_options": {"include_usage": True}})


def _response_schema(request: _Request) -> dict[str, Any] | None:
    wanted = request.response_format
    if wanted is None or wanted.type not in ("json_object", "json_schema"):
        return None
    if wanted.type == "json_object":
        return {"type": "object"}
    if wanted.json_schema is None:
        raise InvalidParams("response_format.json_schema is missing", param="response_format")
    return _checked(wanted.json_schema.schema, "response_format")


def _checked(schema: dict[str, Any], param: str) -> dict[str, Any]:
    """A schema that can be handed to the runtime and to a validator: not too deep for native code, nothing to fetch."""
    level: list[Any] = [schema]
    for _ in range(MAX_SCHEMA_DEPTH):
        foreign = [item["$ref"] for item in level if isinstance(item, dict) and _is_foreign(item.get("$ref"))]
        if foreign:
            raise InvalidParams(f"a $ref must point into its own schema, not to {foreign[0]}", param=param)
        level = [inner for item in level for inner in _inside(item)]
        if not level:
            return schema
    raise InvalidParams(f"a schema may be nested {MAX_SCHEMA_DEPTH} levels deep", param=param)


def _is_foreign(reference: Any) -> bool:
    return isinstance(reference, str) and not reference.startswith("#")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _forced_schema(tools: dict[str, Tool]) -> dict[str, Any]:
    """The schema of a call: name first, then arguments, so that both can be streamed as they come."""
    definitions: dict[str, Any] = {}
    calls = [_call_schema(index, tool, definitions) for index, tool in enumerate(tools.values())]
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return schema | ({"$defs": definitions} if definitions else {})


def _call_schema(index: int, tool: Tool, definitions: dict[str, Any]) -> dict[str, Any]:
    """A tool's own definitions move to the root, where a `$ref` finds them."""
    own = {key: _group(tool.parameters.get(key)) for key in ("$defs", "definitions")}
    bare = {key: value for key, value in tool.parameters.items() if key not in (*own, "$schema")}
    for group in own.values():
        definitions |= {f"t{index}_{name}": _moved(value, index) for name, value in group.items()}
    arguments = _moved(bare, index)
    properties = {"name": {"const": tool.name}, "arguments": {"type": "object"} | arguments}
    return {
        "type": "object",
        "properties": properties,
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _group(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _moved(value: Any, index: int) -> Any:
    """A copy in which `#/$defs/X` is `#/$defs/t{index}_X`."""
    if isinstance(value, list):
        return [_moved(item, index) for item in value]
    if not isinstance(value, dict):
        return value
    moved = {key: _moved(item, index) for key, item in value.items()}
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


def _messages(request: _Request, hint: str) -> list[dict[str, str]]:
    """The conversation in the three roles that small models know."""
    names = {call.id: call.function.name for message in request.messages for call in message.tool_calls or ()}
    turns = [_turn(message, names) for message in request.messages]
    if hint and turns and turns[0]["role"] == "system":
        turns[0] = {"role": "system", "content": f"{turns[0]['content']}\n\n{hint}"}
    elif hint:
        turns.insert(0, {"role": "system", "content": f"{DEFAULT_SYSTEM}\n\n{hint}"})
    return _joined(turns)


def _turn(message: _Message, names: Mapping[str, str]) -> dict[str, str]:
    text = _text(message.content)
    if message.role in RESULT_ROLES:
        name = message.name or names.get(message.tool_call_id or "") or "the function"
        return {"role": "user", "content": f"Function {name} returned: {text}. Answer my question with this result."}
    if message.role == "assistant":
        said = [f"I call {call.function.name} with {call.function.arguments}." for call in message.tool_calls or ()]
        return {"role": "assistant", "content": "\n".join([*([text] if text else []), *said])}
    return {"role": "system" if message.role in ("system", "developer") else "user", "content": text}


def _text(content: str | list[_Part] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    foreign = next((part.type for part in content if part.type not in ("text", "refusal")), None)
    if foreign:
        raise InvalidParams(f"this model takes text only, not {foreign}", param="messages")
    return "\n".join(part.text or part.refusal for part in content)


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
    body = _child_body(plan.request, plan.forwarded, "forced", tools)
    return msgspec.structs.replace(plan, body=body, mode="forced", tools=tools)


def invalid(error: InvalidParams) -> bytes:
    """A request that `prepare` refused, as OpenAI's error."""
    fields = {"message": error.message, "type": "invalid_request_error", "param": error.param, "code": None}
    return _ENCODE({"error": fields})
