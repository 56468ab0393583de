"""A plan is remembered for as long as it is what would be found anew."""

from collections.abc import Callable
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.services import gateway_of
from trunkline.catalog.types import Catalog, Model, Offer, Provider
from trunkline.errors import InvalidModel, ModelNotSupported, RateLimited, RequestError
from trunkline.execution.gateway import Clock, Policy, Snapshot
from trunkline.execution.planning import ORDER_HOLDS_S, plan
from trunkline.ir.facts import RequestFacts
from trunkline.pricing.types import FREE
from trunkline.providers.accounts import Account
from trunkline.routing.health import Health, Sample
from trunkline.routing.plan import plan as found_anew

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

    def asked(self, one: RequestFacts | None = None) -> list[str]:
        return [step.offer.provider for step in plan(self.gateway, self.snapshot, one or facts()).steps]

    def measured(self, provider: str, first_token_ms: float, up: bool = True) -> None:
        self.health.observe(f"acme/alpha:{provider}", Sample(self.now_s, up, first_token_ms))


@pytest.fixture
def planning() -> Planning:
    made = Planning(offer("a"), offer("b"))
    made.measured("a", 100)
    made.measured("b", 200)
    return made


def test_the_order_follows_drifting_latencies_within_a_tenth_of_a_second(planning: Planning) -> None:
    assert planning.asked() == ["a", "b"]
    planning.measured("a", 900)
    planning.now_s += ORDER_HOLDS_S / 2
    assert planning.asked() == ["a", "b"]
    planning.now_s += ORDER_HOLDS_S / 2
    assert planning.asked() == ["b", "a"]


def test_a_failure_counts_at_once(planning: Planning) -> None:
    assert planning.asked() == ["a", "b"]
    planning.measured("a", 100, up=False)
    assert planning.asked() == ["b", "a"]


def test_a_recovery_counts_at_once(planning: Planning) -> None:
    planning.measured("a", 100, up=False)
    assert planning.asked() == ["b", "a"]
    planning.measured("a", 100)
    assert planning.asked() == ["a", "b"]


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


def test_a_first_measurement_counts_at_once() -> None:
    planning = Planning(offer("a"), offer("b"))
    assert planning.asked() == ["a", "b"]
    planning.measured("a", 100)
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
