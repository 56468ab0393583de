"""The model's name in answers that pass through: put in where the provider's stood, and nothing else is touched."""

import json

import pytest

from trunkline.protocols.codec import CHAT, GEMINI, MESSAGES, RESPONSES
from trunkline.protocols.model_in import ModelInStream, put_into_body
from trunkline.protocols.rawjson import UNREADABLE

OURS = "acme/alpha"


@pytest.mark.parametrize(
    ("protocol", "key"), [(CHAT, "model"), (RESPONSES, "model"), (MESSAGES, "model"), (GEMINI, "modelVersion")]
)
def test_the_name_alone_changes(protocol: str, key: str) -> None:
    body = b'{ "id": "1",\n "%b" :  "alpha-2026", "x": 1.0e0 }' % key.encode()
    assert put_into_body(protocol, body, OURS) == body.replace(
        b'"%b" :  "alpha-2026"' % key.encode(), b'"%b":"acme/alpha"' % key.encode()
    )


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{"model": "other"}], "model": "alpha"},
        {"tools": [{"model": "alpha"}], "model": "alpha"},
        {"model": "alpha", "tools": [{"model": "alpha"}]},
        {"said": '"model":"alpha"', "model": "alpha"},
    ],
)
def test_of_several_the_answers_own_is_meant(body: dict[str, object]) -> None:
    assert json.loads(put_into_body(CHAT, json.dumps(body).encode(), OURS)) == body | {"model": OURS}


def test_what_names_no_model_stays() -> None:
    for body in (b'{"id":"1"}', b'{"model":null}'):
        assert put_into_body(CHAT, body, OURS) == body


def test_what_is_no_object_is_left_to_the_caller() -> None:
    with pytest.raises(UNREADABLE):
        put_into_body(CHAT, b"[1]", OURS)


def test_each_event_of_a_stream_says_the_name_and_texts_are_not_touched() -> None:
    text = json.dumps('he said "model":"alpha" and \\"model\\":\\"alpha\\"').encode()
    events = b"".join(b'data: {"id":"1","model":"alpha","text":%b}\n\n' % text for _ in range(3))
    named = ModelInStream(CHAT, OURS)
    assert named.put_into(events) == events.replace(b'1","model":"alpha"', b'1","model":"acme/alpha"')
    assert named.put_into(b"data: [DONE]\n\n") == b"data: [DONE]\n\n"


def test_a_provider_that_changes_its_mind_is_followed() -> None:
    named = ModelInStream(GEMINI, OURS)
    found = [named.put_into(b'data: {"modelVersion": "%b"}\n\n' % name) for name in (b"a", b"b", b"a")]
    assert found == [b'data: {"modelVersion":"acme/alpha"}\n\n'] * 3
