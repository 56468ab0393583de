"""From a base URL and a protocol to the address that is called. Pure.

The rule: a base URL that *ends in a version* gets the protocol's path, any other gets the version in between. It ends in
one when its last segment is `v1`, `v4`, `v1beta`, `v1alpha2` and the like; or is `openai`, `openapi` or `google` behind
such a segment (`/v1beta/openai`, `/v1/.../endpoints/openapi`, `/v1/.../publishers/google`); or when it names a
deployment (`/deployments/NAME`) or is Azure's `/openai` with an api-version in the query.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, urlsplit, urlunsplit

from trunkline.catalog.types import Provider
from trunkline.errors import ConfigError

_VERSION = re.compile(r"v\d+((alpha|beta)\d*)?")
_SURFACES = frozenset({"openai", "openapi", "google"})
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")

_PATHS = {
    "openai.chat": ("v1", "chat/completions"),
    "openai.responses": ("v1", "responses"),
    "anthropic.messages": ("v1", "messages"),
    "gemini": ("v1beta", "models/{model}:{operation}"),
}


VERTEX_CLAUDE = "/publishers/anthropic"
"""Ends a base URL of Claude on Vertex AI: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude."""
BEDROCK_INVOKE = "/model"
"""Ends a base URL of Bedrock's InvokeModel: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html."""
_CONVERSE = {False: "converse", True: "converse-stream"}
"""https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html"""


def call_url(base_url: str, protocol: str, model: str, *, stream: bool = False, count: bool = False) -> str:
    """The address of one call. `count` counts tokens instead of answering; only Messages and Gemini have that."""
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/")
    if protocol == "gemini":
        url = request_url(base_url, protocol, _bare(model, path), _gemini_operation(stream=stream, count=count))
        # Without it a stream is a JSON array: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
        return _with_query(url, "alt=sse") if stream and not count else url
    if protocol == "anthropic.messages" and path.endswith(VERTEX_CLAUDE):
        name = "count-tokens" if count else quote(_bare(model, path), safe="@.-_")
        tail = f"models/{name}:{'streamRawPredict' if stream and not count else 'rawPredict'}"
        return urlunsplit((parts.scheme, parts.netloc, f"{path}/{tail}", parts.query, ""))
    if protocol == "anthropic.messages" and path.endswith(BEDROCK_INVOKE):
        tail = f"{quote(model, safe='')}/{'invoke-with-response-stream' if stream else 'invoke'}"
        return urlunsplit((parts.scheme, parts.netloc, f"{path}/{tail}", parts.query, ""))
    if protocol == "bedrock.converse":
        path = f"{path.removesuffix(BEDROCK_INVOKE)}{BEDROCK_INVOKE}/{quote(model, safe='')}/{_CONVERSE[stream]}"
        return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
    url = request_url(base_url, protocol, model)
    # https://platform.claude.com/docs/en/api/messages-count-tokens
    return _with_path(url, "/count_tokens") if count and protocol == "anthropic.messages" else url


def request_url(base_url: str, protocol: str, model: str = "", operation: str = "generateContent") -> str:
    """The address of `protocol` under `base_url`; a query such as `?api-version=...` stays at the end.

    `model` is the provider's name of the model: it is part of a Gemini path and of an Azure deployment (`{model}` in the
    base URL). `operation` is Gemini's, e.g. `streamGenerateContent`. An unknown protocol raises `ConfigError`.
    """
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/").replace("{model}", quote(model, safe=""))
    version, tail = _path_of(protocol)
    if not (ends_in_version(path) or (path.endswith("/openai") and "api-version=" in parts.query)):
        path = f"{path}/{version}"
    tail = tail.replace("{model}", quote(model, safe="@.-_")).replace("{operation}", operation)
    return urlunsplit((parts.scheme, parts.netloc, f"{path}/{tail}", parts.query, ""))


def _gemini_operation(*, stream: bool, count: bool) -> str:
    if count:
        return "countTokens"
    return "streamGenerateContent" if stream else "generateContent"


def _bare(model: str, path: str) -> str:
    """The name in a path: without `models/`, and without the publisher where the path has it (Vertex's chat surface wants `google/...`)."""
    publisher = path.rpartition("/publishers/")[2] if "/publishers/" in path else ""
    return model.removeprefix("models/").removeprefix(f"{publisher}/" if publisher else "")


def _with_query(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}"


def _with_path(url: str, more: str) -> str:
    path, mark, query = url.partition("?")
    return f"{path}{more}{mark}{query}"


def ends_in_version(path: str) -> bool:
    """Whether a path already says which version of the API it is; see the module's docstring."""
    segments = [segment for segment in path.split("/") if segment]
    if not segments:
        return False
    if _VERSION.fullmatch(segments[-1]) or "deployments" in segments[-2:-1]:
        return True
    return segments[-1] in _SURFACES and any(_VERSION.fullmatch(segment) for segment in segments[:-1])


def placeholders(url: str) -> tuple[str, ...]:
    """The names in braces that `fill` has to replace, but for `{model}`, which each request brings."""
    return tuple(dict.fromkeys(name for name in _PLACEHOLDER.findall(url) if name != "model"))


def fill(url: str, provider: Provider, env: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The URL with its placeholders replaced, and what is missing, as keys or variables that the operator could set."""
    values: dict[str, str] = {}
    missing: list[str] = []
    for name in placeholders(url):
        value = value_of(name, provider, env)
        if value:
            values[name] = value.rstrip("/")
        else:
            missing.append(_wanted(name, provider))
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), url), tuple(missing)


def value_of(name: str, provider: Provider, env: Mapping[str, str]) -> str:
    """What fills a placeholder; "" where nothing does."""
    given = provider.vars.get(name) or env.get(provider.variables.get(name, ""), "")
    if given:
        return given
    derived = _DERIVED.get(name)
    if derived is None:
        return ""
    source = value_of(derived[0], provider, env)
    return derived[1](source) if source else ""


def _vertex_host(location: str) -> str:
    """The global location has no prefix: https://cloud.google.com/vertex-ai/generative-ai/docs/learn/locations."""
    return "aiplatform.googleapis.com" if location == "global" else f"{location}-aiplatform.googleapis.com"


_DERIVED = {
    "location_host": ("location", _vertex_host),
    # https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle
    "endpoint": ("resource", "https://{}.openai.azure.com".format),
}


def _wanted(name: str, provider: Provider) -> str:
    source = _DERIVED[name][0] if name == "location_host" else name
    return provider.variables.get(source) or f"[providers.{provider.slug}] {source}"


def _path_of(protocol: str) -> tuple[str, str]:
    if protocol not in _PATHS:
        raise ConfigError(f"unknown protocol {protocol!r}: known are {', '.join(_PATHS)}")
    return _PATHS[protocol]
