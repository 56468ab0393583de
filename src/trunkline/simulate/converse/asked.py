"""A Converse request, checked as Amazon checks it and cut down to what the answer depends on.

In: the raw body and the `Arrival`. Out: a frozen `Asked`; `RefusedError` with the vendor's error. Written from
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and the models' pages.
"""

import re
from typing import Any

import msgspec

from trunkline.simulate.arrival import Arrival
from trunkline.simulate.asked import Asked, Tool
from trunkline.simulate.converse.content import Block, check_messages, count, is_question, text_of
from trunkline.simulate.converse.errors import malformed, refuse

FIELDS = {
    "messages", "system", "inferenceConfig", "toolConfig", "guardrailConfig", "additionalModelRequestFields", "promptVariables",
    "additionalModelResponseFieldPaths", "requestMetadata", "performanceConfig", "serviceTier", "outputConfig",
}  # fmt: skip
CONFIG = {"maxTokens", "temperature", "topP", "stopSequences"}
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
LABEL = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")
EFFORTS = {"low": 64, "medium": 192, "high": 640, "xhigh": 960, "max": 1280}
TIERS = ({"type": "default"}, {"type": "flex"}, {"type": "priority"}, {"type": "reserved"})
# What each maker's models take of their own: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html
OWN_FIELDS = {
    "nova": {"inferenceConfig", "reasoningConfig"},
    "claude": {"top_k", "thinking", "anthropic_beta"},
    "mistral": {"top_k"},
    "gpt-oss": {"reasoning_effort"},
}
# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolChoice.html
CHOICES = {"nova": {"auto", "any", "tool"}, "claude": {"auto", "any", "tool"}, "mistral": {"auto", "any"}}
SCHEMA_MODELS = ("claude", "mistral", "gpt-oss")


def read_request(raw: bytes, arrival: Arrival) -> Asked:
    """Reads and checks a body. Raises `RefusedError`."""
    body, model = decode(raw), arrival.model or ""
    maker = next((maker for maker in OWN_FIELDS if maker in model), "")
    messages = check_messages(body.get("messages"), arrival, model)
    system = body.get("system") or []
    if not all(set(block) <= {"text", "cachePoint"} and block.get("text", "x").strip() for block in system):
        raise refuse("A SystemContentBlock is blank or not valid.")
    config = body.get("inferenceConfig") or {}
    check_config(config)
    tools = read_tools(body, messages)
    thinking = read_thinking(body, maker, config)
    check_rest(body)
    newest = max((n for n, message in enumerate(messages) if is_question(message)), default=0)
    blocks = [block for message in messages for block in message["content"]]
    return Asked(
        model=model,
        reasoning=bool(thinking),
        stream=arrival.operation == "converse-stream",
        include_usage=True,
        message=text_of(messages[newest]),
        tool_rounds=sum(1 for message in messages[newest:] if any("toolUse" in block for block in message["content"])),
        prompt_tokens=count(blocks) + count(system) + (len(str(body.get("toolConfig", ""))) + 3) // 4,
        tools=tools,
        tool_choice=read_choice(body, maker),
        output_schema=read_schema(body, maker),
        reasoning_tokens=thinking,
        max_tokens=config.get("maxTokens"),
        stop=tuple(config.get("stopSequences") or ()),
        key=msgspec.json.encode([messages, system, body.get("toolConfig")], order="sorted"),
        shows_thinking=bool(thinking),
        thinks=bool(thinking),
        redacts=maker == "claude",
        body={"signs": maker == "claude", "paths": body.get("additionalModelResponseFieldPaths") or []},
    )


