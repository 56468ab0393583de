"""Names in a Gemini request: camelCase or snake_case, and nothing that the message type does not have.

In: JSON objects. Out: objects with camelCase names; `RefusedError` for a name that is not known. Types:
https://ai.google.dev/api/generate-content, https://ai.google.dev/api/caching (Content, Part, Tool, Schema)
"""

import re
from typing import Any

from trunkline.simulate.gemini.errors import refuse, unknown_name

UNDERSCORE = re.compile(r"_([a-z0-9])")
CAPITAL = re.compile(r"([A-Z])")
REQUEST = {
    "contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "generationConfig", "cachedContent",
    "labels", "model", "serviceTier", "store",
}  # fmt: skip
CONTENT = {"role", "parts"}
PART = {
    "text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult",
    "thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata", "toolCall", "toolResponse",
    "audioTranscription", "mediaProcessing", "speechMetadata", "documentMetadata", "spreadsheetMetadata",
    "audioMetadata",
}  # fmt: skip
DATA = (
    "text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult",
    "toolCall", "toolResponse",
)  # fmt: skip
BLOB = {"mimeType", "data", "displayName"}
FILE = {"mimeType", "fileUri", "displayName"}
CALL = {"id", "name", "args", "partialArgs", "willContinue"}
RESULT = {"id", "name", "response", "willContinue", "scheduling", "parts"}
CONFIG = {
    "stopSequences", "responseMimeType", "responseSchema", "responseJsonSchema", "responseModalities",
    "candidateCount", "maxOutputTokens", "temperature", "topP", "topK", "seed", "presencePenalty",
    "frequencyPenalty", "responseLogprobs", "logprobs", "enableEnhancedCivicAnswers", "speechConfig",
    "thinkingConfig", "imageConfig", "mediaResolution", "audioTimestamp", "routingConfig", "modelSelectionConfig",
    "_responseJsonSchema", "enableAffectiveDialog", "responseFormat", "translationConfig", "audioTranscriptionConfig",
}  # fmt: skip
THINKING = {"includeThoughts", "thinkingBudget", "thinkingLevel"}
TOOL = {
    "functionDeclarations", "googleSearch", "googleSearchRetrieval", "codeExecution", "urlContext", "computerUse",
    "fileSearch", "googleMaps", "retrieval", "enterpriseWebSearch", "mcpServers",
    "parallelAiSearch", "exaAiSearch",
}  # fmt: skip
DECLARATION = {
    "name", "description", "behavior", "parameters", "parametersJsonSchema", "response", "responseJsonSchema",
}  # fmt: skip
TOOL_CONFIG = {"functionCallingConfig", "retrievalConfig", "includeServerSideToolInvocations"}
CALLING = {"mode", "allowedFunctionNames", "streamFunctionCallArguments"}
SCHEMA = {
    "type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems", "properties", "required",
    "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "example", "anyOf", "propertyOrdering",
    "default", "items", "minimum", "maximum",
}  # fmt: skip
TYPES = ("TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")


def camel(name: str) -> str:
    return UNDERSCORE.sub(lambda found: found[1].upper(), name) if "_" in name[1:] else name


def snake(name: str) -> str:
    """As places in a request are named in errors."""
    return CAPITAL.sub(lambda found: "_" + found[1].lower(), name)


def known(told: object, names: set[str], where: str) -> dict[str, Any]:
    """The object with camelCase names, null ones left out."""
    if not isinstance(told, dict):
        raise refuse(f"Invalid value at '{where}': expected an object.")
    for name in told:
        if camel(name) not in names:
            raise unknown_name(name, where)
    return {camel(name): value for name, value in told.items() if value is not None}


def listed(told: object) -> list[Any]:
    """A repeated field. Google's reader takes a single message in its place, too."""
    if told is None:
        return []
    return told if isinstance(told, list) else [told]


def check_schema(told: object, where: str) -> None:
    """`Schema` is a subset of OpenAPI 3.0, not JSON Schema (https://ai.google.dev/api/caching#Schema)."""
    schema = known(told, SCHEMA, where)
    kind = schema.get("type")
    if isinstance(kind, list):
        message = f"Invalid JSON payload received. Unknown name \"type\" at '{where}': Proto field is not repeating, cannot start list."
        raise refuse(message)
    if kind is not None and str(kind).upper() not in TYPES:
        raise refuse(
            f"Invalid value at '{where}.type' (type.googleapis.com/google.ai.generativelanguage.v1beta.Type), \"{kind}\""
        )
    for n, value in enumerate(schema.get("enum") or []):
        if not isinstance(value, str):
            raise refuse(f"Invalid value at '{where}.enum[{n}]' (TYPE_STRING), {value}")
    for n, value in enumerate((schema.get("properties") or {}).values()):
        check_schema(value, f"{where}.properties[{n}].value")
    if "items" in schema:
        check_schema(schema["items"], f"{where}.items")
    for n, option in enumerate(schema.get("anyOf") or []):
        check_schema(option, f"{where}.any_of[{n}]")
    absent = [name for name in schema.get("required") or [] if name not in (schema.get("properties") or {})]
    if absent:
        raise refuse(f"* GenerateContentRequest.{where}.required[0]: property is not defined\n")
