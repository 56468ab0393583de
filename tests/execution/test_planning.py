"""A plan is remembered for as long as it is what would be found anew."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.services import gateway_of
from trunkline.catalog.types import Catalog, Model, Offer, PriceLine, Provider
from trunkline.errors import InvalidModel, ModelNotSupported, RateLimited, RequestError
from trunkline.execution.gateway import Clock, Policy, Snapshot
from trunkline.execution.planning import ORDER_HOLDS_S, TYPICAL_OUTPUT_TOKENS, explain, learn, offers_of, plan
from trunkline.ir.facts import RequestFacts
from trunkline.ir.usage import Usage
from trunkline.ir.wish import NO_WISH, AutoWish, RoutingWish
from trunkline.pricing.rate import RateCard
from trunkline.pricing.types import FREE
from trunkline.providers.accounts import Account
from trunkline.routing.health import Health, Sample
from trunkline.routing.plan import plan as found_anew
from trunkline.routing.types import Plan

CHAT = "openai.chat"
TODAY = "2026-11-24"


def offer(provider: str, **fields: object) -> Offer:
    return Offer(model="acme/alpha", provider=provider, upstream_model="alpha-1", protocols=(CHAT,), **fields)  # type: ignore[arg-type]


def facts(**fields: object) -> RequestFacts:
    return RequestFacts(protocol=CHAT, stream=True, **{"model": "acme/alpha", "prompt_bytes": 10, **fields})  # type: ignore[arg-type]


class Planning:
    """A gateway with a clock that the test sets, and offers of one model at providers of those names."""

    def __init__(self, *offers: Offer) -> None:
        self.now_s = 100.0
        self.health = Health()
        self.model = Model(
            "acme/alpha", "Alpha", "acme", context_tokens=1000, max_output_tokens=100, input=("text", "image"),
            reasoning=True, offers=offers,
        )  # fmt: skip
        accounts = {one.provider: Account(Provider(one.provider, one.provider), {}, (), trusted=True) for one in offers}
        self.snapshot = Snapshot(Catalog("1", {self.model.slug: self.model}, {}), accounts, Policy(), lambda *_: FREE)
        clock = Clock(lambda: self.now_s, lambda: 0.0, lambda: TODAY, lambda: "req_1")
        self.gateway = gateway_of(self.snapshot, clock, health=self.health)
        # The best first: how the others get their share is told of `routing.order`.
        self.gateway.chance = lambda: 0.0

    def asked(self, one: RequestFacts | None = None) -> list[str]:
        return [step.offer.provider for step in plan(self.gateway, self.snapshot, one or facts()).steps]

    def measured(self, provider: str, first_token_ms: float, up: bool = True) -> None:
        self.health.observe(f"acme/alpha:{provider}", Sample(self.now_s, up, first_token_ms))


@pytest.fixture
def planning() -> Planning:
    made = Planning(offer("a"), offer("b"))
    for _ in range(20):
        made.measured("a", 100)
        made.measured("b", 200)
    return made


def test_the_order_follows_drifting_latencies_within_a_tenth_of_a_second(planning: Planning) -> None:
    assert planning.asked() == ["a", "b"]
    for _ in range(40):
        planning.measured("a", 900)
    planning.now_s += ORDER_HOLDS_S / 2
    assert planning.asked() == ["a", "b"]
    planning.now_s += ORDER_HOLDS_S / 2
    assert planning.asked() == ["b", "a"]


def test_failures_count_at_once(planning: Planning) -> None:
    assert planning.asked() == ["a", "b"]
    for _ in range(10):
        planning.measured("a", 100, up=False)
    assert planning.asked() == ["b", "a"]


def test_the_first_offer_of_a_request_is_drawn_in_proportion_to_its_share(planning: Planning) -> None:
    planning.gateway.chance = lambda: 0.999
    assert planning.asked() == ["b", "a"]


def test_a_wish_to_be_left_alone_counts_at_once(planning: Planning) -> None:
    assert planning.asked() == ["a", "b"]
    planning.health.rest("acme/alpha:a", planning.now_s, 5.0, 429)
    assert planning.asked() == ["b"]
    planning.health.rest("acme/alpha:b", planning.now_s, 5.0, 429)
    with pytest.raises(RateLimited):
        planning.asked()
    planning.now_s += 5.0
    assert planning.asked() == ["a", "b"]


def test_an_account_that_is_refused_counts_at_once(planning: Planning) -> None:
    assert planning.asked() == ["a", "b"]
    planning.health.demote("acme/alpha:a", planning.now_s)
    assert planning.asked() == ["b", "a"]


def test_an_ordinary_success_leaves_the_order_in_force(planning: Planning) -> None:
    before = planning.health.changes
    planning.measured("a", 101)
    assert planning.health.changes == before


def test_a_prompt_that_may_be_too_long_is_looked_at_by_itself() -> None:
    planning = Planning(offer("a", context_tokens=10), offer("b"))
    assert planning.asked(facts(prompt_bytes=5)) == ["a", "b"]
    assert planning.asked(facts(prompt_bytes=5_000)) == ["b"]
    assert planning.asked(facts(prompt_bytes=5)) == ["a", "b"]


def test_a_provider_may_be_named(planning: Planning) -> None:
    assert planning.asked(facts(model="acme/alpha:b")) == ["b"]


@pytest.mark.parametrize("name", ["acme/alpah", "x" * 300])
def test_a_model_that_there_is_not_is_the_callers_mistake(planning: Planning, name: str) -> None:
    with pytest.raises(InvalidModel):
        planning.asked(facts(model=name))


def test_a_model_that_nobody_here_can_reach_says_so() -> None:
    planning = Planning(offer("a"))
    snapshot = Snapshot(planning.snapshot.catalog, {}, Policy(), lambda *_: FREE)
    with pytest.raises(ModelNotSupported, match="No provider of `acme/alpha` is set up here"):
        plan(planning.gateway, snapshot, facts())


NAMES = st.sampled_from(["seed", "temperature", "stop", "tools", "n", "unknown_to_all"])
OFFERS = st.builds(
    lambda provider, supported, emulated, limit, taken: offer(
        provider,
        supported_parameters=None if supported is None else tuple(supported),
        emulated_parameters=tuple(emulated),
        max_output_tokens=limit,
        input=taken,
    ),
    st.sampled_from(["a", "b", "c"]),
    st.none() | st.sets(NAMES),
    st.sets(st.just("stop")),
    st.none() | st.integers(1, 100),
    st.none() | st.just(("text",)),
)
FACTS = st.builds(
    lambda parameters, needs, images, limit, size, required: facts(
        parameters=tuple(parameters),
        needs=tuple(needs),
        modalities=frozenset({"text", "image"} if images else {"text"}),
        max_output_tokens=limit,
        prompt_bytes=size,
        require_parameters=required,
    ),
    st.lists(NAMES, unique=True),
    st.sets(st.sampled_from(["tools", "response_format", "reasoning"])),
    st.booleans(),
    st.none() | st.integers(1, 200),
    st.integers(1, 40_000),
    st.booleans(),
)


def outcome(make: Callable[[], object]) -> object:
    try:
        return make()
    except RequestError as error:
        return type(error), error.message


@given(
    st.lists(OFFERS, min_size=1, max_size=3, unique_by=lambda one: one.provider),
    st.lists(FACTS, min_size=1, max_size=6),
)
def test_what_is_remembered_of_a_kind_of_request_is_what_would_be_found_anew(
    offers: list[Offer], asked: list[RequestFacts]
) -> None:
    planning = Planning(*offers)
    for one in asked * 2:
        figures = partial(planning.health.figures, now_s=planning.now_s)
        anew = partial(
            found_anew, one, planning.model, offers, figures, require_parameters=one.require_parameters, today=TODAY
        )
        assert outcome(partial(plan, planning.gateway, planning.snapshot, one)) == outcome(anew)
        # Another prompt of the same kind must not find what was remembered of this one.
        shorter = msgspec.structs.replace(one, prompt_bytes=1)
        assert outcome(partial(plan, planning.gateway, planning.snapshot, shorter)) == outcome(
            partial(
                found_anew,
                shorter,
                planning.model,
                offers,
                figures,
                require_parameters=one.require_parameters,
                today=TODAY,
            )
        )


# --- wishes, several models, the automatic one


class Choosing:
    """A gateway with three models: `acme/small` is cheap, `acme/large` dear, `acme/gone` nobody here can reach. All at the providers `a` and `b`."""

    def __init__(self, **policy: object) -> None:
        prices = {"acme/small": ("0.1", "0.4"), "acme/large": ("10", "40"), "acme/gone": ("1", "4")}
        models = {
            slug: Model(
                slug, slug, "acme", context_tokens=1000, max_output_tokens=900, released_on="2026-01-01",
                offers=tuple(self.offer(slug, provider, *price) for provider in (("z",) if slug == "acme/gone" else ("a", "b"))),
            )
            for slug, price in prices.items()
        }  # fmt: skip
        providers = {slug: Provider(slug, f"The {slug.upper()} Company") for slug in ("a", "b", "z")}
        accounts = {slug: Account(providers[slug], {}, (), trusted=True) for slug in ("a", "b")}
        catalog = Catalog("1", models, providers)
        cards = {one.id: RateCard(one.price) for model in models.values() for one in model.offers}
        self.snapshot = Snapshot(
            catalog,
            accounts,
            Policy(**policy),  # type: ignore[arg-type]
            lambda offer, usage, at_ms, tier: cards[offer.id].bill(usage, at_ms=at_ms, service_tier=tier),
        )
        self.gateway = gateway_of(self.snapshot, Clock(lambda: 100.0, lambda: 0.0, lambda: TODAY, lambda: "req_1"))
        self.gateway.chance = lambda: 0.0

    @staticmethod
    def offer(slug: str, provider: str, prompt: str, completion: str) -> Offer:
        lines = (
            PriceLine("prompt", "perMTokens", Decimal(prompt)),
            PriceLine("completion", "perMTokens", Decimal(completion)),
        )
        return Offer(slug, provider, slug, (CHAT,), lines)

    def plan(self, model: str, **fields: object) -> Plan:
        return plan(self.gateway, self.snapshot, facts(model=model, **fields))

    def asked(self, model: str, wish: RoutingWish = NO_WISH) -> list[str]:
        return [step.offer.id for step in self.plan(model, wish=wish).steps]


SMALL, LARGE = ["acme/small:a", "acme/small:b"], ["acme/large:a", "acme/large:b"]


def back(*models: str, **more: object) -> RoutingWish:
    places = tuple(f"models[{at}]" for at, _ in enumerate(models))
    return RoutingWish(models=models, places=places, **more)  # type: ignore[arg-type]


def test_providers_are_meant_by_whatever_name_they_have() -> None:
    assert Choosing().asked("acme/small", RoutingWish(order=("the b company",))) == SMALL[::-1]
    assert Choosing().asked("acme/small", RoutingWish(only=("B",))) == SMALL[1:]


def test_wishes_are_kinds_of_their_own() -> None:
    one = Choosing()
    assert one.asked("acme/small") == SMALL
    assert one.asked("acme/small", RoutingWish(ignore=("a",))) == SMALL[1:]
    assert one.asked("acme/small") == SMALL
    assert len(one.snapshot.plans) == 2


def test_wishes_with_many_names_are_not_remembered() -> None:
    one = Choosing()
    assert one.asked("acme/small", RoutingWish(ignore=tuple(f"p{at}" for at in range(64)))) == SMALL
    assert one.snapshot.plans == {}


def test_the_models_to_fall_back_to_follow_in_their_order_each_offer_once() -> None:
    one = Choosing()
    assert one.asked("acme/small", back("acme/large")) == SMALL + LARGE
    assert one.asked("acme/small:b", back("acme/small", "acme/large:a")) == [
        "acme/small:b",
        "acme/small:a",
        "acme/large:a",
    ]
    assert one.plan("acme/small", wish=back("acme/large")).model.slug == "acme/small"


def test_a_fallback_shows_its_own_name_in_answers_that_we_write() -> None:
    shown = [step.shown_model for step in Choosing().plan("acme/small", wish=back("acme/large")).steps]
    assert shown == ["", "", "acme/large", "acme/large"]


def test_a_model_to_fall_back_to_that_there_is_not_is_an_error_with_its_place() -> None:
    with pytest.raises(InvalidModel, match=r"`acme/lrge` \(`models\[1\]`\).*acme/large") as caught:
        Choosing().asked("acme/small", back("acme/large", "acme/lrge"))
    assert caught.value.param == "models[1]"


def test_a_model_that_nobody_here_can_reach_is_passed_over_with_the_reason() -> None:
    made = Choosing().plan("acme/gone", wish=back("acme/large"))
    assert [step.offer.id for step in made.steps] == LARGE
    assert made.model.slug == "acme/large"
    assert {row.offer for row in made.candidates if row.rank is None} == {"acme/gone"}


def test_the_settings_model_follows_unless_the_request_says_otherwise() -> None:
    one = Choosing(fallback_model="acme/large")
    assert one.asked("acme/small") == SMALL + LARGE
    assert one.asked("acme/large") == LARGE
    assert one.asked("acme/small:a") == SMALL[:1]
    assert one.asked("acme/small", RoutingWish(default_fallback=False)) == SMALL
    assert one.asked("acme/small", RoutingWish(allow_fallbacks=False)) == SMALL[:1]
    assert one.asked("acme/small", back("acme/gone")) == SMALL


def test_the_suffix_of_a_name_orders_unless_the_request_does() -> None:
    one = Choosing()
    assert one.asked("acme/small:floor") == SMALL
    kinds = {kind[0]: known.wish.factor for kind, known in one.snapshot.plans.items()}
    assert kinds == {"acme/small:floor": "price"}
    one.asked("acme/small:nitro", RoutingWish(factor="latency"))
    assert [known.wish.factor for known in one.snapshot.plans.values()] == ["price", "latency"]


@pytest.mark.parametrize("name", ["trunkline/auto", "zenmux/auto", "openrouter/auto"])
def test_the_automatic_model_is_one_that_can_be_called_with_the_reason_and_the_others_behind_it(name: str) -> None:
    one = Choosing()
    made = one.plan(name, wish=RoutingWish(auto=AutoWish(preference="price")))
    assert [step.offer.id for step in made.steps] == SMALL + LARGE
    assert {step.shown_model for step in made.steps} == {"acme/small", "acme/large"}
    assert made.model.slug == "acme/small"
    assert made.candidates[0].offer == name
    assert made.candidates[0].rank is None
    assert "acme/small chosen (price)" in made.candidates[0].reason
    again = one.plan(name, wish=RoutingWish(auto=AutoWish(preference="price")))
    assert again == made
    best = one.plan(name, wish=RoutingWish(auto=AutoWish(preference="performance")))
    assert best.model.slug == "acme/large"


def test_the_automatic_model_chooses_from_the_requests_list_else_the_operators() -> None:
    wish = RoutingWish(auto=AutoWish(("acme/large",)))
    assert Choosing(auto_models=("acme/small",)).asked("trunkline/auto", wish) == LARGE
    assert Choosing(auto_models=("acme/small",)).asked("trunkline/auto") == SMALL
    with pytest.raises(InvalidModel) as caught:
        Choosing().asked("trunkline/auto", RoutingWish(auto=AutoWish(("acme/large", "acme/lrge"))))
    assert caught.value.param == "model_routing_config.available_models[1]"
    with pytest.raises(ModelNotSupported, match="no model to choose from"):
        Choosing().asked("trunkline/auto", RoutingWish(auto=AutoWish(("acme/gone",))))


def test_the_automatic_model_is_one_that_is_as_the_caller_wishes() -> None:
    price = RoutingWish(auto=AutoWish(preference="performance"), max_price=(("prompt", "1"),))
    assert Choosing().asked("trunkline/auto", price) == SMALL
    with pytest.raises(ModelNotSupported, match=r"is not one of `provider\.only`"):
        Choosing().asked("trunkline/auto", RoutingWish(only=("c",)))


def test_prompts_for_the_automatic_model_are_counted_by_one_that_it_may_be() -> None:
    model, offers = offers_of(Choosing().snapshot, "trunkline/auto", TODAY)
    assert (model.slug, [one.provider for one in offers]) == ("acme/small", ["a", "b"])


def test_a_model_of_the_catalog_may_have_the_name_of_the_automatic_one() -> None:
    one = Choosing()
    one.snapshot.catalog.models["openrouter/auto"] = one.snapshot.catalog.models["acme/large"]
    assert one.asked("openrouter/auto") == LARGE


def test_explaining_tells_shares_prices_and_exclusions_and_remembers_like_a_plan() -> None:
    one = Choosing()
    asked = facts(model="acme/small", prompt_bytes=400, max_output_tokens=100, wish=RoutingWish(only=("A",)))
    told = explain(one.gateway, one.snapshot, asked)
    (offer,) = told.offers
    assert (offer.step.offer.id, offer.rank, offer.share) == ("acme/small:a", 1, 1.0)
    assert (offer.usage.input_tokens, offer.usage.output_tokens, offer.usage.estimated) == (100, 100, True)
    # 100 tokens at 0.1 and 100 at 0.4 USD per million.
    assert offer.cost.total_pico_usd == 50_000_000
    assert {row.offer: row.reason for row in told.excluded} == {"acme/small:b": "is not one of `provider.only`"}
    assert told.wish.only == ("a",)
    assert told.auto is None


@pytest.mark.parametrize("spread", [True, False])
def test_without_spreading_the_best_offer_is_always_the_first(spread: bool) -> None:
    one = Choosing(spread=spread)
    one.gateway.chance = lambda: 0.999
    assert one.asked("acme/small") == (SMALL[::-1] if spread else SMALL)
    shares = [offer.share for offer in explain(one.gateway, one.snapshot, facts(model="acme/small")).offers]
    assert shares == ([0.5, 0.5] if spread else [1.0, 0.0])


def test_explaining_the_automatic_model_tells_its_choice() -> None:
    one = Choosing()
    told = explain(one.gateway, one.snapshot, facts(model="trunkline/auto"))
    assert told.auto is not None
    assert told.models == told.auto.models
    assert [offer.usage.output_tokens for offer in told.offers] == [TYPICAL_OUTPUT_TOKENS] * 4


def test_what_cannot_be_planned_cannot_be_explained_and_the_error_has_the_reasons() -> None:
    one = Choosing()
    with pytest.raises(ModelNotSupported) as caught:
        explain(one.gateway, one.snapshot, facts(model="acme/small", wish=RoutingWish(only=("c",))))
    assert [row.offer for row in caught.value.candidates] == SMALL


def test_prompts_of_text_that_a_provider_counted_teach_how_long_a_token_is() -> None:
    one = Choosing()
    (small, _) = one.snapshot.catalog.models["acme/small"].offers
    learn(one.gateway, small, facts(prompt_bytes=6_000), Usage(input_tokens=1_500, cache_read_tokens=500))
    learn(one.gateway, small, facts(prompt_bytes=6_000), Usage(input_tokens=9, estimated=True))
    learn(one.gateway, small, facts(prompt_bytes=6_000, modalities=frozenset({"text", "image"})), Usage(input_tokens=9))
    assert one.gateway.learned.factor("acme") == 3.0
