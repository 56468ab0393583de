"""Keys of providers that the store keeps, on `/platform/providers` and below `/platform/credentials`."""

import re

import pytest

from tests.fakes.console import RunningConsole
from tests.fakes.used import reader, words

PATH, PLACE = "/platform/credentials", "/platform/providers"
SECRET = "sk-a-key-of-openai-0123456789"


@pytest.fixture
def people(console: RunningConsole):
    with reader(console) as client:
        yield client


def form(people, **fields: str) -> dict[str, str]:
    return {"csrf": people.headers["x-csrf-token"], "provider": "openai", "name": "team", "secret": SECRET, **fields}


def test_it_is_kept_shown_without_the_key_replaced_and_revoked(people):
    answer = people.post(PATH, data=form(people))
    assert answer.status_code == 303, words(answer.text)
    page = people.get(answer.headers["location"]).text
    assert "The key is kept" in words(page)
    assert SECRET not in page
    assert f"…{SECRET[-4:]}" in page
    card = re.search(r'<article [^>]*id="openai".*?</article>', page, re.DOTALL)[0]
    assert "kept in the store" in card
    id_ = re.search(rf'href="{PATH}/(cred_[0-9a-f]+)"', page)[1]
    assert "openai" in words(people.get(f"{PATH}/{id_}").text)
    answer = people.post(f"{PATH}/{id_}/rotate", data=form(people, secret="sk-another-key-9876"))
    assert "The key was replaced" in words(people.get(answer.headers["location"]).text)
    answer = people.post(f"{PATH}/{id_}/revoke", data=form(people))
    page = people.get(answer.headers["location"]).text
    assert "The key is revoked" in words(page)
    assert not re.search(r'<article [^>]*id="openai"', page)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"provider": "nobody"}, "there is no provider 'nobody'"),
        ({"secret": "short"}, "Secret: value should have at least 8"),
        ({"secret": "sk with blanks in it"}, "blanks"),
    ],
)
def test_wrong_input_is_told_and_the_key_not_sent_back(people, fields, said):
    answer = people.post(PATH, data=form(people, **fields))
    assert answer.status_code == 400
    assert said in words(answer.text)
    assert fields.get("secret", SECRET) not in answer.text
    assert 'value="team"' in answer.text


def test_it_is_for_whoever_has_signed_in_from_our_own_pages(console, people):
    with console.client(None, accept="text/html") as nobody:
        assert nobody.post(PATH, data={"provider": "openai", "secret": SECRET}).status_code == 303
        assert nobody.get(f"{PATH}/cred_1").status_code == 303
    del people.headers["x-csrf-token"]
    for path in (PATH, f"{PATH}/cred_1/rotate", f"{PATH}/cred_1/revoke"):
        assert people.post(path, data={"secret": SECRET, "csrf": "0"}).status_code == 403


def test_one_that_is_not_there_is_a_404(people):
    assert people.get(f"{PATH}/cred_none").status_code == 404
