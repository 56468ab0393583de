"""A body that is written in one go is the one that a stream of the same answer ends with."""

import msgspec
import pytest

from trunkline.ir.fold import unfold
from trunkline.ir.parts import Part, Text, ToolCall
from trunkline.ir.request import Request
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.codec import AnswerContext, Bill
from trunkline.protocols.openai_responses import codec
from trunkline.protocols.openai_responses.stream_out import StreamWriter
from trunkline.protocols.openai_responses.usual_out import usual_body

CONTEXT = AnswerContext(
    request=Request(origin=codec.NAME, model="acme/one", turns=()),
    request_id="req_1",
    model="acme/one",
    created_s=1,
    secret=b"s" * 32,
    keep=lambda _name, _data: None,
)
BILL = Bill(b"0.5", b'{"prompt":0.5}')
CALL = ToolCall("call_1", "add", '{"a": 1}')
ANSWERS: list[tuple[Part, ...]] = [
    (Text("Größe"),),
    (Text("One"), Text("Two"), CALL, Text("Three")),
    (CALL, ToolCall("call_2", "now", "", namespace="clock")),
    (Text(""),),
    (),
]


@pytest.mark.parametrize("parts", ANSWERS)
@pytest.mark.parametrize("finish", [FinishReason.END, FinishReason.LENGTH, FinishReason.CONTENT_FILTER, None])
@pytest.mark.parametrize("usage", [Usage(input_tokens=3, output_tokens=4), None])
def test_a_usual_answer_is_what_its_stream_ends_with(
    parts: tuple[Part, ...], finish: FinishReason | None, usage: Usage | None
) -> None:
    answer = Response(id="up_1", candidates=(Candidate(parts, finish),), usage=usage, service_tier="flex")
    writer = StreamWriter(CONTEXT)
    for event in unfold(answer):
        writer.feed(event)
    writer.end(BILL)
    assert usual_body(answer, CONTEXT, BILL) == writer.body
    assert msgspec.json.decode(codec.write_response(answer, CONTEXT, BILL))["object"] == "response"
