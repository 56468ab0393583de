"""Model servers that already run on this machine, found by asking their usual ports on loopback, without keys.

In: the environment (OLLAMA_HOST), a time limit. Out: servers named by their own fingerprint with their models; and
for the rest, why not.
A few lines of HTTP/1.0 are enough here: no redirects, no keys, nothing but loopback, all ports at once.
"""

import asyncio
import contextlib
import ipaddress
import os
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from trunkline.embedded.listeners import NOBODY, listener_uids, read_tables, stranger

LIMIT_BYTES = 512 * 1024
OPENAI_LIST = "/v1/models"
ENGINES_LIST = "/engines/v1/models"


class FoundServer(msgspec.Struct, frozen=True):
    """A server that answered. `base_url` is for OpenAI's chat protocol; `kind` is its slug as a provider."""

    kind: str
    name: str
    base_url: str
    models: list[str]


class Detection(msgspec.Struct, frozen=True):
    """What was found, and for each kind that was not, the reason."""

    found: list[FoundServer]
    absent: list[tuple[str, str]]


class _Kind(msgspec.Struct, frozen=True):
    """A server: where it listens, where it lists its models, and what tells it from another one on that port."""

    slug: str
    name: str
    port: int
    list_path: str
    probe_path: str
    is_it: Callable[[Any], bool]
    """Decides by the answer at `probe_path`: JSON where it is JSON, else text."""
    base_path: str = "/v1"


def _owned_by(owner: str) -> Callable[[Any], bool]:
    return lambda answer: any(item.get("owned_by") == owner for item in _items(answer))


def _says(text: str) -> Callable[[Any], bool]:
    return lambda answer: isinstance(answer, str) and text in answer


def _has(*keys: str) -> Callable[[Any], bool]:
    return lambda answer: isinstance(answer, dict) and all(key in answer for key in keys)


def _tells_states(answer: Any) -> bool:
    return isinstance(answer, dict) and "data" in answer and all("state" in item for item in _items(answer))


def _is_kobold(answer: Any) -> bool:
    return isinstance(answer, dict) and answer.get("result") == "KoboldCpp"


KINDS = (
    # https://docs.ollama.com/api/tags, https://docs.ollama.com/faq ("Ollama is running" at the root)
    _Kind("ollama", "Ollama", 11434, "/api/tags", "/", _says("Ollama is running")),
    # https://lmstudio.ai/docs/developer/rest/endpoints: only its own REST API tells a model's state and architecture
    _Kind("lmstudio", "LM Studio", 1234, "/api/v0/models", "/api/v0/models", _tells_states),
    # https://docs.vllm.ai/en/latest/serving/openai_compatible_server
    _Kind("vllm", "vLLM", 8000, OPENAI_LIST, OPENAI_LIST, _owned_by("vllm")),
    # https://github.com/ggml-org/llama.cpp/tree/master/tools/server
    _Kind("llamacpp", "llama-server", 8080, OPENAI_LIST, OPENAI_LIST, _owned_by("llamacpp")),
    # https://docs.sglang.io/basic_usage/native_api.html
    _Kind("sglang", "SGLang", 30000, OPENAI_LIST, OPENAI_LIST, _owned_by("sglang")),
    # https://jan.ai/docs/desktop/api-preference: no mark of its own, and a key is asked for where one is set
    _Kind("jan", "Jan", 1337, OPENAI_LIST, OPENAI_LIST, _has("data")),
    # https://lite.koboldai.net/koboldcpp_api
    _Kind("koboldcpp", "KoboldCpp", 5001, OPENAI_LIST, "/api/extra/version", _is_kobold),
    # https://docs.gpt4all.io/gpt4all_api_server/home.html
    _Kind("gpt4all", "GPT4All", 4891, OPENAI_LIST, OPENAI_LIST, _has("data")),
    # https://docs.docker.com/ai/model-runner/api-reference/
    _Kind("docker", "Docker Model Runner", 12434, ENGINES_LIST, ENGINES_LIST, _has("data"), "/engines/v1"),
)


class _Nothing(Exception):
    """Nothing that can be offered; the message says why."""


async def detect(
    env: Mapping[str, str],
    timeout_s: float = 0.4,
    *,
    own_ports: Collection[int] = (),
    ports: Mapping[str, int] | None = None,
    tables: Callable[[], str | None] = read_tables,
    own_uid: int | None = None,
) -> Detection:
    """Ask all usual ports at once. `own_ports` are the gateway's own; `ports` puts a kind elsewhere. Never raises for
    what it meets."""
    elsewhere = {**(ports or {}), **_ollama_port(env)}
    listening = tables()
    uid = os.getuid() if own_uid is None else own_uid
    asked = [_ask(kind, elsewhere.get(kind.slug, kind.port), timeout_s, own_ports, listening, uid) for kind in KINDS]
    answers = await asyncio.gather(*asked)
    found = [answer for answer in answers if isinstance(answer, FoundServer)]
    return Detection(
        found, [(kind.name, answer) for kind, answer in zip(KINDS, answers, strict=True) if isinstance(answer, str)]
    )


