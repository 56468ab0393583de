"""LiteLLM's providers as ours. In: the `litellm_params` of its deployments. Out: tables of providers, and at which of them each deployment is.

Prefixes of names: https://docs.litellm.ai/docs/providers. A server of one's own that speaks OpenAI's protocol becomes a provider of its own, by its host.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from trunkline.catalog.credentials import fault_of_key
from trunkline.catalog.types import Catalog

PREFIXES = {
    "openai": "openai",
    "azure": "azure",
    "azure_ai": "azure",
    "anthropic": "anthropic",
    "bedrock": "bedrock",
    "bedrock_converse": "bedrock",
    "vertex_ai": "vertex",
    "vertex_ai_beta": "vertex",
    "gemini": "google",
    "groq": "groq",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "openrouter": "openrouter",
    "xai": "xai",
    "cerebras": "cerebras",
    "dashscope": "alibaba",
    "moonshot": "moonshot",
    "minimax": "minimax",
    "zai": "zai",
    "meta_llama": "meta",
}
OPENAI_LIKE = frozenset(
    {
        "openai",
        "openai_like",
        "custom_openai",
        "text-completion-openai",
        "hosted_vllm",
        "vllm",
        "lm_studio",
        "llamafile",
        "litellm_proxy",
    }
    | {"ollama", "ollama_chat", "xinference", "docker_model_runner"}
)
"""Where `api_base` is a server that speaks OpenAI's protocol."""
_OLLAMA = ("ollama", "ollama_chat")
_OLLAMA_BASE = "http://127.0.0.1:11434"
_ENV = "os.environ/"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NO_KEY = ("", "none", "dummy", "fake", "not-needed", "sk-1234", "anything", "empty")


class Named(msgspec.Struct, frozen=True):
    """A secret as our file names it."""

    text: str
    """`env:NAME`."""
    was_literal: bool = False


class Place(msgspec.Struct, frozen=True):
    """A provider of the new file. `kind` is the catalog's that it is like, or empty."""

    slug: str
    kind: str = ""
    protocols: tuple[str, ...] = ()
    """For its offers, where the catalog does not tell."""


def secret(value: Any, variable: str) -> Named:
    """What stands for a secret of LiteLLM's file. One that is written out is not copied: `variable` takes its place."""
    text = str(value).strip()
    if text.startswith(_ENV) and _VARIABLE.fullmatch(text.removeprefix(_ENV)):
        return Named(f"env:{text.removeprefix(_ENV)}")
    return Named(f"env:{variable}", was_literal=True)


