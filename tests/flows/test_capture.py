"""Bodies of real requests: the four views, nothing secret in them, nothing where the operator or the key says so, and the same answers as ever."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.fakes.gateway import (
    MASTER_KEY,
    OPERATOR_KEY,
    GatewayProcess,
    base_toml,
    eventually,
    model_toml,
    o4_mini_toml,
    provider_toml,
    start_gateway,
)
from trunkline.accounts.secrets_file import load_or_make
from trunkline.storage.body_files import BodyReader
from trunkline.storage.cipher import Cipher

MODEL = "openai/o4-mini"
FULL = '[capture]\nbodies = "full"\nrules = [{ name = "badge", pattern = "AC-[0-9]{6}" }]\n'
MESSAGES = "/anthropic/v1/messages"


PLAIN_KEY = "PlainKeyWithoutAnyMarker1234"


class Repeating(BaseHTTPRequestHandler):
    """A provider that tells what it was sent: an answer with the key in its text and in a header."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        told = self.headers["authorization"].removeprefix("Bearer ")
        message = {"role": "assistant", "content": f"you came with {told}."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = json.dumps({"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice]}).encode()
        self.send_response(200)
        for name, value in (("content-type", "application/json"), ("x-request-id", f"of-{told}")):
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def repeating():
    with ThreadingHTTPServer(("127.0.0.1", 0), Repeating) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


def config(folder, simulated, capture, repeating="http://127.0.0.1:9/v1"):
    return "\n".join(
        [
            base_toml(folder),
            provider_toml("down", "http://127.0.0.1:9/v1"),
            provider_toml("acme", simulated.base_url),
            o4_mini_toml(simulated),
            model_toml("acme/alpha", ("down", "acme")),
            provider_toml("repeating", repeating, PLAIN_KEY),
            model_toml("acme/repeating", ("repeating",)),
            capture,
        ]
    )


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, simulated_server, repeating):
    folder = tmp_path_factory.mktemp("capture")
    made = start_gateway(folder, config(folder, simulated_server, FULL, repeating))
    yield made
    assert made.stop() == 0, made.log


def bodies_of(gateway: GatewayProcess, id_):
    record = gateway.record(id_)
    reader = BodyReader(
        gateway.folder / "trunkline.db.bodies", Cipher(load_or_make(gateway.folder / "trunkline.db.secrets").pepper)
    )
    return eventually(lambda: reader.find(id_, record.received_ms), "its bodies").bodies


def views(bodies):
    return [body.view for body in bodies]


def by_view(bodies):
    return {body.view: body for body in bodies}


def test_a_request_has_four_views_each_as_it_went_over_the_wire(gateway):
    answer = gateway.chat(MODEL, "hello")
    found = by_view(bodies_of(gateway, answer.id))
    assert json.loads(found["client_request"].data)["model"] == MODEL
    assert json.loads(found["provider_request"].data)["model"] == "o4-mini"
    assert json.loads(found["provider_answer"].data)["choices"]
    assert found["client_answer"].data == answer.body
    assert found["client_answer"].status == found["provider_answer"].status == 200
    assert found["client_request"].target == "POST /api/v1/chat/completions"
    record = gateway.record(answer.id)
    attempt = record.attempts[0]
    assert (found["provider_request"].offer, found["provider_request"].started_ms) == (
        attempt.offer,
        attempt.started_ms,
    )


def test_a_stream_is_kept_byte_for_byte_on_both_sides(gateway):
    answer = gateway.stream(MODEL, "hello")
    found = by_view(bodies_of(gateway, answer.id))
    assert found["client_answer"].data == answer.body
    assert found["client_answer"].size_bytes == len(answer.body)
    assert found["provider_answer"].data.endswith(b"data: [DONE]\n\n")
    assert found["provider_answer"].first_ms <= found["client_answer"].last_ms


def test_every_attempt_has_its_own_two(gateway):
    answer = gateway.chat("acme/alpha", "hello")
    found = bodies_of(gateway, answer.id)
    assert views(found).count("provider_request") == 2
    assert views(found).count("provider_answer") == 1, "nothing came of the first"


def test_a_translated_request_shows_both_protocols(gateway):
    asked = {"model": MODEL, "max_tokens": 900, "messages": [{"role": "user", "content": "hello"}]}
    answer = gateway.request("POST", MESSAGES, asked)
    found = by_view(bodies_of(gateway, answer.id))
    assert json.loads(found["client_request"].data) == asked
    assert "max_completion_tokens" in json.loads(found["provider_request"].data)
    assert json.loads(found["client_answer"].data)["type"] == "message"


def test_no_key_is_in_any_of_them(gateway):
    answer = gateway.chat(
        MODEL, f"my key is {MASTER_KEY}, my badge AC-123456", headers={"x-api-key": MASTER_KEY, "cookie": "a=b"}
    )
    found = bodies_of(gateway, answer.id)
    told = repr([(body.target, body.headers, body.data) for body in found])
    assert MASTER_KEY not in told
    assert OPERATOR_KEY not in told
    assert "a=b" not in told
    assert "my key is [redacted: key], my badge [redacted: badge]" in told
    assert by_view(found)["client_request"].headers_left_out >= 3


def test_the_operators_key_is_not_kept_where_a_provider_repeats_it(gateway):
    answer = gateway.chat("acme/repeating", "who am I?")
    assert PLAIN_KEY in answer.body.decode(), "else there is nothing to be taken out"
    found = bodies_of(gateway, answer.id)
    told = repr([(body.target, body.headers, body.data) for body in found])
    assert PLAIN_KEY not in told
    assert b"you came with [key]." in by_view(found)["provider_answer"].data
    assert b"you came with [key]." in by_view(found)["client_answer"].data
    assert ("x-request-id", "of-[key]") in by_view(found)["provider_answer"].headers


def test_a_key_in_the_address_is_not_kept(gateway):
    path = f"/v1beta/models/{MODEL.replace('/', '%2F')}:generateContent?key={MASTER_KEY}"
    answer = gateway.request("POST", path, {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}, key="")
    assert answer.status == 200
    assert by_view(bodies_of(gateway, answer.id))["client_request"].target == "POST " + path.partition("?")[0]


def test_an_error_answer_is_kept_as_well(gateway):
    answer = gateway.chat("no/such-model", "hello")
    found = by_view(bodies_of(gateway, answer.id))
    assert set(found) == {"client_request", "client_answer"}
    assert found["client_answer"].status == 404
    assert found["client_answer"].data == answer.body


def test_an_answer_that_is_given_again_is_kept_again(gateway):
    key = {"idempotency-key": "once"}
    first, again = (gateway.chat(MODEL, "hello", headers=key) for _ in range(2))
    assert again.headers["idempotent-replayed"] == "true"
    found = by_view(bodies_of(gateway, again.id))
    assert set(found) == {"client_request", "client_answer"}
    assert found["client_answer"].data == first.body


def test_stored_responses_and_captures_do_not_disturb_each_other(gateway):
    answer = gateway.request("POST", "/v1/responses", {"model": MODEL, "input": "hello"})
    assert by_view(bodies_of(gateway, answer.id))["client_answer"].data == answer.body
    stored = eventually(lambda: gateway.get(f"/v1/responses/{answer.json['id']}"), "the stored response")
    assert stored.json["output"] == answer.json["output"]


def test_of_a_key_with_zero_retention_nothing_is_kept(gateway):
    made = gateway.trunkline("keys", "create", "--name", "quiet", "--zero-retention", "--json")
    secret = json.loads(made.stdout)["secret"]
    quiet = gateway.request(
        "POST",
        "/api/v1/chat/completions",
        {"model": MODEL, "messages": [{"role": "user", "content": "hush"}]},
        key=secret,
    )
    loud = gateway.chat(MODEL, "loud")
    bodies_of(gateway, loud.id)
    record = gateway.record(quiet.id)
    reader = BodyReader(
        gateway.folder / "trunkline.db.bodies", Cipher(load_or_make(gateway.folder / "trunkline.db.secrets").pepper)
    )
    assert reader.find(quiet.id, record.received_ms) is None


def test_switching_it_on_and_off_needs_no_new_start(tmp_path, simulated_server):
    gateway = start_gateway(tmp_path, config(tmp_path, simulated_server, ""))
    try:
        off = gateway.chat(MODEL, "hello")
        gateway.record(off.id)
        assert not (tmp_path / "trunkline.db.bodies").exists()
        gateway.path.write_text(config(tmp_path, simulated_server, '[capture]\nbodies = "metadata"\n'))
        assert gateway.trunkline("reload").returncode == 0
        gateway.logged('"event": "reloaded"')
        bare = bodies_of(gateway, gateway.chat(MODEL, "hello").id)
        assert [body.data for body in bare] == [None] * 4
        assert all(body.size_bytes for body in bare)
    finally:
        gateway.stop()