def detected_layer(detection: Detection) -> dict[str, Any]:
    """Providers and models of the found servers, in the shape of the configuration file."""
    servers = [server for server in detection.found if server.models]
    if not servers:
        return {}
    return {
        "providers": {server.kind: _provider(server) for server in servers},
        "models": [_model(server, name) for server in servers for name in server.models if _usable(name)],
    }


async def _ask(
    kind: _Kind, port: int, timeout_s: float, own_ports: Collection[int], listening: str | None, uid: int
) -> FoundServer | str:
    """The server, or the reason why there is none."""
    if port in own_ports:
        return f"port {port} is Trunkline's own"
    try:
        async with asyncio.timeout(timeout_s):
            return await _identify(kind, port, listening, uid)
    except _Nothing as reason:
        return str(reason)
    except TimeoutError:
        return f"port {port} did not answer within {timeout_s:g} s"
    except OSError:
        return f"nothing listens on port {port}"
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        return f"port {port} does not speak HTTP"


async def _identify(kind: _Kind, port: int, listening: str | None, uid: int) -> FoundServer:
    if listening is not None:
        _check_owner(listening, port, uid)
    answer = await _get(port, kind.probe_path)
    if not kind.is_it(answer):
        raise _Nothing(f"something else answers on port {port}")
    listed = answer if kind.list_path == kind.probe_path else await _get(port, kind.list_path)
    return FoundServer(kind.slug, kind.name, f"http://127.0.0.1:{port}{kind.base_path}", _names(listed))


def _check_owner(listening: str, port: int, uid: int) -> None:
    uids = listener_uids(listening, port)
    if not uids:
        raise _Nothing(f"nothing listens on port {port}")
    other = stranger(uids, uid)
    if other is not None and other != NOBODY:
        whose = f"port {port} belongs to another user (uid {other})"
        raise _Nothing(f"{whose}, so it is not offered; configure it by hand if you trust it")


async def _get(port: int, path: str) -> Any:
    """GET over HTTP/1.0, which needs no chunks and no keep-alive. The body, as JSON where it is JSON."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\n\r\n".encode())
        status = (await reader.readuntil(b"\r\n")).split(b" ", 2)
        head = await reader.readuntil(b"\r\n\r\n") if len(status) > 1 else b""
        code = int(status[1]) if len(status) > 1 else 0
        body = await _body(reader, head.lower())
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if code in (401, 403):
        raise _Nothing(f"the server on port {port} asks for a key; configure it by hand")
    if code != 200:
        raise _Nothing(f"something else answers on port {port} (status {code} at {path})")
    return _decoded(body)


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """Some servers answer HTTP/1.0 with 1.1 and keep the connection: the length is in the head then, or there are
    chunks after all."""
    length = re.search(rb"content-length:\s*(\d+)", head)
    if length:
        return await reader.readexactly(min(int(length[1]), LIMIT_BYTES))
    if b"transfer-encoding" not in head:
        return await reader.read(LIMIT_BYTES)
    body = b""
    while (size := int(await reader.readuntil(b"\r\n"), 16)) and len(body) < LIMIT_BYTES:
        body += await reader.readexactly(min(size, LIMIT_BYTES))
        await reader.readexactly(2)
    return body


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body.decode("utf-8", "replace")


def _items(answer: Any) -> list[dict[str, Any]]:
    """The models of a list in OpenAI's shape or Ollama's."""
    listed = (answer.get("data") or answer.get("models") or []) if isinstance(answer, dict) else []
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def _names(answer: Any) -> list[str]:
    names = [
        item.get("id") or item.get("name")
        for item in _items(answer)
        if item.get("type") not in ("embeddings", "embedding")
    ]
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def _ollama_port(env: Mapping[str, str]) -> dict[str, int]:
    """OLLAMA_HOST is an address, a port or a URL (https://docs.ollama.com/faq); one that is not this machine is not
    asked."""
    value = env.get("OLLAMA_HOST", "").strip()
    if not value:
        return {}
    parts = urlsplit(value if "//" in value else f"http://{value}")
    try:
        port = parts.port or 11434
    except ValueError:
        return {}
    return {"ollama": port} if _is_loopback(parts.hostname or "127.0.0.1") else {}


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _usable(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]*", name) is not None


def _provider(server: FoundServer) -> dict[str, Any]:
    return {
        "name": f"{server.name} on this machine",
        "base_url": server.base_url,
        "auth": "none",
        "local": True,
        "data_policy": {"training": False, "retention_days": 0},
    }


def _model(server: FoundServer, name: str) -> dict[str, Any]:
    free = [
        {"item": item, "unit": "perMTokens", "value": "0", "source": "runs on this machine"}
        for item in ("prompt", "completion")
    ]
    offer = {
        "provider": server.kind,
        "upstream_model": name,
        "protocols": ["openai.chat"],
        "price": free,
        "abortable": True,
    }
    return {"slug": f"{server.kind}/{name}", "name": f"{name} ({server.name})", "offers": [offer]}
