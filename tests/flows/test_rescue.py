"""Streams that break after their beginning was sent, at a running gateway: another offer goes on with them, and the record says so."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest
from google import genai

from tests.fakes.four import KINDS, base_url
from tests.fakes.gateway import MASTER_KEY, OPERATOR_KEY, PRICE, Answer, GatewayProcess, Open, base_toml, start_gateway
from tests.fakes.relay import beginning_in, on_the_wire, said_events
from tests.fakes.talking import CHAT, GEMINI, MESSAGES, PROTOCOLS, RESPONSES, USERS, request, tokens, understood
from tests.fakes.upstream import STREAM_HEAD, Call, Script, Upstream, chunk
from tests.fakes.wires import WIRES, refuses

PIECES = ["Once", " upon", " a", " time", " there", " was", " a", " king."]
TEXT = "".join(PIECES)
KIND_OF = {protocol: kind for kind, protocol in KINDS.items()}
RANKS = ("first", "second", "third")
MODELS = 10
"""Of each row of kinds; the last one's first offer has little patience with silence."""
HASTY = MODELS - 1


def offer(rank: str, kind: str, name: str, prefill: str, idle_s: float = 20.0) -> str:
    named = f'provider = "{rank}-{kind}"\nupstream_model = "{name}"\nprotocols = ["{KINDS[kind]}"]'
    return f"[[models.offers]]\n{named}\nprice = {PRICE}\nprefill = {prefill}\ndeadlines = {{ idle_s = {idle_s} }}\n"


def config(folder: Any, upstream: Upstream) -> str:
    parts = [base_toml(folder, gateway="keepalive_s = 0.1")]
    for rank, kind in itertools.product(RANKS, KINDS):
        url = base_url(kind, f"http://127.0.0.1:{upstream.port}/{rank}-{kind}")
        parts.append(
            f'[providers.{rank}-{kind}]\nbase_urls = {{ "{KINDS[kind]}" = "{url}" }}\napi_key = "{OPERATOR_KEY}"'
        )
    for kinds in itertools.product(KINDS, KINDS):
        for number in range(MODELS):
            name = f"{'-'.join(kinds)}-{number}"
            parts += ["[[models]]", f'slug = "acme/{name}"', "context_tokens = 100_000", "max_output_tokens = 10_000"]
            patience = (0.3,) if number == HASTY else ()
            parts += [offer("first", kinds[0], name, "false", *patience), offer("second", kinds[1], name, "true")]
            parts.append(offer("third", kinds[1], name, '"prefix"' if kinds[1] == "chat" else "true"))
    return "\n".join(parts)


