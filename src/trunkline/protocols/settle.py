"""What of a request a given offer can be told, decided before a codec writes it. In: the canonical request and the target. Out: the same request
with everything taken out, replaced or clamped that the target has no place for, and the losses. Raises `InvalidParams` for what is refused.

So a codec's `write_request` writes whatever it finds, and no rule of `fields` or quirk of an offer is known in four places.
"""

from collections.abc import Iterable, Sequence
from itertools import compress
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.loss import Loss
from trunkline.ir.request import Request, Tool, ToolChoice
from trunkline.protocols import reasoning
from trunkline.protocols.codec import CONVERSE, MESSAGES, Target
from trunkline.protocols.fields import FIELDS, REFUSED_EXTRAS, REFUSED_TOOLS, REQUEST
from trunkline.protocols.settle_turns import settle_turns
from trunkline.protocols.settling import Settling
from trunkline.protocols.tools import wrapped

_replace = msgspec.structs.replace
_F = TypeVar("_F")
_SAID = tuple(field for field in REQUEST if field.name not in ("model", "candidates", "modalities", "stop", "tools"))
_values = attrgetter(*(field.name for field in _SAID))
_USUAL_LIMIT = 4096
"""Output tokens, where a protocol wants a limit and neither the caller nor the offer has one."""


class Settled(msgspec.Struct, frozen=True):
    """`request` is fit to be written. `stop_here` are stop words that must be watched for by us."""

    request: Request
    losses: tuple[Loss, ...]
    stop_here: tuple[str, ...]


def those_said(fields: Sequence[_F], values: tuple[Any, ...]) -> Iterable[_F]:
    """Those of the fields that have a value; false and zero are values, while None, "", () and {} are none."""
    if 0 in values:
        return [field for field, value in zip(fields, values, strict=True) if value or value == 0]
    return compress(fields, values)


def settle(request: Request, target: Target) -> Settled:
    """Fit a request to its target. Cheap where nothing has to change: turns and parts are then the same objects."""
    settling = Settling(request, target)
    changes: dict[str, Any] = {}
    _settle_fields(settling, changes)
    _settle_limit(settling, changes)
    _settle_reasoning(settling, changes)
    _settle_tools(settling, changes)
    stop_here = _settle_stop(settling, changes)
    turns = settle_turns(settling)
    if turns is not request.turns:
        changes["turns"] = turns
    if request.origin != target.protocol and request.extras:
        _settle_extras(settling, changes)
    return Settled(_replace(request, **changes) if changes else request, settling.losses(), stop_here)


def _settle_fields(settling: Settling, changes: dict[str, Any]) -> None:
    """The rows of the table, one by one; those that need more thought have functions of their own."""
    request, quirks, protocol = settling.request, settling.target.quirks, settling.target.protocol
    for field in those_said(_SAID, _values(request)):
        if field.name in quirks.refused:
            settling.drop(field.name, "the model does not take it")
            changes[field.name] = _empty(field.name)
            continue
        rule = field.rules[protocol]
        if (
            rule.action == "dropped"
            and field.name not in quirks.accepted
            and not (field.name == "cache" and quirks.cache_marks)
        ):
            settling.drop(field.name, rule.says)
            changes[field.name] = _empty(field.name)
    if request.cache is not None and not quirks.cache_marks:
        settling.unmarked()
        changes["cache"] = None
    if (request.candidates or 1) > 1:
        settling.refuse_if_ruled("candidates")
    if request.modalities and set(request.modalities) != {"text"}:
        settling.refuse_if_ruled("modalities")
    if (
        request.temperature is not None
        and request.temperature > quirks.max_temperature
        and "temperature" not in changes
    ):
        settling.emulate("temperature", f"the protocol's highest is {quirks.max_temperature:g}")
        changes["temperature"] = quirks.max_temperature
    if request.format is not None and request.format.kind == "json_schema" and quirks.schema == "none":
        settling.refuse("format", "this offer takes no schema; ask for `json_object`, or choose another offer")


def _empty(name: str) -> Any:
    return Request.__struct_defaults__[_DEFAULTED.index(name)]


_DEFAULTED = Request.__struct_fields__[len(Request.__struct_fields__) - len(Request.__struct_defaults__) :]


def _settle_limit(settling: Settling, changes: dict[str, Any]) -> None:
    asked, most = settling.request.max_output_tokens, settling.target.max_output_tokens
    if asked is None:
        if settling.target.quirks.limit_required:
            changes["max_output_tokens"] = most or _USUAL_LIMIT
    elif most is not None and asked > most:
        settling.emulate("max_output_tokens", f"the model's limit is {most}")
        changes["max_output_tokens"] = most


def _settle_reasoning(settling: Settling, changes: dict[str, Any]) -> None:
    request, target = settling.request, settling.target
    if request.reasoning is None or "reasoning" in changes:
        return
    limit = changes.get("max_output_tokens", request.max_output_tokens) or target.max_output_tokens
    fitting, lost = reasoning.fit(request.reasoning, target.quirks, limit)
    if lost:
        note = settling.drop if fitting is None else settling.emulate
        note("reasoning", lost)
    if fitting != request.reasoning:
        changes["reasoning"] = fitting
    if fitting is not None and (fitting.enabled or fitting.effort or fitting.budget_tokens):
        _settle_beside_reasoning(settling, changes)


