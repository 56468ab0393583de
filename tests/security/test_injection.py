"""Header injection: nothing that a caller says ends a line of what we send, neither back to it nor on to a provider or the console."""

import http.client
import json
import re
import socket
from typing import Any
from urllib.parse import quote

import pytest

from tests.fakes.gateway import CHAT, MASTER_KEY, GatewayProcess, eventually
from tests.fakes.upstream import Call, Upstream, says

EVIL = "x\r\nX-Injected: 1\r\n\r\nHTTP/1.1 200 OK\r\n"
EVIL_BYTES = [b"\r\nX-Injected: 1", b"\nX-Injected: 1", b"\rX-Injected: 1", b"\x00X-Injected: 1", b"\xff\xfe"]
TEXT = [{"role": "user", "content": "hi"}]
FIELDS: dict[str, Any] = {
    "model": EVIL,
    "models": [EVIL],
    "user": EVIL,
    "session_id": EVIL,
    "service_tier": EVIL,
    "prompt_cache_key": EVIL,
    "provider": {"order": [EVIL], "only": [EVIL]},
    "metadata": {EVIL: EVIL},
    "messages": [{"role": EVIL, "name": EVIL, "content": EVIL}],
    EVIL: EVIL,
}
HEADERS = [
    "x-request-id", "idempotency-key", "x-session-id", "http-referer", "x-title", "user-agent", "origin", "anthropic-beta",
    "anthropic-version", "openai-beta", "openai-organization", "x-forwarded-for", "x-forwarded-proto", "x-trunkline-peer", "traceparent",
]  # fmt: skip
PATHS = [
    "/v1beta/models/{0}:generateContent",
    "/api/vertex-ai/v1/publishers/{0}/models/{0}:generateContent",
    "/api/v1/models/{0}",
    "/api/v1/models/{0}/endpoints",
    "/v1/responses/{0}",
    "/api/v1/generation?id={0}",
    "/api/v1/management/records/{0}",
    "/platform/logs/{0}",
    "/models?q={0}",
    "/sign-in?next={0}",
    "/{0}/{0}",
    "/nowhere/{0}",
]


def raw(gateway: GatewayProcess, sent: bytes) -> bytes:
    """Everything that is answered to some bytes."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as client:
        client.sendall(sent)
        parts = []
        while part := client.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def is_clean(answer: bytes) -> bool:
    """One head, without the header that was to be injected, and no bare line end in it."""
    head = answer.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0].strip().lower() for line in re.split(rb"[\r\n\0]+", head)]
    return b"x-injected" not in names and answer.startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/responses"])
def test_no_field_of_a_body_ends_a_line(four, upstream: Upstream, path: str, field: str) -> None:
    upstream.plays("first-chat", "chat-0", says())
    body = {"model": "acme/chat-0", "messages": TEXT, "input": "hi", "max_tokens": 10} | {field: FIELDS[field]}
    sent = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {MASTER_KEY}\r\nConnection: close\r\n"
    answer = raw(four, head.encode() + b"Content-Length: %d\r\n\r\n" % len(sent) + sent)
    assert is_clean(answer)
    assert all(is_untouched(call) for call in upstream.calls("chat-0"))


@pytest.mark.parametrize("name", HEADERS)
def test_no_header_ends_a_line(four, upstream: Upstream, name: str) -> None:
    """With raw line ends it is two headers of the caller's own, or no HTTP; it is never handed on."""
    upstream.plays("first-chat", "chat-1", says())
    body = json.dumps({"model": "acme/chat-1", "messages": TEXT}).encode()
    for evil in EVIL_BYTES:
        head = (
            f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {MASTER_KEY}\r\nConnection: close\r\n".encode()
        )
        named = b"%b: a%b\r\n" % (name.encode(), evil)
        assert is_clean(raw(four, head + named + b"Content-Length: %d\r\n\r\n" % len(body) + body))
    assert all(is_untouched(call) for call in upstream.calls("chat-1"))


@pytest.mark.parametrize("path", PATHS)
def test_no_path_ends_a_line(four, path: str) -> None:
    """The same in a path, encoded once and twice."""
    for evil in (quote(EVIL, safe=""), quote(quote(EVIL, safe=""), safe="")):
        target = path.format(evil)
        method = "POST" if target.split("?")[0].endswith("Content") else "GET"
        body = b'{"contents":[{"parts":[{"text":"hi"}]}]}' if method == "POST" else b""
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {MASTER_KEY}\r\nConnection: close\r\n"
        assert is_clean(raw(four, head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body))


def test_a_request_id_of_the_callers_is_not_taken(four) -> None:
    with_own = four.get("/healthz", headers={"x-request-id": "mine"})
    assert with_own.headers["x-request-id"] != "mine"


def test_a_provider_cannot_inject_either(four, upstream: Upstream) -> None:
    """A header of a provider's answer with a line end in it is two, of which none is on the list of those that pass."""
    evil = {"x-ratelimit-remaining": "1\r\nset-cookie: a=b", "x-request-id": "theirs", "set-cookie": "c=d"}
    upstream.plays("first-chat", "chat-2", lambda call: call.answer(200, completion(), evil))
    answer = four.chat("acme/chat-2")
    assert answer.status == 200
    assert answer.headers["set-cookie"] is None
    assert answer.id != "theirs"


def completion() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    told = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return json.dumps(told).encode()


def is_untouched(call: Call) -> bool:
    return b"x-injected" not in [line.partition(b":")[0].strip().lower() for line in re.split(rb"[\r\n\0]+", call.head)]


def test_the_console_is_told_who_asks_by_us_alone(four) -> None:
    """What a caller says of itself in our own headers does not reach the console."""
    eventually(lambda: four.get("/models").status == 200, "the console's readiness")
    connection = http.client.HTTPConnection("127.0.0.1", four.port, timeout=20)
    connection.putrequest("GET", "/models", skip_host=True)
    for name, value in (("host", "a"), ("x-trunkline-peer", "10.0.0.1"), ("x-forwarded-host", "evil.example")):
        connection.putheader(name, value)
    connection.endheaders()
    body = connection.getresponse().read()
    connection.close()
    assert b"evil.example" not in body
