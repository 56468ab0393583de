"""A Responses request, written for one offer. In: the canonical request and the target. Out: the body, and what it could not carry.

Always with `store: false`: conversations are kept by this gateway, so that any offer can continue them.
https://developers.openai.com/api/reference/resources/responses/methods/create
"""

from itertools import groupby

import msgspec

from trunkline.ir.loss import Loss
from trunkline.ir.parts import Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult, Turn
from trunkline.ir.request import Reasoning, Request, Tool, ToolChoice, WebSearch
from trunkline.protocols.carry import carried
from trunkline.protocols.codec import GEMINI, MESSAGES, RESPONSES, Target, UpstreamBody
from trunkline.protocols.media import Blobs
from trunkline.protocols.openai_responses import parts_out
from trunkline.protocols.openai_responses.parts_out import Wire
from trunkline.protocols.openai_responses.request_in import ENCRYPTED, LOGPROBS, SOURCES
from trunkline.protocols.openai_responses.tools_in import IN_INPUT, SPACE
from trunkline.protocols.rawjson import Fields, split
from trunkline.protocols.settle import settle

_LEAST_OUTPUT = 16
"""Fewer are answered with `integer_below_min_value`: https://github.com/earendil-works/pi/issues/6265"""
_SAME_NAME = (
    "temperature", "top_p", "top_logprobs", "parallel_tool_calls", "metadata", "top_k", "frequency_penalty", "presence_penalty", "seed", "logit_bias",
)  # fmt: skip
"""Attributes with the wire's name. The last five only an offer takes that accepts them by name; `settle` has taken them out for all others."""
_TEXTS = {
    "user": "user", "safety_identifier": "safety_identifier", "service_tier": "service_tier",
    "cache_key": "prompt_cache_key", "cache_retention": "prompt_cache_retention",
}  # fmt: skip
_CONTENT_KINDS = ("input_", "output_", "encrypted_")
"""What the words for unknown content parts begin with; all other words are items."""


def write_request(request: Request, target: Target) -> UpstreamBody:
    """The body for one offer."""
    settled = settle(request, target)
    blobs = Blobs()
    items = _Items(target.dialect, blobs)
    wire = _body(settled.request, target, items)
    body = blobs.fill(msgspec.json.encode(wire))
    return UpstreamBody(body, (*settled.losses, *items.losses), stop_here=settled.stop_here)


def _body(request: Request, target: Target, items: "_Items") -> Wire:
    instructions, turns = split_instructions(request.turns)
    wire: Wire = {"model": target.upstream_model}
    if instructions:
        wire["instructions"] = instructions
    wire["input"] = [*_added_tools(request.tools), *items.write(turns)]
    _write_fields(request, wire, items)
    _write_tools(request, wire)
    _write_text(request, wire)
    if request.reasoning is not None and (said := _reasoning(request.reasoning, request.origin)):
        wire["reasoning"] = said
    include = _include(request)
    if include:
        wire["include"] = include
    wire["store"] = False
    if target.stream:
        wire["stream"] = True
    for name, value in request.extras.items():
        inner = wire.get(name)
        wire[name] = {**inner, **split(bytes(value))} if isinstance(inner, dict) else value
    if include:
        wire["include"] = [*include, *msgspec.json.decode(request.extras.get("include", b"[]"), type=list[str])]
    return wire


def split_instructions(turns: tuple[Turn, ...]) -> tuple[str, tuple[Turn, ...]]:
    """The first system prompt goes into its slot, which takes a string alone: blocks are joined with a blank line."""
    first = turns[0] if turns else None
    if first is None or first.role != "system" or first.carry is not None:
        return "", turns
    texts = [part.text for part in first.parts if isinstance(part, Text) and part.carry is None]
    return ("\n\n".join(texts), turns[1:]) if len(texts) == len(first.parts) else ("", turns)


def _write_fields(request: Request, wire: Wire, items: "_Items") -> None:
    limit = request.max_output_tokens
    if limit is not None:
        if limit < _LEAST_OUTPUT and request.origin != RESPONSES:
            items.losses.append(Loss("max_output_tokens", "emulated", f"the protocol's least is {_LEAST_OUTPUT}"))
            limit = _LEAST_OUTPUT
        wire["max_output_tokens"] = limit
    for name in _SAME_NAME:
        value = getattr(request, name)
        if value is not None:
            wire[name] = value
    for name, word in _TEXTS.items():
        value = getattr(request, name)
        if value:
            wire[word] = value
    if request.stop:
        wire["stop"] = request.stop


