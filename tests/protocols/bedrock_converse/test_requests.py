"""What is sent to Converse: every request of the four protocols in the shape that botocore's model of the service has, and what stands where."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from tests.protocols.test_matrix import FOLDERS, GOLDEN, SECRET, wire_of
from trunkline.catalog.load import load
from trunkline.catalog.types import Model, Offer, Provider
from trunkline.errors import InvalidParams
from trunkline.execution.codecs import codec_of
from trunkline.ir.parts import CacheMark, Carry, Media, Opaque, Part, Text, Thinking, ToolCall, ToolResult, Turn
from trunkline.ir.request import Format, Reasoning, Request, Tool, ToolChoice
from trunkline.protocols.bedrock_converse import NAME
from trunkline.protocols.bedrock_converse.request_out import write_request
from trunkline.protocols.codec import CONVERSE, GEMINI, RequestContext, Target, UpstreamBody
from trunkline.protocols.rawjson import raw
from trunkline.providers.quirks import quirks_of

VECTORS = json.loads((Path(__file__).parent / "converse.json").read_text())
SHAPE = jsonschema.Draft202012Validator(VECTORS["request"])
PROFILES = load().profiles
MAKERS = {
    "nova": "global.amazon.nova-2-lite-v1:0",
    "claude": "us.anthropic.claude-sonnet-4-6",
    "older-claude": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "llama": "us.meta.llama4-scout-17b-instruct-v1:0",
    "mistral": "mistral.mistral-large-3-675b-instruct",
    "gpt-oss": "openai.gpt-oss-120b-1:0",
}


def told(maker: str = "nova", **more: Any) -> Target:
    offer = Offer(model=f"acme/{maker}", provider="bedrock", upstream_model=MAKERS[maker], protocols=(CONVERSE,))
    model = Model(slug=f"acme/{maker}", name="", author="acme", reasoning=True)
    quirks = quirks_of(Provider("bedrock", "Bedrock"), offer, model, CONVERSE, PROFILES)
    fields = {"upstream_model": MAKERS[maker], "max_output_tokens": 8192, "dialect": "bedrock", **more}
    return Target(protocol=CONVERSE, quirks=quirks, **fields)


def asking(*turns: Turn, **fields: Any) -> Request:
    return Request(**{"origin": "openai.chat", "model": "m", "turns": turns or (user("hi"),), **fields})


def user(*parts: str | Part) -> Turn:
    return Turn("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: str | Part) -> Turn:
    return Turn("assistant", user(*parts).parts)


def written(request: Request, maker: str = "nova") -> UpstreamBody:
    made = write_request(request, told(maker))
    SHAPE.validate(json.loads(made.body))
    return made


def body(request: Request, maker: str = "nova") -> Any:
    return json.loads(written(request, maker).body)


def losses(request: Request, maker: str = "nova") -> dict[str, str]:
    return {loss.field: loss.action for loss in written(request, maker).losses}


@pytest.mark.parametrize("maker", list(MAKERS))
@pytest.mark.parametrize("source", list(FOLDERS))
def test_every_golden_request_is_refused_by_name_or_sent_in_amazons_shape(source: str, maker: str) -> None:
    sent, refusals = 0, list[str]()
    for path in sorted((GOLDEN / FOLDERS[source] / "requests").iterdir()):
        if ".expected." in path.name:
            continue
        context = RequestContext(request_id="req_1", secret=SECRET, path_model="acme/m" if source == GEMINI else "")
        try:
            written(codec_of(source).read_request(wire_of(path), context), maker)
            sent += 1
        except InvalidParams as refused:
            refusals.append(f"{path.name}: {refused.message}")
    assert [told for told in refusals if ";" not in told] == []
    assert sent > 25


def test_system_prompts_have_a_slot_and_turns_alternate() -> None:
    turns = (
        Turn("system", (Text("Be kind."),)),
        Turn("developer", (Text("Be brief."),)),
        user("a"),
        user("b"),
        assistant("c"),
    )
    found = body(asking(*turns))
    assert found["system"] == [{"text": "Be kind."}, {"text": "Be brief."}]
    assert [(one["role"], len(one["content"])) for one in found["messages"]] == [("user", 2), ("assistant", 1)]


def test_a_system_prompt_in_the_middle_is_the_users_text() -> None:
    found = body(asking(user("a"), assistant("b"), Turn("system", (Text("now in French"),)), user("c")))
    assert [one["role"] for one in found["messages"]] == ["user", "assistant", "user"]
    assert found["messages"][-1]["content"] == [{"text": "now in French"}, {"text": "c"}]


def test_blank_texts_are_left_out() -> None:
    found = body(asking(Turn("system", (Text(" "),)), user("hi", " "), assistant("\n")))
    assert "system" not in found
    assert found["messages"] == [{"role": "user", "content": [{"text": "hi"}]}]


def test_parameters_stand_in_their_config_and_what_only_the_model_knows_beside_it() -> None:
    asked = asking(max_output_tokens=100, temperature=0.5, top_p=0.9, top_k=40, stop=("x", "y"))
    found = body(asked)
    assert found["inferenceConfig"] == {"maxTokens": 100, "temperature": 0.5, "topP": 0.9, "stopSequences": ["x", "y"]}
    assert found["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 40}}
    assert found["additionalModelResponseFieldPaths"] == ["/stop_sequence"]
    assert body(asked, "mistral")["additionalModelRequestFields"] == {"top_k": 40}
    assert losses(asked, "llama") == {"top_k": "dropped"}


def test_a_temperature_beyond_one_is_one() -> None:
    assert body(asking(temperature=1.7))["inferenceConfig"] == {"temperature": 1}


def test_claude_is_always_told_a_limit() -> None:
    assert body(asking(), "claude")["inferenceConfig"] == {"maxTokens": 8192}
    assert "inferenceConfig" not in body(asking())


@pytest.mark.parametrize(
    ("maker", "reasoning", "fields", "config"),
    [
        ("nova", Reasoning(effort="low"), {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}, None),
        ("nova", Reasoning(effort="minimal"), {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}, None),
        ("nova", Reasoning(enabled=True), {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}, None),
        ("nova", Reasoning(enabled=False), {"reasoningConfig": {"type": "disabled"}}, None),
        ("claude", Reasoning(effort="high"), {"thinking": {"type": "adaptive"}}, {"effort": "high"}),
        ("claude", Reasoning(enabled=False), {"thinking": {"type": "disabled"}}, None),
        ("older-claude", Reasoning(budget_tokens=2000), {"thinking": {"type": "enabled", "budget_tokens": 2000}}, None),
        ("gpt-oss", Reasoning(effort="high"), {"reasoning_effort": "high"}, None),
        ("llama", Reasoning(effort="high"), None, None),
    ],
)  # fmt: skip
def test_reasoning_is_asked_for_in_the_makers_words(maker, reasoning, fields, config) -> None:
    found = body(asking(reasoning=reasoning), maker)
    assert (found.get("additionalModelRequestFields"), found.get("outputConfig")) == (fields, config)


def test_beside_novas_highest_effort_there_is_neither_sampling_nor_a_limit() -> None:
    asked = asking(reasoning=Reasoning(effort="high"), temperature=0.5, max_output_tokens=900, stop=("x",))
    assert body(asked)["inferenceConfig"] == {"stopSequences": ["x"]}
    assert losses(asked) == {"temperature": "dropped", "max_completion_tokens": "dropped"}


LOOK = Tool(
    name="look", description="Looks.", parameters=msgspec.Raw(b'{"properties":{"q":{"type":"string"}}}'), strict=True
)


def test_tools_say_that_they_are_objects_and_strict_where_the_model_knows_it() -> None:
    (spec,) = [tool["toolSpec"] for tool in body(asking(tools=(LOOK,)))["toolConfig"]["tools"]]
    assert spec == {
        "name": "look",
        "description": "Looks.",
        "inputSchema": {"json": {"type": "object", "properties": {"q": {"type": "string"}}}},
    }
    assert body(asking(tools=(LOOK,)), "claude")["toolConfig"]["tools"][0]["toolSpec"]["strict"] is True


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        (ToolChoice("auto"), None),
        (ToolChoice("required"), {"any": {}}),
        (ToolChoice("required", ("look",)), {"tool": {"name": "look"}}),
    ],
)
def test_a_choice_of_tools_is_told_in_amazons_words(choice, found) -> None:
    assert body(asking(tools=(LOOK,), tool_choice=choice))["toolConfig"].get("toolChoice") == found


def test_where_a_model_cannot_be_made_to_call_the_request_is_refused() -> None:
    with pytest.raises(InvalidParams, match="cannot be made to call a tool"):
        written(asking(tools=(LOOK,), tool_choice=ToolChoice("required")), "llama")


CALL = ToolCall("call.1", "look", '{"q":"x"}')
RESULT = ToolResult("call.1", "look", (Text("boom"),), is_error=True)


def test_results_stand_first_with_their_error_and_ids_in_the_alphabet() -> None:
    found = body(asking(user("hi"), assistant(CALL), user("and?", RESULT), tools=(LOOK,)))
    use, (result, text) = found["messages"][1]["content"][0]["toolUse"], found["messages"][2]["content"]
    assert use["input"] == {"q": "x"}
    assert result["toolResult"] == {"toolUseId": use["toolUseId"], "content": [{"text": "boom"}], "status": "error"}
    assert text == {"text": "and?"}


def test_where_a_model_knows_no_status_the_text_says_that_it_is_an_error() -> None:
    found = body(asking(user("hi"), assistant(CALL), user(RESULT), tools=(LOOK,)), "llama")
    assert found["messages"][2]["content"][0]["toolResult"]["content"] == [{"text": "Error: boom"}]


def test_calls_of_a_conversation_without_tools_still_have_their_tools_named() -> None:
    found = body(asking(user("hi"), assistant(CALL), user(RESULT), tools=(LOOK,), tool_choice=ToolChoice("none")))
    assert [tool["toolSpec"]["name"] for tool in found["toolConfig"]["tools"]] == ["look"]


def test_media_have_a_format_and_documents_a_name_of_their_own_and_a_text() -> None:
    pdf = Media(kind="file", mime="application/pdf", data=b"JVBERi0=", name="My_report: 1.pdf")
    found = body(asking(user(pdf, pdf, Media(kind="image", mime="image/jpg", data=b"/9j/"))))["messages"][0]["content"]
    assert [block["document"]["name"] for block in found[:2]] == ["My report 1 pdf", "My report 1 pdf 2"]
    assert found[0]["document"]["format"] == "pdf"
    assert found[2] == {"image": {"format": "jpeg", "source": {"bytes": "/9j/"}}}
    assert found[3] == {"text": "My report 1 pdf, My report 1 pdf 2"}


@pytest.mark.parametrize(
    ("media", "form"),
    [
        (Media(kind="image", data=b"iVBORw0KGgo="), "png"),
        (Media(kind="file", data=b"aGk=", name="a.md"), "md"),
        (Media(kind="file", data=b"aGk=", mime="text/x-python"), "txt"),
        (Media(kind="file", text="hi", name="notes"), "txt"),
        (Media(kind="video", data=b"AAAA", mime="video/3gpp"), "three_gp"),
    ],
)
def test_the_format_is_told_by_type_name_or_content(media, form) -> None:
    ((block),) = [one for one in body(asking(user("see", media)))["messages"][0]["content"] if "text" not in one]
    assert next(iter(block.values()))["format"] == form


@pytest.mark.parametrize(
    ("media", "why"),
    [
        (Media(kind="image", data=b"AAAA", mime="image/tiff"), "image/tiff"),
        (Media(kind="file", data=b"AAAA", mime="application/zip", name="a.zip"), "`a.zip`"),
        (Media(kind="image", url="https://acme.example/a.png"), "does not fetch URLs"),
        (Media(kind="audio", data=b"AAAA", mime="audio/wav"), "audio"),
    ],
)
def test_what_cannot_be_seen_is_refused_by_name(media, why) -> None:
    with pytest.raises(InvalidParams, match=why):
        written(asking(user("see", media)))


def test_large_media_are_put_in_whole() -> None:
    data = b"iVBORw0KGgo" + b"A" * 100_001
    found = body(asking(user("see", Media(kind="image", data=memoryview(data)))))
    assert found["messages"][0]["content"][1]["image"]["source"]["bytes"] == data.decode()


def test_cache_marks_are_points_behind_what_they_mark() -> None:
    hour = CacheMark(3600)
    asked = asking(
        Turn("system", (Text("s", cache=CacheMark()),)), user(Text("a", cache=hour)),
        tools=(msgspec.structs.replace(LOOK, cache=CacheMark()),), cache=CacheMark(), origin="anthropic.messages",
    )  # fmt: skip
    found = body(asked, "claude")
    assert found["system"][1] == {"cachePoint": {"type": "default"}}
    assert found["messages"][0]["content"][1:] == [
        {"cachePoint": {"type": "default", "ttl": "1h"}},
        {"cachePoint": {"type": "default"}},
    ]
    assert found["toolConfig"]["tools"][1] == {"cachePoint": {"type": "default"}}
    # Nova has no place for them among tools, Llama none at all.
    assert len(body(asked)["toolConfig"]["tools"]) == 1
    assert "cachePoint" not in json.dumps(body(asked, "llama"))


def test_reasoning_of_its_own_goes_back_as_it_came_and_that_of_others_does_not() -> None:
    own = Thinking("deep", carry=Carry(f"{NAME}/bedrock", raw({"signature": "c2ln"})))
    hidden = Thinking(redacted=True, carry=Carry(f"{NAME}/bedrock", raw({"redactedContent": "eA=="})))
    foreign = Thinking("other", carry=Carry("openai.responses", raw({"encrypted_content": "x"})))
    block = raw({"searchResult": {"source": "s", "title": "t", "content": [{"text": "x"}]}})
    found = body(
        asking(user("a"), assistant(own, hidden, foreign, "b", Opaque("searchResult", Carry(NAME, block))), user("c")),
        "claude",
    )
    assert found["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "deep", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "eA=="}},
        {"text": "b"},
        {"searchResult": {"source": "s", "title": "t", "content": [{"text": "x"}]}},
    ]


def test_a_budget_is_not_asked_for_where_the_thinking_before_a_tool_is_not_there() -> None:
    asked = asking(user("hi"), assistant(CALL), user(RESULT), tools=(LOOK,), reasoning=Reasoning(budget_tokens=2000))
    assert body(asked, "older-claude")["additionalModelRequestFields"] == {"thinking": {"type": "disabled"}}


def test_a_schema_is_sent_as_text_where_the_model_knows_schemas() -> None:
    asked = asking(format=Format(kind="json_schema", name="song", schema=msgspec.Raw(b'{"type": "object"}')))
    told = body(asked, "mistral")["outputConfig"]["textFormat"]
    assert told == {
        "type": "json_schema",
        "structure": {"jsonSchema": {"schema": '{"type": "object"}', "name": "song"}},
    }
    with pytest.raises(InvalidParams, match="takes no schema"):
        written(asked, "llama")


def test_json_without_a_schema_is_asked_for_in_words() -> None:
    assert "JSON" in body(asking(format=Format(kind="json_object")))["system"][0]["text"]


def test_tier_and_labels_have_their_places() -> None:
    found = body(asking(service_tier="flex", metadata={"team": "blue", "note": "für dich"}))
    assert (found["serviceTier"], found["requestMetadata"]) == ({"type": "flex"}, {"team": "blue"})
    assert losses(asking(metadata={"note": "für dich"})) == {"metadata": "dropped"}


def test_what_the_protocol_has_no_word_for_is_told() -> None:
    asked = asking(
        seed=1, frequency_penalty=0.1, user="u", logit_bias={"1": 2.0}, parallel_tool_calls=False, tools=(LOOK,)
    )
    assert {"seed", "frequency_penalty", "user", "logit_bias", "parallel_tool_calls"} <= set(losses(asked))
