"""What the page on losses says is what the code does."""

from pathlib import Path

import pytest

from trunkline.ir.request import Request
from trunkline.protocols.codec import ALL, CONVERSE
from trunkline.protocols.fields import FIELDS, PARTS, REQUEST, page, word

PAGE = Path(__file__).parent.parent.parent / "docs" / "protocols.md"
NOT_LOST = {"origin", "turns", "stream", "include_usage", "extras"}


def test_the_page_is_made_from_the_table() -> None:
    assert PAGE.read_text() == page()


def test_every_attribute_of_a_request_has_a_row() -> None:
    assert {field.name for field in REQUEST} == set(Request.__struct_fields__) - NOT_LOST


@pytest.mark.parametrize("field", FIELDS.values(), ids=lambda field: field.name)
def test_a_row_says_what_becomes_of_it_in_every_protocol_of_a_provider(field) -> None:
    assert set(field.rules) == {*ALL, CONVERSE}
    assert all(rule.says for rule in field.rules.values())


def test_a_refusal_says_what_would_help() -> None:
    refusals = [rule.says for field in FIELDS.values() for rule in field.rules.values() if rule.action == "refused"]
    assert refusals
    assert all(";" in says for says in refusals)


def test_no_name_stands_for_two_rows() -> None:
    assert len(FIELDS) == len(REQUEST) + len(PARTS)


def test_a_field_is_named_in_the_words_of_the_caller() -> None:
    assert word("top_k", "gemini") == "generationConfig.topK"
    assert word("top_k", "openai.chat") == "top_k"
