"""An answer is read and written again without loss; errors are read in every shape, and written in one."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trunkline.errors import RateLimited
from trunkline.ir.parts import Carry, Citation, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from trunkline.ir.request import Reasoning
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.carry import unseal
from trunkline.protocols.codec import GEMINI, MESSAGES, Bill
from trunkline.protocols.openai_responses import codec
from trunkline.protocols.openai_responses.count import read_count, read_count_request, write_count, write_count_request
from trunkline.protocols.rawjson import UNREADABLE

FREE = Bill()
REASONS = {
    "length": FinishReason.LENGTH, "content_filter": FinishReason.CONTENT_FILTER, "refusal": FinishReason.REFUSAL, "tool_call": FinishReason.TOOL_CALLS,
    "parallel_calls": FinishReason.TOOL_CALLS, "custom_call": FinishReason.TOOL_CALLS, "namespaced_call": FinishReason.TOOL_CALLS,
}  # fmt: skip


def answer(*parts: Any, finish: FinishReason = FinishReason.END, **fields: Any) -> Response:
    return Response(id="up_1", model="up", candidates=(Candidate(parts, finish),), **fields)


def output(response: Response, wire: Any, **fields: Any) -> list[dict[str, Any]]:
    return json.loads(codec.write_response(response, wire.answering(**fields), FREE))["output"]


def kept(item: dict[str, Any]) -> Any:
    return unseal(item["encrypted_content"], b"secret")


def test_an_answer_is_written_as_it_was_read(answer_file: Path, wire: Any, comparable: Any) -> None:
    body = answer_file.read_bytes()
    again = codec.write_response(codec.read_response(body, wire.target), wire.answering(), FREE)
    found, expected = comparable.answer(json.loads(again)), comparable.answer(json.loads(body))
    for usage in (found["usage"], expected["usage"]):
        usage["input_tokens_details"].setdefault("cache_write_tokens", 0)
    assert found == expected


def test_what_is_written_reads_as_the_same_answer(answer_file: Path, wire: Any) -> None:
    response = codec.read_response(answer_file.read_bytes(), wire.target)
    written = codec.write_response(response, wire.answering(), FREE)
    # Reasoning without anything that the provider could open again gets a seal of ours.
    written = re.sub(rb'"encrypted_content":"tl1e[^"]*"', b'"encrypted_content":null', written)
    again = codec.read_response(written, wire.target)
    told = {"id": "", "model": "", "created_s": 0, "raw_usage": msgspec.Raw(b"")}
    assert without_ids(msgspec.structs.replace(again, **told)) == without_ids(msgspec.structs.replace(response, **told))


def without_ids(response: Response) -> bytes:
    """Item ids are the gateway's own."""
    found = msgspec.json.encode(response).decode()
    for one in ("rs_1_0", "ws_1_0", "ci_1", "rs_1", "ws_1"):
        found = found.replace(f'"id":"{one}"', '"id":""').replace(f'"call_id":"{one}"', '"call_id":""')
    return msgspec.json.encode(sorted(found))


def test_the_end_of_an_answer_has_a_reason(answer_file: Path, wire: Any) -> None:
    candidate = codec.read_response(answer_file.read_bytes(), wire.target).candidates[0]
    assert candidate.finish == REASONS.get(answer_file.stem, FinishReason.END)


def test_usage_is_taken_apart_into_buckets_that_add_up(wire: Any) -> None:
    response = codec.read_response((wire.golden / "answers" / "cache_write.json").read_bytes(), wire.target)
    assert response.usage == Usage(input_tokens=500, cache_read_tokens=1000, cache_write_tokens=500, output_tokens=5)
    assert response.service_tier == "flex"


def test_reasoning_beside_the_output_is_not_taken_from_it(wire: Any) -> None:
    raw = b'{"input_tokens":10,"output_tokens":5,"total_tokens":35,"output_tokens_details":{"reasoning_tokens":20}}'
    assert codec.read_usage(raw) == Usage(input_tokens=10, output_tokens=5, reasoning_tokens=20)


def test_searches_are_counted(wire: Any) -> None:
    body = json.loads((wire.golden / "answers" / "web_search.json").read_bytes())
    assert codec.read_response(json.dumps(body).encode(), wire.target).usage.web_searches == 1
    del body["tool_usage"]
    assert codec.read_response(json.dumps(body).encode(), wire.target).usage.web_searches == 1


