"""Which exception the SDK raises, what it carries, and whether the SDK tries again."""

import openai
import pytest

from tests.fakes.gateway import MASTER_KEY
from tests.fakes.upstream import Call, chunk, fails, says, streams

HI = [{"role": "user", "content": "hi"}]
STATUS = [
    (400, openai.BadRequestError, "invalid_params"),
    (413, openai.APIStatusError, "invalid_params"),
    (422, openai.UnprocessableEntityError, "provider_unprocessable_entity_error"),
    (429, openai.RateLimitError, "rate_limit"),
    (500, openai.InternalServerError, "no_provider_available"),
]
SHOWN = {500: 502}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("status", "kind", "type_"), STATUS)
def test_each_status_raises_its_class(client, scripted, status, kind, type_, stream) -> None:
    scripted.plays(fails(status, "what was wrong", param="messages"))
    with pytest.raises(kind) as raised:
        client.chat.completions.create(model=scripted.slug, messages=HI, stream=stream)
    error = raised.value
    shown = SHOWN.get(status, status)
    assert (error.status_code, error.code, error.type) == (shown, str(shown), type_)
    assert error.request_id.startswith("req_")
    assert error.body["request_id"] == error.request_id
    if status < 429:
        assert (error.body["message"], error.param) == ("what was wrong", "messages")


async def test_the_async_client_raises_the_same(async_client, scripted) -> None:
    scripted.plays(fails(422, "what was wrong"))
    with pytest.raises(openai.UnprocessableEntityError, match="what was wrong"):
        await async_client.chat.completions.create(model=scripted.slug, messages=HI)


def test_a_wrong_key_is_a_denied_permission(gateway) -> None:
    client = openai.OpenAI(base_url=gateway.base_url, api_key="sk-tl-wrong", max_retries=2)
    with client, pytest.raises(openai.PermissionDeniedError) as raised:
        client.chat.completions.create(model="openai/o4-mini", messages=HI)
    assert raised.value.type == "access_denied"


def test_an_unknown_model_and_one_that_cannot_do_it_are_not_found(client, scripted) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="openai/nothing", messages=HI)
    with pytest.raises(openai.NotFoundError) as unable:
        client.chat.completions.create(model=scripted.slug, messages=HI, reasoning_effort="low")
    assert (unknown.value.type, unable.value.type) == ("invalid_model", "model_not_supported")


def test_a_provider_that_needs_too_long_is_504(client, upstream) -> None:
    upstream.plays("first", "acme--hasty", Call.stall)
    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(model="acme/hasty", messages=HI, stream=True)
    assert (raised.value.status_code, raised.value.type) == (504, "provider_timeout")


def test_an_error_inside_a_stream_is_raised_where_it_comes(client, scripted) -> None:
    scripted.plays(streams(chunk({"content": "half an"}), Call.pause))
    stream = client.chat.completions.create(model=scripted.slug, messages=HI, stream=True)
    assert next(stream).choices[0].delta.content == "half an"
    scripted.calls[0].go_on()
    with pytest.raises(openai.APIError, match="broke off") as raised:
        next(stream)
    assert (raised.value.code, raised.value.type) == ("502", "no_provider_available")


# --- trying again


@pytest.fixture
def stubborn(gateway):
    """A client as it is by default: it tries twice more."""
    with openai.OpenAI(base_url=gateway.base_url, api_key=MASTER_KEY, timeout=20) as made:
        yield made


def test_the_sdk_waits_as_long_as_it_is_told_and_tries_again(stubborn, scripted) -> None:
    scripted.plays(fails(429, "slow down", headers={"retry-after-ms": "300"}), says("now it goes"))
    completion = stubborn.chat.completions.create(model=scripted.slug, messages=HI)
    assert completion.choices[0].message.content == "now it goes"
    assert len(scripted.calls) == 2


@pytest.mark.parametrize("status", [500, 502, 529])
def test_the_sdk_tries_again_where_the_gateway_had_no_other_offer(stubborn, scripted, status) -> None:
    scripted.plays(fails(status))
    with pytest.raises(openai.InternalServerError):
        stubborn.chat.completions.create(model=scripted.slug, messages=HI)
    assert len(scripted.calls) == 3


@pytest.mark.parametrize("status", [400, 413, 422])
def test_the_sdk_does_not_try_again_what_is_wrong_in_itself(stubborn, scripted, status) -> None:
    scripted.plays(fails(status))
    with pytest.raises(openai.APIStatusError):
        stubborn.chat.completions.create(model=scripted.slug, messages=HI)
    assert len(scripted.calls) == 1
