"""Requests, written. In: a canonical request and the offer it goes to. Out: the body of `generateContent`, and what it could not carry.

https://ai.google.dev/api/generate-content. Where a model wants thought signatures and a call has none, Google's own word for that is sent.
"""

from typing import Any

import msgspec

from trunkline.ir.loss import Loss
from trunkline.ir.parts import Media, Opaque, Part, ToolCall, Turn
from trunkline.ir.request import ANY_OBJECT, Format, Reasoning, Request, Tool, ToolChoice, WebSearch
from trunkline.protocols.carry import carried
from trunkline.protocols.codec import Target, UpstreamBody
from trunkline.protocols.gemini.names import NAME
from trunkline.protocols.gemini.parts_out import PartWriter, Wire
from trunkline.protocols.gemini.schema import lowered
from trunkline.protocols.gemini.wire import merged
from trunkline.protocols.media import Blobs
from trunkline.protocols.rawjson import split
from trunkline.protocols.settle import settle

_NO_SIGNATURE = "skip_thought_signature_validator"
"""For calls that another model made: https://ai.google.dev/gemini-api/docs/thought-signatures (FAQ)."""
_MODES = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
_TIERS = {"default": "standard", "flex": "flex", "priority": "priority"}
_JSON = "application/json"


def write_request(request: Request, target: Target) -> UpstreamBody:
    """The body. Settles first."""
    settled = settle(request, target)
    blobs = Blobs()
    writing = _Writing(settled.request, target, blobs)
    body = blobs.fill(msgspec.json.encode(writing.body()))
    return UpstreamBody(body, settled.losses + tuple(writing.losses), stop_here=settled.stop_here)


def body_fields(request: Request, target: Target, blobs: Blobs) -> tuple[Wire, tuple[Loss, ...]]:
    """The body of a settled request before it is encoded, for what has it inside another."""
    writing = _Writing(request, target, blobs)
    return writing.body(), tuple(writing.losses)


