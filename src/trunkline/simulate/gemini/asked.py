"""A Gemini request, checked as Google checks it and cut down to what the answer depends on.

In: the raw body and the `Arrival`. Out: a frozen `Asked`; `RefusedError` with the vendor's error. Written from
https://ai.google.dev/api/generate-content; the wording of refusals is the vendor's where it is known from reports.
"""

import re
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from trunkline.simulate.arrival import Arrival
from trunkline.simulate.asked import Asked, Tool
from trunkline.simulate.gemini import names
from trunkline.simulate.gemini.contents import having, is_question, read_content, read_contents, text_of
from trunkline.simulate.gemini.errors import in_request, refuse, wrong_value
from trunkline.simulate.gemini.names import check_schema, known, listed

FUNCTION_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
IMAGE_TOKENS = 258
"""https://ai.google.dev/gemini-api/docs/tokens: an image of up to 384 pixels."""
LEVELS = {"minimal": 0, "low": 64, "medium": 192, "high": 640, "xhigh": 1280}
MOST_STOPS = 5
MODES = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")
MIME_TYPES = ("text/plain", "application/json", "text/x.enum")
THINKING_MODELS = ("gemini-2.5*", "gemini-3*", "gemini-4*", "gemini-flash*", "gemini-pro*")
# Model -> least and greatest budget, whether it can be 0 (https://ai.google.dev/gemini-api/docs/thinking).
BUDGETS = {
    "gemini-2.5-pro*": (128, 32768, False),
    "gemini-2.5-flash-lite*": (512, 24576, True),
    "gemini-2.5-flash*": (1, 24576, True),
}


def read_count(raw: bytes, arrival: Arrival) -> Asked:
    """https://ai.google.dev/api/tokens: either `contents`, or a whole request in `generateContentRequest`."""
    body = known(decode(raw), {"contents", "generateContentRequest"}, "")
    if "generateContentRequest" in body and "contents" in body:
        raise refuse("contents and generate_content_request are mutually exclusive.")
    return read_body(body.get("generateContentRequest") or body, arrival)


def read_request(raw: bytes, arrival: Arrival) -> Asked:
    return read_body(decode(raw), arrival)


