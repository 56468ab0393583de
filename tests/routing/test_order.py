"""The order of offers, and how requests are shared among them: 10,000 draws in each situation."""

import random
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.catalog.types import Model, Offer, PriceLine
from trunkline.errors import NoProviderAvailable, RateLimited, RequestError
from trunkline.ir.wish import NO_WISH, RoutingWish
from trunkline.records.types import Candidate
from trunkline.routing.affinity import Held
from trunkline.routing.health import UNMEASURED, Figures, Health, Sample
from trunkline.routing.order import EXPLORE, GLANCE, MAX_CURIOSITY, OVERDUE_S, TRIAL, Ranked, draw, order
from trunkline.routing.types import Eligible, Plan, Step

CHAT = "openai.chat"
DRAWS = 10_000
MODEL = Model("acme/alpha", "Alpha", "acme")


def offer(provider: str, price: str | None = None, model: str = MODEL.slug, cached: str | None = None) -> Offer:
    values = {"prompt": price, "completion": price, "input_cache_read": cached}
    lines = tuple(PriceLine(item, "perMTokens", Decimal(value)) for item, value in values.items() if value is not None)
    return Offer(model, provider, "alpha-1", (CHAT,), price=lines)


def found(*steps: Step) -> Eligible:
    return Eligible(MODEL, steps, (Candidate("acme/alpha:unable", None, "takes no image input"),), 10**9)


def of(*providers: str) -> Eligible:
    return found(*[Step(offer(provider)) for provider in providers])


def quick(ms: float, samples: float = 40, **fields: object) -> Figures:
    return Figures(first_token_ms=ms, samples=samples, **fields)  # type: ignore[arg-type]


def ranked(eligible: Eligible, known: Mapping[str, Figures], wish: RoutingWish = NO_WISH) -> Ranked:
    by_id = {step.offer.id: known.get(step.offer.provider, UNMEASURED) for step in eligible.steps}
    return order(eligible, by_id.__getitem__, wish)


def providers(plan: Plan) -> list[str]:
    return [step.offer.provider for step in plan.steps]


def best(eligible: Eligible, known: Mapping[str, Figures], wish: RoutingWish = NO_WISH) -> list[str]:
    """The order where chance draws the best."""
    return providers(draw(ranked(eligible, known, wish), lambda: 0.0))


def shares(eligible: Eligible, known: Mapping[str, Figures], wish: RoutingWish = NO_WISH) -> dict[str, float]:
    chance, one = random.Random(1), ranked(eligible, known, wish)
    drawn = Counter(providers(draw(one, chance.random))[0] for _ in range(DRAWS))
    return {provider: count / DRAWS for provider, count in drawn.items()}


def reasons(plan: Plan) -> dict[str, str]:
    return {candidate.offer.rpartition(":")[2]: candidate.reason for candidate in plan.candidates}


# --- how requests are shared


def test_equal_offers_share_about_equally() -> None:
    got = shares(of("a", "b", "c", "d"), {name: quick(500) for name in "abcd"})
    assert got == pytest.approx(dict.fromkeys("abcd", 0.25), abs=0.02)


def test_unmeasured_offers_share_equally_among_themselves() -> None:
    assert shares(of("a", "b"), {}) == pytest.approx({"a": 0.5, "b": 0.5}, abs=0.02)


def test_one_that_is_clearly_quicker_gets_most_but_not_all() -> None:
    got = shares(of("slow", "quick"), {"quick": quick(300), "slow": quick(600)})
    assert 0.85 < got["quick"] < 0.99


def test_one_lucky_sample_does_not_take_all() -> None:
    got = shares(of("known", "lucky"), {"known": quick(500), "lucky": quick(50, samples=1)})
    assert 0.1 < got["lucky"] < 0.5


def test_what_luck_promised_is_believed_once_it_is_kept() -> None:
    rising = [
        shares(of("known", "new"), {"known": quick(500), "new": quick(200, samples)})["new"]
        for samples in (1, 4, 16, 64)
    ]
    assert rising == sorted(rising)
    assert rising[-1] > 0.85


def test_one_unlucky_sample_does_not_banish_an_offer() -> None:
    got = shares(of("known", "unlucky"), {"known": quick(500), "unlucky": quick(5000, samples=1)})
    assert got["unlucky"] > 0.02


