"""Requests, read and written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trunkline.errors import InvalidParams
from trunkline.ir.parts import CacheMark, Media, Text, Thinking, ToolCall, ToolResult, Turn
from trunkline.ir.request import Reasoning, Request, Tool, ToolChoice, WebSearch
from trunkline.protocols.codec import CHAT, MESSAGES, RequestContext, Target
from trunkline.protocols.facts import facts_of
from trunkline.protocols.gemini import codec
from trunkline.protocols.gemini.request_in import model_name

WORDS = frozenset({"tools", "temperature", "max_tokens", "max_completion_tokens", "stop", "reasoning_effort", "seed"})


def fitting(text: str, offer: Callable[..., Target]) -> Target:
    """Models think by level or by budget; a history of the older ones has calls without signatures."""
    if "thinkingLevel" in text or "thinking_level" in text:
        return offer()
    return offer(reasoning="budget", min_budget_tokens=128, can_disable_reasoning=True)


def test_a_request_is_the_same_after_reading_and_writing(
    request_file: Path, expected: Callable[[Path], Any], asked: RequestContext, offer: Callable[..., Target]
) -> None:
    body = request_file.read_bytes()
    written = codec.write_request(codec.read_request(body, asked), fitting(body.decode(), offer))
    assert json.loads(written.body) == expected(request_file)
    assert written.losses == ()


def test_what_was_written_reads_as_the_same_request(
    request_file: Path, asked: RequestContext, offer: Callable[..., Target]
) -> None:
    target = fitting(request_file.read_text(), offer)
    once = codec.write_request(codec.read_request(request_file.read_bytes(), asked), target)
    again = codec.write_request(codec.read_request(once.body, asked), target)
    assert json.loads(again.body) == json.loads(once.body)


def test_a_peek_tells_what_the_whole_request_tells(request_file: Path, asked: RequestContext) -> None:
    body = request_file.read_bytes()
    peeked = codec.peek(body, asked, WORDS)
    assert peeked.facts == facts_of(codec.read_request(body, asked), WORDS)
    assert {name: json.loads(bytes(value)) for name, value in peeked.fields.items()} == json.loads(body)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("models/gemini-3-pro", "gemini-3-pro"),
        ("models/openai/gpt-5", "openai/gpt-5"),
        ("publishers/openai/models/gpt-5", "openai/gpt-5"),
        ("openai/gpt-5:azure", "openai/gpt-5:azure"),
    ],
)
def test_names_in_paths_become_names_of_models(path: str, name: str) -> None:
    assert model_name(path) == name


def test_the_path_decides_model_and_stream(asked: RequestContext) -> None:
    context = RequestContext(request_id="r", secret=b"", path_model="models/a/b", path_stream=True)
    found = codec.read_request(b'{"contents":[{"parts":[{"text":"x"}]}],"model":"models/other"}', context)
    assert (found.model, found.stream) == ("a/b", True)


def read(asked: RequestContext, *contents: Any, **more: Any) -> Request:
    return codec.read_request(json.dumps({"contents": contents, **more}).encode(), asked)


def model(*parts: Any) -> Any:
    return {"role": "model", "parts": list(parts)}


def user(*parts: Any) -> Any:
    return {"role": "user", "parts": list(parts)}


def call(name: str, **more: Any) -> Any:
    return {"functionCall": {"name": name, "args": {}, **more}}


def result(name: str, **more: Any) -> Any:
    return {"functionResponse": {"name": name, "response": {"output": name}, **more}}


def test_results_without_ids_belong_to_the_calls_of_their_names(asked: RequestContext) -> None:
    found = read(asked, model(call("f"), call("g"), call("f")), user(result("g"), result("f"), result("f")))
    calls = [part.id for part in found.turns[0].parts if isinstance(part, ToolCall)]
    results = [part.call_id for part in found.turns[1].parts if isinstance(part, ToolResult)]
    assert results == [calls[1], calls[0], calls[2]]


def test_a_result_finds_its_call_by_id_before_name(asked: RequestContext) -> None:
    found = read(asked, model(call("f", id="a"), call("f", id="b")), user(result("f", id="b"), result("f", id="a")))
    assert [part.call_id for part in found.turns[1].parts if isinstance(part, ToolResult)] == ["b", "a"]


def test_a_result_for_a_call_that_is_not_there_takes_no_other_ones_place(asked: RequestContext) -> None:
    found = read(asked, model(call("f", id="a")), user(result("f", id="zz"), result("f")))
    assert [part.call_id for part in found.turns[1].parts if isinstance(part, ToolResult)] == ["zz", "a"]


def test_the_error_of_a_result_is_marked_as_one(asked: RequestContext) -> None:
    wrong = {"functionResponse": {"name": "f", "response": {"error": {"code": 5}}}}
    part = read(asked, model(call("f")), user(wrong)).turns[1].parts[0]
    assert isinstance(part, ToolResult)
    assert (part.is_error, part.parts) == (True, (Text('{"code": 5}'),))


def test_a_thinking_budget_says_off_free_or_how_much(asked: RequestContext) -> None:
    def reasoning(budget: int) -> Reasoning | None:
        return read(
            asked, user({"text": "a"}), generationConfig={"thinkingConfig": {"thinkingBudget": budget}}
        ).reasoning

    assert [reasoning(0), reasoning(-1), reasoning(9)] == [
        Reasoning(enabled=False),
        Reasoning(enabled=True),
        Reasoning(budget_tokens=9),
    ]


FOREIGN = Request(origin=CHAT, model="m", turns=(Turn("user", (Text("a"),)),))


def written(offer: Target, **changes: Any) -> Any:
    return json.loads(codec.write_request(msgspec.structs.replace(FOREIGN, **changes), offer).body)


def test_a_call_of_another_model_gets_the_dummy_where_signatures_are_wanted(offer: Callable[..., Target]) -> None:
    turns = (
        *FOREIGN.turns,
        Turn("assistant", (Text("I look."), ToolCall("c1", "f", "{}"), ToolCall("c2", "g", ""))),
        Turn("user", (ToolResult("c1", "f", (Text("1"),)), ToolResult("c2", "g", (Text("2"),)))),
    )
    parts = written(offer(), turns=turns)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [None, "skip_thought_signature_validator", None]
    older = written(offer(reasoning="budget"), turns=turns)["contents"][1]["parts"]
    assert not any("thoughtSignature" in part for part in older)


def test_system_prompts_at_the_beginning_fill_the_slot_and_later_ones_do_not(offer: Callable[..., Target]) -> None:
    turns = (
        Turn("system", (Text("a"),)),
        Turn("developer", (Text("b"),)),
        *FOREIGN.turns,
        Turn("system", (Text("c"),)),
    )
    body = written(offer(), turns=turns)
    assert body["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}]}
    assert body["contents"] == [user({"text": "a"}, {"text": "c"})]


def test_who_asks_for_reasoning_in_another_protocol_is_shown_it(offer: Callable[..., Target]) -> None:
    config = written(offer(), reasoning=Reasoning(effort="low"))["generationConfig"]
    assert config["thinkingConfig"] == {"thinkingLevel": "LOW", "includeThoughts": True}
    hidden = written(offer(), reasoning=Reasoning(effort="low", shown=False))["generationConfig"]
    assert hidden["thinkingConfig"]["includeThoughts"] is False
    free = written(offer(), reasoning=Reasoning(enabled=True))["generationConfig"]
    assert free["thinkingConfig"] == {"includeThoughts": True}


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ToolChoice("auto"), {"mode": "AUTO"}),
        (ToolChoice("none"), {"mode": "NONE"}),
        (ToolChoice("required"), {"mode": "ANY"}),
        (ToolChoice("required", ("f",)), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice("auto", ("f",)), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
)
def test_tool_choices_have_exact_words(choice: ToolChoice, config: Any, offer: Callable[..., Target]) -> None:
    body = written(offer(), tools=(Tool(name="f"),), tool_choice=choice)
    assert body["toolConfig"]["functionCallingConfig"] == config


@pytest.mark.parametrize(
    ("media", "part"),
    [
        (Media(kind="image", data=b"iVBORw0KGgo="), {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}),
        (
            Media(kind="image", url="https://acme.example/a.webp?x=1", detail="high", name="a"),
            {"fileData": {"mimeType": "image/webp", "fileUri": "https://acme.example/a.webp?x=1"}},
        ),
        (
            Media(kind="file", mime="application/pdf", data=b"JVBERi0=", name="a.pdf"),
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
        ),
        (
            Media(kind="audio", mime="audio/wav", data=b"UklG"),
            {"inlineData": {"mimeType": "audio/wav", "data": "UklG"}},
        ),
    ],
)
def test_media_of_other_protocols_have_a_type_and_no_words_that_google_refuses(
    media: Media, part: Any, offer: Callable[..., Target]
) -> None:
    assert written(offer(), turns=(Turn("user", (media,)),))["contents"] == [user(part)]


def test_large_media_are_put_in_unread(offer: Callable[..., Target], asked: RequestContext) -> None:
    data = "A" * 100_000
    body = json.dumps({"contents": [user({"inlineData": {"mimeType": "image/png", "data": data}})]}).encode()
    found = codec.read_request(body, asked)
    part = found.turns[0].parts[0]
    assert isinstance(part, Media)
    assert isinstance(part.data, memoryview)
    assert json.loads(codec.write_request(found, offer()).body) == json.loads(body)


@pytest.mark.parametrize(
    ("parts", "response"),
    [
        ((Text("42"),), {"output": "42"}),
        ((Text('{"a":1}'),), {"a": 1}),
        ((Text('{"output":"x"}'),), {"output": '{"output":"x"}'}),
        ((Text("{broken"),), {"output": "{broken"}),
        ((Text("a"), Text("b")), {"output": "a\nb"}),
        ((), {}),
    ],
)
def test_results_become_objects(parts: Any, response: Any, offer: Callable[..., Target]) -> None:
    turns = (Turn("user", (ToolResult("toolu_1", "f", parts),)),)
    found = written(offer(), turns=turns)["contents"][0]["parts"][0]
    assert found == {"functionResponse": {"id": "toolu_1", "name": "f", "response": response}}


def test_pictures_in_results_stand_in_their_parts(offer: Callable[..., Target]) -> None:
    image = Media(kind="image", mime="image/png", data=b"iVBOR")
    turns = (Turn("user", (ToolResult("toolu_1", "f", (Text("see"), image), is_error=True),)),)
    assert written(offer(), turns=turns)["contents"][0]["parts"][0]["functionResponse"] == {
        "id": "toolu_1",
        "name": "f",
        "response": {"error": "see"},
        "parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBOR"}}],
    }


def test_what_google_cannot_do_is_noted(offer: Callable[..., Target]) -> None:
    search = WebSearch(
        location=msgspec.Raw(b'{"city":"Rome"}'),
        max_uses=3,
        allowed_domains=("acme.example",),
        blocked_domains=("b.example",),
    )
    turns = (Turn("user", (Text("a", cache=CacheMark()), Media(kind="image", data=b"iVBOR", detail="high"))),)
    asked = msgspec.structs.replace(FOREIGN, origin=MESSAGES, web_search=search, turns=turns)
    body = codec.write_request(asked, offer())
    assert json.loads(body.body)["tools"] == [{"googleSearch": {"excludeDomains": ["b.example"]}}]
    lost = {loss.field for loss in body.losses}
    assert lost == {
        "cache_control",
        "detail",
        "web_search.max_uses",
        "web_search.allowed_domains",
        "web_search.location",
    }


def test_functions_and_search_go_together_where_the_model_combines_them(offer: Callable[..., Target]) -> None:
    asked = msgspec.structs.replace(FOREIGN, tools=(Tool(name="f"),), web_search=WebSearch())
    newer = json.loads(codec.write_request(asked, offer()).body)
    assert newer["tools"] == [{"functionDeclarations": [{"name": "f"}]}, {"googleSearch": {}}]
    assert newer["toolConfig"] == {"includeServerSideToolInvocations": True}
    older = codec.write_request(asked, offer(reasoning="budget"))
    assert json.loads(older.body)["tools"] == [{"functionDeclarations": [{"name": "f"}]}]
    assert [(loss.field, loss.action) for loss in older.losses] == [("web_search", "dropped")]


def test_calls_are_not_asked_for_in_pieces(asked: RequestContext, offer: Callable[..., Target]) -> None:
    config = {"functionCallingConfig": {"mode": "AUTO", "streamFunctionCallArguments": True}}
    written = codec.write_request(read(asked, user({"text": "a"}), toolConfig=config), offer())
    assert b"streamFunctionCallArguments" not in written.body
    assert len(written.losses) == 1


def test_reasoning_of_another_vendor_is_not_sent(offer: Callable[..., Target]) -> None:
    turns = (*FOREIGN.turns, Turn("assistant", (Thinking("hm"), Text("b"))))
    assert written(offer(), turns=turns)["contents"][1] == model({"text": "b"})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"[]", None),
        (b"{", None),
        (b'{"contents":"hi"}', "contents"),
        (b'{"contents":[]}', "contents"),
        (b"{}", "contents"),
        (b'{"contents":[{"role":"boss","parts":[]}]}', "contents[0].role"),
        (b'{"contents":[{"parts":"x"}]}', "contents[0].parts"),
        (b'{"contents":[{"parts":[{"text":5}]}]}', "contents[0].parts[0].text"),
        (b'{"contents":[{"parts":[{"functionCall":{"args":{}}}]}]}', "contents[0].parts[0].functionCall.name"),
        (b'{"contents":[{"parts":[{"functionCall":{"name":"f","args":[]}}]}]}', "contents[0].parts[0].functionCall.args"),
        (b'{"contents":[{"parts":[{"functionCall":"f"}]}]}', "contents[0].parts[0].functionCall"),
        (b'{"contents":[{"parts":[{"inlineData":{"data":5}}]}]}', "contents[0].parts[0].inlineData.data"),
        (b'{"contents":[{"parts":[{"fileData":{}}]}]}', "contents[0].parts[0].fileData.fileUri"),
        (b'{"contents":[{"parts":[{"thoughtSignature":5}]}]}', "contents[0].parts[0].thoughtSignature"),
        (b'{"contents":[{"parts":[{"functionResponse":{"response":"x"}}]}]}', "contents[0].parts[0].functionResponse.response"),
        (b'{"contents":[{"parts":[{"text":"a"}]}],"generationConfig":{"temperature":"hot"}}', "generationConfig.temperature"),
        (b'{"contents":[{"parts":[{"text":"a"}]}],"generationConfig":{"stop_sequences":"x"}}', "generationConfig.stopSequences"),
        (b'{"contents":[{"parts":[{"text":"a"}]}],"generationConfig":[]}', "generationConfig"),
        (b'{"contents":[{"parts":[{"text":"a"}]}],"generationConfig":{"thinkingConfig":{"thinkingBudget":"much"}}}',
         "generationConfig.thinkingConfig.thinkingBudget"),
        (b'{"contents":[{"parts":[{"text":"a"}]}],"tools":[{"functionDeclarations":[{}]}]}', "tools[0].functionDeclarations[0].name"),
        (b'{"contents":[{"parts":[{"text":"a"}]}],"tools":["x"]}', "tools"),
        (b'{"contents":[{"parts":[{"text":"a"}]}],"tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":"x"}]}]}',
         "tools[0].functionDeclarations[0].parametersJsonSchema"),
        (b'{"contents":[{"parts":[{"text":"a"}]}],"toolConfig":{"functionCallingConfig":{"mode":"MAYBE"}}}', "toolConfig.functionCallingConfig.mode"),
        (b'{"contents":[{"parts":[{"text":"a"}]}],"systemInstruction":5}', "systemInstruction"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_what_it_must_be(body: bytes, field: str | None, asked: RequestContext) -> None:
    with pytest.raises(InvalidParams) as caught:
        codec.read_request(body, asked)
    assert caught.value.param == field
    assert "must be" in caught.value.message