class Places:
    """Lives for one file. `left` is told what cannot be taken over, and why."""

    def __init__(self, catalog: Catalog, left: Callable[[str, str], None]) -> None:
        self._catalog = catalog
        self._left = left
        self._tables: dict[str, dict[str, Any]] = {}
        self._by_base: dict[tuple[str, str], str] = {}
        """(kind, address) -> slug."""

    def place(self, params: Mapping[str, Any], where: str) -> tuple[Place | None, str]:
        """Where a deployment is, and what the model is called there. None where it has no counterpart, which is told."""
        prefix, upstream = _split(str(params["model"]), str(params.get("custom_llm_provider") or ""))
        base = _address(params)
        if prefix in _OLLAMA:
            base = f"{(base or _OLLAMA_BASE).rstrip('/').removesuffix('/v1')}/v1"
        if prefix in OPENAI_LIKE and base and urlsplit(base).hostname != "api.openai.com":
            place = self._own(base, params, where)
        elif PREFIXES.get(prefix) in self._catalog.providers:
            place = self._known(PREFIXES[prefix], base, params, where)
        else:
            self._left(
                f"{where} ({params['model']})",
                f"the provider {prefix or '?'} is not in the catalog: write it as [providers.NAME] with base_url",
            )
            return None, upstream
        return place, upstream

    def tables(self) -> dict[str, dict[str, Any]]:
        found = {}
        for slug, table in self._tables.items():
            keys = table.pop("keys", [])
            found[slug] = table | ({"api_key": keys[0]} if len(keys) == 1 else {"api_keys": keys} if keys else {})
        return found

    def _own(self, base: str, params: Mapping[str, Any], where: str) -> Place:
        slug = self._by_base.get(("", base)) or self._new_slug(_slug(urlsplit(base).hostname or "server"))
        self._by_base["", base] = slug
        table = self._tables.setdefault(slug, {"base_url": base})
        self._add_key(slug, table, params, where)
        return Place(slug, protocols=("openai.chat",))

    def _known(self, kind: str, base: str, params: Mapping[str, Any], where: str) -> Place:
        wanted = base.rstrip("/") if base and kind == "azure" else ""
        slug = self._by_base.get((kind, wanted))
        if slug is None:
            taken = kind in self._by_base.values()
            slug = self._by_base[kind, wanted] = self._new_slug(kind) if taken else kind
        table = self._tables.setdefault(slug, {})
        if kind == "azure":
            self._azure(slug, table, wanted, params, where)
        elif base and base.rstrip("/") not in {
            url.rstrip("/") for url in self._catalog.providers[kind].base_urls.values()
        }:
            self._left(
                f"{where} ({params['model']}) api_base",
                f"{kind} is called at its own address; where yours is another, write [providers.{kind}] base_urls",
            )
        for theirs, ours in (
            ("vertex_project", "project"),
            ("vertex_location", "location"),
            ("aws_region_name", "region"),
        ):
            value = params.get(theirs)
            if isinstance(value, str) and value and not value.startswith(_ENV):
                table.setdefault(ours, value)
            elif value:
                named = ", ".join(self._catalog.providers[kind].variables.values()) or "the provider's own variable"
                self._left(f"{where} {theirs}", f"is read from {named}")
        self._credentials(kind, table, params, where)
        self._add_key(slug, table, params, where)
        like = () if slug == kind else tuple(self._catalog.providers[kind].base_urls)
        return Place(slug, kind, like)

    def _azure(self, slug: str, table: dict[str, Any], base: str, params: Mapping[str, Any], where: str) -> None:
        if base and slug == "azure":
            table.setdefault("endpoint", base)
        elif base:
            # A second resource is a provider of its own, of the same kind.
            url = f"{base}/openai/v1"
            table |= {"name": f"Azure ({urlsplit(base).hostname})", "auth": "header:api-key"}
            table["base_urls"] = {"openai.chat": url, "openai.responses": url}
        if params.get("api_version"):
            self._left(
                f"{where} api_version",
                "Azure's v1 API, which is used, takes none; where yours must be a dated one, write `api_version`",
            )

    def _credentials(self, kind: str, table: dict[str, Any], params: Mapping[str, Any], where: str) -> None:
        path = params.get("vertex_credentials")
        if isinstance(path, str) and path and not path.startswith((_ENV, "{")):
            table.setdefault("credentials", path)
        elif path:
            self._left(
                f"{where} vertex_credentials",
                "write the file's path as [providers.vertex] credentials, or set GOOGLE_APPLICATION_CREDENTIALS",
            )
        if any(params.get(name) for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")):
            self._left(
                f"{where} aws_access_key_id",
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where the gateway is started",
            )
        if params.get("organization"):
            self._left(
                f"{where} organization", f'write [providers.{kind}] headers = {{ "OpenAI-Organization" = "..." }}'
            )

    def _add_key(self, slug: str, table: dict[str, Any], params: Mapping[str, Any], where: str) -> None:
        value = params.get("api_key")
        if value is None or str(value).strip().lower() in _NO_KEY:
            return
        keys: list[str] = table.setdefault("keys", [])
        variable = f"{slug.upper().replace('-', '_')}_API_KEY"
        named = secret(value, variable if not keys else f"{variable}_{len(keys) + 1}")
        if named.was_literal:
            fault = "" if fault_of_key(str(value)) == "" else ", once it is copied without blanks"
            self._left(
                f"{where} api_key",
                f"stands in the file as it is; set the variable {named.text.removeprefix('env:')} to it{fault}",
            )
        if named.text not in keys:
            keys.append(named.text)

    def _new_slug(self, wanted: str) -> str:
        slug, number = wanted, 2
        while (
            slug in self._tables or slug in self._by_base.values() or (slug in self._catalog.providers and number == 2)
        ):
            slug, number = f"{wanted}-{number}", number + 1
        return slug


def _split(model: str, said: str) -> tuple[str, str]:
    """The prefix of the provider, and the model's name there."""
    if said:
        return said, model.removeprefix(f"{said}/")
    prefix, slash, rest = model.partition("/")
    if slash and (prefix in PREFIXES or prefix in OPENAI_LIKE):
        # `bedrock/converse/...` and `bedrock/us-east-1/...` name the way, not the model.
        if prefix == "bedrock":
            rest = rest.rpartition("/")[2]
        return prefix, rest
    # https://docs.litellm.ai/docs/providers: a bare name is OpenAI's or Anthropic's.
    if not slash:
        return ("anthropic" if model.startswith("claude") else "openai"), model
    return prefix, rest


def _address(params: Mapping[str, Any]) -> str:
    value = params.get("api_base") or params.get("base_url") or ""
    return "" if not isinstance(value, str) or value.startswith(_ENV) else value.rstrip("/")


def _slug(host: str) -> str:
    found = re.sub(r"[^a-z0-9_-]+", "-", host.lower()).strip("-_")
    return found if found and found[0].isalnum() else f"server-{found}"