def test_an_unmeasured_offer_gets_its_share_and_is_marked() -> None:
    got = shares(of("a", "b", "new"), {"a": quick(300), "b": quick(300)})
    assert got["new"] == pytest.approx(EXPLORE, abs=0.01)
    assert reasons(draw(ranked(of("a", "new"), {"a": quick(300)}), lambda: 0.99))["new"].startswith("to be measured: ")


def test_a_measurement_that_has_nearly_faded_is_made_again() -> None:
    got = shares(of("a", "stale"), {"a": quick(300), "stale": quick(9000, samples=0.2)})
    assert got["stale"] == pytest.approx(EXPLORE, abs=0.01)


def test_curiosity_has_a_limit() -> None:
    got = shares(of("a", *"bcdefghij"), {"a": quick(300)})
    assert got["a"] == pytest.approx(1 - MAX_CURIOSITY, abs=0.02)


def test_an_open_breaker_moves_everything_away() -> None:
    known = {"down": quick(100, breaker="open", open_s=9.0), "up": quick(900)}
    assert shares(of("down", "up"), known) == {"up": 1.0}
    assert "breaker open for 9 s" in reasons(draw(ranked(of("down", "up"), known), lambda: 0.0))["down"]


def test_a_half_open_breaker_gets_a_trial_now_and_then() -> None:
    got = shares(of("back", "up"), {"back": quick(100, breaker="half_open"), "up": quick(900)})
    assert got["back"] == pytest.approx(TRIAL, abs=0.01)


def test_a_trial_that_is_overdue_is_made_with_the_next_request_even_without_chance() -> None:
    known = {"back": quick(100, breaker="half_open", waited_s=OVERDUE_S), "up": quick(900)}
    assert best(of("back", "up"), known) == ["back", "up"]
    assert best(of("back", "up"), known, RoutingWish(order=("up",))) == ["up", "back"]


def test_low_uptime_leaves_a_glance_now_and_then() -> None:
    got = shares(of("weak", "well"), {"weak": quick(100, reliability=0.9), "well": quick(900)})
    assert got["weak"] == pytest.approx(GLANCE, abs=0.005)


def test_of_equals_the_cheaper_gets_more() -> None:
    steps = found(Step(offer("dear", "4")), Step(offer("cheap", "2")), Step(offer("unpriced")))
    got = shares(steps, {name: quick(500) for name in ("dear", "cheap", "unpriced")})
    assert got["cheap"] == pytest.approx(2 * got["dear"], rel=0.1)
    assert got["unpriced"] == pytest.approx(got["cheap"], rel=0.1)


def test_a_little_quicker_is_worth_more_than_cheaper_only_where_it_is_noticed() -> None:
    steps = found(Step(offer("dear", "4")), Step(offer("cheap", "2")))
    assert shares(steps, {"dear": quick(480), "cheap": quick(500)})["cheap"] > 0.6
    assert shares(steps, {"dear": quick(300), "cheap": quick(500)})["dear"] > 0.6


class Traffic:
    """Requests through order and draw, with health fed from what offers do; time is ours."""

    def __init__(self, *names: str) -> None:
        self.eligible = of(*names)
        self.chance = random.Random(7)
        self.health = Health(self.chance.random)
        self.now_s = 0.0
        self.ms = dict.fromkeys(names, 400.0)
        self.down: set[str] = set()

    def requests(self, count: int) -> Counter[str]:
        """Ten a second; who answered."""
        answered: Counter[str] = Counter()
        for _ in range(count):
            self.now_s += 0.1
            plan = draw(order(self.eligible, lambda one: self.health.figures(one, self.now_s)), self.chance.random)
            for step in plan.steps:
                self.health.begin(step.offer.id, self.now_s)
                is_up = step.offer.provider not in self.down
                ms = self.ms[step.offer.provider] * self.chance.lognormvariate(0, 0.3)
                self.health.observe(step.offer.id, Sample(self.now_s, is_up, ms if is_up else None))
                if is_up:
                    answered[step.offer.provider] += 1
                    break
                self.tried_in_vain += 1
        return answered

    tried_in_vain = 0


def test_traffic_settles_moves_in_an_outage_and_comes_back() -> None:
    traffic = Traffic("best", "other")
    traffic.ms["other"] = 800.0
    traffic.requests(500)
    settled = traffic.requests(1000)
    assert 0.8 < settled["best"] / 1000 < 0.995
    traffic.down = {"best"}
    assert traffic.requests(1000) == {"other": 1000}
    assert traffic.tried_in_vain < 15
    traffic.down = set()
    traffic.requests(2500)
    assert traffic.requests(1000)["best"] / 1000 > 0.7


