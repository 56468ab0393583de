"""`/models/compare`: facts side by side, differences marked, addresses that say no more than they must."""

import html
import re

import pytest

PAIR = "m=acme/alpha&m=openai/gpt-5.6-luna"


@pytest.fixture
def people(console):
    with console.client(None, accept="text/html") as made:
        yield made


def row(page: str, words: str) -> tuple[list[str], bool]:
    """The values of a row, and whether it is marked."""
    found = re.search(rf'<tr( class="differs")?><th scope="row">(?:<code>)?{words}\b.*?</tr>', page)
    assert found, words
    return [html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", found[0])], found[1] is not None


def test_every_fact_has_a_row_and_differences_are_marked(people):
    page = people.get(f"/models/compare?{PAIR}").text
    context, marked = row(page, "Context")
    assert context[0] == "200,000"
    assert marked == (len(set(context)) > 1)
    assert row(page, "Input") == (["$1.10", row(page, "Input")[0][1]], True)
    assert row(page, "Gives out") == (["text", "text"], False)
    assert row(page, "Callable now") == (["1 of 1 offers", "no"], True)
    assert row(page, "seed")[0][0] == "yes"
    for words in (
        "Output",
        "Cache read",
        "First token, median",
        "Throughput, median",
        "Uptime",
        "OpenAI Chat",
        "Trains on prompts",
    ):
        assert len(row(page, words)[0]) == 2


def test_only_the_differences_can_be_seen(people):
    page = people.get(f"/models/compare?{PAIR}&only=1").text
    assert "Gives out" not in page
    assert row(page, "Author")[1]


def test_one_alone_differs_in_nothing(people):
    page = people.get("/models/compare?m=acme/alpha").text
    assert 'class="differs"' not in page
    assert 'href="/models/compare"' in page, "the way to take it out"


def test_without_a_model_it_leads_to_the_list(people):
    page = people.get("/models/compare").text
    assert "No model is chosen yet" in page
    assert 'href="/models"' in page


def test_an_alias_means_its_model(people):
    page = people.get("/models/compare?m=acme/alpha&m=o4-mini").text
    assert 'href="/openai/o4-mini"' in page


def test_what_the_list_sent_besides_is_left_out_of_the_address(people):
    answer = people.get("/models/compare?q=&sort=use&m=acme/alpha&m=&m=acme/alpha")
    assert (answer.status_code, answer.headers["location"]) == (303, "/models/compare?m=acme/alpha")


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("m=acme/alpah", 404, "Did you mean acme/alpha"),
        ("m=<script>", 404, "There is no model <script>"),
        ("m=acme/alpha&m=openai/o4-mini&m=openai/gpt-5&m=openai/gpt-5.6-luna&m=openai/gpt-5.6-sol", 400, "At most 4"),
    ],
)
def test_wrong_input_is_told_in_words(people, query, status, words):
    answer = people.get(f"/models/compare?{query}")
    assert answer.status_code == status
    assert words in html.unescape(answer.text)
    assert "<script>" not in answer.text.replace("<script src", "")