def test_ids_of_a_providers_items_are_no_state(wire: Any) -> None:
    for name in ("text", "tool_call", "custom_call"):
        parts = (
            codec.read_response((wire.golden / "answers" / f"{name}.json").read_bytes(), wire.target)
            .candidates[0]
            .parts
        )
        assert [part.carry for part in parts] == [None]


def test_encrypted_reasoning_names_the_dialect_that_can_read_it(wire: Any) -> None:
    target = msgspec.structs.replace(wire.target, dialect="azure")
    part = codec.read_response((wire.golden / "answers" / "reasoning.json").read_bytes(), target).candidates[0].parts[0]
    assert part.carry.origin == "openai.responses/azure"


def test_the_cost_stands_in_the_usage(wire: Any) -> None:
    body = codec.write_response(
        answer(Text("Hi"), usage=Usage(input_tokens=1)), wire.answering(), Bill(b"0.0012", b'{"prompt":0.0012}')
    )
    usage = json.loads(body)["usage"]
    assert (usage["cost"], usage["cost_details"]) == (0.0012, {"prompt": 0.0012})


def test_without_a_bill_there_is_no_cost(wire: Any) -> None:
    assert b"cost" not in codec.write_response(answer(Text("Hi"), usage=Usage(input_tokens=1)), wire.answering(), FREE)


def test_an_answer_repeats_what_was_asked(wire: Any) -> None:
    asked = (wire.golden / "requests" / "json_schema.json").read_bytes()
    context = wire.answering(wire.request(asked), previous_id="resp_0", is_stored=True)
    told = json.loads(codec.write_response(answer(Text("{}")), context, FREE))
    assert told["text"]["format"]["name"] == "event"
    assert (told["id"], told["model"], told["created_at"]) == ("resp_1", "m", 7)
    assert (told["previous_response_id"], told["store"]) == ("resp_0", True)


# States of others


def test_a_foreign_signature_is_sealed_beside_the_summary(wire: Any) -> None:
    carry = Carry(MESSAGES, msgspec.Raw(b'{"signature":"EqoB"}'))
    (item, _) = output(answer(Thinking("Hm", carry=carry), Text("Hi")), wire)
    assert item["summary"] == [{"type": "summary_text", "text": "Hm"}]
    assert kept(item).carry == carry


def test_what_is_redacted_is_sealed_whole(wire: Any) -> None:
    hidden = Thinking("", redacted=True, carry=Carry(MESSAGES, msgspec.Raw(b'{"data":"x"}')))
    (item, _) = output(answer(hidden, Text("Hi")), wire)
    assert item["summary"] == []
    assert kept(item).before == (hidden,)


def test_reasoning_that_was_not_to_be_shown_is_sealed_whole(wire: Any) -> None:
    request = wire.request({"model": "m", "input": "x"})
    hiding = msgspec.structs.replace(request, reasoning=Reasoning(shown=False))
    (item, _) = output(answer(Thinking("Secret plan"), Text("Hi")), wire, request=hiding)
    assert "Secret" not in json.dumps(item)
    assert kept(item).before == (Thinking("Secret plan"),)


def test_a_signature_of_a_call_stands_before_it(wire: Any) -> None:
    carry = Carry(GEMINI, msgspec.Raw(b'{"thoughtSignature":"g"}'))
    slot, call = output(answer(ToolCall("c1", "f", "{}", carry=carry), finish=FinishReason.TOOL_CALLS), wire)
    assert (kept(slot).place, kept(slot).carry) == ("next", carry)
    assert (call["type"], call["status"]) == ("function_call", "completed")


def test_a_part_of_another_vendor_is_sealed_whole(wire: Any) -> None:
    part = Opaque("code_execution_tool_result", Carry(MESSAGES, msgspec.Raw(b'{"type":"code_execution_tool_result"}')))
    (item,) = output(answer(part), wire)
    assert kept(item).before == (part,)


def test_a_search_of_another_vendor_is_a_search(wire: Any) -> None:
    parts = (
        ToolCall("srv_1", "web_search", '{"query":"acme"}', "server"),
        ToolResult("srv_1", "web_search", kind="server", sources=(Citation(url="https://acme.example"),)),
        Text("Big.", (Citation(url="https://acme.example", title="Acme"),)),
    )
    search, message = output(answer(*parts), wire)
    assert search["action"] == {
        "type": "search", "query": "acme", "queries": ["acme"], "sources": [{"type": "url", "url": "https://acme.example"}]
    }  # fmt: skip
    assert message["content"][0]["annotations"][0]["end_index"] == 4


