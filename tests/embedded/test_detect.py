"""Servers that already run here: real sockets on loopback that answer as the vendors' pages say."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from trunkline.catalog.schema import parse_layer
from trunkline.embedded.detect import KINDS, Detection, FoundServer, detect, detected_layer
from trunkline.embedded.listeners import listener_uids, read_tables, stranger

Routes = dict[str, object]

OLLAMA: Routes = {"/": "Ollama is running", "/api/tags": {"models": [{"name": "llama3.2:3b"}, {"name": "qwen3:8b"}]}}
MODELS: Routes = {"/v1/models": {"object": "list", "data": [{"id": "m1", "object": "model", "owned_by": "vllm"}]}}


def answer(routes: Routes, path: str, status: int = 200) -> bytes:
    if path not in routes:
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    body = routes[path]
    content = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(content), content)


@asynccontextmanager
async def serving(reply: Callable[[str], bytes]) -> AsyncIterator[int]:
    """A server on a free port that keeps its connections open, as HTTP/1.1 servers do."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert b"authorization" not in request.lower()
        writer.write(reply(request.split(b" ")[1].decode()))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def look(**ports: int) -> Detection:
    """Only the given ports are asked; the other kinds look where nobody listens."""
    elsewhere = {kind.slug: 1 for kind in KINDS} | ports
    return await detect({}, 2.0, ports=elsewhere)


def reasons(detection: Detection) -> dict[str, str]:
    return dict(detection.absent)


@pytest.mark.parametrize(
    ("kind", "routes", "models"),
    [
        ("ollama", OLLAMA, ["llama3.2:3b", "qwen3:8b"]),
        ("lmstudio", {"/api/v0/models": {"data": [{"id": "m", "state": "loaded"}, {"id": "e", "state": "x", "type": "embeddings"}]}}, ["m"]),
        ("vllm", MODELS, ["m1"]),
        ("llamacpp", {"/v1/models": {"data": [{"id": "m1", "owned_by": "llamacpp"}]}}, ["m1"]),
        ("sglang", {"/v1/models": {"data": [{"id": "m1", "owned_by": "sglang"}]}}, ["m1"]),
        ("koboldcpp", {"/api/extra/version": {"result": "KoboldCpp", "version": "1.9"}, **MODELS}, ["m1"]),
        ("docker", {"/engines/v1/models": {"data": [{"id": "ai/smollm2"}]}}, ["ai/smollm2"]),
    ],
)  # fmt: skip
async def test_a_server_is_named_by_its_own_fingerprint(kind: str, routes: Routes, models: list[str]) -> None:
    async with serving(lambda path: answer(routes, path)) as port:
        detection = await look(**{kind: port})
    (server,) = detection.found
    assert (server.kind, server.models) == (kind, models)
    assert server.base_url.startswith(f"http://127.0.0.1:{port}/")


async def test_another_server_on_a_known_port_is_not_offered() -> None:
    async with serving(lambda path: answer(MODELS, path)) as port:
        detection = await look(ollama=port, llamacpp=port)
    assert detection.found == []
    assert "something else answers" in reasons(detection)["Ollama"]
    assert "something else answers" in reasons(detection)["llama-server"]


async def test_a_redirect_is_not_followed() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: /v1/other\r\nContent-Length: 0\r\n\r\n"
    async with serving(lambda path: moved) as port:
        detection = await look(vllm=port)
    assert "status 302" in reasons(detection)["vLLM"]


async def test_a_server_that_asks_for_a_key_is_told_of() -> None:
    async with serving(lambda path: answer({"/v1/models": {}}, path, 401)) as port:
        detection = await look(jan=port)
    assert "asks for a key" in reasons(detection)["Jan"]


async def test_silence_ends_with_the_time_limit() -> None:
    async with serving(lambda path: b"") as port:
        detection = await detect({}, 0.05, ports={kind.slug: port for kind in KINDS})
    assert reasons(detection)["vLLM"] == f"port {port} did not answer within 0.05 s"


async def test_what_does_not_speak_http_is_no_error() -> None:
    async with serving(lambda path: b"SSH-2.0-OpenSSH\r\n\r\n\r\n") as port:
        detection = await look(vllm=port)
    assert detection.found == []


async def test_nobody_there_is_said_for_every_kind() -> None:
    detection = await look()
    assert reasons(detection) == {kind.name: "nothing listens on port 1" for kind in KINDS}


