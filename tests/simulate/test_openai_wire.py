"""What OpenAI's dialect looks like on the wire, field by field."""

import openai

from tests.simulate.conftest import Post

EXTRAS = ("service_tier", "system_fingerprint")


def test_an_answer_has_the_vendors_fields_and_says_that_it_is_simulated(post: Post) -> None:
    answer = post("hello")
    assert answer.status == 200
    assert set(answer.json) == {"id", "object", "created", "model", "choices", "usage", *EXTRAS}
    assert answer.json["object"] == "chat.completion"
    assert answer.json["system_fingerprint"] == "simulated"
    assert answer.headers["x-simulated"] == "true"
    choice = answer.json["choices"][0]
    assert choice["message"]["content"].startswith("[simulated] ")
    assert (choice["message"]["role"], choice["finish_reason"]) == ("assistant", "stop")


def test_an_answer_carries_the_vendors_headers(post: Post) -> None:
    headers = post("hello").headers
    assert headers["x-request-id"].startswith("req_")
    assert headers["openai-processing-ms"].isdigit()
    assert headers["content-type"] == "application/json"


def test_a_stream_starts_with_the_role_and_ends_with_the_reason_and_done(post: Post) -> None:
    answer = post("<<say one two>>", stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body.endswith(b"\n\ndata: [DONE]\n\n")
    deltas = [chunk["choices"][0]["delta"] for chunk in answer.chunks]
    assert deltas[0] == {"role": "assistant", "content": "", "refusal": None}
    assert [delta["content"] for delta in deltas[1:-1]] == ["[simulated]", " one", " two"]
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in answer.chunks]
    assert reasons == [None, None, None, None, "stop"]


def test_all_chunks_of_a_stream_share_id_and_time(post: Post) -> None:
    chunks = post("hello", stream=True).chunks
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


def test_usage_comes_in_a_last_chunk_without_choices_when_asked_for(post: Post) -> None:
    chunks = post("hello", stream=True, stream_options={"include_usage": True}).chunks
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] > 0


def test_no_chunk_mentions_usage_when_it_was_not_asked_for(post: Post) -> None:
    assert all("usage" not in chunk and chunk["choices"] for chunk in post("hello", stream=True).chunks)


def test_usage_counts_cached_and_reasoning_tokens_inside_the_sums(post: Post) -> None:
    usage = post("<<usage 100 40 30 20>>").json["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (100, 40, 140)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 30
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 20


def test_a_streamed_answer_says_the_same_as_one_that_is_not(post: Post) -> None:
    whole = post("tell me something").json["choices"][0]["message"]["content"]
    deltas = [chunk["choices"][0]["delta"] for chunk in post("tell me something", stream=True).chunks]
    assert "".join(delta.get("content") or "" for delta in deltas) == whole


def test_the_same_question_gets_the_same_answer_whatever_the_order_of_its_fields(post: Post) -> None:
    def content(**fields: object) -> str:
        return str(post("why?", **fields).json["choices"][0]["message"]["content"])

    assert content() == content(stream=False, model="gpt-4.1") == content(model="gpt-4.1", stream=None)
    assert content() != content(seed=1)
    assert content(messages=[{"content": "why?", "role": "user"}]) == content()


def test_tool_calls_come_as_deltas_after_the_role(post: Post) -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in "ab"]
    message = '<<calls [{"name": "a", "args": {"x": 1}}, {"name": "b"}]>>'
    chunks = post(message, stream=True, tools=tools).chunks
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": None, "refusal": None}
    opened = [delta["tool_calls"][0] for delta in deltas[1:-1] if "id" in delta["tool_calls"][0]]
    assert [(call["index"], call["function"]) for call in opened] == [
        (0, {"name": "a", "arguments": ""}),
        (1, {"name": "b", "arguments": ""}),
    ]
    assert len({call["id"] for call in opened}) == 2
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_the_sdk_puts_tool_arguments_together_again(client: openai.OpenAI) -> None:
    tools: list[openai.types.chat.ChatCompletionToolParam] = [
        {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    ]
    message = '<<call look {"where": "in the long cupboard, third shelf", "n": 3}>>'
    with client.chat.completions.stream(
        model="o4-mini", messages=[{"role": "user", "content": message}], tools=tools
    ) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].function.arguments == '{"where": "in the long cupboard, third shelf", "n": 3}'


def test_thinking_comes_before_the_text_and_counts_as_reasoning(post: Post) -> None:
    chunks = post(
        "<<think let me see>><<say so>>", stream=True, model="gpt-4.1", stream_options={"include_usage": True}
    ).chunks
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[1:-2]]
    assert [next(iter(delta)) for delta in deltas] == ["reasoning_content"] * 3 + ["content"] * 2
    assert chunks[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"] == 3


def test_models_are_listed_and_found_one_by_one(client: openai.OpenAI) -> None:
    assert "o4-mini" in [model.id for model in client.models.list()]
    assert client.models.retrieve("o4-mini").owned_by == "simulated"
