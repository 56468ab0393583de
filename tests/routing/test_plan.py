"""Which offers can take a request, and the reason for each; in which order, says `test_order`."""

from collections.abc import Mapping

import pytest
from hypothesis import strategies as st

from trunkline.catalog.types import Model, Offer
from trunkline.errors import (
    InvalidParams,
    ModelNotSupported,
    PayloadTooLarge,
    RequestError,
)
from trunkline.ir.facts import RequestFacts
from trunkline.routing.health import UNMEASURED, Figures
from trunkline.routing.plan import plan
from trunkline.routing.types import Plan

CHAT = "openai.chat"
MODEL = Model(
    "acme/alpha", "Alpha", "acme", context_tokens=1000, max_output_tokens=100, input=("text", "image"), reasoning=True
)


def offer(provider: str, **fields: object) -> Offer:
    return Offer(model=MODEL.slug, provider=provider, upstream_model="alpha-1", protocols=(CHAT,), **fields)  # type: ignore[arg-type]


def facts(**fields: object) -> RequestFacts:
    return RequestFacts(protocol=CHAT, model=MODEL.slug, stream=True, **{"prompt_bytes": 10, **fields})  # type: ignore[arg-type]


def planned(
    asked: RequestFacts,
    *offers: Offer,
    known: Mapping[str, Figures] | None = None,
    model: Model = MODEL,
    require_parameters: bool = False,
) -> Plan:
    figures = {f"{model.slug}:{name}": value for name, value in (known or {}).items()}
    return plan(
        asked,
        model,
        offers,
        lambda one: figures.get(one, UNMEASURED),
        require_parameters=require_parameters,
        today="2026-11-24",
    )


def order(made: Plan) -> list[str]:
    return [step.offer.provider for step in made.steps]


def reasons(made: Plan) -> dict[str, str]:
    return {candidate.offer.rpartition(":")[2]: candidate.reason for candidate in made.candidates}


@pytest.mark.parametrize(
    ("asked", "fields", "error", "words"),
    [
        (facts(), {"shutdown_on": "2026-11-24"}, ModelNotSupported, "shut down on 2026-11-24"),
        (facts(modalities=frozenset({"text", "audio"})), {}, ModelNotSupported, "takes no audio input"),
        (
            facts(modalities=frozenset({"text", "image"})),
            {"input": ("text",)},
            ModelNotSupported,
            "takes no image input",
        ),
        (facts(needs=("tools",)), {"supported_parameters": ("seed",)}, ModelNotSupported, "does not support `tools`"),
        (facts(max_output_tokens=101), {}, InvalidParams, "at most 100 output tokens, 101 were asked for"),
        (facts(max_output_tokens=51), {"max_output_tokens": 50}, InvalidParams, "at most 50"),
        (facts(prompt_bytes=16016), {}, PayloadTooLarge, "prompt is too long: 1001 tokens > 1000 maximum"),
        (facts(prompt_bytes=1616), {"max_input_tokens": 100}, PayloadTooLarge, "101 tokens > 100"),
    ],
)
def test_a_request_that_no_offer_can_take_is_refused_with_the_reason(
    asked: RequestFacts, fields: dict[str, object], error: type[RequestError], words: str
) -> None:
    with pytest.raises(error, match=words):
        planned(asked, offer("a", **fields))
    made = planned(
        asked,
        offer("a", **fields),
        offer("able", max_output_tokens=200, context_tokens=9000, input=("text", "image", "audio")),
    )
    assert order(made) == ["able"]
    assert words.split(" (")[0] in reasons(made)["a"]


def test_reasoning_is_refused_by_a_model_that_does_not() -> None:
    plain = Model("acme/plain", "Plain", "acme")
    with pytest.raises(ModelNotSupported, match="does not reason"):
        planned(facts(needs=("reasoning",)), Offer("acme/plain", "a", "p", (CHAT,)), model=plain)


def test_a_parameter_that_no_offer_supports_is_dropped() -> None:
    made = planned(
        facts(parameters=("temperature", "seed")),
        offer("a", supported_parameters=("seed",)),
        offer("b", supported_parameters=("seed",)),
    )
    assert order(made) == ["a", "b"]
    assert made.steps[0].dropped == ("temperature",)


def test_a_parameter_that_one_offer_supports_decides_for_it() -> None:
    made = planned(
        facts(parameters=("seed",)), offer("a", supported_parameters=()), offer("b", supported_parameters=("seed",))
    )
    assert order(made) == ["b"]
    assert made.steps[0].dropped == ()
    assert reasons(made)["a"] == "does not support: seed"


def test_an_offer_without_a_list_supports_everything() -> None:
    assert planned(facts(parameters=("temperature",)), offer("a")).steps[0].dropped == ()


def test_where_each_offer_misses_another_one_those_that_miss_least_stay() -> None:
    asked = facts(parameters=("seed", "top_p", "n"))
    offers = offer("a", supported_parameters=("seed",)), offer("b", supported_parameters=("top_p", "n"))
    made = planned(asked, *offers)
    assert [(step.offer.provider, step.dropped) for step in made.steps] == [("b", ("seed",))]


def test_when_all_parameters_are_required_nothing_is_dropped() -> None:
    asked = facts(parameters=("temperature", "seed"))
    with pytest.raises(ModelNotSupported, match="supports: temperature") as caught:
        planned(asked, offer("a", supported_parameters=("seed",)), require_parameters=True)
    assert caught.value.param == "temperature"
    each_misses = offer("a", supported_parameters=("seed",)), offer("b", supported_parameters=("temperature",))
    with pytest.raises(ModelNotSupported):
        planned(asked, *each_misses, require_parameters=True)


def test_an_emulated_parameter_counts_as_supported_and_is_not_sent() -> None:
    made = planned(
        facts(parameters=("stop",)),
        offer("a", supported_parameters=(), emulated_parameters=("stop",)),
        require_parameters=True,
    )
    assert (made.steps[0].dropped, made.steps[0].emulated) == ((), ("stop",))


def test_a_prompt_within_the_limit_in_bytes_fits_for_sure() -> None:
    assert order(planned(facts(prompt_bytes=1000), offer("a"))) == ["a"]


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
    lambda parameters, needs, images, limit, size, required: (
        facts(
            parameters=tuple(parameters),
            needs=tuple(needs),
            modalities=frozenset({"text", "image"} if images else {"text"}),
            max_output_tokens=limit,
            prompt_bytes=size,
        ),
        required,
    ),
    st.lists(NAMES, unique=True),
    st.sets(st.sampled_from(["tools", "response_format", "reasoning"])),
    st.booleans(),
    st.none() | st.integers(1, 200),
    st.integers(1, 40_000),
    st.booleans(),
)
