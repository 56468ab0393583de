"""The server around the requests: sizes, slow readers, paths, other origins, keys, readiness."""

import contextlib
import http.client
import json
import socket

import pytest

from tests.fakes.gateway import CHAT, DEADLINE_S, MASTER_KEY, eventually
from tests.fakes.upstream import STREAM_HEAD, Call, chunk, says, streams

MIB = 1024 * 1024


def body_of(model, size: int) -> bytes:
    start = b'{"model":"%b","messages":[{"role":"user","content":"' % model.slug.encode()
    end = b'"}]}'
    return start + b"x" * (size - len(start) - len(end)) + end


# --- sizes


def test_a_body_of_32_mib_passes_whole(model) -> None:
    model.plays(says("hello"))
    answer = model.gateway.request("POST", CHAT, body_of(model, 32 * MIB))
    assert answer.status == 200
    assert len(model.calls[0].json["messages"][0]["content"]) > 31 * MIB
    assert model.gateway.record(answer.id).request_bytes == 32 * MIB


def test_a_body_that_announces_more_is_refused_before_it_is_sent(brisk_gateway) -> None:
    with socket.create_connection(("127.0.0.1", brisk_gateway.port), timeout=DEADLINE_S) as client:
        head = (
            f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {MASTER_KEY}\r\ncontent-length: 100001\r\n\r\n"
        )
        client.sendall(head.encode())
        response = http.client.HTTPResponse(client)
        response.begin()
        error = json.loads(response.read())["error"]
    assert (response.status, error["code"], error["type"]) == (413, "413", "invalid_params")
    assert "max_body_bytes" in error["message"]


def test_a_client_that_asks_first_is_told_to_go_on(model) -> None:
    model.plays(says("hello"))
    body = body_of(model, 2_000)
    lines = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {MASTER_KEY}\r\nexpect: 100-continue\r\n"
    with socket.create_connection(("127.0.0.1", model.gateway.port), timeout=DEADLINE_S) as client:
        client.sendall(f"{lines}content-length: {len(body)}\r\n\r\n".encode())
        assert client.recv(1_000).startswith(b"HTTP/1.1 100 ")
        client.sendall(body)
        response = http.client.HTTPResponse(client)
        response.begin()
        assert response.status == 200
        response.close()


def test_a_chunked_body_is_refused_where_it_passes_the_limit(brisk_gateway) -> None:
    pieces = (b"x" * 10_000 for _ in range(11))
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", brisk_gateway.port)) as client:
        client.request("POST", CHAT, pieces, {"authorization": f"Bearer {MASTER_KEY}"}, encode_chunked=True)
        assert client.getresponse().status == 413


def test_a_chunked_body_within_the_limit_passes(brisk_model) -> None:
    brisk_model.plays(says("hello"))
    body = body_of(brisk_model, 90_000)
    pieces = (body[at : at + 9_000] for at in range(0, len(body), 9_000))
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", brisk_model.gateway.port)) as client:
        client.request("POST", CHAT, pieces, {"authorization": f"Bearer {MASTER_KEY}"}, encode_chunked=True)
        assert client.getresponse().status == 200
    assert brisk_model.calls[0].json["messages"][0]["content"].startswith("xxx")


def test_a_slow_reader_gets_backpressure_and_costs_no_memory(model_of) -> None:
    model = model_of("abortable")
    piece = chunk({"content": "x" * 100_000})
    flood = streams(chunk({"content": "hello"}), lambda call: [call.send(piece) for _ in range(2_000)])
    model.plays(flood)
    before = resident_kib(model.gateway.data_plane_pid)
    with model.open() as begun:
        begun.event()
        call = model.upstream.call(model.name)
        stuck = settled(lambda: call.sent_bytes)
        grown_kib = resident_kib(model.gateway.data_plane_pid) - before
        assert stuck < 30 * MIB
        assert grown_kib < 30 * 1024
        assert model.gateway.get("/healthz").status == 200
        begun.leave_at_once()


def settled(figure) -> int:
    """A figure that has stopped to grow."""
    seen: list[int] = []

    def unchanged() -> bool:
        seen.append(figure())
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    eventually(unchanged)
    return seen[-1]