def test_traffic_follows_an_offer_that_becomes_quicker() -> None:
    traffic = Traffic("a", "b")
    traffic.ms["b"] = 1200.0
    assert traffic.requests(2000)["a"] > 1500
    traffic.ms.update(a=1200.0, b=400.0)
    traffic.requests(6000)
    assert traffic.requests(1000)["b"] > 700


# --- what goes before any score


def test_the_quickest_is_first_and_unmeasured_ones_come_behind_measured_ones() -> None:
    known = {"slow": quick(250), "quick": quick(100)}
    plan = draw(ranked(of("slow", "new", "quick"), known), lambda: 0.0)
    assert providers(plan) == ["quick", "slow", "new"]
    assert reasons(plan)["quick"].startswith("first-token latency 100 ms (of 40, rated ")
    assert [candidate.rank for candidate in plan.candidates] == [1, 2, 3, None]
    assert reasons(plan)["unable"] == "takes no image input"


def test_whoever_is_drawn_the_others_follow_in_their_rank() -> None:
    one = ranked(of("a", "b", "c"), {"a": quick(300), "b": quick(310), "c": quick(320)})
    orders = {tuple(providers(draw(one, lambda at=at: at))) for at in (0.0, 0.4, 0.9)}  # type: ignore[misc]
    assert orders == {("a", "b", "c"), ("b", "a", "c"), ("c", "a", "b")}


def test_uptime_below_95_percent_comes_later_and_below_80_last() -> None:
    known = {
        "last": quick(100, reliability=0.7),
        "later": quick(200, reliability=0.94),
        "first": quick(900, reliability=0.96),
    }
    assert best(of("last", "later", "first"), known) == ["first", "later", "last"]


def test_an_offer_that_failed_lately_waits_behind_the_others() -> None:
    assert best(of("broken", "slow"), {"broken": Figures(failed_lately=True), "slow": quick(900)}) == ["slow", "broken"]


def test_when_all_breakers_are_open_the_least_bad_is_tried() -> None:
    known = {
        "open": quick(100, breaker="open", reliability=0.9),
        "half": quick(900, breaker="half_open", reliability=0.5),
        "worse": quick(50, breaker="open", reliability=0.5),
    }
    assert best(of("worse", "open", "half"), known) == ["half", "open", "worse"]


def test_offers_that_miss_fewer_parameters_come_first() -> None:
    steps = found(Step(offer("a"), dropped=("seed",)), Step(offer("b")))
    assert best(steps, {"a": quick(100), "b": quick(900)}) == ["b", "a"]
    assert shares(steps, {"a": quick(100), "b": quick(900)}) == {"b": 1.0}


def test_an_offer_of_the_callers_protocol_goes_before_one_by_translation_unless_that_is_clearly_quicker() -> None:
    steps = found(Step(offer("translated"), native=False), Step(offer("native")))
    assert best(steps, {"native": quick(500), "translated": quick(400)}) == ["native", "translated"]
    assert best(steps, {"native": quick(500), "translated": quick(200)}) == ["translated", "native"]
    assert best(steps, {"native": quick(500), "translated": quick(100, samples=2)}) == ["native", "translated"]
    assert best(steps, {"translated": quick(100)}) == ["native", "translated"]


def test_nobody_is_measured_at_the_price_of_a_worse_answer() -> None:
    steps = found(Step(offer("a")), Step(offer("translated"), native=False), Step(offer("less"), dropped=("n",)))
    assert shares(steps, {"a": quick(500)}) == {"a": 1.0}


def test_offers_that_asked_to_be_left_alone_are_skipped_with_the_reason() -> None:
    plan = draw(ranked(of("a", "b"), {"a": Figures(rest_s=7.0)}), lambda: 0.0)
    assert providers(plan) == ["b"]
    assert "left alone for 7 s" in reasons(plan)["a"]


@pytest.mark.parametrize(("status", "error"), [(429, RateLimited), (503, NoProviderAvailable)])
def test_when_all_rest_the_caller_is_told_for_how_long_the_shortest_does(
    status: int, error: type[RequestError]
) -> None:
    with pytest.raises(error) as caught:
        ranked(of("a", "b"), {"a": Figures(rest_s=9.0), "b": Figures(rest_s=4.0, rest_status=status)})
    assert caught.value.retry_after_s == 4.0
    assert {candidate.offer for candidate in caught.value.candidates} == {
        "acme/alpha:a", "acme/alpha:b", "acme/alpha:unable"
    }  # fmt: skip