def _settle_beside_reasoning(settling: Settling, changes: dict[str, Any]) -> None:
    """What the model takes only when it does not think. A forced tool is worth more than thinking, other parameters less."""
    request, refused = settling.request, settling.target.quirks.refused_while_thinking
    forced = request.tool_choice is not None and request.tool_choice.mode == "required"
    if forced and "tool_choice" in refused:
        settling.drop("reasoning", "the model does not think before a tool that it is forced to call")
        changes["reasoning"] = None
        return
    for name in refused - {"tool_choice"}:
        value = changes.get(name, getattr(request, name))
        # 1 is what it is anyway.
        if value not in (None, 1):
            settling.drop(name, "the model does not take it together with reasoning")
            changes[name] = None


def _settle_tools(settling: Settling, changes: dict[str, Any]) -> None:
    request, quirks = settling.request, settling.target.quirks
    tools = tuple(found for tool in request.tools if (found := _tool(settling, tool)) is not None)
    choice = request.tool_choice
    if choice is not None and "tool_choice" not in changes:
        choice = _replace(choice, names=tuple(settling.names.get(name, name) for name in choice.names))
        tools, fitting = _choice(settling, tools, choice)
        if fitting != request.tool_choice:
            changes["tool_choice"] = fitting
    if request.web_search is not None and request.web_search.cache and not quirks.cache_marks:
        changes["web_search"] = _replace(request.web_search, cache=None)
    if tools != request.tools:
        changes["tools"] = tools
    if not tools and request.web_search is None and (choice, request.parallel_tool_calls) != (None, None):
        # Without tools most vendors refuse these two.
        changes.update(tool_choice=None, parallel_tool_calls=None)


def _tool(settling: Settling, tool: Tool) -> Tool | None:
    quirks, target = settling.target.quirks, settling.target
    if tool.kind in ("hosted", "typed"):
        return _vendor_tool(settling, tool)
    if tool.cache is not None and not (quirks.cache_marks and quirks.tool_marks):
        settling.unmarked()
        tool = _replace(tool, cache=None)
    if target.protocol != settling.request.origin:
        name = settling.name(tool.namespace, tool.name)
        tool = tool if name == tool.name else _replace(tool, name=name, namespace="")
    if tool.kind == "custom" and not quirks.custom_tools:
        settling.emulate("custom_tools", FIELDS["custom_tools"].rules[MESSAGES].says)
        return wrapped(tool)
    if tool.strict is not None and not quirks.strict_tools:
        if tool.strict:
            settling.drop("strict", "the offer does not check schemas of tools")
        tool = _replace(tool, strict=None)
    return tool


def _vendor_tool(settling: Settling, tool: Tool) -> Tool | None:
    if settling.understands(tool.carry):
        return tool
    if tool.kind == "hosted" and tool.name not in REFUSED_TOOLS:
        settling.drop(f"tools.{tool.name}", FIELDS["hosted_tools"].rules[settling.target.protocol].says)
        return None
    why = FIELDS["typed_tools"].rules[settling.target.protocol].says
    if tool.kind == "hosted":
        why = (
            "only its vendor has what it looks into; give the content in the prompt, or choose an offer of that vendor"
        )
    raise InvalidParams(f"`tools.{tool.name}` cannot be sent to this offer: {why}.", param="tools")


def _choice(
    settling: Settling, tools: tuple[Tool, ...], choice: ToolChoice
) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    """The choice in words that the offer has. Where it cannot be told which tools are allowed, it is not told of the others."""
    words, names = settling.target.quirks.tool_choice, choice.names
    if choice.mode == "required" and "required" not in words:
        settling.refuse("tool_choice", "this offer cannot be made to call a tool; use `auto`, or choose another offer")
    if choice.mode == "none" and "none" not in words:
        settling.emulate("tool_choice", "sent without tools")
        return (), None
    wanted = "named" if choice.mode == "required" and len(names) == 1 else "allowed"
    if not names or wanted in words:
        return tools, choice
    settling.emulate("tool_choice", "only the allowed tools are sent")
    return tuple(tool for tool in tools if tool.name in names), ToolChoice(choice.mode)


def _settle_stop(settling: Settling, changes: dict[str, Any]) -> tuple[str, ...]:
    """As many stop words as the offer takes; all the others are ours to watch for."""
    stop, quirks = settling.request.stop, settling.target.quirks
    if not stop:
        return ()
    if "stop" in quirks.refused:
        sent: tuple[str, ...] = ()
    else:
        # Anthropic refuses words of blanks: https://platform.claude.com/docs/en/api/messages
        takes_blanks = settling.target.protocol not in (MESSAGES, CONVERSE)
        fit = [stop_word for stop_word in stop if takes_blanks or stop_word.strip()]
        sent = tuple(fit[: quirks.max_stops])
    here = tuple(stop_word for stop_word in stop if stop_word not in sent)
    if here:
        settling.emulate("stop", "the answer is cut at the first of them here")
        changes["stop"] = sent
    return here


def _settle_extras(settling: Settling, changes: dict[str, Any]) -> None:
    refused = REFUSED_EXTRAS.get(settling.request.origin, {})
    for name in settling.request.extras:
        if name in refused:
            raise InvalidParams(f"`{name}` cannot be sent to this offer: {refused[name]}.", param=name)
        settling.drop(name, "only the protocol that it came in knows it")
    changes["extras"] = {}