def resident_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def test_a_client_that_leaves_while_it_sends_harms_nobody(gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {MASTER_KEY}\r\ncontent-length: 1000\r\n\r\n"
        client.sendall(head.encode() + b'{"model"')
    eventually(lambda: gateway.readyz["requests"]["open"] == 0)


# --- paths


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("HEAD", "/api/anthropic/api/hello"),
        ("GET", "/api/anthropic/v1/nothing?limit=1000"),
        ("POST", "/api/api/show"),
        ("GET", "/api/health"),
        ("GET", "/v1/nothing"),
        ("GET", CHAT),
        ("DELETE", "/api/v1/models"),
        ("POST", "/v1beta/models/x:batchEmbedContents"),
    ],
)
def test_an_unknown_path_is_a_quick_404_in_json(gateway, method, path) -> None:
    answer = gateway.request(method, path, key="")
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"].startswith("req_")
    if method == "HEAD":
        assert answer.body == b""
    else:
        # In the words of the protocol that has the path: Anthropic's and Google's have others for it.
        assert "not_found" in json.dumps(answer.json["error"]).lower()


@pytest.mark.parametrize("path", [CHAT, "/v1/chat/completions", f"{CHAT}?beta=true"])
def test_chat_is_at_both_addresses_with_any_query(model, path) -> None:
    model.plays(says("hello"))
    body = {"model": model.slug, "messages": [{"role": "user", "content": "hi"}]}
    assert model.gateway.request("POST", path, body).text == "hello"


@pytest.mark.parametrize("path", ["/api/v1/models", "/v1/models"])
def test_the_list_of_models_needs_no_key(gateway, path) -> None:
    answer = gateway.get(path, key="")
    assert (answer.status, answer.json["object"]) == (200, "list")
    card = next(one for one in answer.json["data"] if one["id"] == "openai/o4-mini")
    assert card["object"] == "model"
    assert card["owned_by"] == "openai"
    assert card["input_modalities"] == ["text", "image"]
    assert card["capabilities"] == {"reasoning": True}
    assert card["context_length"] == 200_000
    assert card["pricings"]["prompt"][0] == {"value": 1.1, "unit": "perMTokens", "currency": "USD"}
    assert card["pricings"]["completion"][0]["value"] == 4.4
    assert card["pricings"]["input_cache_read"][0]["value"] == 0.275
    assert "o4-mini" in card["aliases"]


def test_only_models_that_can_be_called_are_listed_unless_all_are_asked_for(gateway) -> None:
    listed = {card["id"] for card in gateway.get("/api/v1/models").json["data"]}
    everything = {card["id"] for card in gateway.get("/api/v1/models?all=true").json["data"]}
    assert "acme/keyless" not in listed
    assert listed < everything
    assert "acme/keyless" in everything


@pytest.mark.parametrize("name", ["openai/o4-mini", "openai%2Fo4-mini", "o4-mini"])
@pytest.mark.parametrize("prefix", ["/api/v1", "/v1"])
def test_a_model_is_found_by_raw_and_by_encoded_slash(gateway, prefix, name) -> None:
    assert gateway.get(f"{prefix}/models/{name}", key="").json["id"] == "openai/o4-mini"


@pytest.mark.parametrize("name", ["openai/o4-mini", "openai%2Fo4-mini"])
def test_the_endpoints_of_a_model_tell_each_offer(gateway, name) -> None:
    data = gateway.get(f"/api/v1/models/{name}/endpoints", key="").json["data"]
    assert data["id"] == "openai/o4-mini"
    offers = {endpoint["provider_slug"]: endpoint for endpoint in data["endpoints"]}
    assert {"openai", "azure"} <= offers.keys()
    openai = offers["openai"]
    assert (openai["context_length"], openai["max_completion_tokens"]) == (200_000, 100_000)
    assert "stop" in openai["supported_parameters"]
    assert "temperature" not in openai["supported_parameters"]
    assert openai["protocols"] == ["openai.chat"]
    assert openai["data_policy"]["training"] is False
    assert openai["callable"]
    assert {"first_token_latency_ms", "throughput_tokens_per_second", "uptime_percent"} <= openai["figures"].keys()


def test_an_unknown_model_in_a_path_is_answered_with_near_names(gateway) -> None:
    answer = gateway.get("/api/v1/models/openai/o4-mni", key="")
    assert (answer.status, answer.error["type"]) == (404, "invalid_model")
    assert "openai/o4-mini" in answer.error["message"]


def test_head_of_a_path_that_there_is_has_no_body(gateway) -> None:
    answer = gateway.request("HEAD", "/api/v1/models", key="")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 1_000


# --- other origins


HERE, ELSEWHERE = "https://app.example.com", "https://other.example.com"


