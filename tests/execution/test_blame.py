"""Whose fault an upstream error is, by status and words, as vendors write them."""

import pytest

from trunkline.errors import InvalidParams, PayloadTooLarge, Unprocessable
from trunkline.execution.blame import SafetyRefused, blame, client_error
from trunkline.ir.fault import Blame, Fault

CLIENT, OPERATOR, PROVIDER = Blame.CLIENT, Blame.OPERATOR, Blame.PROVIDER


@pytest.mark.parametrize(
    ("status", "fault", "whose"),
    [
        (400, Fault("Unsupported value: 'temperature'", "unsupported_value", "invalid_request_error", "temperature"), CLIENT),
        (400, Fault("maximum context length is 128000 tokens", "context_length_exceeded"), CLIENT),
        (400, Fault("API key not valid. Please pass a valid API key.", "400", "INVALID_ARGUMENT"), OPERATOR),
        (400, Fault("Your credit balance is too low to access the Anthropic API"), OPERATOR),
        (400, Fault("The response was filtered", "content_filter"), CLIENT),
        (401, Fault("Incorrect API key provided: sk-abc", "invalid_api_key"), OPERATOR),
        (402, Fault("Insufficient Balance"), OPERATOR),
        (403, Fault("Country, region, or territory not supported"), OPERATOR),
        (403, Fault("Your chosen model requires moderation and your input was flagged"), CLIENT),
        (403, Fault("Input token count + max_tokens parameter must be less than the context length"), CLIENT),
        (404, Fault("The model `gpt-9` does not exist", "model_not_found"), OPERATOR),
        (404, Fault("The API deployment for this resource does not exist", "DeploymentNotFound"), OPERATOR),
        (404, Fault("No such File object: file-1"), CLIENT),
        (404, Fault(), OPERATOR),
        (408, Fault(), PROVIDER),
        (409, Fault("conflict"), PROVIDER),
        (413, Fault("too large"), CLIENT),
        (422, Fault("field required"), CLIENT),
        (429, Fault("Rate limit reached", "rate_limit_exceeded"), PROVIDER),
        (429, Fault("You exceeded your current quota, please check your plan and billing details", "insufficient_quota"), OPERATOR),
        (500, Fault(), PROVIDER),
        (529, Fault("Overloaded", "overloaded_error"), PROVIDER),
        (302, Fault(), OPERATOR),
    ],
)
def test_blame(status: int, fault: Fault, whose: Blame) -> None:
    assert blame(status, fault) is whose


@pytest.mark.parametrize(("status", "kind"), [(400, InvalidParams), (403, SafetyRefused), (413, PayloadTooLarge), (422, Unprocessable), (418, InvalidParams)])
def test_the_callers_fault_goes_back_in_the_providers_words(status: int, kind: type) -> None:
    error = client_error(status, Fault("prompt is too long: 9 tokens > 8 maximum", param="messages"))
    assert type(error) is kind
    assert error.message == "prompt is too long: 9 tokens > 8 maximum"
    assert error.param == "messages"
