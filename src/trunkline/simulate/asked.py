"""`Asked`, what every protocol's request comes down to, and the reader of chat completions, which checks a request as
the vendors do and cuts it down to what the answer depends on.

In: the raw body. Out: a frozen `Asked`; `RefusedError` with the vendor's error. Fields: https://platform.openai.com/docs/api-reference/chat/create
"""

from fnmatch import fnmatchcase
from typing import Any

import msgspec

from trunkline.simulate.arrival import Arrival, Mark
from trunkline.simulate.chat_messages import check_messages
from trunkline.simulate.vendor_errors import refuse, unsupported_parameter, unsupported_value

# What OpenAI's reasoning models refuse (https://platform.openai.com/docs/guides/reasoning; `stop`: "Not supported with
# latest reasoning models o3 and o4-mini", API reference; `parallel_tool_calls`: the model's page).
REFUSED_BY_REASONING = (
    "stop", "max_tokens", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias",
    "parallel_tool_calls",
)  # fmt: skip
EFFORTS = {"minimal": 0, "low": 64, "medium": 192, "high": 640}
"""Reasoning effort -> simulated reasoning tokens. The vendor counts in blocks of 64."""
IMAGE_TOKENS = 85


class Tool(msgspec.Struct, frozen=True):
    name: str
    parameters: dict[str, Any]


class Asked(msgspec.Struct, frozen=True):
    """What was asked for. `key` is the same for the same question, streamed or not, whatever the order of fields."""

    model: str
    reasoning: bool
    stream: bool
    include_usage: bool
    message: str
    """Text of the newest user message."""
    tool_rounds: int
    """Assistant turns with tool calls since then."""
    prompt_tokens: int
    tools: tuple[Tool, ...]
    tool_choice: str
    """`auto`, `none`, `required`, or `=NAME`."""
    output_schema: dict[str, Any] | None
    """Of structured output; `{}` is any JSON object."""
    reasoning_tokens: int
    max_tokens: int | None
    stop: tuple[str, ...]
    key: bytes
    shows_thinking: bool = True
    """Whether reasoning that a script holds is part of the answer."""
    thinks: bool = False
    """Whether there is reasoning to show without a script, too."""
    redacts: bool = False
    """Whether the protocol has blocks of reasoning that only the vendor can read."""
    marks: tuple[Mark, ...] = ()
    """Places of the prompt up to which it can be kept, in order."""
    prefix: bytes = b""
    """Hash of the prompt, for vendors that bind reasoning to it."""
    body: dict[str, Any] = {}
    """The request, for answers that repeat it."""


def read_request(raw: bytes, arrival: Arrival) -> Asked:
    """Reads and checks a body. The model may be in the path, as the deployment in Azure's older URLs."""
    body = decode(raw)
    model = arrival.model or body.get("model")
    if not isinstance(model, str) or not model:
        raise refuse("you must provide a model parameter")
    messages = body.get("messages")
    if messages is None:
        raise refuse("Missing required parameter: 'messages'.", param="messages", code="missing_required_parameter")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise refuse(
            "Invalid type for 'messages': expected an array of objects.", param="messages", code="invalid_type"
        )
    check_messages(messages)
    reasoning = any(fnmatchcase(model, pattern) for pattern in arrival.behaviour.reasoning_models)
    check_parameters(body, reasoning)
    newest = max((i for i, message in enumerate(messages) if message.get("role") == "user"), default=0)
    stream_options = body.get("stream_options") or {}
    return Asked(
        model=model,
        reasoning=reasoning,
        stream=body.get("stream") is True,
        include_usage=stream_options.get("include_usage") is True,
        message=text_of(messages[newest].get("content")),
        tool_rounds=sum(1 for message in messages[newest:] if message.get("tool_calls")),
        prompt_tokens=count_prompt(messages),
        tools=read_tools(body.get("tools")),
        tool_choice=read_choice(body.get("tool_choice")),
        output_schema=read_schema(body.get("response_format"), messages),
        reasoning_tokens=EFFORTS.get(body.get("reasoning_effort") or "medium", 0) if reasoning else 0,
        max_tokens=read_limit(body),
        stop=read_stop(body.get("stop")),
        key=msgspec.json.encode(
            [messages, body.get("tools"), body.get("response_format"), body.get("seed")], order="sorted"
        ),
    )


