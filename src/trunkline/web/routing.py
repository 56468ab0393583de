"""`/platform/routing`: how requests find their provider, and what would become of one. In: the settings; a request, put together or pasted.

Explaining calls no provider. The data plane answers, where health is known: `api.management.explain`.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.explain import PATH, Row
from trunkline.catalog.query import AUTO_MODELS
from trunkline.web import data_plane
from trunkline.web.render import pages_of
from trunkline.web.session import ChangingReader, FormFields, PlatformReader, demand

PLACE = "/platform/routing"
PROTOCOLS = (
    ("openai.chat", "OpenAI Chat Completions"),
    ("openai.responses", "OpenAI Responses"),
    ("anthropic.messages", "Anthropic Messages"),
    ("gemini", "Gemini"),
)
MAX_PROMPT_TOKENS = 200_000
"""So much is a megabyte, about as much as the data plane should count at a click."""
MAX_ANSWER_TOKENS = 1_000_000
MAX_DIGITS = 9
WORD = "word "
"""About a token."""
PICTURE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

_TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
_SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object", "properties": {}}}}
# What a form can add to a request: parameter -> its field of Chat Completions, with a value that any model may get.
PARAMETERS: Mapping[str, dict[str, Any]] = {
    "temperature": {"temperature": 0.7},
    "top_p": {"top_p": 0.9},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "presence_penalty": {"presence_penalty": 0.5},
    "seed": {"seed": 1},
    "stop": {"stop": ["END"]},
    "logit_bias": {"logit_bias": {"1": 1}},
    "logprobs": {"logprobs": True},
    "top_logprobs": {"logprobs": True, "top_logprobs": 2},
    "tools": {"tools": [_TOOL]},
    "tool_choice": {"tools": [_TOOL], "tool_choice": "auto"},
    "parallel_tool_calls": {"tools": [_TOOL], "parallel_tool_calls": True},
    "response_format": {"response_format": _SCHEMA},
    "reasoning_effort": {"reasoning_effort": "low"},
}
TEXTS = (
    "model",
    "prompt_tokens",
    "answer_tokens",
    "sort",
    "order",
    "only",
    "ignore",
    "max_prompt_usd",
    "protocol",
    "path_model",
)
SWITCHES = ("picture", "stream", "no_training", "zero_retention", "require_parameters", "hedge")
SORTS = (
    ("", "the gateway's own rating"),
    ("price", "price, cheapest first"),
    ("latency", "first-token latency"),
    ("throughput", "throughput"),
)


class Held(msgspec.Struct, frozen=True):
    """A setting that routing goes by: what it does as it stands."""

    key: str
    value: str
    words: str


class Asked(msgspec.Struct, frozen=True):
    """What the form holds, as the reader left it."""

    model: str = ""
    prompt_tokens: str = "1000"
    answer_tokens: str = ""
    parameters: frozenset[str] = frozenset()
    picture: bool = False
    stream: bool = False
    sort: str = ""
    order: str = ""
    only: str = ""
    ignore: str = ""
    max_prompt_usd: str = ""
    no_training: bool = False
    zero_retention: bool = False
    require_parameters: bool = False
    hedge: bool = False
    body: str = ""
    protocol: str = PROTOCOLS[0][0]
    path_model: str = ""


class UnaskableError(Exception):
    """The form holds something that makes no request; the text says what, and what would."""


router = APIRouter(include_in_schema=False)


@router.api_route(PLACE, methods=["GET", "HEAD"], response_class=Response)
async def routing_page(request: Request, console: ConsoleOf, reader: PlatformReader, model: str = "") -> Response:
    """The page; `?model=` fills the form."""
    demand(reader, "installation")
    names = _callable(console)
    return _page(request, console, Asked(model=model or (names[0] if names else "")))


@router.post(PLACE, response_class=Response)
async def explained_page(request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields) -> Response:
    """The same with what would become of the request; the part alone where htmx asks."""
    demand(reader, "installation")
    asked = _asked(form)
    shown = await _explained(console, asked)
    # htmx puts only good answers into a page: the part says in words that the request was refused.
    if "hx-request" in request.headers:
        return pages_of(request).page(request, "parts/explained.html", {"explained": shown})
    return _page(request, console, asked, shown)


async def _explained(console: Console, asked: Asked) -> dict[str, Any]:
    """`data` as the data plane tells it, or `refused`: why not, in words."""
    try:
        body = _pasted(asked) if asked.body.strip() else _made(asked)
        answer = await data_plane.post(console.settings, PATH, console.master_key, body)
    except (UnaskableError, data_plane.UnreachableError) as error:
        return {"refused": str(error)}
    if answer.status != 200:
        return {"refused": answer.error}
    data = answer.told["data"]
    rows = msgspec.convert(data["candidates"], list[Row])
    return {
        "data": data,
        "ranked": [row for row in rows if row.rank],
        "excluded": [row for row in rows if not row.rank],
        "models": console.catalog.models,
    }


def _page(request: Request, console: Console, asked: Asked, explained: dict[str, Any] | None = None) -> Response:
    shown = {
        "asked": asked,
        "explained": explained,
        "held": _held(console),
        "names": [*_callable(console), *AUTO_MODELS[:1]],
        "parameters": list(PARAMETERS),
        "sorts": SORTS,
        "protocols": PROTOCOLS,
    }
    refused = explained is not None and "refused" in explained
    return pages_of(request).page(request, "routing.html", shown, 400 if refused else 200)


def _callable(console: Console) -> list[str]:
    today = console.today()
    models = console.catalog.models.values()
    return sorted(model.slug for model in models if console.state.callable_offers(model, today))


def _asked(form: Mapping[str, str]) -> Asked:
    """What came of it; what did not come is as it is in an empty form."""
    found: dict[str, Any] = {name: form[name].strip() for name in TEXTS if name in form}
    found |= {name: name in form for name in SWITCHES}
    chosen = frozenset(name for name in PARAMETERS if f"p-{name}" in form)
    return Asked(parameters=chosen, body=form.get("body", ""), **found)


def _made(asked: Asked) -> bytes:
    """A Chat request of what was chosen. Raises UnaskableError."""
    if not asked.model:
        raise UnaskableError("Name a model.")
    size = _number(asked.prompt_tokens, "Prompt", 1, MAX_PROMPT_TOKENS)
    text: Any = WORD * size
    if asked.picture:
        text = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    body: dict[str, Any] = {"model": asked.model, "messages": [{"role": "user", "content": text}]}
    if asked.answer_tokens:
        body["max_completion_tokens"] = _number(asked.answer_tokens, "Answer", 1, MAX_ANSWER_TOKENS)
    for name in PARAMETERS:
        if name in asked.parameters:
            body |= PARAMETERS[name]
    if asked.stream:
        body["stream"] = True
    provider = _wish(asked)
    return json.dumps(body | ({"provider": provider} if provider else {})).encode()


def _wish(asked: Asked) -> dict[str, Any]:
    """The key `provider` of the request: see docs/routing.md."""
    wish: dict[str, Any] = {"sort": asked.sort} if asked.sort else {}
    lists = {"order": asked.order, "only": asked.only, "ignore": asked.ignore}
    wish |= {key: _names(text) for key, text in lists.items() if _names(text)}
    if asked.max_prompt_usd:
        wish["max_price"] = {"prompt": asked.max_prompt_usd.strip()}
    policy = {name: True for name in ("no_training", "zero_retention") if getattr(asked, name)}
    if policy:
        wish["data_policy"] = policy
    return wish | {name: True for name in ("require_parameters", "hedge") if getattr(asked, name)}


def _pasted(asked: Asked) -> bytes:
    """The reader's own body, in its envelope. Raises UnaskableError."""
    try:
        body = json.loads(asked.body)
    except ValueError as error:
        raise UnaskableError(f"This is no JSON: {error}.") from None
    if not isinstance(body, dict):
        raise UnaskableError("A request is a JSON object, in braces.")
    envelope: dict[str, Any] = {"protocol": asked.protocol, "body": body}
    return json.dumps(
        envelope | ({"path_model": asked.path_model.strip()} if asked.path_model.strip() else {})
    ).encode()


