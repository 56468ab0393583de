"""`generationConfig`, `tools` and `toolConfig`, read. In: their JSON objects. Out: attributes of the canonical request; what is Google's alone goes
into extras, under its name with dots (`generationConfig.speechConfig`). https://ai.google.dev/api/generate-content#generationconfig
"""

from typing import Any

import msgspec

from trunkline.ir.parts import Carry
from trunkline.ir.request import ANY_OBJECT, Format, Reasoning, Tool, ToolChoice, WebSearch
from trunkline.protocols.carry import carry
from trunkline.protocols.gemini.names import NAME
from trunkline.protocols.gemini.schema import lifted
from trunkline.protocols.gemini.wire import (
    BOOLEAN,
    INTEGER,
    NULL,
    NUMBER,
    TEXT,
    invalid,
    objects_of,
    spelled,
    take,
    take_object,
    take_objects,
    take_texts,
)
from trunkline.protocols.rawjson import Fields, join

_CONFIG = "generationConfig."
_JSON = "application/json"
_MODES = {"AUTO": "auto", "ANY": "required", "NONE": "none", "VALIDATED": "auto"}
_TYPED = frozenset({"computerUse"})
_SEARCHES = frozenset({"googleSearch", "googleSearchRetrieval", "enterpriseWebSearch"})
_FLOATS = (("temperature", "temperature"), ("topP", "top_p"), ("frequencyPenalty", "frequency_penalty"), ("presencePenalty", "presence_penalty"))  # fmt: skip
_INTEGERS = (
    ("topK", "top_k"), ("candidateCount", "candidates"), ("maxOutputTokens", "max_output_tokens"), ("seed", "seed"), ("logprobs", "top_logprobs"),
)  # fmt: skip


def read_config(fields: Fields, said: dict[str, Any], extras: Fields) -> None:
    """The generation config, into what the request says."""
    for key, name in _FLOATS:
        said[name] = take(fields, key, NUMBER, _CONFIG)
    for key, name in _INTEGERS:
        said[name] = take(fields, key, INTEGER, _CONFIG)
    said["logprobs"] = take(fields, "responseLogprobs", BOOLEAN, _CONFIG)
    said["stop"] = take_texts(fields, "stopSequences", _CONFIG)
    said["modalities"] = tuple(each.lower() for each in take_texts(fields, "responseModalities", _CONFIG))
    said["reasoning"] = _reasoning(take_object(fields, "thinkingConfig", _CONFIG), extras)
    said["format"] = _format(fields)
    extras |= {_CONFIG + key: value for key, value in fields.items() if value != NULL}


def _reasoning(fields: Fields | None, extras: Fields) -> Reasoning | None:
    """Budget 0 is off and -1 is as much as the model likes: https://ai.google.dev/gemini-api/docs/thinking#set-budget."""
    if fields is None:
        return None
    where = f"{_CONFIG}thinkingConfig."
    shown = take(fields, "includeThoughts", BOOLEAN, where)
    budget = take(fields, "thinkingBudget", INTEGER, where)
    level = (take(fields, "thinkingLevel", TEXT, where) or "").lower()
    extras |= {where + key: value for key, value in fields.items()}
    if level == "thinking_level_unspecified":
        level = ""
    enabled = None
    if budget is not None and budget <= 0:
        enabled, budget = budget != 0, None
    return Reasoning(enabled=enabled, effort=level, budget_tokens=budget, shown=shown)


def _format(fields: Fields) -> Format | None:
    """JSON, with a schema or without. Another type of text (`text/x.enum`) is Google's alone and stays in the extras with its schema."""
    mime = take({"responseMimeType": fields.get("responseMimeType", NULL)}, "responseMimeType", TEXT, _CONFIG)
    plain = fields.get("responseJsonSchema", NULL)
    openapi = fields.get("responseSchema", NULL)
    if mime not in (None, _JSON):
        if mime == "text/plain" and plain == openapi == NULL:
            del fields["responseMimeType"]
        return None
    if mime is None:
        return None
    for key in ("responseMimeType", "responseJsonSchema", "responseSchema"):
        fields.pop(key, None)
    if plain != NULL:
        return Format(kind="json_schema", schema=_schema(plain, f"{_CONFIG}responseJsonSchema"))
    if openapi != NULL:
        return Format(kind="json_schema", schema=lifted(_schema(openapi, f"{_CONFIG}responseSchema")))
    return Format(kind="json_object")