# --- what callers wish


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        ("latency", ["quick", "cheap", "loud", "unknown"]),
        ("price", ["cheap", "loud", "quick", "unknown"]),
        ("throughput", ["loud", "quick", "cheap", "unknown"]),
    ],
)
def test_a_factor_orders_strictly_and_what_is_unknown_comes_last(factor: str, expected: list[str]) -> None:
    steps = found(
        Step(offer("unknown")), Step(offer("quick", "9")), Step(offer("cheap", "1")), Step(offer("loud", "2"))
    )
    known = {
        "quick": quick(100, tokens_per_second=50.0),
        "cheap": quick(500, tokens_per_second=20.0),
        "loud": quick(900, tokens_per_second=200.0),
    }
    wish = RoutingWish(factor=factor)  # type: ignore[arg-type]
    assert best(steps, known, wish) == expected
    assert shares(steps, known, wish) == {expected[0]: 1.0}


def test_a_factor_does_not_bring_back_what_is_down() -> None:
    steps = found(Step(offer("cheap", "1")), Step(offer("dear", "9")))
    wish = RoutingWish(factor="price")
    assert best(steps, {"cheap": quick(100, breaker="open")}, wish) == ["dear", "cheap"]
    assert best(steps, {"cheap": quick(100, reliability=0.5)}, wish) == ["dear", "cheap"]
    assert shares(steps, {"cheap": quick(100, breaker="half_open")}, wish)["cheap"] == pytest.approx(TRIAL, abs=0.01)


def test_providers_in_the_callers_order_come_first_and_the_others_by_rating() -> None:
    known = {"a": quick(100), "b": quick(900, reliability=0.9), "c": quick(300), "d": quick(200)}
    wish = RoutingWish(order=("b", "c"))
    assert best(of("a", "b", "c", "d"), known, wish) == ["b", "c", "a", "d"]
    assert shares(of("a", "b", "c", "d"), known, wish) == {"b": 1.0}


def test_a_provider_in_the_order_that_is_down_is_tried_after_the_others() -> None:
    known = {"b": quick(100, breaker="open")}
    assert best(of("a", "b"), known, RoutingWish(order=("b",))) == ["a", "b"]


def test_without_fallbacks_only_the_named_providers_or_only_the_best_offer_are_tried() -> None:
    known = {"a": quick(100), "b": quick(900), "c": quick(300)}
    plan = draw(ranked(of("a", "b", "c"), known, RoutingWish(order=("b", "c"), allow_fallbacks=False)), lambda: 0.0)
    assert providers(plan) == ["b", "c"]
    assert reasons(plan)["a"] == "no fallback is allowed"
    assert best(of("a", "b", "c"), known, RoutingWish(allow_fallbacks=False)) == ["a"]


def two_models() -> Eligible:
    return found(Step(offer("a")), Step(offer("b")), Step(offer("a", model="acme/beta")))


def models(plan: Plan) -> list[str]:
    return [step.offer.id.removeprefix("acme/") for step in plan.steps]


def test_models_stay_in_the_order_that_was_given() -> None:
    known = {"acme/alpha:a": quick(900), "acme/alpha:b": quick(800), "acme/beta:a": quick(10)}
    plan = draw(order(two_models(), known.__getitem__), lambda: 0.0)
    assert models(plan) == ["alpha:b", "alpha:a", "beta:a"]


def test_a_model_with_nothing_but_open_breakers_comes_after_the_others() -> None:
    down = quick(10, breaker="open")
    known = {"acme/alpha:a": down, "acme/alpha:b": down, "acme/beta:a": quick(900)}
    assert models(draw(order(two_models(), known.__getitem__), lambda: 0.0)) == ["beta:a", "alpha:a", "alpha:b"]
    known["acme/alpha:b"] = quick(900, reliability=0.5)
    assert models(draw(order(two_models(), known.__getitem__), lambda: 0.0)) == ["alpha:b", "alpha:a", "beta:a"]


# --- staying

CACHED = found(Step(offer("near", "3", cached="0.3")), Step(offer("far", "3", cached="0.3")))
HELD = Held("acme/alpha:near", 1, 10_000, 100.0)


def stays(known: Mapping[str, Figures], held: Held = HELD, wish: RoutingWish = NO_WISH) -> bool:
    """In 100 of 100 draws."""
    chance, one = random.Random(1), ranked(CACHED, known, wish)
    return all(providers(draw(one, chance.random, held))[0] == "near" for _ in range(100))


