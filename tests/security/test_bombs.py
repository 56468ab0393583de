"""Bodies that are small to send and large to read: compressed, deep, or both; of callers and of providers. The gateway stays as it was."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gateway import CHAT, GatewayProcess
from tests.fakes.upstream import DONE, Call, Upstream, streams

MIB = 1024 * 1024
BOMB = gzip.compress(bytes(64 * MIB))
DEEP = 100_000
GROWTH_BYTES = 48 * MIB
"""Less than what the bomb holds."""
TEXT = [{"role": "user", "content": "hi"}]
DOORS: dict[str, tuple[str, Callable[[str], str]]] = {
    "chat": (CHAT, lambda deep: f'{{"model":"acme/MODEL","messages":{json.dumps(TEXT)},"metadata":{deep}}}'),
    "chat content": (CHAT, lambda deep: f'{{"model":"acme/MODEL","messages":[{{"role":"user","content":{deep}}}]}}'),
    "chat tools": (CHAT, lambda deep: f'{{"model":"acme/MODEL","messages":{json.dumps(TEXT)},"tools":{deep}}}'),
    "chat parameters": (
        CHAT,
        lambda deep: (
            f'{{"model":"acme/MODEL","messages":{json.dumps(TEXT)},"tools":[{{"type":"function",'
            f'"function":{{"name":"f","parameters":{{"a":{deep}}}}}}}]}}'
        ),
    ),
    "messages": ("/v1/messages", lambda deep: f'{{"model":"acme/MODEL","max_tokens":10,"messages":{deep}}}'),
    "messages schema": (
        "/v1/messages",
        lambda deep: (
            f'{{"model":"acme/MODEL","max_tokens":10,"messages":{json.dumps(TEXT)},"tools":[{{"name":"f",'
            f'"input_schema":{{"type":"object","properties":{deep}}}}}]}}'
        ),
    ),
    "responses": ("/v1/responses", lambda deep: f'{{"model":"acme/MODEL","input":{deep}}}'),
    "responses text": ("/v1/responses", lambda deep: f'{{"model":"acme/MODEL","input":"hi","text":{deep}}}'),
    "gemini": ("/v1beta/models/acme/MODEL:generateContent", lambda deep: f'{{"contents":{deep}}}'),
    "gemini schema": (
        "/v1beta/models/acme/MODEL:generateContent",
        lambda deep: f'{{"contents":[{{"parts":[{{"text":"hi"}}]}}],"generationConfig":{{"responseSchema":{deep}}}}}',
    ),
    "wishes": (CHAT, lambda deep: f'{{"model":"acme/MODEL","messages":{json.dumps(TEXT)},"provider":{deep}}}'),
}
DEPTHS = {"lists": "[" * DEEP + "]" * DEEP, "objects": '{"a":' * DEEP + "1" + "}" * DEEP, "unclosed": "[" * DEEP}


def memory(gateway: GatewayProcess) -> int:
    """What the data plane holds, in bytes."""
    pages = Path(f"/proc/{gateway.data_plane_pid}/statm").read_text().split()[1]
    return int(pages) * 4096


@pytest.mark.parametrize("target", ["over-chat", "over-messages", "over-gemini", "over-responses"])
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("shape", DEPTHS)
def test_a_deep_body_is_refused_or_handed_on_and_harms_nobody(
    four: GatewayProcess, door: str, shape: str, target: str
) -> None:
    path, body = DOORS[door]
    pid = four.data_plane_pid
    answer = four.request("POST", path.replace("MODEL", target), body(DEPTHS[shape]).replace("MODEL", target).encode())
    assert answer.status in (200, 400, 413, 422)
    assert four.data_plane_pid == pid
    assert four.get("/healthz").status == 200
    assert "Traceback" not in four.log


@pytest.mark.parametrize("path", ["/api/v1/management/route/explain", "/api/v1/management/keys", "/sign-in"])
@pytest.mark.parametrize("shape", DEPTHS)
def test_deep_bodies_for_the_console_are_refused(four: GatewayProcess, path: str, shape: str) -> None:
    assert 400 <= four.request("POST", path, DEPTHS[shape].encode()).status < 500
    assert four.get("/models").status == 200
    assert "Traceback" not in four.log


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
def test_a_compressed_body_is_not_unpacked(four: GatewayProcess, coding: str) -> None:
    before = memory(four)
    answer = four.request("POST", CHAT, BOMB, headers={"content-encoding": coding})
    assert answer.status in (400, 415)
    assert memory(four) - before < GROWTH_BYTES


@pytest.mark.parametrize("kind", ["chat", "responses", "messages", "gemini"])
def test_a_compressed_answer_is_not_unpacked(four: GatewayProcess, upstream: Upstream, kind: str) -> None:
    number = 3
    script = lambda call: call.answer(200, BOMB, {"content-encoding": "gzip"})  # noqa: E731
    for rank in ("first", "second"):
        upstream.plays(f"{rank}-{kind}", f"{kind}-{number}", script)
    before = memory(four)
    answer = four.chat(f"acme/{kind}-{number}")
    assert answer.status >= 500
    assert memory(four) - before < GROWTH_BYTES


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["chat", "responses", "messages", "gemini"])
def test_a_deep_answer_harms_nobody(four: GatewayProcess, upstream: Upstream, kind: str, stream: bool) -> None:
    deep = ('{"a":' * DEEP + "1" + "}" * DEEP).encode()

    def script(call: Call) -> None:
        if call.streamed:
            streams(b"data: " + deep + b"\n\n", DONE)(call)
        else:
            call.answer(200, deep)

    for rank in ("first", "second"):
        upstream.plays(f"{rank}-{kind}", f"{kind}-4", script)
    pid = four.data_plane_pid
    path, body = ASKED[kind]
    four.request(
        "POST", path.replace("GEN", "streamGenerateContent" if stream else "generateContent"), body | {"stream": stream}
    )
    four.chat(f"acme/{kind}-4", stream=stream)
    assert four.data_plane_pid == pid
    assert four.get("/healthz").status == 200
    assert "Traceback" not in four.log


ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, {"model": "acme/chat-4", "messages": TEXT}),
    "responses": ("/v1/responses", {"model": "acme/responses-4", "input": "hi"}),
    "messages": ("/v1/messages", {"model": "acme/messages-4", "max_tokens": 10, "messages": TEXT}),
    "gemini": ("/v1beta/models/acme/gemini-4:GEN", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
}