def decode(raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise refuse("We could not parse the JSON body of your request.") from None


def check_parameters(body: dict[str, Any], reasoning: bool) -> None:
    if body.get("stream_options") is not None and body.get("stream") is not True:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise refuse(message, param="stream_options")
    if body.get("n") not in (None, 1):  # A simplification, for all models: one answer is enough to test with.
        raise unsupported_value("n", body["n"], "Only the default (1) value is supported.")
    for name, least, most in (("temperature", 0, 2), ("top_p", 0, 1)):
        value = body.get(name)
        if isinstance(value, int | float) and not least <= value <= most:
            above = value > most
            message = f"Invalid '{name}': decimal {'above maximum' if above else 'below minimum'} value."
            code = f"decimal_{'above_max' if above else 'below_min'}_value"
            expected = (
                f"Expected a value {'<=' if above else '>='} {most if above else least}, but got {value} instead."
            )
            raise refuse(f"{message} {expected}", param=name, code=code)
    if reasoning:
        check_reasoning(body)
    elif body.get("reasoning_effort") is not None:
        raise refuse("Unrecognized request argument supplied: reasoning_effort")


def check_reasoning(body: dict[str, Any]) -> None:
    for name in REFUSED_BY_REASONING:
        if body.get(name) is not None:
            raise unsupported_parameter(name)
    if body.get("temperature") not in (None, 1):
        raise unsupported_value("temperature", body["temperature"], "Only the default (1) value is supported.")
    effort = body.get("reasoning_effort")
    if effort is not None and effort not in EFFORTS:
        raise unsupported_value(
            "reasoning_effort", f"'{effort}'", f"Supported values are: {', '.join(map(repr, EFFORTS))}."
        )


def text_of(content: object) -> str:
    """The text of a message's content: a string, or parts of which only the text counts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def count_prompt(messages: list[dict[str, Any]]) -> int:
    """Four bytes a token, four tokens a message, and a flat price an image: near enough, and the same every time."""
    tokens = 3
    for message in messages:
        content = message.get("content")
        images = sum(1 for part in content if is_image(part)) if isinstance(content, list) else 0
        calls = message.get("tool_calls")
        size = len(text_of(content).encode()) + (len(msgspec.json.encode(calls)) if calls else 0)
        tokens += 4 + (size + 3) // 4 + images * IMAGE_TOKENS
    return tokens


def is_image(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "image_url"


def read_tools(tools: object) -> tuple[Tool, ...]:
    found = []
    for tool in tools if isinstance(tools, list) else []:
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise refuse("Missing required parameter: 'tools[0].function.name'.", param="tools[0].function.name")
        found.append(Tool(function["name"], function.get("parameters") or {"type": "object", "properties": {}}))
    return tuple(found)


def read_choice(choice: object) -> str:
    if isinstance(choice, dict):
        return "=" + str((choice.get("function") or {}).get("name", ""))
    return str(choice) if choice in ("none", "required") else "auto"


def read_schema(response_format: object, messages: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The schema of structured output (https://platform.openai.com/docs/guides/structured-outputs)."""
    if not isinstance(response_format, dict) or response_format.get("type") in (None, "text"):
        return None
    if response_format["type"] == "json_schema":
        schema = (response_format.get("json_schema") or {}).get("schema")
        if not isinstance(schema, dict):
            name = "response_format.json_schema.schema"
            raise refuse(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
        return schema
    if not any("json" in text_of(message.get("content")).lower() for message in messages):
        message = (
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        )
        raise refuse(message, param="messages")
    return {}


def read_limit(body: dict[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        limit = body.get(name)
        if limit is None:
            continue
        if not isinstance(limit, int) or limit < 1:
            message = f"Invalid value for '{name}': expected an integer from 1 up."
            raise refuse(message, param=name, code="integer_below_min_value")
        return limit
    return None


def read_stop(stop: object) -> tuple[str, ...]:
    listed = [stop] if isinstance(stop, str) else stop
    return tuple(item for item in listed if isinstance(item, str) and item) if isinstance(listed, list) else ()