def test_a_conversation_stays_where_its_cache_is_worth_more_than_the_waiting() -> None:
    """10,000 tokens at 2.70 USD a million less are 0.027 USD: 5.4 seconds."""
    assert stays({"near": quick(2000), "far": quick(500)})
    assert not stays({"near": quick(9000), "far": quick(500)})
    assert not stays({"near": quick(2000), "far": quick(500)}, Held("acme/alpha:near", 1, 1000, 100.0))


def test_it_says_what_the_cache_is_worth() -> None:
    plan = draw(ranked(CACHED, {"near": quick(600), "far": quick(500)}), lambda: 0.0, HELD)
    assert reasons(plan)["near"].startswith("holds this conversation's prompt cache, 10000 tokens worth 0.0270 USD: ")
    assert plan.held is HELD


def test_it_leaves_an_offer_that_is_not_well() -> None:
    assert not stays({"near": quick(500, reliability=0.9), "far": quick(500)})
    assert not stays({"near": quick(500, breaker="open"), "far": quick(500)})
    assert providers(draw(ranked(CACHED, {"near": Figures(rest_s=3.0)}), lambda: 0.0, HELD)) == ["far"]


def test_what_the_caller_wishes_goes_before_its_cache() -> None:
    assert not stays({"near": quick(500), "far": quick(400)}, wish=RoutingWish(factor="latency"))
    assert not stays({}, wish=RoutingWish(order=("far",)))


def test_state_binds_harder_than_latency_uptime_and_wishes_but_not_to_what_is_down() -> None:
    bound = Held("acme/alpha:near", is_bound=True)
    assert stays({"near": quick(9000, reliability=0.9), "far": quick(50)}, bound)
    assert stays({}, bound, RoutingWish(order=("far",)))
    assert not stays({"near": quick(50, breaker="open"), "far": quick(50)}, bound)


def test_a_conversation_with_an_offer_that_is_gone_is_drawn_as_any_other() -> None:
    plan = draw(ranked(CACHED, {"near": quick(500)}), lambda: 0.0, Held("acme/alpha:gone", 0, 10_000, 100.0))
    assert providers(plan) == ["near", "far"]


# --- whatever comes

FIGURES = st.builds(
    Figures,
    first_token_ms=st.none() | st.floats(0.1, 1e6),
    tokens_per_second=st.none() | st.floats(0.1, 1e4),
    rest_s=st.sampled_from([0.0, 0.0, 0.0, 5.0]),
    failed_lately=st.booleans(),
    samples=st.floats(0, 1e5),
    reliability=st.floats(0, 1),
    breaker=st.sampled_from(["closed", "half_open", "open"]),
)
STEPS = st.lists(
    st.builds(
        Step,
        st.builds(offer, st.sampled_from("abcdef"), st.none() | st.sampled_from(["0", "0.1", "30"])),
        dropped=st.sampled_from([(), ("seed",)]),
        native=st.booleans(),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda step: step.offer.id,
)
WISHES = st.builds(
    RoutingWish,
    factor=st.sampled_from(["", "latency", "price", "throughput"]),
    order=st.sampled_from([(), ("b",), ("c", "a")]),
)


@given(STEPS, st.lists(FIGURES, min_size=6, max_size=6), WISHES, st.floats(0, 1, exclude_max=True))
def test_every_offer_that_may_be_asked_is_in_the_plan_once_and_shares_are_whole(
    steps: list[Step], known: list[Figures], wish: RoutingWish, at: float
) -> None:
    by_id = {step.offer.id: figures for step, figures in zip(steps, known, strict=False)}
    awake = [step for step in steps if not by_id[step.offer.id].rest_s]
    if not awake:
        with pytest.raises(RequestError):
            order(found(*steps), by_id.__getitem__, wish)
        return
    one = order(found(*steps), by_id.__getitem__, wish)
    plan = draw(one, lambda: at)
    assert sorted(providers(plan)) == sorted(step.offer.provider for step in awake)
    assert sum(one.shares) == pytest.approx(1.0)
    assert min(one.shares) >= 0
    assert len({candidate.offer for candidate in plan.candidates}) == len(plan.candidates) == len(steps) + 1
    first = by_id[plan.steps[0].offer.id]
    assert first.breaker != "open" or all(
        figures.breaker != "closed" for figures in map(by_id.get, [s.offer.id for s in awake]) if figures
    )
