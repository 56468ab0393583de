"""Providers' exports are read as their pages describe them."""

import json

import pytest

from tests.reconcile import exports
from trunkline.reconcile.exports import SOURCES
from trunkline.reconcile.types import Line, ReconcileError, Sums

ONE, TWO = "2026-11-01", "2026-11-02"
USD = 10**12


def read(provider, text):
    return SOURCES[provider].read(text.encode())


def cost(usd):
    return Sums(cost_pico_usd=round(usd * USD))


def test_openai_usage_counts_tokens_and_requests_by_key():
    found = read("openai", exports.OPENAI_USAGE)
    assert found.lines == (Line(ONE, "gpt-4o-mini-2024-07-18", "key_abc", Sums(5, 1000, 500)),)
    assert found.days == (ONE, TWO), "a day without use is told too"
    assert found.measures == ("requests", "input_tokens", "output_tokens")


def test_openai_costs_are_exact_and_named_by_their_line_item():
    found = read("openai", exports.OPENAI_COSTS)
    assert found.lines == (Line(ONE, "gpt-4o-2024-08-06", "", cost(0.06)),) * 2
    assert found.measures == ("cost_pico_usd",)


def test_the_csv_of_openai_is_the_same():
    found = read("openai", exports.OPENAI_USAGE_CSV)
    assert found.lines[0] == read("openai", exports.OPENAI_USAGE).lines[0]
    assert found.lines[1].sums == Sums(1, 7, 3)
    costs = 'start_time,amount_value,amount_currency,line_item\n1793491200,0.06,usd,"gpt-4o-2024-08-06, input"\n'
    assert read("openai", costs).lines == (Line(ONE, "gpt-4o-2024-08-06", "", cost(0.06)),)


def test_several_pages_are_one_export():
    pages = f"{exports.OPENAI_USAGE}\n{exports.OPENAI_USAGE}\n"
    assert len(read("openai", pages).lines) == 2
    assert len(read("openai", f"[{exports.OPENAI_USAGE},{exports.OPENAI_USAGE}]").lines) == 2


def test_anthropic_usage_adds_up_all_input_with_caches():
    found = read("anthropic", exports.ANTHROPIC_USAGE)
    assert found.lines == (Line(ONE, "claude-sonnet-4-5-20250929", "apikey_01", Sums(0, 3200, 500)),)
    assert (found.days, found.measures) == ((ONE, TWO), ("input_tokens", "output_tokens"))


def test_amounts_of_anthropic_are_cents():
    assert read("anthropic", exports.ANTHROPIC_COST).lines == (
        Line(ONE, "claude-sonnet-4-5-20250929", "", cost(1.2345)),
    )


def test_azure_costs_are_those_of_models_in_usd():
    found = read("azure", exports.AZURE)
    assert [(line.day, line.model, line.sums) for line in found.lines] == [
        (ONE, "gpt 4o 0806 Inp glbl Tokens", cost(0.03)),
        (ONE, "gpt 4o 0806 Outp glbl Tokens", cost(0.09)),
        (TWO, "gpt 4o 0806 Inp glbl Tokens", cost(0.0025)),
    ]
    assert read("azure", exports.AZURE_EA).lines[0].sums == cost(0.03)
    with pytest.raises(ReconcileError, match="is in EUR"):
        read("azure", exports.AZURE_EA.replace("USD", "EUR"))


def test_google_costs_are_converted_to_usd():
    found = read("google", exports.GOOGLE)
    assert [(line.day, line.sums) for line in found.lines] == [(ONE, cost(0.03)), (ONE, cost(0.07))]
    assert found.days == (ONE, TWO)
    assert read("google", exports.GOOGLE_CSV).lines[0].sums == cost(0.1)


def test_bedrock_costs_come_from_reports_and_from_cost_explorer():
    report = read("bedrock", exports.BEDROCK_REPORT)
    assert [(line.model, line.sums) for line in report.lines] == [
        ("USE1-NovaLite-input-tokens", cost(0.00072)),
        ("Claude Sonnet 4.5 (Amazon Bedrock Edition)", cost(0.009)),
    ]
    renamed = exports.BEDROCK_REPORT.replace("lineItem/", "line_item_").replace("UsageStartDate", "usage_start_date")
    renamed = renamed.replace("UnblendedCost", "unblended_cost").replace("UsageType", "usage_type")
    assert read("bedrock", renamed) == report, "the second version of the report has other headings"
    assert read("bedrock", exports.BEDROCK_EXPLORER).lines == (
        Line(ONE, "USE1-NovaLite-input-tokens", "", cost(0.00072)),
    )
    table = read("bedrock", exports.BEDROCK_EXPLORER_CSV)
    assert [(line.day, line.model) for line in table.lines] == [
        (ONE, "USE1-NovaLite-input-tokens"),
        (TWO, "USE1-NovaLite-output-tokens"),
    ]


@pytest.mark.parametrize("provider", SOURCES)
@pytest.mark.parametrize("text", ["", "{}", "[1]", "{", "a,b\n1,2\n", '{"data": [{}]}'])
def test_what_is_no_export_is_refused_in_words(provider, text):
    with pytest.raises(ReconcileError, match=r"is no|is empty|neither"):
        read(provider, text)


def test_a_number_that_is_none_is_named():
    with pytest.raises(ReconcileError, match=r"2026-11-01: input_tokens: 'x' is no number"):
        read("openai", json.dumps(json.loads(exports.OPENAI_USAGE)).replace("1000,", '"x",'))
