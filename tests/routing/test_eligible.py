"""Which offers can take a request at all: every exclusion has its reason, and names the field that mends it."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.catalog.types import DataPolicy, Model, Offer, PriceLine, Provider, When
from trunkline.errors import InvalidModel, ModelNotSupported, PayloadTooLarge, RequestError
from trunkline.ir.facts import RequestFacts
from trunkline.ir.wish import PolicyWish, RoutingWish
from trunkline.routing.eligible import Rules, eligible
from trunkline.routing.tokens import ENOUGH, Learned
from trunkline.routing.types import Choice, Eligible

CHAT = "openai.chat"
TODAY = "2026-11-24"
ALPHA = Model("acme/alpha", "Alpha", "acme", context_tokens=1000, max_output_tokens=900)
BETA = Model("acme/beta", "Beta", "acme", context_tokens=1000, max_output_tokens=900)


def offer(provider: str, model: Model = ALPHA, **fields: object) -> Offer:
    return Offer(model=model.slug, provider=provider, upstream_model="alpha-1", protocols=(CHAT,), **fields)  # type: ignore[arg-type]


def facts(**fields: object) -> RequestFacts:
    return RequestFacts(protocol=CHAT, model=ALPHA.slug, stream=True, **{"prompt_bytes": 10, **fields})  # type: ignore[arg-type]


def found(
    wish: RoutingWish,
    *offers: Offer,
    asked: RequestFacts | None = None,
    policies: dict[str, DataPolicy] | None = None,
    learned: Learned | None = None,
) -> Eligible:
    providers = {slug: Provider(slug, slug, data_policy=policy) for slug, policy in (policies or {}).items()}
    rules = Rules(TODAY, wish=wish, providers=providers, learned=learned or Learned())
    return eligible(asked or facts(), [Choice(ALPHA, offers)], rules)


def left(one: Eligible) -> list[str]:
    return [step.offer.provider for step in one.steps]


def reasons(one: Eligible) -> dict[str, str]:
    return {row.offer.rpartition(":")[2]: row.reason for row in one.excluded}


NOTHING = RoutingWish()


# --- providers


def test_only_the_named_providers_stay() -> None:
    made = found(RoutingWish(only=("b", "c")), offer("a"), offer("b"))
    assert left(made) == ["b"]
    assert reasons(made) == {"a": "is not one of `provider.only`"}


def test_an_ignored_provider_goes() -> None:
    made = found(RoutingWish(ignore=("a",)), offer("a"), offer("b"))
    assert (left(made), reasons(made)) == (["b"], {"a": "is one of `provider.ignore`"})


def test_a_wish_that_no_offer_meets_is_told_with_its_field() -> None:
    with pytest.raises(ModelNotSupported, match=r"a is not one of `provider\.only`") as caught:
        found(RoutingWish(only=("z",)), offer("a"))
    assert caught.value.param == "provider.only"
    assert [row.offer for row in caught.value.candidates] == ["acme/alpha:a"]


def test_a_provider_of_the_order_that_does_not_serve_the_model_is_told() -> None:
    made = found(RoutingWish(order=("azrue", "a")), offer("a"), offer("b"))
    assert left(made) == ["a", "b"]
    assert "serves no offer of this model" in reasons(made)["azrue"]


# --- data policy

NO_TRAINING = RoutingWish(data_policy=PolicyWish(no_training=True))
NOTHING_KEPT = RoutingWish(data_policy=PolicyWish(zero_retention=True))
IN_EUROPE = RoutingWish(data_policy=PolicyWish(region="eu"))


@pytest.mark.parametrize(
    ("wish", "meets", "fails", "reason"),
    [
        (NO_TRAINING, DataPolicy(training=False), DataPolicy(training=True), "trains on prompts"),
        (NO_TRAINING, DataPolicy(training=False), DataPolicy(), "does not say that it never trains on prompts"),
        (NOTHING_KEPT, DataPolicy(retention_days=0), DataPolicy(retention_days=30), "keeps prompts for 30 days"),
        (NOTHING_KEPT, DataPolicy(retention_days=30, zdr=True), DataPolicy(), "does not say that it keeps nothing"),
        (IN_EUROPE, DataPolicy(region="EU"), DataPolicy(region="CN"), "is in CN, eu is asked for"),
        (IN_EUROPE, DataPolicy(region="eu-west-1"), DataPolicy(region="eurasia"), "is in eurasia, eu is asked for"),
        (IN_EUROPE, DataPolicy(region="EU"), DataPolicy(), "does not say where it is, eu is asked for"),
    ],
)
def test_what_a_policy_does_not_promise_excludes(
    wish: RoutingWish, meets: DataPolicy, fails: DataPolicy, reason: str
) -> None:
    made = found(wish, offer("good"), offer("bad"), policies={"good": meets, "bad": fails})
    assert (left(made), reasons(made)) == (["good"], {"bad": reason})


def test_the_policy_of_an_offer_goes_before_that_of_its_provider() -> None:
    made = found(
        NO_TRAINING,
        offer("a", data_policy=DataPolicy(training=False)),
        offer("b", data_policy=DataPolicy(training=True)),
        policies={"a": DataPolicy(training=True), "b": DataPolicy(training=False)},
    )
    assert left(made) == ["a"]


# --- price


def price(item: str, value: str, unit: str = "perMTokens", **more: object) -> PriceLine:
    return PriceLine(item, unit, Decimal(value), **more)  # type: ignore[arg-type]


def most(**ceilings: str) -> RoutingWish:
    return RoutingWish(max_price=tuple(ceilings.items()))


def test_an_offer_beyond_the_ceiling_is_out_and_one_at_it_is_not() -> None:
    cheap, dear = offer("cheap", price=(price("prompt", "1.10"),)), offer("dear", price=(price("prompt", "1.11"),))
    made = found(most(prompt="1.1"), cheap, dear)
    assert left(made) == ["cheap"]
    assert reasons(made)["dear"] == "takes 1.11 USD per million tokens for `prompt`, 1.1 at most is wished"


def test_a_price_that_is_not_known_is_beyond_any_ceiling() -> None:
    with pytest.raises(ModelNotSupported, match="its price of `completion` is not known"):
        found(most(completion="100"), offer("a", price=(price("prompt", "1"),)))


def test_who_takes_nothing_for_a_request_is_within_any_ceiling_of_it() -> None:
    by_request = offer("b", price=(price("request", "0.01", "perCount"),))
    assert left(found(most(request="0"), offer("a"), by_request)) == ["a"]


def test_a_price_in_another_unit_cannot_be_held_against_the_ceiling() -> None:
    made = found(most(image="5"), offer("a", price=(price("image", "1"),)), offer("b"))
    assert reasons(made)["a"] == "its price of `image` is counted otherwise than the ceiling"


@pytest.mark.parametrize(
    "dear",
    [
        price("prompt", "9", valid_to=TODAY),
        price("prompt", "9", valid_from="2026-11-25"),
        price("prompt", "9", when=When(service_tier="priority")),
        price("prompt", "9", when=When(prompt_tokens_gt=500)),
    ],
)
def test_a_price_that_cannot_hold_for_the_request_does_not_count(dear: PriceLine) -> None:
    assert left(found(most(prompt="1"), offer("a", price=(price("prompt", "1"), dear)))) == ["a"]


def test_the_dearest_price_that_may_hold_counts() -> None:
    lines = (
        price("prompt", "1"),
        price("prompt", "2", when=When(utc_from="00:30", utc_to="08:30")),
        price("prompt", "3", when=When(prompt_tokens_gt=500)),
    )
    assert left(found(most(prompt="2"), offer("a", price=lines))) == ["a"]
    with pytest.raises(ModelNotSupported):
        found(most(prompt="1"), offer("a", price=lines))
    with pytest.raises(ModelNotSupported):
        found(most(prompt="2"), offer("a", price=lines), asked=facts(prompt_bytes=501))


def test_what_is_found_for_a_band_of_prices_does_not_hold_beyond_it() -> None:
    lines = (price("prompt", "1"), price("prompt", "3", when=When(prompt_tokens_gt=500)))
    assert found(most(prompt="2"), offer("a", price=lines)).sure_bytes == 500
    assert found(NOTHING, offer("a", price=lines)).sure_bytes == 1000


# --- size


def test_a_prompt_that_is_surely_too_long_is_refused_and_one_that_may_fit_is_not() -> None:
    with pytest.raises(PayloadTooLarge, match="1001 tokens > 1000 maximum"):
        found(NOTHING, offer("a"), asked=facts(prompt_bytes=16_016))
    assert left(found(NOTHING, offer("a"), asked=facts(prompt_bytes=16_000))) == ["a"]


def test_a_prompt_that_probably_does_not_fit_goes_where_it_does() -> None:
    made = found(NOTHING, offer("a"), offer("b", context_tokens=9000), asked=facts(prompt_bytes=12_000))
    assert left(made) == ["b"]
    assert reasons(made)["a"] == "the prompt is probably too long: about 2000 tokens, 1000 at most"


def test_a_long_answer_goes_where_there_is_room_for_it() -> None:
    asked = facts(prompt_bytes=3000, max_output_tokens=800)
    made = found(NOTHING, offer("a"), offer("b", context_tokens=9000), asked=asked)
    assert left(made) == ["b"]
    assert "800 output tokens are probably more than its context of 1000" in reasons(made)["a"]
    assert left(found(NOTHING, offer("a"), asked=asked)) == ["a"], "the provider may well cut the answer itself"


def test_what_is_found_holds_only_where_prompt_and_answer_surely_have_room_together() -> None:
    assert found(NOTHING, offer("a"), asked=facts(max_output_tokens=800)).sure_bytes == 200
    assert found(NOTHING, offer("a", max_input_tokens=150), asked=facts(max_output_tokens=800)).sure_bytes == 150


def test_an_answer_as_long_as_the_context_leaves_no_room_for_the_shortest_prompt() -> None:
    asked = facts(prompt_bytes=1, max_output_tokens=100)
    made = found(NOTHING, offer("a", context_tokens=100), offer("b"), asked=asked)
    assert (left(made), made.sure_bytes) == (["b"], 100)


def test_what_providers_counted_makes_the_bound_tighter() -> None:
    learned = Learned()
    for _ in range(ENOUGH):
        learned.observe("acme", 40_000, 10_000)
    assert (learned.factor("acme"), learned.bound("acme")) == (4.0, 12.0)
    with pytest.raises(PayloadTooLarge):
        found(NOTHING, offer("a"), asked=facts(prompt_bytes=12_012), learned=learned)
    assert left(found(NOTHING, offer("a"), asked=facts(prompt_bytes=12_000), learned=learned)) == ["a"]


def test_short_prompts_and_few_of_them_teach_nothing_of_the_bound() -> None:
    learned = Learned()
    learned.observe("acme", 999, 300)
    learned.observe("acme", 5_000, 0)
    assert learned.factor("acme") == 4.0
    learned.observe("acme", 3_000, 1_000)
    assert (learned.factor("acme"), learned.bound("acme"), learned.factor("other")) == (3.0, 16, 4.0)


def test_what_a_tokenizer_counted_goes_before_what_the_bytes_tell() -> None:
    short = facts(prompt_bytes=100_000, prompt_tokens=999, counted_for="acme")
    assert left(found(NOTHING, offer("a"), asked=short)) == ["a"]
    long = facts(prompt_bytes=1_100, prompt_tokens=1_001, counted_for="acme")
    with pytest.raises(PayloadTooLarge, match="1001 tokens > 1000 maximum"):
        found(NOTHING, offer("a"), asked=long)
    others = msgspec.structs.replace(long, counted_for="other")
    assert left(found(NOTHING, offer("a"), asked=others)) == ["a"]


PROMPTS = st.lists(st.tuples(st.integers(1_000, 60_000), st.floats(1.0, 8.0)), max_size=3 * ENOUGH)


@given(PROMPTS, st.integers(1, 1000), st.floats(0.3, 12.0))
def test_a_prompt_that_fits_is_never_refused(
    prompts: list[tuple[int, float]], tokens: int, bytes_per_token: float
) -> None:
    learned = Learned()
    for size, factor in prompts:
        learned.observe("acme", size, max(1, int(size / factor)))
    asked = facts(prompt_bytes=max(1, int(tokens * bytes_per_token)))
    assert left(found(NOTHING, offer("a"), asked=asked, learned=learned)) == ["a"]


@given(
    st.integers(1, 1_000),
    st.none() | st.integers(1, 900),
    st.lists(st.none() | st.integers(10, 3000), min_size=2, max_size=3),
    st.integers(1, 1_000),
)
def test_what_is_found_holds_for_every_prompt_that_it_says_it_holds_for(
    size: int, asked: int | None, contexts: list[int | None], other: int
) -> None:
    offers = [offer(str(at), context_tokens=context) for at, context in enumerate(contexts)]
    one = facts(prompt_bytes=size, max_output_tokens=asked)
    try:
        made = found(NOTHING, *offers, asked=one)
    except RequestError:
        return
    if size <= made.sure_bytes:
        shorter = msgspec.structs.replace(one, prompt_bytes=min(other, made.sure_bytes))
        assert found(NOTHING, *offers, asked=shorter) == made


# --- several models


def several(asked: RequestFacts, *choices: Choice, wish: RoutingWish = NOTHING) -> Eligible:
    return eligible(asked, choices, Rules(TODAY, wish=wish))


def test_offers_stand_by_model_in_the_order_of_the_models() -> None:
    made = several(
        facts(), Choice(BETA, (offer("a", BETA), offer("b", BETA))), Choice(ALPHA, (offer("a"),))
    )  # fmt: skip
    assert [step.offer.id for step in made.steps] == ["acme/beta:a", "acme/beta:b", "acme/alpha:a"]
    assert made.model is BETA


def test_where_the_first_model_cannot_the_next_one_does_and_the_reasons_are_told() -> None:
    asked = facts(needs=("tools",))
    made = several(
        asked, Choice(ALPHA, (offer("a", supported_parameters=()),)), Choice(BETA, (offer("a", BETA),))
    )  # fmt: skip
    assert [step.offer.id for step in made.steps] == ["acme/beta:a"]
    assert made.model is BETA
    assert {row.offer: row.reason for row in made.excluded} == {"acme/alpha:a": "does not support `tools`"}


def test_a_model_that_is_not_set_up_is_passed_over_with_the_reason() -> None:
    error = ModelNotSupported("No provider of `acme/alpha` is set up here.")
    made = several(facts(), Choice(ALPHA, (), error), Choice(BETA, (offer("a", BETA),)))
    assert [step.offer.id for step in made.steps] == ["acme/beta:a"]
    assert [(row.offer, row.reason) for row in made.excluded] == [("acme/alpha", error.message)]


def test_where_no_model_can_the_first_ones_error_is_told_with_the_reasons_of_all() -> None:
    asked = facts(prompt_bytes=16_016, needs=("tools",))
    with pytest.raises(PayloadTooLarge, match="No model to fall back to can take it either") as caught:
        several(asked, Choice(ALPHA, (offer("a"),)), Choice(BETA, (offer("b", BETA, supported_parameters=()),)))
    assert [row.offer for row in caught.value.candidates] == ["acme/alpha:a", "acme/beta:b"]
    assert "does not support `tools`" in caught.value.message


def test_one_error_alone_is_told_as_it_is() -> None:
    error = InvalidModel("There is no model.")
    with pytest.raises(InvalidModel, match=r"^There is no model\.$"):
        several(facts(), Choice(ALPHA, (), error))


def test_wishes_hold_for_every_model() -> None:
    made = several(
        facts(), Choice(ALPHA, (offer("a"), offer("b"))), Choice(BETA, (offer("a", BETA), offer("b", BETA))),
        wish=RoutingWish(only=("b",)),
    )  # fmt: skip
    assert [step.offer.id for step in made.steps] == ["acme/alpha:b", "acme/beta:b"]
