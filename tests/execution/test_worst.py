"""The most that a request can cost: never less than any answer's bill, whatever tier, hour, length or cache; and what has no bound is refused."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.catalog.types import Model, Offer, PriceLine, When
from trunkline.errors import QuoteExceeded
from trunkline.execution.asked import Asked, Door
from trunkline.execution.gateway import Vault
from trunkline.execution.worst import Bounds, Ceilings, bounds_of, worst_of
from trunkline.ir.usage import Usage
from trunkline.pricing.ceiling import ceiling
from trunkline.pricing.rate import price
from trunkline.protocols.codec import CHAT, GEMINI, MESSAGES, RESPONSES
from trunkline.protocols.limiting import with_limit
from trunkline.protocols.rawjson import join, split

TODAY = "2026-11-24"
AT_MS = 1_795_521_600_000.0
LINES = (
    PriceLine("prompt", "perMTokens", Decimal("1.10")),
    PriceLine("prompt", "perMTokens", Decimal("2.20"), When(prompt_tokens_gt=1_000)),
    PriceLine("prompt", "perMTokens", Decimal("4"), When(service_tier="priority")),
    PriceLine("input_cache_read", "perMTokens", Decimal("0.275")),
    PriceLine("input_cache_write_5_min", "perMTokens", Decimal("1.375")),
    PriceLine("input_cache_write_1_h", "perMTokens", Decimal("7.123457")),
    PriceLine("completion", "perMTokens", Decimal("4.40")),
    PriceLine("completion", "perMTokens", Decimal("9.9"), When(utc_from="08:00", utc_to="20:00")),
    PriceLine("request", "perCount", Decimal("0.01")),
)
MODEL = Model("acme/m", "m", "acme", context_tokens=100_000, max_output_tokens=1_000)


def offer(lines: tuple[PriceLine, ...] = LINES, **more: Any) -> Offer:
    return Offer("acme/m", "first", "m", (CHAT,), lines, **more)


def asked(body: Any, protocol: str = CHAT) -> tuple[Asked, int]:
    raw = json.dumps(body).encode()
    vault = Vault(b"a secret of 32 bytes for tests...", lambda _key, _data: None)
    door = Door(protocol, path_model="acme/m" if protocol == GEMINI else "")
    return Asked(door, raw, "req_1", 1, vault, has_state=False), len(raw)


def bounds(body: Any, protocol: str = CHAT, ceilings: Ceilings | None = None) -> Bounds:
    one, size = asked(body, protocol)
    return bounds_of(one, size, ceilings or Ceilings())


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "acme/m", "messages": [{"role": "user", "content": "hi"}]} | more


TOKENS = st.integers(0, 3_000)


@given(st.tuples(*[TOKENS] * 6), st.sampled_from([None, "priority", "flex"]), st.integers(0, 23))
def test_no_bill_is_above_the_ceiling(counts: tuple[int, ...], tier: str | None, hour: int) -> None:
    plain, read, five, hours, output, reasoning = counts
    usage = Usage(
        input_tokens=plain,
        cache_read_tokens=read,
        cache_write_5m_tokens=five,
        cache_write_1h_tokens=hours,
        output_tokens=output,
        reasoning_tokens=reasoning,
    )
    bill = price(usage, LINES, at_ms=AT_MS + hour * 3_600_000, service_tier=tier)
    found = ceiling(LINES, usage.total_input_tokens, TODAY)
    assert found is not None
    assert bill.total_pico_usd <= found.cost(usage.total_input_tokens, usage.total_output_tokens)


@given(st.integers(0, 10**14), st.integers(0, 10**6))
def test_what_money_is_sure_to_pay_it_pays(pico_usd: int, prompt: int) -> None:
    found = ceiling(LINES, prompt, TODAY)
    assert found is not None
    tokens = found.output_for(pico_usd, prompt)
    assert tokens is not None
    if tokens >= 0:
        assert found.cost(prompt, tokens) <= pico_usd


def test_a_price_that_is_not_known_has_no_ceiling() -> None:
    assert worst_of(bounds(chat()), MODEL, offer(()), Ceilings(), TODAY) is None
    assert ceiling(LINES[:6], 10, TODAY) is None


def test_what_costs_nothing_holds_nothing() -> None:
    free = tuple(PriceLine(item, "perMTokens", Decimal(0)) for item in ("prompt", "completion"))
    found = worst_of(bounds(chat()), MODEL, offer(free), Ceilings(), TODAY)
    assert found is not None
    assert (found.cost(1_000), found.output_for(0)) == (0, 1_000)


def test_the_output_limit_is_the_callers_else_the_offers_times_the_answers() -> None:
    found = worst_of(bounds(chat(max_tokens=50, n=3)), MODEL, offer(), Ceilings(), TODAY)
    assert found is not None
    assert (found.output_tokens, found.answers) == (50, 3)
    found = worst_of(bounds(chat()), MODEL, offer(max_output_tokens=700), Ceilings(), TODAY)
    assert found is not None
    assert found.output_tokens == 700


def test_a_prompt_has_no_more_tokens_than_bytes_and_no_more_than_fit() -> None:
    long = bounds(chat(messages=[{"role": "user", "content": "ä" * 5_000}]))
    assert long.text_tokens >= 10_000
    found = worst_of(long, MODEL, offer(context_tokens=2_000), Ceilings(), TODAY)
    assert found is not None
    assert found.input_tokens == 2_000


IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
FILE = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}}


def test_pictures_count_their_ceiling_and_documents_the_context() -> None:
    found = bounds(chat(messages=[{"role": "user", "content": [IMAGE, IMAGE, FILE]}]))
    assert (found.images, found.files) == (2, 1)
    worst = worst_of(found, MODEL, offer(), Ceilings(), TODAY)
    assert worst is not None
    assert worst.input_tokens == 100_000


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        (CHAT, chat(web_search_options={})),
        (CHAT, chat(tools=[{"type": "web_search"}])),
        (RESPONSES, {"model": "acme/m", "input": "hi", "tools": [{"type": "code_interpreter"}]}),
        (MESSAGES, chat(max_tokens=9, tools=[{"type": "web_search_20250305", "name": "web_search"}])),
        (MESSAGES, chat(max_tokens=9, mcp_servers=[{"type": "url", "url": "https://a"}])),
        (GEMINI, {"contents": [{"parts": [{"text": "hi"}]}], "tools": [{"googleSearch": {}}]}),
    ],
)
def test_tools_of_the_provider_have_a_ceiling_or_are_refused(protocol: str, body: Any) -> None:
    with pytest.raises(QuoteExceeded, match="tool_usd"):
        bounds(body, protocol)
    assert bounds(body, protocol, Ceilings(tool_pico_usd=7)).fixed_pico_usd == 7


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        (CHAT, chat(tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}])),
        (RESPONSES, {"model": "acme/m", "input": "hi", "tools": [{"type": "function", "name": "f", "parameters": {}}]}),
        (MESSAGES, chat(max_tokens=9, tools=[{"name": "f", "input_schema": {"type": "object"}}])),
        (MESSAGES, chat(max_tokens=9, tools=[{"type": "bash_20250124", "name": "bash"}])),
        (GEMINI, {"contents": [{"parts": [{"text": "hi"}]}], "tools": [{"functionDeclarations": [{"name": "f"}]}]}),
    ],
)
def test_tools_of_the_caller_cost_nothing_of_themselves(protocol: str, body: Any) -> None:
    assert bounds(body, protocol).fixed_pico_usd == 0


def test_a_document_by_its_address_has_a_ceiling_or_is_refused() -> None:
    source = {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}
    body = chat(max_tokens=9, messages=[{"role": "user", "content": [source]}])
    with pytest.raises(QuoteExceeded, match="document_usd"):
        bounds(body, MESSAGES)
    assert bounds(body, MESSAGES, Ceilings(document_pico_usd=5)).fixed_pico_usd == 5


@pytest.mark.parametrize(
    ("protocol", "before", "after"),
    [
        (CHAT, b'{"a":1}', b'{"a":1,"max_completion_tokens":9}'),
        (CHAT, b'{"max_tokens":50,"a":1}', b'{"max_tokens":9,"a":1}'),
        (CHAT, b'{"max_tokens":50,"max_completion_tokens":60}', b'{"max_tokens":50,"max_completion_tokens":9}'),
        (MESSAGES, b'{"max_tokens":50}', b'{"max_tokens":9}'),
        (RESPONSES, b'{"a": 1.0}', b'{"a":1.0,"max_output_tokens":9}'),
        (GEMINI, b'{"a":1}', b'{"a":1,"generationConfig":{"maxOutputTokens":9}}'),
        (GEMINI, b'{"generation_config":{"topK":1.0,"max_output_tokens":5}}', b'{"generation_config":{"topK":1.0,"max_output_tokens":9}}'),
    ],
)  # fmt: skip
def test_a_limit_is_put_in_the_callers_words_and_no_other_byte_changes(
    protocol: str, before: bytes, after: bytes
) -> None:
    assert join(with_limit(split(before), protocol, 9)) == after
