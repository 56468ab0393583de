"""Whose fault an upstream error is: real answers of vendors, one line each."""

import pytest

from trunkline.errors import InvalidModel, InvalidParams, PayloadTooLarge, Unprocessable
from trunkline.execution.blame import SafetyRefused, blame, client_error
from trunkline.ir.fault import Blame, Fault

CLIENT, OPERATOR, PROVIDER = Blame.CLIENT, Blame.OPERATOR, Blame.PROVIDER


@pytest.mark.parametrize(
    ("status", "fault", "whose"),
    [
        (400, Fault("Invalid value: 'x'", "invalid_value", "invalid_request_error"), CLIENT),
        (400, Fault("maximum context length is 8192 tokens", "context_length_exceeded"), CLIENT),
        (400, Fault("API key not valid. Please pass a valid API key.", "400", "INVALID_ARGUMENT"), OPERATOR),
        (400, Fault("Your credit balance is too low to access the Anthropic API."), OPERATOR),
        (400, Fault("The response was filtered", "content_filter"), CLIENT),
        (401, Fault("Incorrect API key provided", "invalid_api_key"), OPERATOR),
        (402, Fault("Insufficient Balance", "invalid_request_error"), OPERATOR),
        (403, Fault("Country, region, or territory not supported", "unsupported_country_region_territory"), OPERATOR),
        (403, Fault("Your input was flagged by moderation"), CLIENT),
        (403, Fault("Input validation error: `inputs` tokens + `max_new_tokens`: context length"), CLIENT),
        (404, Fault("The model `x` does not exist", "model_not_found"), OPERATOR),
        (404, Fault("The API deployment for this resource does not exist", "DeploymentNotFound"), OPERATOR),
        (404, Fault("No such File object: file-1"), CLIENT),
        (404, Fault(), OPERATOR),
        (408, Fault("timeout"), PROVIDER),
        (409, Fault(), PROVIDER),
        (424, Fault("the model failed"), PROVIDER),
        (413, Fault("too large"), CLIENT),
        (422, Fault("bad schema"), CLIENT),
        (429, Fault("Rate limit reached", "rate_limit_exceeded", "requests"), PROVIDER),
        (429, Fault("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), OPERATOR),
        (451, Fault(), CLIENT),
        (451, Fault("for legal reasons"), CLIENT),
        (500, Fault(), PROVIDER),
        (503, Fault("the billing service is down"), PROVIDER),
        (503, Fault("billing service is down"), PROVIDER),
        (529, Fault("Overloaded", type="overloaded_error"), PROVIDER),
        (302, Fault(), OPERATOR),
    ],
)
def test_each_answer_has_one_to_blame(status: int, fault: Fault, whose: Blame) -> None:
    assert blame(status, fault) is whose


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, InvalidParams), (403, SafetyRefused), (404, InvalidModel), (413, PayloadTooLarge), (422, Unprocessable)],
)
def test_the_client_is_told_in_the_providers_words(status: int, kind: type) -> None:
    error = client_error(status, Fault("what was wrong", param="messages[0]"))
    assert type(error) is kind
    assert (error.status, error.message, error.param) == (status, "what was wrong", "messages[0]")


def test_a_refusal_without_words_still_says_something() -> None:
    assert client_error(451, Fault()).message == "The provider refused the request with status 451."
