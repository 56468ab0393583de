"""Records what a real server says in three protocols: llama.cpp's, with the smallest local model. Out: `tests/golden/llama_server/PROTOCOL/KIND/NAME.*`.

    python scripts/record_fixtures.py

Every question is asked whole and as a stream, at temperature 0. Ids, times and timings become constants, so that recording again shows what the
server does otherwise. Needs the extra `embedded`, and the weights: `trunkline models pull smollm2-135m-instruct`.
"""

import http.client
import itertools
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "golden" / "llama_server"
MODEL = "smollm2-135m-instruct"
KEY = "recording"
START_S = 60.0
ASK_S = 120.0

PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "anthropic_messages": "/v1/messages",
}
QUESTION = "Name one colour of the sky."
CITY = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Bath", "Rome"]}}, "required": ["city"]}
COLOUR = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": ["blue", "grey"]}},
    "required": ["colour"],
}
ABOUT = {"name": "weather", "description": "The weather of a city"}
SEEN = (("Bath", "rain"), ("Rome", "sun"), ("Bath", "fog"))
ASKED_NOW = "How is the weather in Rome?"

Body = dict[str, Any]

# The model's own template knows no tools. This one shows them as Hermes models have them, a form that the server can read; and so small a model
# only calls after it has seen calls.
TEMPLATE = """{%- if tools %}<|im_start|>system
Call a function as JSON within <tool_call></tool_call>. Functions:
<tools>{% for tool in tools %}{{ tool | tojson }}
{% endfor %}</tools><|im_end|>
{% endif %}{%- for message in messages %}{%- if message.role == 'tool' %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ message.content or '' }}{%- if message.tool_calls %}{%- for call in message.tool_calls %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{%- endfor %}{%- endif %}<|im_end|>
{% endif %}{%- endfor %}{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def chat() -> Iterator[tuple[str, Body]]:
    """Name and body of each question in Chat Completions."""
    user = {"role": "user", "content": QUESTION}
    tools = [{"type": "function", "function": {**ABOUT, "parameters": CITY}}]
    schema = {"type": "json_schema", "json_schema": {"name": "sky", "schema": COLOUR}}
    history: list[Body] = []
    for n, (city, weather) in enumerate(SEEN):
        function = {"name": "weather", "arguments": json.dumps({"city": city})}
        history += [
            {"role": "user", "content": f"How is the weather in {city}?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": f"call_{n}", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": f"call_{n}", "content": weather},
            {"role": "assistant", "content": weather},
        ]
    again = [*history, {"role": "user", "content": ASKED_NOW}]
    for name, fields in {
        "text": {"messages": [user], "max_tokens": 40},
        "limit": {"messages": [user], "max_tokens": 5},
        "system": {
            "messages": [{"role": "system", "content": "Answer with one word."}, user],
            "max_completion_tokens": 20,
        },
        "stop_word": {"messages": [user], "max_tokens": 40, "stop": ["sky"]},
        "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}], "max_tokens": 20},
        "log_probabilities": {"messages": [user], "max_tokens": 3, "logprobs": True, "top_logprobs": 2},
        "schema": {"messages": [user], "max_tokens": 40, "response_format": schema},
        "tool_call": {"messages": again, "max_tokens": 80, "tools": tools},
        "tool_round": {"messages": history[:3], "max_tokens": 20, "tools": tools},
    }.items():
        yield name, {"model": MODEL, "temperature": 0, "seed": 1, **fields}


def responses() -> Iterator[tuple[str, Body]]:
    tools = [{"type": "function", **ABOUT, "parameters": CITY, "strict": True}]
    history: list[Body] = []
    for n, (city, weather) in enumerate(SEEN):
        called = {"call_id": f"call_{n}", "name": "weather", "arguments": json.dumps({"city": city})}
        history += [
            {"role": "user", "content": f"How is the weather in {city}?"},
            {"type": "function_call", **called},
            {"type": "function_call_output", "call_id": f"call_{n}", "output": weather},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": weather}]},
        ]
    again = [*history, {"role": "user", "content": ASKED_NOW}]
    message = {"role": "user", "content": [{"type": "input_text", "text": QUESTION}]}
    for name, fields in {
        "text": {"input": QUESTION, "max_output_tokens": 40},
        "limit": {"input": QUESTION, "max_output_tokens": 5},
        "instructions": {"input": QUESTION, "instructions": "Answer with one word.", "max_output_tokens": 20},
        "items": {"input": [message], "max_output_tokens": 20},
        "developer": {"input": [{"role": "developer", "content": "Be brief."}, message], "max_output_tokens": 20},
        "tool_call": {"input": again, "max_output_tokens": 80, "tools": tools},
        "tool_round": {"input": history[:3], "max_output_tokens": 20, "tools": tools},
    }.items():
        yield name, {"model": MODEL, "temperature": 0, **fields}


def messages() -> Iterator[tuple[str, Body]]:
    user = {"role": "user", "content": QUESTION}
    tools = [{**ABOUT, "input_schema": CITY}]
    history: list[Body] = []
    for n, (city, weather) in enumerate(SEEN):
        use = {"type": "tool_use", "id": f"toolu_{n}", "name": "weather", "input": {"city": city}}
        history += [
            {"role": "user", "content": f"How is the weather in {city}?"},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"toolu_{n}", "content": weather}]},
            {"role": "assistant", "content": weather},
        ]
    again = [*history, {"role": "user", "content": ASKED_NOW}]
    blocks = [{"type": "text", "text": "Answer with one word.", "cache_control": {"type": "ephemeral"}}]
    for name, fields in {
        "text": {"messages": [user], "max_tokens": 40},
        "limit": {"messages": [user], "max_tokens": 5},
        "system": {"messages": [user], "system": "Answer with one word.", "max_tokens": 20},
        "system_blocks": {"messages": [user], "system": blocks, "max_tokens": 20},
        "stop_word": {"messages": [user], "max_tokens": 40, "stop_sequences": ["sky"]},
        "blocks": {"messages": [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}], "max_tokens": 20},
        "tool_use": {"messages": again, "max_tokens": 80, "tools": tools},
        "tool_round": {"messages": history[:3], "max_tokens": 20, "tools": tools},
    }.items():
        yield name, {"model": MODEL, "temperature": 0, **fields}


QUESTIONS = {"openai_chat": chat, "openai_responses": responses, "anthropic_messages": messages}
ASKING = {"openai_chat": "messages", "openai_responses": "input", "anthropic_messages": "messages"}


def mistakes(protocol: str) -> Iterator[tuple[str, Body, str]]:
    """Name, body and key of each request that is refused."""
    _, good = next(iter(QUESTIONS[protocol]()))
    asking = ASKING[protocol]
    long = "sky " * 6000
    told = long if protocol == "openai_responses" else [{"role": "user", "content": long}]
    yield "key", good, "wrong"
    yield "nothing_asked", {name: value for name, value in good.items() if name != asking}, KEY
    yield "wrong_type", {**good, asking: 5}, KEY
    yield "too_long", {**good, asking: told}, KEY
    yield "bad_role", {**good, asking: [{"role": 5, "content": "x"}]}, KEY
    yield "bad_tools", {**good, "tools": [{"type": "function"}]}, KEY


class Server:
    """llama.cpp's server in a process of its own, on a socket of this machine."""

    def __init__(self, weights: Path, folder: Path) -> None:
        self._socket = folder / "llama.sock"
        command = [sys.executable, __file__, "--serve", str(weights), str(self._socket)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_S
        while not self._is_ready():
            if time.monotonic() > until or self._process.poll() is not None:
                sys.exit("the server did not start: is the extra `embedded` installed?")
            time.sleep(0.1)

    def ask(self, path: str, body: Body, key: str = KEY) -> tuple[int, bytes]:
        return self._call("POST", path, json.dumps(body), key)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _is_ready(self) -> bool:
        try:
            return self._call("GET", "/health", None, KEY)[0] == 200
        except OSError:
            return False

    def _call(self, method: str, path: str, body: str | None, key: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(ASK_S)
        connection.sock.connect(str(self._socket))
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        read = answer.status, answer.read()
        connection.close()
        return read


def serve(weights: str, path: str) -> None:
    """The child: answers until it is ended."""
    import signal

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias, params.hostnames, params.api_keys = weights, {MODEL}, [path], [KEY]
    params.n_parallel, params.n_ctx, params.n_gpu_layers = 1, 4096, 0
    params.fit_params, params.ui, params.use_jinja, params.offline = False, False, True, True
    params.chat_template = TEMPLATE
    # Old prompts would change what is counted as cached from one recording to the next.
    params.cache_ram_mib = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    while server:
        signal.pause()


_ID = re.compile(rb'"((?:chatcmpl|resp|msg|call|fc|rs|toolu)[-_])?[A-Za-z0-9]{24,40}"')
_TIME = re.compile(rb'("(?:created|created_at|completed_at)":)\d+')
_TIMINGS = re.compile(rb',?"timings":\{[^}]*\}')


def constant(data: bytes) -> bytes:
    """Without what is different each time: ids are numbered in order, times are one time, timings are left out."""
    numbers: dict[bytes, bytes] = {}
    counted = itertools.count(1)

    def numbered(match: re.Match[bytes]) -> bytes:
        if match[0] not in numbers:
            numbers[match[0]] = b'"%b%d"' % (match[1] or b"id", next(counted))
        return numbers[match[0]]

    return _TIMINGS.sub(b"", _TIME.sub(rb"\g<1>1700000000", _ID.sub(numbered, data)))


def record(server: Server, protocol: str) -> int:
    """All fixtures of one protocol."""
    path = PATHS[protocol]
    for name, body in QUESTIONS[protocol]():
        write(protocol, "requests", f"{name}.json", json.dumps(body, indent=1).encode() + b"\n")
        for kind, suffix, asked in (("answers", "json", body), ("streams", "sse", asked_as_stream(protocol, body))):
            status, data = server.ask(path, asked)
            if status != 200:
                sys.exit(f"{protocol}/{name}: {status} {data.decode()}")
            write(protocol, kind, f"{name}.{suffix}", constant(data) + (b"\n" if suffix == "json" else b""))
    for name, body, key in mistakes(protocol):
        status, data = server.ask(path, body, key)
        if status == 200:
            print(f"{protocol}/{name} is no mistake to it")
            continue
        write(protocol, "errors", f"{status}_{name}.json", data + b"\n")
    return sum(1 for file in (OUT / protocol).rglob("*") if file.is_file())


def asked_as_stream(protocol: str, body: Body) -> Body:
    return {
        **body,
        "stream": True,
        **({"stream_options": {"include_usage": True}} if protocol == "openai_chat" else {}),
    }


def write(protocol: str, kind: str, name: str, data: bytes) -> None:
    folder = OUT / protocol / kind
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
        return
    from trunkline.embedded.manifest import load_manifest
    from trunkline.embedded.weights import find, known
    from trunkline.settings import load_settings

    weights = find(known(MODEL, load_manifest()), load_settings().cache_dir)
    if weights is None:
        sys.exit(f"the weights are not here: run `trunkline models pull {MODEL}`")
    with tempfile.TemporaryDirectory() as folder:
        server = Server(weights, Path(folder))
        try:
            for protocol in PATHS:
                print(f"{protocol}: {record(server, protocol)} files")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
