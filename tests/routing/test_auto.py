"""The auto model: what is seen of a request, how hard it is taken to be, which model is chosen, and what that is worth on the labelled set."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.auto import labelled, tallies
from trunkline.catalog.types import Model, Offer, PriceLine
from trunkline.ir.facts import RequestFacts
from trunkline.ir.parts import Media, Text, ToolResult, Turn
from trunkline.ir.request import Request, Tool
from trunkline.ir.wish import Preference
from trunkline.routing.auto import AutoChoice, Features, choose, difficulty, features, features_of, rate

HARD = "Prove that the algorithm is optimal, and derive the expected complexity."


def facts(**fields: object) -> RequestFacts:
    return RequestFacts(
        **{"protocol": "openai.chat", "model": "trunkline/auto", "stream": False, "prompt_bytes": 100, **fields}
    )  # type: ignore[arg-type]


def model(name: str, usd: str = "1", **fields: object) -> Model:
    price = tuple(PriceLine(item, "perMTokens", Decimal(usd)) for item in ("prompt", "completion"))
    supported = fields.pop("supported", None)
    offer = Offer(f"acme/{name}", "acme", name, ("openai.chat",), price, supported_parameters=supported)  # type: ignore[arg-type]
    return Model(
        f"acme/{name}",
        name,
        "acme",
        **{"context_tokens": 100_000, "offers": (offer,), "released_on": "2026-01-01", **fields},
    )  # type: ignore[arg-type]


SMALL, MIDDLE, LARGE = model("small", "0.1"), model("middle", "0.5"), model("large", "10")
RATINGS = {"acme/small": 0.3, "acme/middle": 0.6, "acme/large": 0.95}


def chosen(seen: Features, *models: Model, preference: Preference = "balanced") -> AutoChoice:
    return choose(seen, rate(models or (LARGE, SMALL, MIDDLE), RATINGS), preference)


@pytest.mark.parametrize(
    ("question", "taken"),
    [("hi there!", "small"), ("Explain in a few sentences how a heat pump works, and when it pays to have one.", "middle"), (HARD, "large")],
)  # fmt: skip
def test_the_cheapest_model_that_is_up_to_the_request_is_chosen(question: str, taken: str) -> None:
    assert chosen(features(question, facts())).models[0] == f"acme/{taken}"


def test_performance_takes_the_most_capable_whatever_is_asked() -> None:
    assert chosen(features("hi there!", facts()), preference="performance").models[0] == "acme/large"


def test_of_models_that_are_about_equally_capable_performance_takes_the_cheapest() -> None:
    twin = model("twin", "5")
    ranked = choose(features(HARD, facts()), rate((LARGE, twin), {**RATINGS, "acme/twin": 0.94}), "performance")
    assert ranked.models == ("acme/twin", "acme/large")


def test_price_gives_what_is_only_just_hard_to_the_smaller_model() -> None:
    seen = Features(question_chars=215, expert_words=1)
    assert difficulty(seen).level == "hard"
    assert chosen(seen).models[0] == "acme/large"
    assert chosen(seen, preference="price").models[0] == "acme/middle"


def test_the_other_models_follow_as_fallbacks_the_nearest_first() -> None:
    assert chosen(features(HARD, facts())).models == ("acme/large", "acme/middle", "acme/small")


def test_where_no_model_is_up_to_it_the_most_capable_is_taken() -> None:
    assert chosen(features(HARD, facts()), SMALL, MIDDLE).models[0] == "acme/middle"


def test_a_model_that_cannot_do_what_is_needed_is_left_out() -> None:
    hello = "hi there!"
    sees = model("middle", "0.5", input=("text", "image"))
    calls = model("middle", "0.5", supported=("tools",))
    thinks = model("middle", "0.5", reasoning=True)
    deaf = model("small", "0.1", supported=("temperature",))
    images, tools, reasoning = (
        facts(modalities=frozenset({"text", "image"})),
        facts(needs=("tools",)),
        facts(needs=("reasoning",)),
    )
    assert chosen(features(hello, images), SMALL, sees).models == ("acme/middle",)
    assert chosen(features(hello, tools), deaf, calls).models == ("acme/middle",)
    assert chosen(features(hello, reasoning), SMALL, thinks).models == ("acme/middle",)
    assert chosen(
        features(hello, facts(prompt_bytes=400_000)), SMALL, model("middle", context_tokens=1_000_000)
    ).models == ("acme/middle",)


def test_where_no_model_can_do_it_all_are_given_so_that_the_plan_says_why() -> None:
    assert len(chosen(features("hi", facts(modalities=frozenset({"video"})))).models) == 3


def test_without_models_there_is_no_choice() -> None:
    assert choose(features("hi", facts()), ()).models == ()


def test_the_reason_names_model_preference_difficulty_and_what_made_it() -> None:
    reason = chosen(features(HARD, facts())).reason
    assert reason.startswith("acme/large chosen (balanced): difficulty 1.00, hard (72 characters; ")
    assert "words of proof" in reason
    assert "capability 0.95, 0.78 needed; 10.00 USD per million tokens" in reason


def test_reasoning_that_was_asked_for_makes_a_request_harder() -> None:
    plain, thoughtful = facts(), facts(needs=("reasoning",))
    question = "Which of the two schedules is done first?"
    assert difficulty(features(question, thoughtful)).score == pytest.approx(
        difficulty(features(question, plain)).score + 0.3
    )


def test_the_question_is_the_last_turn_with_words_of_the_callers_own() -> None:
    request = Request(
        origin="openai.chat",
        model="trunkline/auto",
        tools=(Tool(name="look"),),
        turns=(
            Turn("system", (Text("Prove every theorem rigorously."),)),
            Turn("user", (Text("hello"), Media(kind="image", url="https://example.com/a.png"))),
            Turn("user", (ToolResult("call_1", parts=(Text("derive the algorithm"),)),)),
        ),
    )
    seen = features_of(request, facts())
    assert (seen.question_chars, seen.proof_words, seen.images, seen.tools, seen.turns) == (5, 0, 1, 1, 2)


def test_words_of_scripts_without_spaces_and_with_vowel_signs_are_found() -> None:
    assert features("请证明这个定理", facts()).proof_words == 2
    assert features("सिद्ध कीजिए", facts()).proof_words == 1
    assert features("in the history of it", facts()).easy_words == 0


def test_only_the_beginning_and_the_end_of_a_long_question_are_looked_at() -> None:
    padding = "word " * 100_000
    assert features(f"{padding} theorem {padding}", facts()).proof_words == 0
    assert features(f"{padding} theorem", facts()).proof_words == 1


@given(st.text(max_size=300), st.integers(0, 10**9), st.integers(0, 10**4))
def test_any_text_gets_a_score_between_0_and_1(text: str, size: int, turns: int) -> None:
    assert 0 <= difficulty(features(text, facts(prompt_bytes=size), turns=turns, tools=turns, images=turns)).score <= 1


def test_a_newer_or_dearer_or_reasoning_model_is_rated_higher_and_one_without_a_price_small() -> None:
    plain = model("plain")
    better = [model("dear", "5"), model("new", released_on="2026-11-01"), model("thinks", reasoning=True)]
    base, *others = (one.capability for one in rate((plain, *better)))
    assert all(other > base for other in others)
    assert rate((model("local", offers=()),))[0].capability == 0.2


def test_on_prompts_written_after_the_rules_it_is_better_than_any_fixed_choice_and_seldom_too_small() -> None:
    last = {one.name: one for one in tallies([one for one in labelled() if one.half == "last"])}
    auto = last["auto, balanced"]
    assert auto.right >= 0.7
    assert auto.right >= 1.8 * max(
        last[name].right for name in ("always the cheapest", "always the best", "always the middle one")
    )
    assert auto.undershoot <= 0.22
    assert auto.cost <= 0.3
