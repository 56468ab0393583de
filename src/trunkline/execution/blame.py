"""Whose fault an upstream error is, and so whether another offer is tried. In: status and the provider's words. Out: `Blame`. One table, first hit wins."""

import re

import msgspec

from trunkline.errors import AccessDenied, InvalidModel, InvalidParams, PayloadTooLarge, RequestError, Unprocessable
from trunkline.ir.fault import Blame, Fault


class SafetyRefused(AccessDenied):
    """The provider's safety system refused the prompt: ZenMux's word for it."""

    type = "safety_check_failed"


class _Rule(msgspec.Struct, frozen=True):
    """Holds for a status in `statuses` where `words` are found in the provider's code, type or message."""

    statuses: frozenset[int]
    words: re.Pattern[str] | None
    blame: Blame


def _rule(statuses: str, words: str | None, blame: Blame) -> _Rule:
    return _Rule(frozenset(map(int, statuses.split())), re.compile(words, re.IGNORECASE) if words else None, blame)


_CREDIT = r"insufficient_quota|insufficient balance|credit balance|billing|payment|exceeded your current quota|no credit|out of credit|arrear"
_SAFETY = r"content_policy|content_filter|moderation|flagged|safety|prohibited|responsible ?ai"
_NO_MODEL = r"model|deployment|endpoint"

RULES = (
    # A refused prompt is the caller's, whatever status a vendor gives it. OpenRouter answers 403 (https://openrouter.ai/docs/api-reference/errors).
    _rule("400 403 422", _SAFETY, Blame.CLIENT),
    # No credit: OpenAI says 429 insufficient_quota (https://platform.openai.com/docs/guides/error-codes), Anthropic 400, DeepSeek and others 402.
    _rule("400 402 403 429", _CREDIT, Blame.OPERATOR),
    # Google answers a bad key with 400 API_KEY_INVALID (https://ai.google.dev/gemini-api/docs/troubleshooting).
    _rule("400", r"api[ _-]?key( not valid|_invalid)|invalid api[ _-]?key", Blame.OPERATOR),
    # Together answers a prompt that is too long with 403 (https://docs.together.ai/docs/error-codes).
    _rule("403", r"context length|token count|max_tokens", Blame.CLIENT),
    _rule("401 402 403", None, Blame.OPERATOR),
    # Bedrock's words for a model that this account may not call, or not in this region:
    # https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html
    _rule("400", r"model identifier is invalid|on-demand throughput|access to the model", Blame.OPERATOR),
    # The name of a model or deployment is the catalog's; anything else that was not found (a file, an image) is the caller's.
    _rule("404", _NO_MODEL, Blame.OPERATOR),
    _rule("404", r"\S", Blame.CLIENT),
    _rule("404", None, Blame.OPERATOR),
    # Bedrock answers 424 where the model itself failed: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
    _rule("408 409 424 429", None, Blame.PROVIDER),
)


def blame(status: int, fault: Fault) -> Blame:
    """Who is to mend an answer of this status. 5xx are the provider's, other 4xx the caller's, and so is a redirect the operator's."""
    words = f"{fault.code} {fault.type} {fault.message}"
    for rule in RULES:
        if status in rule.statuses and (rule.words is None or rule.words.search(words)):
            return rule.blame
    if status >= 500:
        return Blame.PROVIDER
    return Blame.CLIENT if status >= 400 else Blame.OPERATOR


_FOR_CLIENT: dict[int, type[RequestError]] = {
    400: InvalidParams,
    403: SafetyRefused,
    404: InvalidModel,
    413: PayloadTooLarge,
    422: Unprocessable,
}


def client_error(status: int, fault: Fault) -> RequestError:
    """The caller's own fault, in the provider's words: clients look for them (`prompt is too long: ...`) and mend their request."""
    kind = _FOR_CLIENT.get(status, InvalidParams)
    return kind(fault.message or f"The provider refused the request with status {status}.", param=fault.param)
