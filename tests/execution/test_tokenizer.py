"""Long prompts are counted where a tokenizer is at hand; the tokenizer itself is another project's, and stands in here for the extra."""

import json

import msgspec
import pytest

from tests.fakes.services import gateway_of
from trunkline.catalog.types import Catalog, Model, Offer, Provider
from trunkline.errors import PayloadTooLarge
from trunkline.execution.asked import Asked, Door
from trunkline.execution.gateway import Clock, Gateway, Policy, Snapshot
from trunkline.execution.planning import measure, plan
from trunkline.execution.tokenizer import is_counted
from trunkline.pricing.types import FREE
from trunkline.protocols.codec import CHAT
from trunkline.providers.accounts import Account

SLUG = "openai/gpt-5-mini"


def a_token_for_each_word(texts: list[str]) -> int:
    return sum(len(text.split()) for text in texts)


def gateway(author: str = "openai", context_tokens: int = 20_000) -> Gateway:
    slug = SLUG.replace("openai", author)
    offers = (Offer(slug, "a", "m", (CHAT,)),)
    models = {slug: Model(slug, "m", author, context_tokens=context_tokens, offers=offers)}
    accounts = {"a": Account(Provider("a", "a"), {}, (), trusted=True)}
    snapshot = Snapshot(Catalog("1", models, {}), accounts, Policy(), lambda *_: FREE)
    made = gateway_of(snapshot, Clock(lambda: 1.0, lambda: 0.0, lambda: "2026-11-24", lambda: "req_1"))
    made.tokenizer = a_token_for_each_word
    return made


def asked(gateway: Gateway, words: int, slug: str = SLUG) -> Asked:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    messages = [
        {"role": "user", "content": "a " * words},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "two words"},
    ]
    body = json.dumps({"model": slug, "messages": messages}).encode()
    return Asked(Door(CHAT), body, "req_1", 0, gateway.vault, has_state=False)


async def test_a_long_prompt_is_counted_with_calls_and_results() -> None:
    one = gateway()
    request = asked(one, 12_000)
    await measure(one, one.snapshot, request)
    assert (request.facts.prompt_tokens, request.facts.counted_for) == (12_004, "openai")
    assert plan(one, one.snapshot, request.facts).model.slug == SLUG


async def test_a_prompt_that_has_too_many_tokens_is_refused_with_their_number() -> None:
    one = gateway(context_tokens=20_000)
    request = asked(one, 20_001)
    await measure(one, one.snapshot, request)
    with pytest.raises(PayloadTooLarge, match="20005 tokens > 20000 maximum"):
        plan(one, one.snapshot, request.facts)


async def test_a_prompt_that_fits_by_its_bytes_is_not_counted() -> None:
    one = gateway(context_tokens=100_000)
    plan(one, one.snapshot, asked(one, 5).facts)
    request = asked(one, 12_000)
    await measure(one, one.snapshot, request)
    assert request.facts.prompt_tokens is None


@pytest.mark.parametrize(("author", "words"), [("acme", 12_000), ("openai", 10)])
async def test_neither_are_short_prompts_and_those_of_models_whose_tokenizer_is_not_public(
    author: str, words: int
) -> None:
    one = gateway(author)
    request = asked(one, words, SLUG.replace("openai", author))
    await measure(one, one.snapshot, request)
    assert request.facts.prompt_tokens is None


async def test_without_the_extra_nothing_is_counted() -> None:
    one = gateway()
    one.tokenizer = None
    request = asked(one, 12_000)
    before = request.facts
    await measure(one, one.snapshot, request)
    assert request.facts is before
    assert msgspec.structs.asdict(before)["prompt_tokens"] is None


@pytest.mark.parametrize(
    ("slug", "counted"),
    [
        ("openai/gpt-oss-120b", True),
        ("openai/gpt-4o", True),
        ("openai/gpt-4.1", True),
        ("openai/o4-mini", True),
        ("openai/gpt-4", False),
        ("openai/gpt-4-turbo", False),
        ("openai/gpt-3.5-turbo", False),
        ("acme/alpha", False),
    ],
)
def test_only_models_with_the_encoding_that_is_at_hand_are_counted(slug: str, counted: bool) -> None:
    assert is_counted(slug) is counted
