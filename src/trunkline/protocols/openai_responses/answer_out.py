"""The response object that a caller gets, in a body and in the events of a stream. In: what was asked, items, usage, cost. Out: a wire object.

It repeats the request, as the reference has it: https://developers.openai.com/api/reference/resources/responses/methods/create (Returns)
"""

from typing import Any

import msgspec

from trunkline.ir.events import Finish, UsageSeen
from trunkline.ir.request import Request
from trunkline.ir.response import FinishReason
from trunkline.protocols.codec import AnswerContext, Bill, own_id
from trunkline.protocols.openai_responses.request_out import (
    split_instructions,
    written_choice,
    written_tools,
    written_web_search,
)
from trunkline.protocols.openai_responses.usage import write_usage

Wire = dict[str, Any]

_COMPLETED = frozenset({FinishReason.END, FinishReason.TOOL_CALLS, FinishReason.STOP_SEQUENCE, FinishReason.REFUSAL})
_REASONS = {
    FinishReason.LENGTH: "max_output_tokens",
    FinishReason.CONTEXT_FULL: "max_output_tokens",
    FinishReason.CONTENT_FILTER: "content_filter",
}
# Both families stand there, or none does.
_NO_DETAILS = {"image_tokens": 0, "text_tokens": 0}
_NO_IMAGES = {"input_tokens": 0, "input_tokens_details": _NO_DETAILS, "output_tokens": 0, "total_tokens": 0}


def head(context: AnswerContext) -> Wire:
    """What is the same in all events."""
    request = context.request
    wire: Wire = {
        "id": own_id("resp_", context.request_id),
        "object": "response",
        "created_at": context.created_s,
        "model": context.model,
        "background": False,
        "instructions": split_instructions(request.turns)[0] or None,
        "max_output_tokens": request.max_output_tokens,
        "metadata": request.metadata or {},
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": context.previous_id or None,
        "reasoning": _reasoning(request),
        "service_tier": request.service_tier or "default",
        "store": context.is_stored,
        "temperature": request.temperature,
        "text": _text(request),
        "tool_choice": written_choice(request.tool_choice, request.tools) if request.tool_choice else "auto",
        "tools": _tools(request),
        "top_logprobs": request.top_logprobs or 0,
        "top_p": request.top_p,
        "truncation": "disabled",
        "user": request.user or None,
    }
    for name, value in {"prompt_cache_key": request.cache_key, "safety_identifier": request.safety_identifier}.items():
        if value:
            wire[name] = value
    return wire


def begun(head: Wire) -> Wire:
    return {**head, "status": "in_progress", "error": None, "incomplete_details": None, "output": [], "usage": None}


def ended(head: Wire, status: str, reason: str, output: list[Any], usage: UsageSeen | None, bill: Bill) -> Wire:
    """A response that has its end; `reason` where it is incomplete."""
    wire: Wire = {
        **head,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output,
        "usage": _usage(usage, bill),
    }
    if usage is not None and usage.service_tier:
        wire["service_tier"] = usage.service_tier
    if usage is not None and usage.usage.web_searches:
        wire["tool_usage"] = {"image_gen": _NO_IMAGES, "web_search": {"num_requests": usage.usage.web_searches}}
    return wire


def failed(head: Wire, error: Wire, output: list[msgspec.Raw], usage: UsageSeen | None) -> Wire:
    told = {
        "status": "failed",
        "error": error,
        "incomplete_details": None,
        "output": output,
        "usage": _usage(usage, Bill()),
    }
    return {**head, **told}


def status_of(finish: Finish | None) -> tuple[str, str]:
    """Status, and the reason where it is incomplete and the protocol has a word for it."""
    if finish is not None and finish.reason in _COMPLETED:
        return "completed", ""
    return "incomplete", _REASONS.get(finish.reason, "") if finish is not None else ""


def _usage(seen: UsageSeen | None, bill: Bill) -> msgspec.Raw | None:
    if seen is None:
        return None
    written = write_usage(seen.usage)
    if bill.cost:
        details = b',"cost_details":%b' % bill.details if bill.details else b""
        written = b'%b,"cost":%b%b}' % (written[:-1], bill.cost, details)
    return msgspec.Raw(written)


def _reasoning(request: Request) -> Wire:
    asked = request.reasoning
    if asked is None:
        return {"effort": None, "summary": None}
    effort = "none" if asked.enabled is False else asked.effort or None
    return {"effort": effort, "summary": asked.summary or None}


def _text(request: Request) -> Wire:
    form, text = request.format, {"format": {"type": "text"}, "verbosity": request.verbosity or "medium"}
    if form is not None and form.kind == "json_object":
        text["format"] = {"type": "json_object"}
    elif form is not None:
        described = {"description": form.description} if form.description else {}
        text["format"] = {
            "type": "json_schema",
            "name": form.name,
            "schema": form.schema,
            "strict": form.strict,
            **described,
        }
    return text


def _tools(request: Request) -> list[Wire]:
    written = written_tools(list(request.tools), loose=True)
    return [*written, written_web_search(request.web_search)] if request.web_search is not None else written