def _include(request: Request) -> list[str]:
    asked = request.reasoning
    wanted = {
        # A model that does not reason answers this with an error, and for it `settle` has left no reasoning.
        ENCRYPTED: asked is not None and asked.enabled is not False,
        LOGPROBS: bool(request.logprobs),
        SOURCES: request.web_search is not None,
    }
    return [word for word, is_wanted in wanted.items() if is_wanted]


def _reasoning(asked: Reasoning, origin: str) -> Wire:
    said: Wire = {}
    if asked.enabled is False:
        said["effort"] = "none"
    elif asked.effort:
        said["effort"] = asked.effort
    # Whoever asks Messages or Gemini to think is shown it, unless it says otherwise; Chat's `reasoning_effort` never promised that, and
    # OpenAI gives summaries to verified organisations only: https://help.openai.com/en/articles/10910291-api-organization-verification.
    shown = asked.shown or (asked.shown is None and origin in (MESSAGES, GEMINI))
    summary = asked.summary or ("auto" if shown else "")
    if summary and asked.enabled is not False:
        said["summary"] = summary
    return said


def _write_text(request: Request, wire: Wire) -> None:
    text: Wire = {}
    form = request.format
    if form is not None and form.kind == "json_object":
        text["format"] = {"type": "json_object"}
    elif form is not None:
        text["format"] = {"type": "json_schema", "name": form.name, "schema": form.schema}
        if form.strict is not None:
            text["format"]["strict"] = form.strict
        if form.description:
            text["format"]["description"] = form.description
    if request.verbosity:
        text["verbosity"] = request.verbosity
    if text:
        wire["text"] = text


def _write_tools(request: Request, wire: Wire) -> None:
    tools = [tool for tool in request.tools if IN_INPUT not in _own(tool)]
    written = written_tools(tools, loose=request.origin != RESPONSES)
    if request.web_search is not None:
        written.append(written_web_search(request.web_search))
    if written:
        wire["tools"] = written
    if request.tool_choice is not None:
        wire["tool_choice"] = written_choice(request.tool_choice, request.tools)


def _added_tools(tools: tuple[Tool, ...]) -> list[Wire]:
    """Codex's `additional_tools`, in the place in which it sends them."""
    added = [tool for tool in tools if IN_INPUT in _own(tool)]
    if not added:
        return []
    said = split(bytes(_own(added[0])[IN_INPUT]))
    return [{"type": "additional_tools", **said, "tools": written_tools(added, loose=False)}]


def written_tools(tools: list[Tool], *, loose: bool) -> list[Wire]:
    """Tools, those of a namespace together. `loose`: an unsaid `strict` is false, as in all other protocols; here it would be `if possible`."""
    written: list[Wire] = []
    for space, members in groupby(tools, key=lambda tool: tool.namespace):
        inner = list(members)
        wires = [_tool(tool, loose=loose) for tool in inner]
        if not space:
            written += wires
            continue
        said = split(bytes(_own(inner[0]).get(SPACE, b"{}")))
        written.append({"type": "namespace", "name": space, "description": "", **said, "tools": wires})
    return written


def _tool(tool: Tool, *, loose: bool) -> Wire:
    own = {key: value for key, value in _own(tool).items() if key not in (SPACE, IN_INPUT)}
    if tool.kind in ("hosted", "typed"):
        return dict(own)
    wire: Wire = {"type": tool.kind, "name": tool.name}
    if tool.description:
        wire["description"] = tool.description
    if tool.kind == "function":
        wire["parameters"] = tool.parameters
        if tool.strict is not None or loose:
            wire["strict"] = bool(tool.strict)
    return {**wire, **own}


def _own(tool: Tool | WebSearch) -> Fields:
    return carried(tool.carry, RESPONSES, "")


def written_web_search(asked: WebSearch) -> Wire:
    wire: Wire = {"type": "web_search", **_own(asked)}
    if asked.context_size:
        wire["search_context_size"] = asked.context_size
    filters = {"allowed_domains": asked.allowed_domains, "blocked_domains": asked.blocked_domains}
    filters = {name: domains for name, domains in filters.items() if domains}
    if filters:
        wire["filters"] = filters
    if bytes(asked.location):
        wire["user_location"] = {"type": "approximate", **split(bytes(asked.location))}
    return wire


