"""What holds for every bill."""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.catalog.types import PRICE_ITEMS, PriceLine, When
from trunkline.ir.usage import Usage
from trunkline.pricing.rate import RateCard
from trunkline.pricing.types import Cost

COUNTED = [name for name in Usage.__struct_fields__ if name != "estimated"]
usages = st.builds(Usage, **{name: st.integers(0, 3_000_000) for name in COUNTED})
values = st.decimals(0, 1_000, places=9, allow_nan=False, allow_infinity=False)
conditions = st.builds(
    When,
    prompt_tokens_gt=st.none() | st.integers(0, 400_000),
    prompt_tokens_lte=st.none() | st.integers(1, 400_000),
    service_tier=st.none() | st.sampled_from(["flex", "priority"]),
    utc_days=st.none() | st.sampled_from(["12345", "67"]),
)
price_lines = st.builds(
    PriceLine,
    item=st.sampled_from(PRICE_ITEMS),
    unit=st.sampled_from(["perMTokens", "perCount"]),
    value=values,
    when=conditions,
)
cards = st.lists(price_lines, max_size=12).map(tuple)
moments = st.floats(0, 4e12, allow_nan=False)
tiers = st.none() | st.sampled_from(["flex", "priority", "default", "unheard-of"])


def bill(lines: tuple[PriceLine, ...], usage: Usage, at_ms: float, tier: str | None) -> Cost:
    return RateCard(lines).bill(usage, at_ms=at_ms, service_tier=tier)


@given(cards, usages, moments, tiers)
@settings(max_examples=150, deadline=None)
def test_the_lines_add_up_and_nothing_is_a_float(
    lines: tuple[PriceLine, ...], usage: Usage, at_ms: float, tier: str | None
) -> None:
    cost = bill(lines, usage, at_ms, tier)
    assert cost.total_pico_usd == sum(row.amount_pico_usd for row in cost.lines)
    assert all(type(row.amount_pico_usd) is int and row.amount_pico_usd >= 0 for row in cost.lines)
    assert len({row.item for row in cost.lines}) == len(cost.lines)


@given(cards, usages, moments, tiers)
@settings(max_examples=150, deadline=None)
def test_every_count_is_billed_once_or_named_as_unpriced(
    lines: tuple[PriceLine, ...], usage: Usage, at_ms: float, tier: str | None
) -> None:
    cost = bill(lines, usage, at_ms, tier)
    counted = sum(getattr(usage, name) for name in COUNTED)
    billed = sum(row.quantity for row in cost.lines if row.item != "request")
    assert billed == counted if not cost.unpriced else billed < counted


@given(cards, usages, moments, tiers)
@settings(max_examples=150, deadline=None)
def test_each_amount_is_the_exact_product_rounded_half_to_even(
    lines: tuple[PriceLine, ...], usage: Usage, at_ms: float, tier: str | None
) -> None:
    for row in bill(lines, usage, at_ms, tier).lines:
        with localcontext() as context:
            context.prec = 60
            scale = Decimal(10**6) if row.unit == "perMTokens" else Decimal(10**12)
            exact = (Decimal(row.value) * row.quantity * scale).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)
        assert row.amount_pico_usd == exact


@given(usages, st.sampled_from(COUNTED), st.integers(1, 1_000_000))
@settings(max_examples=150, deadline=None)
def test_more_use_never_costs_less_at_fixed_prices(usage: Usage, name: str, more: int) -> None:
    lines = tuple(PriceLine(item, "perMTokens", Decimal("0.123456789")) for item in PRICE_ITEMS if item != "request")
    grown = Usage(**{field: getattr(usage, field) + (more if field == name else 0) for field in COUNTED})
    assert bill(lines, grown, 0, None).total_pico_usd >= bill(lines, usage, 0, None).total_pico_usd


@given(cards, usages, moments, tiers)
@settings(max_examples=75, deadline=None)
def test_a_price_list_in_another_order_with_distinct_lines_bills_the_same_items(
    lines: tuple[PriceLine, ...], usage: Usage, at_ms: float, tier: str | None
) -> None:
    there = bill(lines, usage, at_ms, tier)
    back = bill(tuple(reversed(lines)), usage, at_ms, tier)
    assert {row.item for row in there.lines} == {row.item for row in back.lines}
    assert there.unpriced == back.unpriced


@given(cards, st.lists(st.tuples(usages, moments, tiers), min_size=2, max_size=6))
@settings(max_examples=75, deadline=None)
def test_a_card_bills_as_if_each_answer_were_its_first(
    lines: tuple[PriceLine, ...], answers: list[tuple[Usage, float, str | None]]
) -> None:
    card = RateCard(lines)
    for usage, at_ms, tier in answers:
        assert card.bill(usage, at_ms=at_ms, service_tier=tier) == bill(lines, usage, at_ms, tier)
