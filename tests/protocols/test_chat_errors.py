"""Errors in the caller's protocol, and a provider's own words out of any shape."""

import json

import pytest

from trunkline.errors import InvalidModel, RateLimited
from trunkline.ir.fault import Fault
from trunkline.protocols.openai_chat.errors import error_body, error_event, read_fault, read_stream_fault
from trunkline.protocols.sse import data_of


def test_an_error_has_the_shape_that_every_client_reads() -> None:
    body = json.loads(error_body(InvalidModel("no such model", param="model"), "req_1"))
    assert body == {
        "error": {
            "code": "404",
            "type": "invalid_model",
            "message": "no such model",
            "param": "model",
            "request_id": "req_1",
        }
    }


def test_an_error_in_a_stream_is_one_event_of_the_same_shape() -> None:
    data = data_of(error_event(RateLimited("slow down"), "req_1")) or b""
    assert json.loads(data)["error"]["type"] == "rate_limit"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b'{"error":{"message":"m","code":"c","type":"t","param":"p"}}', Fault("m", "c", "t", "p")),
        (
            b'{"error":{"message":"m","code":429,"status":"RESOURCE_EXHAUSTED"}}',
            Fault("m", "429", "RESOURCE_EXHAUSTED"),
        ),
        (b'[{"error":{"message":"m","code":400,"status":"INVALID_ARGUMENT"}}]', Fault("m", "400", "INVALID_ARGUMENT")),
        (b'{"error":"plain"}', Fault("plain")),
        (b'{"message":"m"}', Fault("m")),
        (b'{"detail":[{"loc":["body"],"msg":"x"}]}', Fault('[{"loc":["body"],"msg":"x"}]')),
        (b'{"error":{"message":null,"param":["a"]}}', Fault()),
        (b"<html>502</html>", Fault()),
        (b"", Fault()),
        (b"[]", Fault()),
    ],
)
def test_a_providers_words_are_read_from_any_shape(body: bytes, fault: Fault) -> None:
    assert read_fault(body) == fault


def test_an_error_inside_a_stream_may_be_text_or_object() -> None:
    assert read_stream_fault(b'"overloaded"') == Fault("overloaded")
    assert read_stream_fault(b'{"message":"m","code":503}') == Fault("m", "503")
    assert read_stream_fault(b"[1]") == Fault()
