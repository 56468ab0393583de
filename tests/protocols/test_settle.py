"""A request is fitted to its target once: what is carried stays the same object, what is not is a loss, what would make the answer wrong is refused."""

from typing import Any

import msgspec
import pytest

from trunkline.errors import InvalidParams
from trunkline.ir.parts import (
    CacheMark,
    Carry,
    Citation,
    Media,
    Opaque,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from trunkline.ir.request import Format, Reasoning, Request, Tool, ToolChoice, WebSearch
from trunkline.protocols.codec import ALL, CHAT, GEMINI, MESSAGES, QUIRKS, RESPONSES, Target
from trunkline.protocols.settle import Settled, settle

HELLO = Turn("user", (Text("Hello"),))
SIGNATURE = Carry(MESSAGES, msgspec.Raw(b'{"signature":"EqoB"}'))
IMAGE = Media(kind="image", mime="image/png", data=b"iVBO")


def request(*turns: Turn, origin: str = CHAT, **fields: Any) -> Request:
    return Request(origin=origin, model="m", turns=turns or (HELLO,), **fields)


def target(protocol: str, *, max_output_tokens: int | None = None, **quirks: Any) -> Target:
    return Target(
        protocol=protocol,
        upstream_model="u",
        quirks=msgspec.structs.replace(QUIRKS[protocol], **quirks),
        max_output_tokens=max_output_tokens,
    )


def lost(settled: Settled) -> list[tuple[str, str]]:
    return [(loss.field, loss.action) for loss in settled.losses]


@pytest.mark.parametrize("protocol", [CHAT, RESPONSES, GEMINI])
def test_a_plain_request_goes_on_as_it_is(protocol: str) -> None:
    plain = request(
        Turn("system", (Text("Be brief."),)), HELLO, Turn("assistant", (Text("Hi"),)), HELLO, temperature=0.5
    )
    assert settle(plain, target(protocol)).request is plain


def test_what_the_protocol_has_no_word_for_is_dropped_with_notice() -> None:
    settled = settle(request(seed=7, frequency_penalty=0.0), target(MESSAGES))
    assert (settled.request.seed, settled.request.frequency_penalty) == (None, None)
    assert sorted(lost(settled)) == [("frequency_penalty", "dropped"), ("seed", "dropped")]


def test_an_offer_may_take_more_than_its_protocol_has() -> None:
    settled = settle(request(top_k=4), target(CHAT, accepted=frozenset({"top_k"})))
    assert (settled.request.top_k, settled.losses) == (4, ())


def test_an_offer_may_take_less_than_its_protocol_has() -> None:
    settled = settle(request(temperature=0.2), target(CHAT, refused=frozenset({"temperature"})))
    assert (settled.request.temperature, lost(settled)) == (None, [("temperature", "dropped")])


def test_a_loss_is_told_in_the_callers_words() -> None:
    assert lost(settle(request(origin=GEMINI, top_k=4), target(CHAT))) == [("generationConfig.topK", "dropped")]


@pytest.mark.parametrize("protocol", [RESPONSES, MESSAGES])
def test_several_answers_are_refused_where_there_is_one(protocol: str) -> None:
    with pytest.raises(InvalidParams, match=r"`n` cannot be sent.*ask for one") as refused:
        settle(request(candidates=2), target(protocol))
    assert refused.value.param == "n"
    assert settle(request(candidates=1), target(protocol)).losses == ()


def test_temperature_is_clamped_to_what_the_protocol_knows() -> None:
    settled = settle(request(temperature=1.5), target(MESSAGES))
    assert (settled.request.temperature, lost(settled)) == (1.0, [("temperature", "emulated")])


def test_a_required_limit_is_the_offers_own() -> None:
    assert settle(request(), target(MESSAGES, max_output_tokens=64_000)).request.max_output_tokens == 64_000
    assert settle(request(), target(CHAT, max_output_tokens=64_000)).request.max_output_tokens is None


def test_a_limit_beyond_the_offers_is_lowered_with_notice() -> None:
    settled = settle(request(max_output_tokens=100_000), target(CHAT, max_output_tokens=64_000))
    assert (settled.request.max_output_tokens, lost(settled)) == (64_000, [("max_completion_tokens", "emulated")])


def test_stop_words_beyond_what_the_offer_takes_are_watched_for_here() -> None:
    settled = settle(request(stop=("a", "b", "c", "d", "e", "f")), target(GEMINI))
    assert (settled.request.stop, settled.stop_here) == (("a", "b", "c", "d", "e"), ("f",))
    settled = settle(request(stop=("###",)), target(RESPONSES))
    assert (settled.request.stop, settled.stop_here) == ((), ("###",))


def test_claude_is_not_told_stop_words_of_blanks() -> None:
    settled = settle(request(stop=("\n\n", "END")), target(MESSAGES))
    assert (settled.request.stop, settled.stop_here) == (("END",), ("\n\n",))


def test_extras_are_for_their_own_protocol() -> None:
    extras = {"prediction": msgspec.Raw(b"{}")}
    assert settle(request(extras=extras), target(CHAT)).request.extras == extras
    settled = settle(request(extras=extras), target(GEMINI))
    assert (settled.request.extras, lost(settled)) == ({}, [("prediction", "dropped")])


def test_an_extra_without_which_the_answer_would_be_wrong_is_refused() -> None:
    asked = request(origin=GEMINI, extras={"cachedContent": msgspec.Raw(b'"c/1"')})
    with pytest.raises(InvalidParams, match=r"`cachedContent`.*send the content itself"):
        settle(asked, target(CHAT))


def test_reasoning_of_the_same_vendor_stays_with_its_signature() -> None:
    asked = request(HELLO, Turn("assistant", (Thinking("Hm.", carry=SIGNATURE), Text("Hi"))), origin=RESPONSES)
    assert settle(asked, target(MESSAGES, limit_required=False)).request is asked


def test_reasoning_of_another_vendor_is_left_out() -> None:
    asked = request(
        HELLO, Turn("assistant", (Thinking("Hm.", carry=SIGNATURE), Text("Hi"))), Turn("assistant", (Thinking("?"),))
    )
    settled = settle(asked, target(GEMINI))
    assert settled.request.turns == (HELLO, Turn("assistant", (Text("Hi"),)))
    assert [action for _, action in lost(settled)] == ["dropped"]


def test_reasoning_goes_back_as_text_where_the_model_wants_it() -> None:
    asked = request(HELLO, Turn("assistant", (Thinking("Hm.", carry=SIGNATURE), Text("Hi"))))
    settled = settle(asked, target(CHAT, thinking_back="text"))
    assert settled.request.turns[1].parts == (Thinking("Hm."), Text("Hi"))


def test_a_system_prompt_in_the_middle_becomes_the_users_text_in_its_place() -> None:
    asked = request(Turn("developer", (Text("A"),)), HELLO, Turn("system", (Text("B"),)), HELLO)
    settled = settle(asked, target(MESSAGES))
    assert settled.request.turns == (asked.turns[0], Turn("user", (Text("Hello"), Text("B"), Text("Hello"))))
    kept = settle(asked, target(MESSAGES, system_in_middle=True))
    assert [turn.role for turn in kept.request.turns] == ["developer", "user", "system", "user"]


def test_system_prompts_at_the_beginning_keep_their_borders() -> None:
    asked = request(Turn("system", (Text("A"),)), Turn("system", (Text("B"),)), HELLO)
    assert settle(asked, target(MESSAGES)).request.turns == asked.turns


def test_system_prompts_have_the_role_that_the_offer_knows() -> None:
    asked = request(Turn("developer", (Text("A"),)), Turn("system", (Text("B"),)), HELLO)
    assert [turn.role for turn in settle(asked, target(CHAT, system_role="system")).request.turns] == [
        "system",
        "system",
        "user",
    ]
    assert [turn.role for turn in settle(asked, target(CHAT, system_role="user")).request.turns] == [
        "user",
        "user",
        "user",
    ]


def test_results_of_parallel_calls_come_together_in_one_turn() -> None:
    results = (Turn("user", (ToolResult("a", "f", (Text("1"),)),)), Turn("user", (ToolResult("b", "f", (Text("2"),)),)))
    settled = settle(request(*results, HELLO), target(MESSAGES))
    assert settled.request.turns == (Turn("user", (*results[0].parts, *results[1].parts, Text("Hello"))),)


def test_images_in_results_go_behind_the_last_result() -> None:
    turns = (
        Turn("user", (ToolResult("a", "shot", (Text("done"), IMAGE)),)),
        Turn("user", (ToolResult("b", "f", (Text("2"),)),)),
        HELLO,
    )
    settled = settle(request(*turns, origin=MESSAGES), target(CHAT))
    assert settled.request.turns == (
        Turn("user", (ToolResult("a", "shot", (Text("done"),)),)),
        turns[1],
        Turn("user", (Text("Of the result of shot:"), IMAGE)),
        HELLO,
    )
    assert lost(settled) == [("messages.content.tool_result.content", "emulated")]


def test_a_result_that_is_an_error_says_so_where_there_is_no_flag() -> None:
    asked = request(Turn("user", (ToolResult("a", "f", (Text("not found"),), is_error=True),)), origin=MESSAGES)
    assert settle(asked, target(CHAT)).request.turns[0].parts[0].parts == (Text("Error: not found"),)
    assert settle(asked, target(GEMINI)).request is asked


def test_a_kind_of_input_that_has_no_place_is_refused_by_name() -> None:
    sound = request(Turn("user", (Media(kind="audio", data=b"UklG"),)))
    with pytest.raises(InvalidParams, match=r"`messages.content.input_audio` cannot be sent.*transcript"):
        settle(sound, target(MESSAGES))
    assert settle(sound, target(GEMINI)).request is sound


def test_a_file_of_another_vendors_store_is_refused() -> None:
    with pytest.raises(InvalidParams, match="send its content as base64"):
        settle(request(Turn("user", (Media(kind="file", file_id="file-1"),))), target(MESSAGES))


def test_a_document_given_as_text_is_text() -> None:
    asked = request(Turn("user", (Media(kind="file", text="All of it.", name="Notes"),)), origin=MESSAGES)
    assert settle(asked, target(CHAT)).request.turns[0].parts == (Text("Notes\n\nAll of it."),)


def test_cache_marks_are_taken_off_with_one_notice() -> None:
    marked = Turn("user", (Text("a", cache=CacheMark()), Text("b", cache=CacheMark(3600))))
    settled = settle(request(marked, origin=MESSAGES), target(CHAT))
    assert settled.request.turns[0].parts == (Text("a"), Text("b"))
    assert lost(settled) == [("cache_control", "dropped")]
    assert settle(request(marked, origin=CHAT), target(MESSAGES)).request.turns == (marked,)


def test_parts_that_only_another_vendor_knows_are_left_out() -> None:
    run = ToolCall("s", "web_search", "{}", "server", carry=SIGNATURE)
    asked = request(
        HELLO,
        Turn(
            "assistant",
            (run, ToolResult("s", kind="server"), Opaque("computer_call", SIGNATURE), Text("Hi", (Citation(),))),
        ),
    )
    settled = settle(asked, target(GEMINI))
    assert settled.request.turns[1].parts == (Text("Hi"),)
    assert {action for _, action in lost(settled)} == {"dropped"}


def test_a_refusal_is_text_where_there_is_no_word_for_it() -> None:
    asked = request(HELLO, Turn("assistant", (Refusal("No."),)), HELLO)
    assert settle(asked, target(GEMINI)).request.turns[1].parts == (Text("No."),)
    assert settle(asked, target(RESPONSES)).request is asked


def test_the_name_of_a_participant_is_chats_alone() -> None:
    asked = request(Turn("user", (Text("Hello"),), "alice"))
    assert settle(asked, target(CHAT)).request is asked
    assert lost(settle(asked, target(GEMINI))) == [("messages.name", "dropped")]


@pytest.mark.parametrize(("alphabet", "length"), [("words", 29), ("nine", 9)])
def test_call_and_result_have_the_same_id_in_the_vendors_alphabet(alphabet: Any, length: int) -> None:
    asked = request(
        Turn("assistant", (ToolCall("functions.f:0", "f", "{}"),)), Turn("user", (ToolResult("functions.f:0", "f"),))
    )
    call, result = settle(asked, target(CHAT, tool_id=alphabet)).request.turns
    assert call.parts[0].id == result.parts[0].call_id
    assert len(call.parts[0].id) == length


READ = Tool(name="read", parameters=msgspec.Raw(b'{"type":"object"}'))
WRITE = Tool(name="write")


def test_tools_pass_and_their_strictness_with_them_where_it_is_known() -> None:
    strict = msgspec.structs.replace(READ, strict=True)
    assert settle(request(tools=(strict,)), target(MESSAGES)).request.tools == (strict,)
    settled = settle(request(tools=(strict,)), target(GEMINI))
    assert (settled.request.tools, lost(settled)) == ((READ,), [("tools.function.strict", "dropped")])


def test_where_several_allowed_tools_cannot_be_named_only_they_are_sent() -> None:
    asked = request(tools=(READ, WRITE, Tool(name="other")), tool_choice=ToolChoice("required", ("read", "write")))
    settled = settle(asked, target(MESSAGES))
    assert (settled.request.tools, settled.request.tool_choice) == ((READ, WRITE), ToolChoice("required"))
    assert settle(asked, target(GEMINI)).request.tool_choice == asked.tool_choice


def test_a_forced_tool_is_refused_where_it_cannot_be_forced() -> None:
    asked = request(tools=(READ,), tool_choice=ToolChoice("required"))
    with pytest.raises(InvalidParams, match="`tool_choice`"):
        settle(asked, target(CHAT, tool_choice=frozenset({"none"})))


def test_no_tools_are_sent_where_none_cannot_be_said() -> None:
    asked = request(tools=(READ,), tool_choice=ToolChoice("none"))
    settled = settle(asked, target(CHAT, tool_choice=frozenset({"required"})))
    assert (settled.request.tools, settled.request.tool_choice) == ((), None)


def test_tools_of_a_vendor_are_dropped_or_refused() -> None:
    hosted = Tool(name="code_interpreter", kind="hosted", carry=Carry(RESPONSES, msgspec.Raw(b"{}")))
    settled = settle(request(origin=RESPONSES, tools=(hosted, READ)), target(MESSAGES))
    assert (settled.request.tools, lost(settled)) == ((READ,), [("tools.code_interpreter", "dropped")])
    assert settle(request(origin=RESPONSES, tools=(hosted,)), target(RESPONSES)).request.tools == (hosted,)
    for tool in (Tool(name="bash_20250124", kind="typed"), Tool(name="file_search", kind="hosted")):
        with pytest.raises(InvalidParams, match=f"tools.{tool.name}"):
            settle(request(origin=MESSAGES, tools=(tool,)), target(CHAT))


def test_custom_tools_and_namespaces_become_plain_functions_in_tools_choice_and_history() -> None:
    patch = Tool(name="patch", kind="custom", namespace="files")
    asked = request(
        Turn("assistant", (ToolCall("c", "patch", 'say "hi"', "custom", "files"),)),
        Turn("user", (ToolResult("c", "patch", (Text("ok"),), kind="custom"),)),
        origin=RESPONSES,
        tools=(patch,),
        tool_choice=ToolChoice("required", ("patch",)),
    )
    found = settle(asked, target(MESSAGES)).request
    assert [(tool.name, tool.kind) for tool in found.tools] == [("files__patch", "function")]
    assert found.tool_choice == ToolChoice("required", ("files__patch",))
    assert found.turns[0].parts == (ToolCall("c", "files__patch", '{"input":"say \\"hi\\""}'),)


def test_without_tools_nothing_is_said_about_them() -> None:
    found = settle(request(tool_choice=ToolChoice("auto"), parallel_tool_calls=False), target(MESSAGES)).request
    assert (found.tool_choice, found.parallel_tool_calls) == (None, None)


def test_claude_does_not_think_when_a_tool_is_forced() -> None:
    asked = request(tools=(READ,), tool_choice=ToolChoice("required"), reasoning=Reasoning(effort="high"))
    settled = settle(asked, target(MESSAGES))
    assert (settled.request.reasoning, lost(settled)) == (None, [("reasoning_effort", "dropped")])


def test_claude_takes_no_temperature_while_it_thinks() -> None:
    settled = settle(request(temperature=0.3, reasoning=Reasoning(effort="high")), target(MESSAGES))
    assert (settled.request.temperature, lost(settled)) == (None, [("temperature", "dropped")])


def test_json_without_a_schema_is_asked_for_in_words_where_there_is_no_word() -> None:
    settled = settle(request(format=Format(kind="json_object")), target(MESSAGES))
    assert [turn.role for turn in settled.request.turns] == ["system", "user"]
    assert lost(settled) == [("response_format", "emulated")]


def test_a_schema_is_refused_where_none_is_taken() -> None:
    with pytest.raises(InvalidParams, match="`response_format`"):
        settle(request(format=Format(kind="json_schema")), target(CHAT, schema="none"))


@pytest.mark.parametrize("protocol", ALL)
def test_what_is_settled_is_settled(protocol: str) -> None:
    asked = request(
        Turn("developer", (Text("A", cache=CacheMark()),)), HELLO, Turn("system", (Text("B"),)), Turn("assistant", (Thinking("x"), ToolCall("!", "f"))),
        Turn("user", (ToolResult("!", "f", (Text("1"), IMAGE), is_error=True),)),
        tools=(READ,), stop=("a",) * 9, temperature=1.9, top_k=3, seed=1, reasoning=Reasoning(effort="max"), max_output_tokens=9_000, user="u",
    )  # fmt: skip
    once = settle(asked, target(protocol, max_output_tokens=8_000)).request
    assert settle(once, target(protocol, max_output_tokens=8_000)).request == once


def test_what_the_provider_searched_goes_back_to_it_as_long_as_it_may_search() -> None:
    run = ToolCall("s", "web_search", "{}", "server", carry=SIGNATURE)
    found = ToolResult("s", "web_search", kind="server", carry=SIGNATURE)
    asked = request(HELLO, Turn("assistant", (run, found, Text("Hi"))), web_search=WebSearch())
    assert settle(asked, target(MESSAGES)).request.turns[1].parts == (run, found, Text("Hi"))
    without = msgspec.structs.replace(asked, web_search=None)
    assert settle(without, target(MESSAGES)).request.turns[1].parts == (Text("Hi"),)
    own = msgspec.structs.replace(without, origin=MESSAGES)
    assert settle(own, target(MESSAGES)).request.turns[1].parts == (run, found, Text("Hi"))