async def test_our_own_port_is_not_asked() -> None:
    async with serving(lambda path: answer(MODELS, path)) as port:
        detection = await detect({}, 2.0, own_ports=[port], ports={kind.slug: port for kind in KINDS})
    assert set(reasons(detection).values()) == {f"port {port} is Trunkline's own"}


async def test_chunks_are_understood() -> None:
    body = msgspec.json.encode(MODELS["/v1/models"])
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    async with serving(lambda path: chunked) as port:
        detection = await look(vllm=port)
    assert detection.found[0].models == ["m1"]


@pytest.mark.parametrize("value", ["127.0.0.1:{}", "http://localhost:{}", "0.0.0.0:{}", ":{}"])
async def test_ollama_is_looked_for_where_its_variable_says(value: str) -> None:
    async with serving(lambda path: answer(OLLAMA, path)) as port:
        ports = {kind.slug: 1 for kind in KINDS}
        detection = await detect({"OLLAMA_HOST": value.format(port)}, 2.0, ports=ports)
    assert detection.found[0].kind == "ollama"


async def test_an_ollama_elsewhere_is_not_asked() -> None:
    detection = await detect({"OLLAMA_HOST": "192.0.2.1:11434"}, 2.0, ports={kind.slug: 1 for kind in KINDS})
    assert reasons(detection)["Ollama"] == "nothing listens on port 1"


async def test_a_listener_of_another_user_is_not_offered() -> None:
    async with serving(lambda path: answer(MODELS, path)) as port:
        table = row("0100007F", f"{port:04X}", "0A", 1234)
        elsewhere = {kind.slug: 1 for kind in KINDS} | {"vllm": port}
        detection = await detect({}, 2.0, ports=elsewhere, tables=lambda: table, own_uid=1000)
        ours = await detect({}, 2.0, ports=elsewhere, tables=lambda: table, own_uid=1234)
    assert "belongs to another user (uid 1234)" in reasons(detection)["vLLM"]
    assert ours.found


def row(address: str, port: str, state: str, uid: int) -> str:
    """A line as the kernel prints it."""
    far = "0" * len(address)
    return f"   0: {address}:{port} {far}:0000 {state} 00000000:00000000 00:00000000 00000000  {uid}        0 9 1\n"


TABLE = (
    row("0100007F", "1F40", "0A", 1001)
    + row("00000000", "1F41", "0A", 0)
    + row("0100007F", "1F42", "01", 1002)
    + row("0A00020F", "1F40", "0A", 1003)
    + row("00000000000000000000000001000000", "1F40", "0A", 1004)
)


def test_owners_are_read_from_the_kernels_table() -> None:
    assert listener_uids(TABLE, 8000) == {1001, 1004}
    assert listener_uids(TABLE, 8001) == {0}
    assert listener_uids(TABLE, 8002) == set()


def test_root_services_and_we_ourselves_are_no_strangers() -> None:
    assert stranger({0, 112, 1000}, own_uid=1000) is None
    assert stranger({0, 1001}, own_uid=1000) == 1001


def test_our_own_listener_is_found_in_the_real_table_before_any_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        tables = read_tables()
        port = server.getsockname()[1]
    assert tables is None or "local_address" in tables
    assert tables is None or listener_uids(tables, port) == {os.getuid()}


def test_of_a_long_table_only_the_listeners_are_read(tmp_path: Path) -> None:
    listener = row("0100007F", "1F40", "0A", 1001)
    connections = row("0100007F", "1F40", "01", 1001) + row("0100007F", "1F41", "06", 0) * 1000
    (tmp_path / "tcp").write_text(f"  sl  local_address ...\n{listener}{connections}")
    (tmp_path / "tcp6").write_text("  sl  local_address ...\n")
    names = [str(tmp_path / name) for name in ("tcp", "tcp6", "absent")]
    assert read_tables(names) == f"  sl  local_address ...\n{listener}  sl  local_address ...\n"
    assert read_tables(names[2:]) is None


def test_found_servers_become_a_valid_layer() -> None:
    found = [FoundServer("ollama", "Ollama", "http://127.0.0.1:11434/v1", ["llama3.2:3b", "odd name"])]
    layer = parse_layer(detected_layer(Detection(found, [])), "detected")
    assert layer.providers["ollama"].local
    assert [model.slug for model in layer.models] == ["ollama/llama3.2:3b"]
    assert layer.models[0].offers[0].upstream_model == "llama3.2:3b"


def test_nothing_found_is_an_empty_layer() -> None:
    assert detected_layer(Detection([], [])) == {}
