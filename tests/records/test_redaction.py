"""What is taken out of bodies before they are stored: keys, cards, addresses, the operator's own patterns; in streams too."""

import json

import pytest

from trunkline.records.redaction import BUILT_IN, rules_of, scrubbed_stream, scrubbed_text

KEYS, CARDS, EMAILS = BUILT_IN["keys"], BUILT_IN["cards"], BUILT_IN["emails"]
# Put together here, so that no scanner takes this file for a leak.
SECRETS = [
    "sk-" + "a1B2" * 6,
    "sk-tl-" + "x_Y-" * 8,
    "AIza" + "Sy" * 18,
    "AKIA" + "ABCD" * 4,
    "ghp_" + "a1" * 18,
    "github_pat_" + "a1" * 12,
    "xoxb-" + "12345-" * 3 + "abc",
    "sk_live_" + "ab12" * 6,
    "Bearer " + "abc.def-" * 4,
    "eyJ" + "hbGci" * 2 + ".eyJ" + "zdWIi" * 2 + "." + "sIgn" * 4,
    "-----BEGIN PRIVATE KEY-----\\nMIIB\\n-----END PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_keys_and_tokens_are_taken_out(secret):
    shown = scrubbed_text(f'{{"content": "use {secret} please"}}', KEYS)
    assert secret not in shown
    assert json.loads(shown)["content"].startswith("use [redacted: ")
    assert json.loads(shown)["content"].endswith(" please")


@pytest.mark.parametrize("text", ["risk-averse people", "task-" + "a" * 30, "a skeleton", "AIza", "sk-short", "xoxo"])
def test_words_are_left(text):
    assert scrubbed_text(text, KEYS) == text


@pytest.mark.parametrize("card", ["4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005"])
def test_card_numbers_are_taken_out(card):
    assert scrubbed_text(f"pay with {card}.", CARDS) == "pay with [redacted: card number]."


@pytest.mark.parametrize(
    "number", ["4111111111111112", "1732453123456", "0.4111111111111111", "12345678901234567890123"]
)
def test_other_numbers_are_left(number):
    assert scrubbed_text(number, CARDS) == number


def test_addresses_are_taken_out_where_the_operator_says_so():
    text = "write to alice.b+c@mail.example.com, or to @alice"
    assert scrubbed_text(text, EMAILS) == "write to [redacted: e-mail], or to @alice"
    assert scrubbed_text(text, rules_of(("keys", "cards"), [])) == text


def test_the_operators_own_patterns_have_their_names():
    assert scrubbed_text("badge AC-123456", rules_of((), [("badge", "AC-[0-9]{6}")])) == "badge [redacted: badge]"


def stream(*pieces, place=lambda text: {"id": "chatcmpl-1", "choices": [{"delta": {"content": text}}]}):
    return "".join(f"data: {json.dumps(place(piece))}\n\n" for piece in pieces) + "data: [DONE]\n\n"


def said(text):
    events = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]
    return "".join(event["choices"][0]["delta"]["content"] for event in events)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_secret_in_pieces_of_a_stream_is_taken_out_whole(size):
    secret = SECRETS[0]
    text = f"Here: {secret} and 4111 1111 1111 1111, twice {secret}!"
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    rules = (*KEYS, *CARDS)
    shown = scrubbed_stream(scrubbed_text(stream(*pieces), rules), rules)
    assert said(shown) == "Here: [redacted: key] and [redacted: card number], twice [redacted: key]!"
    assert shown.endswith("data: [DONE]\n\n")


def test_what_is_the_same_in_every_event_is_no_text_in_pieces():
    text = stream("a", "b", place=lambda text: {"id": "4111" * 2, "choices": [{"delta": {"content": text}}]})
    assert scrubbed_stream(text, CARDS) == text


def test_a_stream_that_is_no_json_stays():
    text = "data: {broken\n\ndata: sk-\n\n: comment\n\n"
    assert scrubbed_stream(text, KEYS) == text


def test_long_text_takes_no_quadratic_time():
    # One that backtracks would not come back from these within a test's patience.
    for text in ("a" * 300_000, "4 " * 150_000, "sk-" * 100_000, "a@" * 150_000, "eyJ" * 100_000):
        scrubbed_text(text, (*KEYS, *CARDS, *EMAILS))