def test_an_image_of_the_model_is_an_item(wire: Any) -> None:
    (item,) = output(answer(Media(kind="image", mime="image/png", data=b"AAAA")), wire)
    assert (item["type"], item["result"]) == ("image_generation_call", "AAAA")


def test_a_refusal_without_words_gets_some(wire: Any) -> None:
    (item,) = output(answer(finish=FinishReason.REFUSAL), wire)
    assert item["content"][0]["type"] == "refusal"


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        (FinishReason.END, "completed", None),
        (FinishReason.STOP_SEQUENCE, "completed", None),
        (FinishReason.CONTEXT_FULL, "incomplete", {"reason": "max_output_tokens"}),
        (FinishReason.CONTENT_FILTER, "incomplete", {"reason": "content_filter"}),
        (FinishReason.PAUSED, "incomplete", None),
        (FinishReason.BROKEN_TOOL_CALL, "incomplete", None),
    ],
)
def test_every_end_has_a_status(finish: FinishReason, status: str, reason: Any, wire: Any) -> None:
    told = json.loads(codec.write_response(answer(Text("Hi"), finish=finish), wire.answering(), FREE))
    assert (told["status"], told["incomplete_details"]) == (status, reason)
    assert told["output"][0]["status"] == status


def test_only_the_first_candidate_is_written(wire: Any) -> None:
    both = Response(
        candidates=(Candidate((Text("a"),), FinishReason.END), Candidate((Refusal("b"),), FinishReason.LENGTH))
    )
    assert [item["content"][0]["text"] for item in output(both, wire)] == ["a"]


# What is no answer


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"output":"x"}', b'{"output":[{"type":"message","content":3}]}']
)
def test_what_is_no_answer_is_marked(body: bytes, wire: Any) -> None:
    with pytest.raises(UNREADABLE):
        codec.read_response(body, wire.target)


def test_a_failed_answer_has_its_fault(wire: Any) -> None:
    body = b'{"id":"r","status":"failed","output":[],"error":{"code":"server_error","message":"Sorry"}}'
    response = codec.read_response(body, wire.target)
    assert (response.fault.code, response.fault.message, response.candidates[0].finish) == (
        "server_error",
        "Sorry",
        None,
    )


def test_a_failed_answer_keeps_what_it_used(wire: Any) -> None:
    body = b'{"id":"r","status":"failed","error":{"code":"server_error"},"usage":{"input_tokens":7,"output_tokens":3}}'
    response = codec.read_response(body, wire.target)
    assert response.fault is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (7, 3)
    assert json.loads(bytes(response.raw_usage)) == {"input_tokens": 7, "output_tokens": 3}


def test_an_answer_that_failed_without_a_word_is_one(wire: Any) -> None:
    assert codec.read_response(b'{"id":"r","status":"failed"}', wire.target).fault is not None


def test_an_error_is_read_in_the_providers_words(error_file: Path) -> None:
    said = json.loads(error_file.read_bytes())
    error = said.get("error", {"message": said.get("detail")})
    fault = codec.read_fault(error_file.read_bytes())
    assert fault.message == (error if isinstance(error, str) else error["message"])
    if isinstance(error, dict):
        assert (fault.code, fault.param) == (error.get("code") or "", error.get("param"))


@pytest.mark.parametrize("body", [b"", b"<html>bad gateway</html>", b"[1]", b'{"error":[]}'])
def test_a_body_without_words_is_no_fault_of_ours(body: bytes) -> None:
    assert codec.read_fault(body).message == ""


def test_our_errors_have_one_shape() -> None:
    told = json.loads(codec.error_body(RateLimited("Slow down.", param="model"), "req_1"))
    assert told["error"] == {
        "code": "429",
        "type": "rate_limit",
        "message": "Slow down.",
        "param": "model",
        "request_id": "req_1",
    }


# Counting


def test_tokens_are_counted_without_an_answer(wire: Any) -> None:
    body = b'{"model":"m","instructions":"Be brief","input":"x","tools":[{"type":"function","name":"f"}]}'
    request = read_count_request(body, wire.asking)
    sent = json.loads(write_count_request(request, wire.target).body)
    assert sorted(sent) == ["input", "instructions", "model", "tools"]
    assert read_count(write_count(11)) == 11


def test_nothing_but_the_model_is_needed_to_count(wire: Any) -> None:
    assert read_count_request(b'{"model":"m"}', wire.asking).turns == ()