def test_a_page_of_an_allowed_origin_may_ask_first(gateway) -> None:
    asked = {
        "origin": HERE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,x-stainless-lang",
    }
    answer = gateway.request("OPTIONS", CHAT, headers=asked, key="")
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == HERE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "authorization,x-stainless-lang"
    assert answer.headers["access-control-allow-credentials"] is None


def test_a_page_of_an_allowed_origin_may_read_answers_and_errors(model) -> None:
    model.plays(says("hello"))
    for answer in (
        model.ask(headers={"origin": HERE}),
        model.stream(headers={"origin": HERE}),
        model.ask(headers={"origin": HERE}, max_tokens=0),
        model.gateway.get("/api/v1/models", headers={"origin": HERE}),
    ):
        assert answer.headers["access-control-allow-origin"] == HERE
        assert "x-request-id" in answer.headers["access-control-expose-headers"]


def test_a_page_of_another_origin_is_told_nothing(gateway, brisk_gateway) -> None:
    asked = {"origin": ELSEWHERE, "access-control-request-method": "POST"}
    for one in (gateway, brisk_gateway):
        answer = one.request("OPTIONS", CHAT, headers=asked, key="")
        assert answer.headers["access-control-allow-origin"] is None
        assert answer.status == 404


# --- keys


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {MASTER_KEY}"},
        {"authorization": f"bearer   {MASTER_KEY}"},
        {"x-api-key": MASTER_KEY},
        {"x-goog-api-key": MASTER_KEY},
        {"authorization": "Basic x", "x-api-key": MASTER_KEY},
    ],
    ids=["bearer", "lower case", "x-api-key", "x-goog-api-key", "beside another scheme"],
)
def test_a_key_is_taken_from_any_header_that_clients_use(model, headers) -> None:
    model.plays(says("hello"))
    body = {"model": model.slug, "messages": [{"role": "user", "content": "hi"}]}
    assert model.gateway.request("POST", CHAT, body, headers, key="").status == 200


def test_a_key_is_taken_from_the_query(model) -> None:
    model.plays(says("hello"))
    body = {"model": model.slug, "messages": [{"role": "user", "content": "hi"}]}
    assert model.gateway.request("POST", f"{CHAT}?key={MASTER_KEY}", body, key="").status == 200


@pytest.mark.parametrize(("key", "words"), [("", "There is no API key"), ("sk-tl-wrong", "is not valid")])
def test_without_a_good_key_there_is_no_answer(gateway, key, words) -> None:
    answer = gateway.request("POST", CHAT, {"model": "x", "messages": [{}]}, key=key)
    assert (answer.status, answer.error["type"], answer.error["code"]) == (403, "access_denied", "403")
    assert words in answer.error["message"]
    assert answer.headers["x-request-id"] == answer.error["request_id"]


def test_a_key_works_as_soon_as_it_is_made_and_stops_when_it_is_revoked(model) -> None:
    model.plays(says("hello"))
    gateway = model.gateway
    body = {"model": model.slug, "messages": [{"role": "user", "content": "hi"}]}
    made = gateway.request("POST", "/api/v1/management/keys", {"name": "alice@example.com"}).json
    answer = gateway.request("POST", CHAT, body, key=made["secret"])
    assert answer.status == 200
    assert gateway.record(answer.id).key_id == made["id"]
    assert gateway.get(f"/api/v1/generation?id={answer.id}", key=made["secret"]).status == 200
    assert gateway.request("DELETE", f"/api/v1/management/keys/{made['id']}").status == 200
    eventually(lambda: gateway.request("POST", CHAT, body, key=made["secret"]).status == 403, "the key's end")
    assert made["secret"] not in gateway.log


def test_a_key_made_and_revoked_on_the_command_line_is_heard_of(model) -> None:
    model.plays(says("hello"))
    gateway = model.gateway
    body = {"model": model.slug, "messages": [{"role": "user", "content": "hi"}]}
    config = ("--config", str(gateway.path), "--json")
    made = json.loads(gateway.trunkline("keys", "create", "--name", "alice@example.com", *config).stdout)
    assert gateway.request("POST", CHAT, body, key=made["secret"]).status == 200
    assert gateway.trunkline("keys", "revoke", made["id"], *config).returncode == 0
    eventually(lambda: gateway.request("POST", CHAT, body, key=made["secret"]).status == 403, "the key's end")