def _number(text: str, what: str, least: int, most: int) -> int:
    plain = text.replace(",", "").replace("_", "").replace(" ", "")
    digits = plain.lstrip("0")
    is_number = plain.isascii() and plain.isdecimal() and len(digits) <= MAX_DIGITS
    if not is_number or not least <= int(digits or "0") <= most:
        raise UnaskableError(f"{what}: {text[:40]!r} is no number of tokens from {least} to {most:,}.")
    return int(digits)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _held(console: Console) -> list[Held]:
    """The settings of routing in words."""
    routing, gateway = console.settings.routing, console.settings.gateway
    probes = routing.probes
    return [
        Held(
            "routing.fallback_model",
            routing.fallback_model or "none",
            "answers where the model that was asked for cannot, unless the request names fallbacks, wants none, or pins a provider"
            if routing.fallback_model
            else "a request falls back to other models only where it names them itself",
        ),
        Held(
            "routing.auto_models",
            ", ".join(routing.auto_models) or "every model that can be called",
            f"what {AUTO_MODELS[0]} chooses from where the request does not say",
        ),
        Held(
            "routing.spread",
            "yes" if routing.spread else "no",
            "requests are spread over the good offers, so that each is measured"
            if routing.spread
            else "each request goes to the best offer first, and none to another one to learn how good that is",
        ),
        Held(
            "routing.probes",
            f"every {probes.every_s:.0f} s, at most ${probes.budget_usd_per_day:g} a day" if probes else "none",
            "small requests of the gateway's own to offers that had no traffic"
            if probes
            else "nothing is asked of providers that no caller asks for",
        ),
        Held(
            "routing.conversations",
            f"{routing.conversations:,}",
            "conversations stay with the provider that holds their cache while that saves money; so many are remembered",
        ),
        Held(
            "gateway.require_parameters",
            "yes" if gateway.require_parameters else "no",
            "a request whose parameters no offer supports is refused"
            if gateway.require_parameters
            else "a parameter that no offer supports is left out, with notice",
        ),
        Held(
            "hedging",
            "by the request",
            'with "hedge" in its wish a second offer is asked when the first is silent; both are paid',
        ),
    ]
