"""Turns of one conversation stay with the provider that holds their cache, or that made the state which they bring back."""

from tests.fakes.upstream import fails, says

LONG = {"prompt_tokens": 2000, "completion_tokens": 5, "total_tokens": 2005}
HOUSE_RULES = "The rules of the house. " * 200


def answered_elsewhere_once(model, *, usage=LONG, **fields) -> None:
    """The first turn of a conversation: `first` fails, `second` answers. Then `first` is well again, and goes first."""
    model.plays(fails(500), *[says("first", usage=usage)] * 20, second=says("second", usage=usage))
    assert model.ask(**fields).text == "second"
    for _ in range(8):
        assert model.gateway.chat(f"{model.slug}:first", "get well").text == "first"
    assert model.ask("another conversation").text == "first"


def test_a_conversation_that_its_caller_names_goes_back_to_its_cache(model) -> None:
    answered_elsewhere_once(model, message=HOUSE_RULES, prompt_cache_key="c1")
    answer = model.ask(HOUSE_RULES + "And now?", prompt_cache_key="c1")
    assert answer.text == "second"
    reason = next(one.reason for one in model.gateway.record(answer.id).plan if one.rank == 1)
    assert reason.startswith("holds this conversation's prompt cache, 2000 tokens worth ")
    assert model.ask(HOUSE_RULES + "And now?", prompt_cache_key="c2").text == "first"


def test_a_conversation_without_a_name_is_known_by_its_beginning(model) -> None:
    answered_elsewhere_once(model, message=HOUSE_RULES)
    turns = [{"role": "user", "content": HOUSE_RULES}, {"role": "assistant", "content": "second"}]
    more = [*turns, {"role": "user", "content": "And now?"}]
    assert model.ask(messages=more).text == "second"
    assert model.ask(HOUSE_RULES + "!").text == "first"


def test_a_caller_who_wishes_an_order_gets_it(model) -> None:
    answered_elsewhere_once(model, message=HOUSE_RULES)
    assert model.ask(HOUSE_RULES, provider={"order": ["first"]}).text == "first"


def test_state_goes_back_to_who_made_it_and_elsewhere_only_with_notice(model) -> None:
    answered_elsewhere_once(model, usage=LONG | {"completion_tokens_details": {"reasoning_tokens": 3}}, message="think")
    turns = [
        {"role": "user", "content": "think"},
        {"role": "assistant", "content": "so", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
        {"role": "user", "content": "And now?"},
    ]
    assert model.ask(messages=turns).text == "second"
    model.plays(says("first"), second=fails(500))
    answer = model.ask(messages=turns)
    assert answer.text == "first"
    assert any("went elsewhere than to" in note for note in model.gateway.record(answer.id).notes)