def written_choice(choice: ToolChoice, tools: tuple[Tool, ...]) -> str | Wire:
    """https://developers.openai.com/api/docs/guides/function-calling#tool-choice"""
    if not choice.names:
        return choice.mode
    kinds = {tool.name: tool.kind for tool in tools}
    named = [_named(name, kinds.get(name, "")) for name in choice.names]
    if choice.mode == "required" and len(named) == 1:
        return named[0]
    return {"type": "allowed_tools", "mode": choice.mode, "tools": named}


def _named(name: str, kind: str) -> Wire:
    if kind in ("hosted", "typed") or (not kind and name.startswith("web_search")):
        return {"type": name}
    return {"type": "custom" if kind == "custom" else "function", "name": name}


class _Items:
    """Writes turns as items. Lives while one body is written."""

    def __init__(self, dialect: str, blobs: Blobs) -> None:
        self._dialect = dialect
        self._blobs = blobs
        self._items: list[Wire] = []
        self.losses: list[Loss] = []

    def write(self, turns: tuple[Turn, ...]) -> list[Wire]:
        for turn in turns:
            if turn.role == "assistant":
                self._assistant(turn)
            else:
                self._other(turn)
        return self._items

    def _other(self, turn: Turn) -> None:
        head: Wire = {"type": "message", "role": turn.role, **carried(turn.carry, RESPONSES, self._dialect)}
        content: list[Wire] = []
        for part in turn.parts:
            if isinstance(part, ToolResult):
                content = self._flush(head, content)
                own = carried(part.carry, RESPONSES, self._dialect)
                self._items.append(parts_out.tool_result(part, own, self._dialect, self._blobs))
            elif isinstance(part, Opaque) and not part.kind.startswith(_CONTENT_KINDS):
                content = self._flush(head, content)
                self._items.append(dict(carried(part.carry, RESPONSES, self._dialect)))
            elif isinstance(part, Text | Media | Opaque):
                content.append(parts_out.content(part, self._dialect, self._blobs))
        if content or not turn.parts:
            self._flush(head, content, even_empty=True)

    def _flush(self, head: Wire, content: list[Wire], *, even_empty: bool = False) -> list[Wire]:
        if content or even_empty:
            self._items.append({**head, "content": content})
        return []

    def _assistant(self, turn: Turn) -> None:
        """Texts next to each other are one message, unless a carry begins another."""
        message: Wire | None = None
        for part in turn.parts:
            if isinstance(part, Text | Refusal):
                keys, inner = parts_out.message_keys(part, self._dialect)
                if message is None or keys:
                    message = {"type": "message", "role": "assistant", **keys, "content": []}
                    self._items.append(message)
                message["content"].append(self._said(part, inner))
            elif isinstance(part, Opaque) and message is not None and part.kind.startswith(_CONTENT_KINDS):
                message["content"].append(dict(carried(part.carry, RESPONSES, self._dialect)))
            else:
                message = None
                self._item(part)

    def _said(self, part: Text | Refusal, inner: Fields) -> Wire:
        if isinstance(part, Refusal):
            return parts_out.refusal(part, inner)
        return parts_out.output_text(part, inner, self._dialect)

    def _item(self, part: Thinking | ToolCall | ToolResult | Media | Opaque) -> None:
        own = carried(part.carry, RESPONSES, self._dialect)
        if isinstance(part, Thinking):
            self._items.append(self._with_id(parts_out.reasoning(part, own)))
        elif isinstance(part, ToolCall) and part.kind == "server":
            self._items.append({"type": "web_search_call", **own})
        elif isinstance(part, ToolCall):
            self._items.append(parts_out.tool_call(part, own))
        elif isinstance(part, Media):
            self.losses.append(Loss(part.kind, "emulated", "sent as the user's: the protocol's assistant only writes"))
            wire = parts_out.media(part, own, self._blobs)
            self._items.append({"type": "message", "role": "user", "content": [wire]})
        elif isinstance(part, Opaque):
            self._items.append(dict(own))

    def _with_id(self, item: Wire) -> Wire:
        """Servers of open models want one, whatever it is; OpenAI's own items have theirs."""
        return item if "id" in item or "encrypted_content" in item else {**item, "id": f"rs_{len(self._items)}"}