class _Writing:
    """One request while it is written."""

    def __init__(self, request: Request, target: Target, blobs: Blobs) -> None:
        self._request = request
        self._target = target
        self._parts = PartWriter(blobs, own=request.origin == NAME)
        self.losses: list[Loss] = []

    def body(self) -> Wire:
        request = self._request
        body: Wire = {}
        system, turns = _split(request.turns)
        if system:
            body["systemInstruction"] = merged({"parts": self._system(system)}, self._carried(system[0]))
        body["contents"] = [self._content(turn) for turn in turns if turn.parts]
        if tools := self._tools():
            body["tools"] = tools
        if request.tool_choice is not None:
            body["toolConfig"] = {"functionCallingConfig": _choice(request.tool_choice)}
        if len(tools) > 1 and not self._parts.own:
            # https://ai.google.dev/gemini-api/docs/tool-combination
            body.setdefault("toolConfig", {})["includeServerSideToolInvocations"] = True
        if config := self._config():
            body["generationConfig"] = config
        if tier := _TIERS.get(request.service_tier, ""):
            body["serviceTier"] = tier
        for name, value in request.extras.items():
            if name.endswith(".streamFunctionCallArguments"):
                self._lose(name, "calls come whole where an answer is translated")
            else:
                _put(body, name.split("."), value)
        return body

    def _carried(self, of: Any) -> dict[str, msgspec.Raw]:
        return carried(of.carry, NAME, self._target.dialect)

    def _system(self, turns: list[Turn]) -> list[Wire]:
        return [self._part(part) for turn in turns for part in turn.parts]

    def _content(self, turn: Turn) -> Wire:
        parts = [self._part(part) for part in turn.parts]
        if turn.role == "assistant":
            self._sign(turn.parts, parts)
            return merged({"role": "model", "parts": parts}, self._carried(turn))
        return merged({"role": "user", "parts": parts}, self._carried(turn))

    def _part(self, part: Part) -> Wire:
        if isinstance(part, Opaque):
            return dict(split(bytes(part.carry.data)))
        if isinstance(part, Media) and part.detail not in ("", "auto") and not self._parts.own:
            self._lose("detail", "not every model takes a resolution for one picture")
        written = self._parts.part(part)
        return merged(written, self._carried(part)) if part.carry is not None else written

    def _sign(self, parts: tuple[Part, ...], written: list[Wire]) -> None:
        """The first call of each step needs a signature; the calls beside it have none of their own."""
        if self._target.quirks.reasoning != "effort":
            return
        first = next((at for at, part in enumerate(parts) if isinstance(part, ToolCall)), None)
        if first is not None and "thoughtSignature" not in written[first]:
            written[first]["thoughtSignature"] = _NO_SIGNATURE

    def _tools(self) -> list[Any]:
        functions = [self._function(tool) for tool in self._request.tools if tool.kind in ("function", "custom")]
        tools: list[Any] = [{"functionDeclarations": functions}] if functions else []
        search = self._request.web_search
        if search is not None and functions and not self._combines():
            self._lose("web_search", "the model does not search beside functions")
        elif search is not None:
            tools.append(self._search(search))
        hosted = [tool for tool in self._request.tools if tool.kind in ("hosted", "typed")]
        return tools + [self._carried(tool) for tool in hosted]

    def _combines(self) -> bool:
        """Whether functions and Google's own tools go together: newer models alone, and not on Vertex AI; who speaks this protocol knows it."""
        return self._parts.own or (self._target.quirks.reasoning == "effort" and self._target.dialect != "vertex")

    def _function(self, tool: Tool) -> Wire:
        written: Wire = {"name": tool.name}
        if tool.description:
            written["description"] = tool.description
        if tool.parameters != ANY_OBJECT:
            key, schema = self._schema(tool.parameters, "parameters", "tools")
            if schema is not None:
                written[key] = schema
        return merged(written, self._carried(tool))

    def _schema(self, schema: msgspec.Raw, name: str, field: str) -> tuple[str, msgspec.Raw | None]:
        if self._target.quirks.schema == "full":
            return _json_schema_key(name), schema
        found, lost = lowered(schema)
        if lost:
            self._lose(f"{field}.schema", f"the model's schemas have no {', '.join(lost)}")
        return name, found

    def _search(self, search: WebSearch) -> Wire:
        own = self._carried(search)
        if own and "googleSearch" not in own:
            return dict(own)
        inner: Wire = {}
        if search.blocked_domains:
            inner["excludeDomains"] = search.blocked_domains
        for name in ("context_size", "max_uses", "allowed_domains", "location"):
            if getattr(search, name) not in ("", None, (), msgspec.Raw(b"")):
                self._lose(f"web_search.{name}", "Google's search has no such option")
        return merged({"googleSearch": inner}, own)

    def _config(self) -> Wire:
        request = self._request
        config: Wire = {
            "temperature": request.temperature,
            "topP": request.top_p,
            "topK": request.top_k,
            "candidateCount": request.candidates,
            "maxOutputTokens": request.max_output_tokens,
            "stopSequences": request.stop or None,
            "frequencyPenalty": request.frequency_penalty,
            "presencePenalty": request.presence_penalty,
            "seed": request.seed,
            "responseLogprobs": request.logprobs,
            "logprobs": request.top_logprobs,
            "responseModalities": [modality.upper() for modality in request.modalities] or None,
        }
        if request.format is not None:
            self._format(request.format, config)
        if request.reasoning is not None:
            config["thinkingConfig"] = self._thinking(request.reasoning) or None
        return {key: value for key, value in config.items() if value is not None}

    def _format(self, wanted: Format, config: Wire) -> None:
        config["responseMimeType"] = _JSON
        if wanted.kind == "json_schema":
            key, schema = self._schema(wanted.schema, "responseSchema", "format")
            config[key] = schema

    def _thinking(self, asked: Reasoning) -> Wire:
        """Level or budget, never both; 0 is off, -1 as much as the model likes (https://ai.google.dev/gemini-api/docs/thinking)."""
        written: Wire = {}
        if asked.enabled is False:
            return {"thinkingBudget": 0} | ({"includeThoughts": asked.shown} if asked.shown is not None else {})
        if asked.budget_tokens:
            written["thinkingBudget"] = asked.budget_tokens
        elif asked.effort:
            written["thinkingLevel"] = asked.effort.upper()
        elif asked.enabled and (self._parts.own or self._target.quirks.reasoning == "budget"):
            written["thinkingBudget"] = -1
        shown = asked.shown
        if shown is None and not self._parts.own:
            # The other protocols show reasoning to whoever asks for it.
            shown = True
        if shown is not None:
            written["includeThoughts"] = shown
        return written

    def _lose(self, field: str, reason: str) -> None:
        loss = Loss(field, "dropped", reason)
        if loss not in self.losses:
            self.losses.append(loss)


def _split(turns: tuple[Turn, ...]) -> tuple[list[Turn], list[Turn]]:
    """The system prompts at the beginning, which have a slot of their own, and the rest."""
    at = next((at for at, turn in enumerate(turns) if turn.role not in ("system", "developer")), len(turns))
    return list(turns[:at]), list(turns[at:])


def _choice(choice: ToolChoice) -> Wire:
    """Names can only be allowed where a call is asked for or checked: https://ai.google.dev/api/caching#FunctionCallingConfig."""
    if not choice.names:
        return {"mode": _MODES[choice.mode]}
    mode = "VALIDATED" if choice.mode == "auto" else _MODES[choice.mode]
    return {"mode": mode, "allowedFunctionNames": choice.names}


def _json_schema_key(name: str) -> str:
    return "responseJsonSchema" if name == "responseSchema" else f"{name}JsonSchema"


def _put(body: Wire, path: list[str], value: msgspec.Raw) -> None:
    """An extra, back at its place."""
    *outer, last = path
    for key in outer:
        inner = body.setdefault(key, {})
        if not isinstance(inner, dict):
            return
        body = inner
    body[last] = value