def decode(raw: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise refuse("The request body is not valid JSON.") from None
    for name in body:
        if name not in FIELDS:
            raise malformed(f"extraneous key [{name}] is not permitted")
    return body


def check_config(config: dict[str, Any]) -> None:
    if not set(config) <= CONFIG:
        raise malformed(f"extraneous key [{min(set(config) - CONFIG)}] is not permitted")
    for name in ("temperature", "topP"):
        value = config.get(name, 0)
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise refuse(
                f"Value '{value}' at 'inferenceConfig.{name}' failed to satisfy constraint: Member must have value less than or equal to 1"
            )
    limit = config.get("maxTokens", 1)
    if not isinstance(limit, int) or limit < 1:
        raise refuse(
            f"Value '{limit}' at 'inferenceConfig.maxTokens' failed to satisfy constraint: Member must have value greater than or equal to 1"
        )
    stops = config.get("stopSequences") or []
    if not all(isinstance(stop, str) and stop.strip() for stop in stops) or len(stops) > 4:
        raise malformed("stopSequences are not valid")


def read_tools(body: dict[str, Any], messages: list[Block]) -> tuple[Tool, ...]:
    told = body.get("toolConfig")
    if told is None:
        if any(
            kind in block for message in messages for block in message["content"] for kind in ("toolUse", "toolResult")
        ):
            raise refuse("The toolConfig field must be defined when using toolUse and toolResult content blocks.")
        return ()
    specs = [tool["toolSpec"] for tool in told.get("tools") or [] if "toolSpec" in tool]
    if not specs:
        raise refuse(
            "Value at 'toolConfig.tools' failed to satisfy constraint: Member must have length greater than or equal to 1"
        )
    return tuple(map(read_tool, specs))


def read_tool(spec: dict[str, Any]) -> Tool:
    if not {"name", "inputSchema"} <= set(spec) <= {"name", "inputSchema", "description", "strict"}:
        raise refuse("A toolSpec is not valid.")
    if not TOOL_NAME.fullmatch(spec["name"]):
        raise refuse(f"Value '{spec['name']}' at 'toolSpec.name' failed to satisfy constraint: [a-zA-Z0-9_-]+")
    schema = spec["inputSchema"].get("json")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise refuse(
            "The value at toolConfig.tools.toolSpec.inputSchema.json.type must be one of the following: object."
        )
    if spec.get("description") == "":
        raise refuse(
            "Value at 'toolSpec.description' failed to satisfy constraint: Member must have length greater than or equal to 1"
        )
    return Tool(spec["name"], schema)


def read_choice(body: dict[str, Any], maker: str) -> str:
    told = (body.get("toolConfig") or {}).get("toolChoice")
    if told is None:
        return "auto"
    kind = next(iter(told))
    if kind not in CHOICES.get(maker, {"auto"}):
        raise refuse(
            f"This model doesn't support the toolConfig.toolChoice.{kind} field. Remove toolConfig.toolChoice.{kind} and try again."
        )
    return {"auto": "auto", "any": "required"}.get(kind) or f"={told['tool']['name']}"


def read_thinking(body: dict[str, Any], maker: str, config: dict[str, Any]) -> int:
    """Reasoning tokens; 0 where there is none. https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html,
    https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html"""
    told = body.get("additionalModelRequestFields") or {}
    unknown = set(told) - OWN_FIELDS.get(maker, set())
    if unknown:
        raise malformed(f"extraneous key [{min(unknown)}] is not permitted")
    reasoning = told.get("reasoningConfig") or {}
    if reasoning.get("type") == "enabled":
        effort = reasoning.get("maxReasoningEffort")
        if effort not in ("low", "medium", "high"):
            raise malformed("the provided reasoning config value is invalid")
        if effort == "high" and (set(config) & {"temperature", "topP", "maxTokens"} or "inferenceConfig" in told):
            raise malformed("maxReasoningEffort high must not be set together with inference parameters")
        return EFFORTS[effort]
    thinking = told.get("thinking") or {}
    if thinking.get("type") == "enabled" and not 1024 <= thinking.get("budget_tokens", 0) < config.get("maxTokens", 0):
        raise malformed("max_tokens must be greater than thinking.budget_tokens, and that at least 1024")
    return EFFORTS["medium"] if thinking.get("type") in ("enabled", "adaptive") else 0


def read_schema(body: dict[str, Any], maker: str) -> dict[str, Any] | None:
    """https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html"""
    told = (body.get("outputConfig") or {}).get("textFormat")
    if told is None:
        return None
    if maker not in SCHEMA_MODELS:
        raise refuse("This model doesn't support the outputConfig.textFormat field. Remove it and try again.")
    try:
        return dict(msgspec.json.decode(told["structure"]["jsonSchema"]["schema"], type=dict[str, Any]))
    except (msgspec.DecodeError, KeyError, TypeError):
        raise refuse("The schema at outputConfig.textFormat is not valid JSON.") from None


def check_rest(body: dict[str, Any]) -> None:
    if body.get("serviceTier") is not None and body["serviceTier"] not in TIERS:
        raise refuse("The serviceTier is not valid.")
    labels = body.get("requestMetadata") or {"x": ""}
    if len(labels) > 16 or not all(LABEL.fullmatch(name) and LABEL.fullmatch(text) for name, text in labels.items()):
        raise refuse("The requestMetadata is not valid.")
