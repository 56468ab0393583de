"""An answer of one text, read at once, is the one that is read as a stream of one chunk."""

import msgspec
import pytest

from trunkline.ir.fold import fold
from trunkline.protocols.codec import Target
from trunkline.protocols.openai_chat import codec
from trunkline.protocols.openai_chat.stream_in import ChatReader
from trunkline.protocols.openai_chat.wire import decoder

TARGET = Target(protocol=codec.NAME, upstream_model="acme-1")
USAGE = '{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}'


def body(message: str, finish: str = '"stop"', rest: str = "") -> bytes:
    choice = f'{{"index":0,"message":{message},"logprobs":null,"finish_reason":{finish}}}'
    return f'{{"id":"a","object":"chat.completion","created":5,"model":"m","choices":[{choice}]{rest}}}'.encode()


@pytest.mark.parametrize(
    "answer",
    [
        body('{"role":"assistant","content":"Größe","refusal":null}', rest=f',"usage":{USAGE},"service_tier":"flex"'),
        body('{"content":"cut"}', '"length"', ',"usage":{"prompt_tokens":-1}'),
        body('{"content":"own word"}', '"eos"', ',"usage":null'),
        body('{"content":""}'),
        body('{"content":"no","refusal":"I will not"}'),
        body('{"content":"x","reasoning":"first this"}'),
        body('{"content":"x"}', rest=',"citations":["https://example.com"]'),
        body('{"content":"x"}', '"stop","stop_reason":"END"'),
        body('{"content":"x"}', rest=',"error":{"message":"broken"}'),
        body('{"content":null,"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}', '"tool_calls"'),
    ],
)
def test_one_text_is_read_as_a_stream_of_one_chunk_would_be(answer: bytes) -> None:
    as_stream = fold(ChatReader(TARGET).take(decoder.decode(answer), answer))
    found = codec.read_response(answer, TARGET)
    assert msgspec.structs.replace(found, service_tier="") == msgspec.structs.replace(as_stream, service_tier="")


def test_an_answer_without_a_reason_to_finish_is_whole() -> None:
    assert codec.read_response(body('{"content":"x"}', "null"), TARGET).candidates[0].finish == "stop"