def decode(raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise refuse("Invalid JSON payload received. Expected an object.") from None


def read_body(told: dict[str, Any], arrival: Arrival) -> Asked:
    """Reads and checks a body. Raises `RefusedError`."""
    body = known(told, names.REQUEST, "")
    model = arrival.model or ""
    config = known(body.get("generationConfig") or {}, names.CONFIG, "generation_config")
    check_ranges(config)
    tools = read_tools(body.get("tools"))
    turns = read_contents(body.get("contents"), arrival, model)
    system = read_content(body["systemInstruction"], "system_instruction") if "systemInstruction" in body else None
    thinking = read_thinking(config, model)
    newest = max((n for n, turn in enumerate(turns) if is_question(turn)), default=0)
    shown = bool(thinking.get("includeThoughts"))
    return Asked(
        model=model,
        reasoning=any(fnmatchcase(model, pattern) for pattern in THINKING_MODELS),
        stream=arrival.operation == "streamGenerateContent",
        include_usage=True,
        message=text_of(turns[newest]),
        tool_rounds=sum(1 for turn in turns[newest:] if turn["role"] == "model" and having(turn, "functionCall")),
        prompt_tokens=count(turns) + (count([system]) if system else 0) + count_tools(body.get("tools")),
        tools=tools,
        tool_choice=read_choice(body.get("toolConfig"), tools),
        output_schema=read_schema(config, tools, model),
        reasoning_tokens=thinking_tokens(thinking, model),
        max_tokens=config.get("maxOutputTokens"),
        stop=tuple(config.get("stopSequences") or ()),
        key=msgspec.json.encode([turns, system, body.get("tools"), config.get("seed")], order="sorted"),
        shows_thinking=shown,
        thinks=shown,
        body={"sse": arrival.query.get("alt") == "sse", "signs": signs(arrival, model)},
    )


def signs(arrival: Arrival, model: str) -> bool:
    return any(fnmatchcase(model, pattern) for pattern in arrival.behaviour.signing_models)


def check_ranges(config: dict[str, Any]) -> None:
    """https://ai.google.dev/api/generate-content#generationconfig"""
    for name, most in (("temperature", 2), ("topP", 1)):
        value = config.get(name)
        if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
            raise wrong_value(f"generation_config.{names.snake(name)}", "TYPE_FLOAT", value)
        if value is not None and not 0 <= value <= most:
            where = f"generation_config.{names.snake(name)}"
            raise in_request(where, f"{names.snake(name)} must be in the range [0.0, {most}.0].")
    for name in ("maxOutputTokens", "topK", "candidateCount", "seed"):
        if name in config and (not isinstance(config[name], int | float) or config[name] != int(config[name])):
            raise wrong_value(f"generation_config.{names.snake(name)}", "TYPE_INT32", config[name])
    if config.get("maxOutputTokens", 1) < 1:
        raise in_request("generation_config.max_output_tokens", "max_output_tokens must be positive.")
    if config.get("candidateCount", 1) != 1:
        raise refuse("Only one candidate can be specified in the current model")
    stops = config.get("stopSequences") or []
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise wrong_value("generation_config.stop_sequences", "TYPE_STRING", stops)
    if len(stops) > MOST_STOPS:
        problem = "The number of stop sequences must be at most 5."
        raise in_request("generation_config.stop_sequences", problem)


def read_thinking(config: dict[str, Any], model: str) -> dict[str, Any]:
    """https://ai.google.dev/gemini-api/docs/thinking"""
    told = known(config.get("thinkingConfig") or {}, names.THINKING, "generation_config.thinking_config")
    budget, level = told.get("thinkingBudget"), told.get("thinkingLevel")
    if budget is not None and level is not None:
        raise refuse("You can only set only one of thinking budget and thinking level.")
    if told and not any(fnmatchcase(model, pattern) for pattern in THINKING_MODELS):
        raise refuse("Thinking is not enabled for this model" if budget is None else "Unable to submit request because "
                     "thinking is not supported by this model.")  # fmt: skip
    if level is not None and str(level).lower() not in (*LEVELS, "thinking_level_unspecified"):
        raise wrong_value("generation_config.thinking_config.thinking_level", "ThinkingLevel", level)
    if level is not None and fnmatchcase(model, "gemini-2.5*"):
        raise refuse("Thinking level is not supported for this model.")
    if budget is not None:
        check_budget(budget, model)
    return told


def check_budget(budget: object, model: str) -> None:
    if not isinstance(budget, int) or isinstance(budget, bool):
        raise wrong_value("generation_config.thinking_config.thinking_budget", "TYPE_INT32", budget)
    limits = next((limits for pattern, limits in BUDGETS.items() if fnmatchcase(model, pattern)), None)
    if limits is None or budget == -1:
        return
    least, most, can_be_off = limits
    if budget == 0 and not can_be_off:
        raise refuse("Budget 0 is invalid. This model only works in thinking mode.")
    if budget != 0 and not least <= budget <= most:
        message = f"The thinking budget {budget} is invalid. Please choose a value between {least} and {most}."
        raise refuse(message)


def thinking_tokens(thinking: dict[str, Any], model: str) -> int:
    if not any(fnmatchcase(model, pattern) for pattern in THINKING_MODELS):
        return 0
    budget = thinking.get("thinkingBudget")
    most = LEVELS.get(str(thinking.get("thinkingLevel", "medium")).lower(), LEVELS["medium"])
    return most if budget is None or budget < 0 else min(budget, LEVELS["high"])


def read_tools(told: object) -> tuple[Tool, ...]:
    found: list[Tool] = []
    for n, tool in enumerate(listed(told)):
        declared = known(tool, names.TOOL, f"tools[{n}]").get("functionDeclarations")
        for m, declaration in enumerate(listed(declared)):
            found.append(read_declaration(declaration, f"tools[{n}].function_declarations[{m}]"))
    seen = [tool.name for tool in found]
    for name in seen:
        if seen.count(name) > 1:
            raise refuse(f"Duplicate function declaration found: {name}")
    return tuple(found)


def read_declaration(told: object, where: str) -> Tool:
    declared = known(told, names.DECLARATION, where)
    name = declared.get("name", "")
    if not FUNCTION_NAME.fullmatch(str(name)):
        raise in_request(
            f"{where}.name",
            "[FIELD_INVALID] Invalid function name. Must start with a letter or an underscore. Must be alphanumeric "
            "(a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 128.",
        )
    if "parameters" in declared and "parametersJsonSchema" in declared:
        raise in_request(where, "parameters and parameters_json_schema are mutually exclusive.")
    if "parameters" in declared:
        check_schema(declared["parameters"], f"{where}.parameters")
        return Tool(name, lowered(declared["parameters"]))
    return Tool(name, declared.get("parametersJsonSchema") or {"type": "object", "properties": {}})


def lowered(schema: Any) -> Any:
    """With JSON Schema's names of types, which `example` knows."""
    if isinstance(schema, list):
        return [lowered(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        names.camel(name): value.lower() if name == "type" and isinstance(value, str) else lowered(value)
        for name, value in schema.items()
    }


def read_choice(told: object, tools: tuple[Tool, ...]) -> str:
    """https://ai.google.dev/gemini-api/docs/function-calling, "Function calling modes"."""
    config = known(told or {}, names.TOOL_CONFIG, "tool_config").get("functionCallingConfig")
    calling = known(config or {}, names.CALLING, "tool_config.function_calling_config")
    mode = str(calling.get("mode", "AUTO")).upper()
    if mode not in MODES:
        raise wrong_value("tool_config.function_calling_config.mode", "Mode", calling["mode"])
    allowed = calling.get("allowedFunctionNames") or []
    where = "tool_config.function_calling_config"
    if allowed and mode not in ("ANY", "VALIDATED"):
        raise in_request(where, "allowed_function_names can only be set when the mode is ANY or VALIDATED.")
    if mode == "ANY" and not tools:
        raise in_request(where, "Function calling config is set without function_declarations.")
    for name in allowed:
        if name not in {tool.name for tool in tools}:
            problem = f"'{name}' is not one of the function_declarations."
            raise in_request(f"{where}.allowed_function_names", problem)
    if mode == "ANY" and len(allowed) == 1:
        return f"={allowed[0]}"
    return {"ANY": "required", "NONE": "none"}.get(mode, "auto")


def read_schema(config: dict[str, Any], tools: tuple[Tool, ...], model: str) -> dict[str, Any] | None:
    """https://ai.google.dev/gemini-api/docs/structured-output"""
    mime = config.get("responseMimeType", "text/plain")
    if mime not in MIME_TYPES:
        problem = f"allowed mimetypes are {', '.join(f'`{name}`' for name in MIME_TYPES)}."
        raise in_request("generation_config.response_mime_type", problem)
    given = [name for name in ("responseSchema", "responseJsonSchema") if name in config]
    if len(given) > 1:
        raise in_request("generation_config", "response_schema and response_json_schema are mutually exclusive.")
    if given and mime == "text/plain":
        problem = "only allowed if `response_mime_type` is `application/json`."
        raise in_request(f"generation_config.{names.snake(given[0])}", problem)
    if mime == "text/plain":
        return None
    if tools and fnmatchcase(model, "gemini-2*"):
        raise refuse("Function calling with a response mime type: 'application/json' is unsupported")
    if "responseSchema" in config:
        check_schema(config["responseSchema"], "generation_config.response_schema")
        return dict(lowered(config["responseSchema"]))
    return dict(config.get("responseJsonSchema") or {})


def count(turns: list[dict[str, Any]]) -> int:
    """Four bytes a token and a flat price an image."""
    tokens = 0
    for part in (part for turn in turns for part in turn["parts"]):
        told = {k: v for k, v in part.items() if k in ("functionCall", "functionResponse")}
        size = len(part.get("text", "").encode()) + (len(msgspec.json.encode(told)) if told else 0)
        tokens += (size + 3) // 4 + IMAGE_TOKENS * ("inlineData" in part or "fileData" in part)
    return max(tokens, 1)


def count_tools(tools: object) -> int:
    return (len(msgspec.json.encode(tools)) + 3) // 4 if tools else 0