@pytest.fixture(scope="module")
def rescuing(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("rescuing")
    made = start_gateway(folder, config(folder, upstream))
    yield made
    assert made.stop() == 0, made.log


@pytest.fixture(scope="module")
def numbers() -> dict[str, Iterator[int]]:
    return {}


@dataclass
class Model:
    """A model that only this test uses: `first` speaks one protocol, `second` and `third` another."""

    gateway: GatewayProcess
    upstream: Upstream
    kinds: tuple[str, str]
    number: int
    has_gone_on: bool = False

    @property
    def name(self) -> str:
        return f"{'-'.join(self.kinds)}-{self.number}"

    def plays(self, *scripts: Script) -> None:
        for rank, kind, script in zip(RANKS, self.ranked_kinds, scripts, strict=False):
            self.upstream.plays(f"{rank}-{kind}", self.name, script)

    @property
    def ranked_kinds(self) -> tuple[str, str, str]:
        return (*self.kinds, self.kinds[1])

    def stream(self, client: str, **fields: Any) -> Answer:
        order = [f"{rank}-{kind}" for rank, kind in zip(RANKS, self.ranked_kinds, strict=True)]
        asked = {"provider": {"order": order}, **fields}
        path, body = request(client, f"acme/{self.name}", USERS[client]("hi"), stream=True, **asked)
        return self.broken(path, body)

    def broken(self, path: str, body: dict[str, Any]) -> Answer:
        """The first provider breaks once the caller has read something of it."""
        with Open(*self.gateway._send("POST", path, body, None, None)) as stream:
            read = b""
            while PIECES[0].encode() not in read:
                line = stream.line()
                assert line, read
                read += line
            self.upstream.call(self.name).go_on()
            rest = stream.answer()
        rest.body = read + rest.body
        return rest

    def go_on_once(self, has_said: bool) -> None:
        """Let the first provider break as soon as its client has something of it."""
        if has_said and not self.has_gone_on:
            self.has_gone_on = True
            self.upstream.call(self.name).go_on()

    @property
    def bodies(self) -> list[Any]:
        return [call.json for call in self.upstream.calls(self.name)]


@pytest.fixture
def model_of(rescuing, upstream, numbers) -> Callable[..., Model]:
    def made(one: str, two: str, *, hasty: bool = False) -> Model:
        number = HASTY if hasty else next(numbers.setdefault(f"{one}-{two}", itertools.count()))
        assert hasty or number < HASTY, "raise MODELS"
        return Model(rescuing, upstream, (one, two), number)

    return made


def breaks(kind: str, events: int, how: Callable[[Call], None]) -> Script:
    """So many events of the text, and then that."""

    def script(call: Call) -> None:
        call.send(STREAM_HEAD + b"".join(on_the_wire(KINDS[kind], said_events(PIECES), 0)[:events]))
        call.pause()
        how(call)
        if not call.broken:
            call.close()

    return script


def goes_on(kind: str, events: int | None = None) -> Script:
    """The rest of the text, whatever its beginning is."""

    def script(call: Call) -> None:
        beginning = beginning_in(KINDS[kind], call.body)
        assert TEXT.startswith(beginning)
        call.send(STREAM_HEAD + b"".join(on_the_wire(KINDS[kind], said_events([TEXT[len(beginning) :]]), 1)[:events]))
        call.close()

    return script


HOW: dict[str, Callable[[str], Callable[[Call], None]]] = {
    "truncated": lambda kind: Call.close,
    "timeout_idle": lambda kind: Call.stall,
    "malformed": lambda kind: lambda call: call.send(WIRES[kind].malformed),
    "in_stream_error": lambda kind: lambda call: call.send(WIRES[kind].error("overloaded")),
}


def understood_as(client: str, answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    assert not answer.broken
    return understood(client, answer, stream=True)


@pytest.mark.parametrize("cause", HOW)
@pytest.mark.parametrize("client", PROTOCOLS)
def test_a_stream_that_breaks_is_gone_on_with_by_another_offer(model_of, client, cause) -> None:
    kind, other = KIND_OF[client], "messages" if client != MESSAGES else "chat"
    model = model_of(kind, other, hasty=cause == "timeout_idle")
    model.plays(breaks(kind, 6, HOW[cause](kind)), goes_on(other))
    answer = model.stream(client)
    said = understood_as(client, answer)
    assert said.text == TEXT
    record = model.gateway.record(answer.id)
    assert (record.outcome, [attempt.outcome for attempt in record.attempts]) == ("ok", [cause, "ok"])
    assert [attempt.kind for attempt in record.attempts] == ["plain", "rescue"]
    assert any(note.startswith("rescued after ") for note in record.notes)
    assert record.cost_pico_usd == sum(attempt.cost.total_pico_usd for attempt in record.attempts)
    assert record.cost_pico_usd == record.cost.total_pico_usd == sum(one.amount_pico_usd for one in record.cost.lines)
    assert all(attempt.cost.total_pico_usd for attempt in record.attempts)
    before, after = (attempt.usage for attempt in record.attempts)
    shown = tokens(client, said.usage)
    assert shown == (before.total_input_tokens, 0, before.total_output_tokens + after.total_output_tokens)
    assert record.usage.total_output_tokens == shown[2]


@pytest.mark.parametrize(
    ("client", "one"), [(client, one) for client in PROTOCOLS for one in KINDS if KINDS[one] != client]
)
def test_a_translated_stream_is_gone_on_with_too(model_of, client, one) -> None:
    other = KIND_OF[client] if client != RESPONSES else "gemini"
    model = model_of(one, other)
    model.plays(breaks(one, 7, Call.reset), goes_on(other))
    answer = model.stream(client)
    assert understood_as(client, answer).text == TEXT
    record = model.gateway.record(answer.id)
    assert [attempt.kind for attempt in record.attempts] == ["plain", "rescue"]


@pytest.mark.parametrize("client", PROTOCOLS)
def test_the_one_that_goes_on_may_break_as_well(model_of, client) -> None:
    kind = KIND_OF[client]
    model = model_of(kind, "messages")
    model.plays(breaks(kind, 5, Call.close), goes_on("messages", 3), goes_on("messages"))
    answer = model.stream(client)
    assert understood_as(client, answer).text == TEXT
    record = model.gateway.record(answer.id)
    assert [attempt.kind for attempt in record.attempts] == ["plain", "rescue", "rescue"]
    assert record.cost_pico_usd == sum(attempt.cost.total_pico_usd for attempt in record.attempts)


@pytest.mark.parametrize("client", PROTOCOLS)
def test_one_that_refuses_to_go_on_leaves_it_to_the_next(model_of, client) -> None:
    kind = KIND_OF[client]
    model = model_of(kind, "chat")
    model.plays(breaks(kind, 5, Call.close), refuses("chat", 400, "ends with an assistant's message"), goes_on("chat"))
    answer = model.stream(client)
    assert understood_as(client, answer).text == TEXT
    record = model.gateway.record(answer.id)
    assert [attempt.outcome for attempt in record.attempts] == ["truncated", "status", "ok"]
    assert model.bodies[2]["messages"][-1]["prefix"] is True


@pytest.mark.parametrize("client", PROTOCOLS)
def test_where_nobody_can_the_caller_gets_the_error_of_its_protocol(model_of, client) -> None:
    kind = KIND_OF[client]
    model = model_of(kind, "messages")
    model.plays(breaks(kind, 5, Call.close), refuses("messages", 500), refuses("messages", 503))
    answer = model.stream(client)
    last = [event for event in answer.events if isinstance(event, dict)][-1]
    told = last["response"] if client == RESPONSES else last
    assert "broke off" in json.dumps(told["error"])
    record = model.gateway.record(answer.id)
    assert (record.outcome, len(record.attempts)) == ("cut", 3)


def test_a_stored_response_is_the_whole_answer(model_of) -> None:
    model = model_of("responses", "messages")
    model.plays(breaks("responses", 6, Call.close), goes_on("messages"))
    answer = model.stream(RESPONSES, store=True)
    said = understood_as(RESPONSES, answer)
    kept = model.gateway.get(f"/api/v1/responses/{answer.events[0]['response']['id']}").json
    assert kept["output"] == said.kept
    assert kept["output"][0]["content"][0]["text"] == TEXT


def test_a_call_that_was_begun_is_not_gone_on_with(model_of) -> None:
    model = model_of("chat", "messages")
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    begun = chunk({"tool_calls": [call]})
    model.plays(breaks("chat", 3, lambda call: call.send(begun)), goes_on("messages"))
    answer = model.stream(CHAT)
    assert model.gateway.record(answer.id).outcome == "cut"
    assert len(model.bodies) == 1


def test_a_caller_of_gemini_in_an_array_gets_one_array(model_of) -> None:
    model = model_of("gemini", "messages")
    model.plays(breaks("gemini", 4, Call.close), goes_on("messages"))
    path, body = request(GEMINI, f"acme/{model.name}", USERS[GEMINI]("hi"), stream=True)
    answer = model.broken(path.removesuffix("?alt=sse"), body)
    parts = [part for chunk in json.loads(answer.body) for part in chunk["candidates"][0]["content"]["parts"]]
    assert "".join(part["text"] for part in parts) == TEXT


# --- as the vendors' own clients read it


def broken_model(model_of: Callable[..., Model], client: str) -> Model:
    kind = KIND_OF[client]
    model = model_of(kind, "gemini" if client != GEMINI else "messages")
    model.plays(breaks(kind, 6, Call.close), goes_on(model.kinds[1]))
    return model


def test_openais_client_reads_one_chat(model_of) -> None:
    model = broken_model(model_of, CHAT)
    with openai.OpenAI(base_url=model.gateway.base_url, api_key=MASTER_KEY, max_retries=0) as client:
        hi: Any = [{"role": "user", "content": "hi"}]
        with client.chat.completions.stream(model=f"acme/{model.name}", messages=hi) as stream:
            for event in stream:
                model.go_on_once(event.type == "content.delta")
            told = stream.get_final_completion()
    assert (told.choices[0].message.content, told.choices[0].finish_reason) == (TEXT, "stop")


def test_openais_client_reads_one_response(model_of) -> None:
    model = broken_model(model_of, RESPONSES)
    with (
        openai.OpenAI(base_url=model.gateway.base_url, api_key=MASTER_KEY, max_retries=0) as client,
        client.responses.stream(model=f"acme/{model.name}", input="hi") as stream,
    ):
        for event in stream:
            model.go_on_once(event.type == "response.output_text.delta")
        told = stream.get_final_response()
    assert (told.output_text, told.status) == (TEXT, "completed")


def test_anthropics_client_reads_one_message(model_of) -> None:
    model = broken_model(model_of, MESSAGES)
    base_url = f"http://127.0.0.1:{model.gateway.port}/anthropic"
    with anthropic.Anthropic(base_url=base_url, api_key=MASTER_KEY, max_retries=0) as client:
        hi: Any = [{"role": "user", "content": "hi"}]
        with client.messages.stream(model=f"acme/{model.name}", max_tokens=500, messages=hi) as stream:
            for event in stream:
                model.go_on_once(event.type == "text")
            told = stream.get_final_message()
    assert [block.text for block in told.content if block.type == "text"] == [TEXT]
    assert told.stop_reason == "end_turn"


def test_googles_client_reads_one_answer(model_of) -> None:
    model = broken_model(model_of, GEMINI)
    options = genai.types.HttpOptions(base_url=f"http://127.0.0.1:{model.gateway.port}", timeout=20_000)
    client = genai.Client(api_key=MASTER_KEY, http_options=options)
    texts = []
    for told in client.models.generate_content_stream(model=f"acme/{model.name}", contents="hi"):
        model.go_on_once(bool(told.text))
        texts.append(told.text or "")
    client.close()
    assert "".join(texts) == TEXT
