"""What is taken out of bodies before they are stored: keys, cards, addresses, the operator's own patterns; in streams too."""

import json

import pytest

from trunkline.records.redaction import BUILT_IN, literal_rules, rules_of, scrubbed, scrubbed_stream, scrubbed_text

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
    "-----BEGIN RSA PRIVATE KEY-----\\nProc-Type: 4,ENCRYPTED\\nDEK-Info: AES-128-CBC,01\\n\\nMI+=\\n-----END RSA PRIVATE KEY-----",
    r"-----BEGIN PGP PRIVATE KEY BLOCK-----\nComment: \"a-b\"\n\nlQ+/=\n=ab12\n-----END PGP PRIVATE KEY BLOCK-----",
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
    ("text", "shown"),
    [
        ("qty 2 4111 1111 1111 1111", "qty 2 [redacted: card number]"),
        ("id 5 4111111111111111", "id 5 [redacted: card number]"),
        ("4111 1111 1111 1111 12/27", "[redacted: card number] 12/27"),
        ("3 4 5 5500-0000-0000-0004", "3 4 5 [redacted: card number]"),
    ],
)
def test_a_card_beside_other_numbers_is_taken_out(text, shown):
    assert scrubbed_text(text, CARDS) == shown


def test_a_key_right_behind_what_only_looks_like_one_is_taken_out():
    assert scrubbed_text("task-" + SECRETS[0], KEYS) == "task-[redacted: key]"


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
    shown = scrubbed(stream(*pieces), rules)
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
    for text in ("a" * 300_000, "4 " * 150_000, "sk-" * 100_000, "a@" * 150_000, "eyJ" * 100_000, "xsk-" * 75_000):
        scrubbed_text(text, (*KEYS, *CARDS, *EMAILS))


def test_a_private_key_that_is_cut_off_goes_with_its_json_string_alone():
    text = json.dumps({"a": "-----BEGIN PRIVATE KEY-----\nMIIB", "b": "stays"})
    assert json.loads(scrubbed_text(text, KEYS)) == {"a": "[redacted: private key]", "b": "stays"}


def of_choice(index, text):
    return {"choices": [{"index": index, "delta": {"content": text}}]}


def of_output(index, text):
    return {"type": "response.output_text.delta", "output_index": index, "content_index": 0, "delta": text}


def of_item(index, text):
    return {"type": "response.output_text.delta", "item_id": f"msg_{index}", "delta": text}


def of_block(index, text):
    return {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}}


def of_call(index, text):
    return {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": index, "function": {"arguments": text}}]}}]}


def in_turns(place):
    """Two texts in pieces of five characters, in turns."""
    other = "x" * len(SECRETS[0])
    for at in range(0, len(other), 5):
        yield place(0, SECRETS[0][at : at + 5])
        yield place(1, other[at : at + 5])


@pytest.mark.parametrize("place", [of_choice, of_output, of_item, of_block, of_call])
def test_a_secret_in_pieces_is_found_where_texts_take_turns(place):
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in in_turns(place))
    shown = scrubbed(text, KEYS)
    assert shown.count("[redacted: key]") == 1
    assert shown.count(SECRETS[0][5:10]) == 0
    assert shown.count("xxxxx") == text.count("xxxxx")


def test_a_secret_of_which_one_piece_is_a_secret_by_itself_goes_whole():
    secret = SECRETS[0]
    assert said(scrubbed(stream("a ", secret[:22], secret[22:], " b"), KEYS)) == "a [redacted: key] b"


def of_candidate(text, **more):
    return {"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, **more}]}


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_stream_that_is_one_json_array_is_looked_at_like_events(is_cut):
    secret = SECRETS[0]
    events = [of_candidate("a " + secret[:9]), of_candidate(secret[9:12]), of_candidate(secret[12:] + " b", index=0)]
    text = "[" + "\n,\r\n".join(json.dumps(event, indent=2) for event in (*events, of_candidate("end"))) + "\n]"
    shown = scrubbed(text[:-20] if is_cut else text, KEYS)
    assert "[redacted: key]" in shown
    assert secret[:9] not in shown
    assert secret[12:] not in shown
    assert is_cut or [event["candidates"][0]["content"]["parts"][0]["text"] for event in json.loads(shown)] == [
        "a [redacted: key]",
        "",
        " b",
        "end",
    ]


@pytest.mark.parametrize("text", ["[", "[]", "[1, 2]", "[{]", "[" * 5000, '["a", "b"', "data: " + "[" * 5000])
def test_what_only_begins_like_a_stream_stays(text):
    assert scrubbed(text, KEYS) == text


def test_keys_of_the_operator_are_known_by_their_letters():
    rules = literal_rules(["plain/Secret1", "plain/Secret1234", "none", ""])
    assert scrubbed_text("a plain/Secret1234, plain\\/Secret1 none", rules) == "a [key], [key] none"
    assert said(scrubbed(stream("is plain/", "Secret1", "."), rules)) == "is [key]."


@pytest.mark.parametrize("size", [10, 900, 5000])
def test_what_an_own_rule_finds_is_found_whole_wherever_it_lies(size):
    rules = rules_of((), [("own", "<[a-z]+>?")])
    for before in (0, 1000, 1020, 1500, 2040, 2048, 9000):
        text = "." * before + "<" + "a" * size + ">" + "." * 3000
        assert scrubbed_text(text, rules) == "." * before + "[redacted: own]" + "." * 3000