def test_a_key_that_has_expired_is_refused(model) -> None:
    model.plays(says("hello"))
    body = {"model": model.slug, "messages": [{"role": "user", "content": "hi"}]}
    wanted = {"name": "for a moment", "expires_in_s": 1}
    secret = model.gateway.request("POST", "/api/v1/management/keys", wanted).json["secret"]
    eventually(lambda: model.gateway.request("POST", CHAT, body, key=secret).status == 403, "the key's end")


def test_a_key_sees_only_its_own_generations(model) -> None:
    model.plays(says("hello"))
    answer = model.ask()
    made = model.gateway.request("POST", "/api/v1/management/keys", {"name": "alice@example.com"}).json
    assert model.gateway.get(f"/api/v1/generation?id={answer.id}", key=made["secret"]).status == 404


# --- readiness


def test_readiness_tells_of_store_upstream_and_requests(model) -> None:
    model.plays(streams(chunk({"content": "hello"}), Call.pause, chunk({}, finish="stop")))
    with model.open() as begun:
        begun.event()
        state = model.gateway.readyz
        assert state["ready"]
        assert state["requests"]["open"] >= 1
        assert state["upstream"]["open"] >= 1
        assert state["store"]["failures"] == 0
        model.upstream.call(model.name).go_on()
        begun.answer()


def test_health_is_a_word(gateway) -> None:
    assert gateway.get("/healthz", key="").json == {"status": "ok"}


def test_connections_to_a_provider_are_used_again(model) -> None:
    model.plays(says("hello"))
    for _ in range(3):
        answer = model.ask()
    assert model.gateway.record(answer.id).attempts[0].reused_connection


def test_a_head_in_odd_pieces_is_read(model) -> None:
    def slowly(call) -> None:
        for byte in STREAM_HEAD + chunk({"content": "hello"}) + chunk({}, finish="stop"):
            call.send(bytes([byte]))
        call.close()

    model.plays(slowly)
    assert model.stream().streamed_text == "hello"


def test_a_connection_that_the_provider_has_closed_is_no_failure(model) -> None:
    model.plays(lambda call: [says("hello")(call), call.close()], says("hello again"))
    assert model.ask().text == "hello"
    answer = model.ask()
    assert answer.text == "hello again"
    assert [attempt.outcome for attempt in model.gateway.record(answer.id).attempts] == ["ok"]


def test_a_client_asks_again_on_its_connection_after_answers_and_errors(model) -> None:
    model.plays(says("hello"))
    bodies = [{"model": model.slug, "messages": [{"role": "user", "content": "hi"}]}]
    bodies += [
        bodies[0] | {"max_tokens": 0},
        bodies[0] | {"stream": True},
        bodies[0] | {"model": "acme/none"},
        bodies[0],
    ]
    statuses = []
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", model.gateway.port)) as client:
        for body in bodies:
            client.request("POST", CHAT, json.dumps(body), {"authorization": f"Bearer {MASTER_KEY}"})
            response = client.getresponse()
            response.read()
            statuses.append(response.status)
            assert client.sock is not None
    assert statuses == [200, 400, 200, 404, 200]


def test_nothing_is_left_over_of_many_clients_that_left(model_of) -> None:
    model = model_of("abortable")
    endless = streams(chunk({"content": "hello"}), Call.stall)
    model.plays(endless, second=endless)
    for number in range(100):
        begun = model.open()
        if number % 2:
            begun.event()
        begun.leave_at_once()
    eventually(lambda: model.gateway.readyz["requests"]["open"] == 0, "the end of all requests")
    eventually(lambda: all(call.left.is_set() for call in model.calls), "the end of all calls")
    assert len(model.calls) == 100
    upstream = model.gateway.readyz["upstream"]
    assert upstream["open"] == upstream["idle"]


# --- how a provider is reached


def test_several_keys_are_used_in_turn(gateway, upstream) -> None:
    upstream.plays("many", "acme--many", says("hello"))
    for _ in range(4):
        assert gateway.chat("acme/many").status == 200
    sent = [call.header("authorization") for call in upstream.calls("acme--many")]
    assert sent == ["Bearer sk-one", "Bearer sk-two", "Bearer sk-one", "Bearer sk-two"]


def test_a_key_goes_where_the_provider_wants_it(gateway, upstream) -> None:
    upstream.plays("header", "acme--header", says("hello"))
    assert gateway.chat("acme/header").status == 200
    call = upstream.call("acme--header")
    assert (call.header("api-key"), call.header("authorization")) == ("sk-header", None)
    assert (call.header("x-version"), call.path) == ("2", "/header/v1/chat/completions?api-version=preview")