def read_tools(raw: msgspec.Raw, said: dict[str, Any]) -> None:
    """Functions, web search, and whatever else Google runs itself."""
    tools: list[Tool] = []
    for at, fields in enumerate(objects_of(raw, "tools")):
        where = f"tools[{at}]."
        for number, function in enumerate(take_objects(fields, "functionDeclarations", where)):
            tools.append(_function(function, f"{where}functionDeclarations[{number}]."))
        for key in list(fields):
            if key in _SEARCHES and "web_search" not in said:
                said["web_search"] = _search(key, fields, where)
            else:
                tools.append(_hosted(key, fields[key]))
    said["tools"] = tuple(tools)


def _function(fields: Fields, where: str) -> Tool:
    name = take(fields, "name", TEXT, where)
    if not name:
        raise invalid(f"{where}name", "the name of the function")
    description = take(fields, "description", TEXT, where) or ""
    plain, openapi = fields.pop("parametersJsonSchema", NULL), fields.pop("parameters", NULL)
    parameters = ANY_OBJECT
    if plain != NULL:
        parameters = _schema(plain, f"{where}parametersJsonSchema")
    elif openapi != NULL:
        parameters = lifted(_schema(openapi, f"{where}parameters"))
    return Tool(name=name, description=description, parameters=parameters, carry=carry(NAME, fields))


def _schema(raw: msgspec.Raw, field: str) -> msgspec.Raw:
    if bytes(raw)[:1] not in (b"{", b"t", b"f"):
        raise invalid(field, "a JSON Schema, which is an object")
    return raw


def _search(key: str, fields: Fields, where: str) -> WebSearch:
    """Google's search. Its own options come back in the carry."""
    inner = take_object(fields, key, where) or {}
    if key != "googleSearch":
        return WebSearch(carry=Carry(NAME, msgspec.Raw(join({key: msgspec.Raw(join(inner))}))))
    blocked = take_texts(inner, "excludeDomains", f"{where}{key}.")
    own = {key: msgspec.Raw(join(inner))} if inner else {}
    return WebSearch(blocked_domains=blocked, carry=carry(NAME, own))


def _hosted(key: str, value: msgspec.Raw) -> Tool:
    kept = Carry(NAME, msgspec.Raw(join({key: value})))
    return Tool(name=key, kind="typed" if key in _TYPED else "hosted", carry=kept)


def read_tool_config(fields: Fields, said: dict[str, Any], extras: Fields) -> None:
    """Which function is to be called: https://ai.google.dev/api/caching#FunctionCallingConfig."""
    calling = take_object(fields, "functionCallingConfig", "toolConfig.")
    extras |= {f"toolConfig.{key}": value for key, value in fields.items() if value != NULL}
    if calling is None:
        return
    where = "toolConfig.functionCallingConfig."
    mode = (take(calling, "mode", TEXT, where) or "").upper()
    names = take_texts(calling, "allowedFunctionNames", where)
    if mode and mode != "MODE_UNSPECIFIED" and mode not in _MODES:
        raise invalid(f"{where}mode", "AUTO, ANY, NONE or VALIDATED")
    if mode == "VALIDATED" and not names:
        calling["mode"] = msgspec.Raw(b'"VALIDATED"')
    if mode in _MODES:
        said["tool_choice"] = ToolChoice(_MODES[mode], names)  # type: ignore[arg-type]
    extras |= {where + key: value for key, value in spelled(calling).items() if value != NULL}
