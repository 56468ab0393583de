"""From a base URL and a protocol to the address that is called. Pure.

The rule: a base URL that *ends in a version* gets the protocol's path, any other gets the version in between. It ends in
one when its last segment is `v1`, `v4`, `v1beta`, `v1alpha2` and the like; or is `openai`, `openapi` or `google` behind
such a segment (`/v1beta/openai`, `/v1/.../endpoints/openapi`, `/v1/.../publishers/google`); or when it names a deployment
(`/deployments/NAME`).
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


def request_url(base_url: str, protocol: str, model: str = "", operation: str = "generateContent") -> str:
    """The address of `protocol` under `base_url`; a query such as `?api-version=...` stays at the end.

    `model` is the provider's name of the model: it is part of a Gemini path and of an Azure deployment (`{model}` in the
    base URL). `operation` is Gemini's, e.g. `streamGenerateContent`. An unknown protocol raises `ConfigError`.
    """
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/").replace("{model}", quote(model, safe=""))
    version, tail = _path_of(protocol)
    if not ends_in_version(path):
        path = f"{path}/{version}"
    tail = tail.replace("{model}", quote(model, safe="@.-_")).replace("{operation}", operation)
    return urlunsplit((parts.scheme, parts.netloc, f"{path}/{tail}", parts.query, ""))


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
        value = _value(name, provider, env)
        if value:
            values[name] = value.rstrip("/")
        else:
            missing.append(_wanted(name, provider))
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), url), tuple(missing)


def _value(name: str, provider: Provider, env: Mapping[str, str]) -> str:
    given = provider.vars.get(name) or env.get(provider.variables.get(name, ""), "")
    if given:
        return given
    derived = _DERIVED.get(name)
    if derived is None:
        return ""
    source = _value(derived[0], provider, env)
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
