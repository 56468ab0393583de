"""Our words in those of OpenTelemetry's conventions for generative AI. In: a slug, a protocol, an attempt. Out: values of `gen_ai.*`, `error.type`.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/, https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
"""

from trunkline.records.types import Attempt

PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "xai": "x_ai",
}
"""Well-known values that differ from our slugs; all others go as they are."""
OPERATIONS = {"gemini": "generate_content"}
"""Of a protocol, where it is not `chat`."""
_PLAIN_STATUSES = frozenset({400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529})


def provider_name(slug: str) -> str:
    """`gen_ai.provider.name`."""
    return PROVIDERS.get(slug, slug)


def operation_name(protocol: str) -> str:
    """`gen_ai.operation.name`."""
    return OPERATIONS.get(protocol, "chat")


def error_type(attempt: Attempt) -> str:
    """`error.type` of an attempt: a status, or our word for the cause; empty where it went well. Of few values, whatever a provider sends."""
    if attempt.outcome == "ok":
        return ""
    status = told_status(attempt)
    if not status:
        return attempt.outcome
    return str(status) if status in _PLAIN_STATUSES else f"{status // 100}xx"


def told_status(attempt: Attempt) -> int:
    """The status of a failure that the provider told; 0 where it told none, or broke inside an answer, which is a cause of its own."""
    status = attempt.status if attempt.outcome == "status" else attempt.told_status
    return status if attempt.outcome == "status" or status < 500 else 0
