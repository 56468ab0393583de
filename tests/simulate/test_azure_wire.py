"""Where Azure's dialect differs from OpenAI's."""

import openai

from tests.fakes.simulated import SimulatedProvider
from tests.simulate.conftest import AZURE, OPENAI, Post

DEPLOYMENT = "/azure-sim/openai/deployments/mine/chat/completions"


def test_a_stream_starts_with_what_the_filter_said_of_the_prompt(post: Post) -> None:
    first = post("hello", path=AZURE, stream=True).chunks[0]
    assert (first["choices"], first["id"], first["created"]) == ([], "", 0)
    assert first["prompt_filter_results"][0]["content_filter_results"]["violence"]["severity"] == "safe"


def test_every_choice_of_a_stream_is_judged(post: Post) -> None:
    choices = [chunk["choices"][0] for chunk in post("<<say hi>>", path=AZURE, stream=True).chunks[1:]]
    judged = [len(choice["content_filter_results"]) for choice in choices]
    assert judged == [0, 4, 4, 0]  # Role and end are not judged, text is.


def test_keys_of_a_chunk_are_in_alphabetical_order(post: Post) -> None:
    chunks = post("hello", path=AZURE, stream=True, stream_options={"include_usage": True}).chunks
    assert all(list(chunk) == sorted(chunk) for chunk in chunks)


def test_an_answer_has_filter_results_and_no_service_tier(post: Post) -> None:
    answer = post("hello", path=AZURE)
    assert answer.json["prompt_filter_results"][0]["prompt_index"] == 0
    assert answer.json["choices"][0]["content_filter_results"]["hate"] == {"filtered": False, "severity": "safe"}
    assert "service_tier" not in answer.json
    assert answer.headers["x-ms-region"] == "Simulated"
    assert answer.headers["apim-request-id"]


def test_both_dialects_give_the_same_text(post: Post) -> None:
    texts = {post("hello", path=path).json["choices"][0]["message"]["content"] for path in (OPENAI, AZURE)}
    assert len(texts) == 1


def test_the_older_paths_take_the_model_from_the_deployment(post: Post) -> None:
    answer = post("hello", path=f"{DEPLOYMENT}?api-version=2024-10-21", model=None)
    assert answer.json["model"] == "mine"


def test_the_older_paths_demand_an_api_version(post: Post) -> None:
    answer = post("hello", path=DEPLOYMENT)
    assert answer.status == 404
    assert answer.json == {"error": {"code": "404", "message": "Resource not found"}}


def test_the_vendors_own_sdk_gets_along_with_it(azure: openai.AzureOpenAI) -> None:
    stream = azure.chat.completions.create(
        model="mine", messages=[{"role": "user", "content": "<<say hi>>"}], stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "[simulated] hi"


def test_a_key_is_taken_from_the_api_key_header_or_as_bearer(post: Post, simulated: SimulatedProvider) -> None:
    simulated.behaviour("azure-sim", api_keys=["secret"])
    assert post(path=AZURE, headers={"api-key": "secret"}).status == 200
    assert post(path=AZURE, headers={"authorization": "Bearer secret"}).status == 200
    refused = post(path=AZURE, headers={"api-key": "other"})
    assert refused.status == 401
    assert refused.json["error"]["code"] == "401"
    assert b"other" not in refused.body
