"""`/platform/providers`: what opens each provider and what is missing; a test of one offer; taking the file over."""

import re

import pytest

from tests.fakes.console import MASTER_KEY
from tests.fakes.gateway import eventually
from tests.fakes.operating import session_of, text_of
from tests.fakes.records import a_record
from trunkline.api.forward import FIRST_BYTE_S
from trunkline.records.types import Attempt
from trunkline.web.credentials import TEST_WITHIN_S

PAGE = "/platform/providers"
NASTY = '<script>alert("1")</script>'


def card_of(page: str, slug: str) -> str:
    found = re.search(rf'<article [^>]*id="{slug}".*?</article>', page, re.DOTALL)
    assert found, slug
    return found[0]


@pytest.fixture
def people(console):
    with console.client(None, accept="text/html") as made:
        yield made


@pytest.fixture
def session(people):
    return session_of(people, MASTER_KEY)


def test_it_is_for_whoever_has_signed_in(people):
    answer = people.get(PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Fplatform%2Fproviders")


def test_a_ready_provider_says_what_opens_it_and_never_the_key(console, people, session):
    answer = people.get(PAGE, headers=session)
    card = card_of(answer.text, "acme")
    assert f"{console.config}: [providers.acme] api_key" in card
    assert "127.0.0.1:9001" in card
    assert "Acme &amp; Sons" in card
    assert "acme-secret-1" not in answer.text
    assert MASTER_KEY not in answer.text


def test_what_is_missing_of_the_others_is_told_with_its_variable(people, session):
    answer = people.get(PAGE, headers=session)
    assert "set OPENAI_API_KEY" in text_of(answer)
    assert 'data-copy="OPENAI_API_KEY"' in answer.text
    assert 'data-copy="AWS_SECRET_ACCESS_KEY"' in answer.text


def test_without_traffic_no_figure_is_made_up(people, session):
    card = card_of(people.get(PAGE, headers=session).text, "acme")
    figures = re.findall(r"<dt>([^<]+)</dt><dd[^>]*><b>([^<]+)</b>", card)
    assert figures[0] == ("Attempts, 24 h", "0")
    assert {value for _, value in figures[1:]} == {"-"}


def test_a_refusal_of_the_key_stands_on_the_card_escaped(session, people, console):
    now_ms = 1_900_000_000_000.0
    refused = Attempt("acme", "acme/alpha:acme", "alpha", now_ms, now_ms, "status", 401, NASTY)
    console.keep(a_record(1, received_ms=now_ms, attempts=(refused,), outcome="error", provider="acme"))
    card = card_of(people.get(PAGE, headers=session).text, "acme")
    assert "refused" in card
    assert "&lt;script&gt;" in card
    assert NASTY not in card


@pytest.mark.parametrize(
    ("slug", "offer"), [("acme", "acme/beta:acme"), ("openai", ""), ("nobody", "a/b:nobody"), (NASTY, "")]
)
def test_only_offers_that_can_be_called_are_tested(people, session, slug, offer):
    answer = people.post(f"{PAGE}/{slug}/test", data={"offer": offer}, headers=session)
    assert answer.status_code == 404
    assert "<script>alert" not in answer.text


def test_a_test_from_elsewhere_calls_nobody(people, session):
    sent = {**session, "x-csrf-token": "0"}
    assert people.post(f"{PAGE}/acme/test", data={"offer": "acme/alpha:acme"}, headers=sent).status_code == 403
    assert people.post("/platform/reload", headers=sent).status_code == 403


def test_where_the_data_plane_does_not_answer_the_test_says_so(people, session):
    answer = people.post(f"{PAGE}/acme/test", data={"offer": "acme/alpha:acme"}, headers=session)
    assert answer.status_code == 200
    assert "The gateway does not answer at http://127.0.0.1:" in text_of(answer)


def test_a_console_on_its_own_cannot_take_the_file_over(people, session):
    answer = people.post("/platform/reload", headers=session)
    assert answer.status_code == 409
    assert "was not started by `trunkline serve`" in text_of(answer)


def test_a_test_that_is_answered_shows_time_tokens_and_cost(live, operator):
    part = operator.post(f"{PAGE}/acme/test", data={"offer": "acme/alpha:acme"}, headers={"hx-request": "true"})
    text = text_of(part)
    assert "<html" not in part.text
    assert re.search(r"Answered in [\d.]+ m?s *, first token after [\d.]+ m?s", text), text
    assert "16 out" in text or re.search(r"\d+ tokens in, \d+ out, \$", text)
    (id_,) = re.findall(r'href="/platform/logs/([^"]+)"', part.text)
    record = live.record(id_)
    assert (record.offer, record.outcome) == ("acme/alpha:acme", "ok")
    assert record.key_id != "master"


def test_without_script_the_whole_page_comes_with_the_answer_in_its_card(operator):
    answer = operator.post(f"{PAGE}/acme/test", data={"offer": "acme/beta:acme"})
    assert "Answered" in card_of(answer.text, "acme")
    assert "<option selected>acme/beta:acme" in answer.text


def test_a_key_that_is_refused_is_told_with_its_mend(operator, simulated_server):
    simulated_server.behaviour("locked-sim", api_keys=["sk-the-right-one"])
    text = text_of(operator.post(f"{PAGE}/locked/test", headers={"hx-request": "true"}))
    assert "The provider answered 401" in text
    assert "check that it is whole, of this provider, and not revoked" in text
    assert "sk-not-the-right-one" not in text
    assert "refused" in card_of(operator.get(PAGE).text, "locked")


def test_the_file_is_taken_over_by_a_click(live, operator):
    before = live.path.read_text()
    live.path.write_text(before.replace('name = "Acme"', 'name = "Acme of tomorrow"'))
    answer = operator.post("/platform/reload")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PAGE}?told=reloading")
    assert "The gateway takes its file over" in operator.get(answer.headers["location"]).text
    eventually(lambda: "Acme of tomorrow" in operator.get(PAGE).text, "the new name")
    live.path.write_text(before)


def test_a_wrong_file_is_refused_with_its_fault(live, operator):
    before = live.path.read_text()
    live.path.write_text(before + "\n[server2]\nx = 1\n")
    answer = operator.post("/platform/reload")
    live.path.write_text(before)
    assert answer.status_code == 409
    assert "server2: there is no such setting; did you mean server?" in text_of(answer)


def test_the_way_to_the_console_waits_for_longer_than_the_test_of_credentials():
    assert TEST_WITHIN_S + 10 <= FIRST_BYTE_S
