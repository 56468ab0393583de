"""Which path is which protocol's (design.md, section 8). In: a request's method, target and headers. Out: the `Door` it came through, or None.

Gemini's paths name the model and the operation: https://ai.google.dev/api/generate-content, https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference.
"""

import re
from urllib.parse import parse_qs, unquote

from trunkline.execution.asked import Door
from trunkline.execution.respond import Headers
from trunkline.protocols.codec import CHAT, GEMINI, MESSAGES, RESPONSES

_OPENAI = (b"/api/v1", b"/v1")
_ANTHROPIC = (b"/api/anthropic/v1", b"/anthropic/v1", b"/v1")
CHAT_DOOR = Door(CHAT)
_GENERATE: dict[bytes, Door] = {
    **{prefix + b"/chat/completions": CHAT_DOOR for prefix in _OPENAI},
    **{prefix + b"/responses": Door(RESPONSES) for prefix in _OPENAI},
    **{prefix + b"/messages": Door(MESSAGES) for prefix in _ANTHROPIC},
}
_COUNT = frozenset(
    [prefix + b"/messages/count_tokens" for prefix in _ANTHROPIC]
    + [prefix + b"/responses/input_tokens" for prefix in _OPENAI]
)
_GEMINI = re.compile(
    rb"/(?:api/vertex-ai/(?:v1|v1beta|v1beta1)|v1beta1?|v1)(?:/projects/[^/]+/locations/[^/]+)?/(?:publishers/(?P<publisher>[^/]+)/)?models/(?P<model>.+):(?P<operation>[A-Za-z]+)"
)
"""A model's slug may have its slash raw or as %2F."""
_FORWARDED = (b"anthropic-beta", b"anthropic-version", b"openai-beta", b"user-agent")
"""What codecs may want to know; never credentials."""


def door(method: str, target: bytes, headers: Headers) -> Door | None:
    """The way in for a request that generates; None for any other."""
    if method != "POST":
        return None
    found = _GENERATE.get(target) or _GENERATE.get(target.partition(b"?")[0].rstrip(b"/"))
    if found is CHAT_DOOR:
        return found
    if found is not None:
        return Door(found.protocol, headers=_told(headers))
    path, _, query = target.partition(b"?")
    match = _GEMINI.fullmatch(path)
    if match is None or match["operation"] not in (b"generateContent", b"streamGenerateContent"):
        return None
    stream = match["operation"] == b"streamGenerateContent"
    sse = parse_qs(query.decode("latin-1")).get("alt", [""])[-1] == "sse"
    return Door(
        GEMINI,
        path_model=_model(match),
        path_stream=stream,
        array_framing=stream and not sse,
        headers=_told(headers),
    )


def counting(method: str, target: bytes, headers: Headers) -> Door | None:
    """The way in for a request that only counts tokens."""
    if method != "POST":
        return None
    path = target.partition(b"?")[0].rstrip(b"/")
    if path in _COUNT:
        return Door(MESSAGES if path.endswith(b"count_tokens") else RESPONSES, headers=_told(headers))
    match = _GEMINI.fullmatch(path)
    return Door(GEMINI, path_model=_model(match)) if match and match["operation"] == b"countTokens" else None


def spoken(target: bytes, headers: Headers) -> str:
    """In whose words to answer where nothing is generated: the protocol whose path it is, or whose client asks."""
    path = target.partition(b"?")[0]
    if path.startswith((b"/v1beta", b"/api/vertex-ai/")) or _GEMINI.fullmatch(path):
        return GEMINI
    ours = path.startswith((b"/api/anthropic/", b"/anthropic/", b"/v1/messages"))
    return MESSAGES if ours or any(name == b"anthropic-version" for name, _ in headers) else CHAT


def _model(match: "re.Match[bytes]") -> str:
    """`publishers/google/models/gemini-2.5-pro` is `google/gemini-2.5-pro`."""
    model = unquote(match["model"].decode("latin-1"))
    publisher = (match["publisher"] or b"").decode("latin-1")
    return f"{publisher}/{model}" if publisher and "/" not in model else model


def _told(headers: Headers) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers if name in _FORWARDED}
