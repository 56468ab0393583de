"""People who sign in to a console. In: a running console. Out: browsers of members, with the token that a change needs."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import httpx2

from tests.fakes.console import MASTER_KEY, RunningConsole

PASSWORD = "correct horse battery"
MEMBERS = "/api/v1/management/members"


@contextmanager
def browser(console: RunningConsole, address: str = "192.0.2.50") -> Iterator[httpx2.Client]:
    """Somebody who has not signed in. It keeps no cookie by itself: `signed_in` puts one on."""
    headers = {"accept": "text/html", "x-trunkline-peer": address}
    with console.client(None, **headers) as made:
        yield made


@contextmanager
def member_browser(console: RunningConsole, email: str, role: str = "member", org: str = "") -> Iterator[httpx2.Client]:
    """A member who was invited with the master key, has joined, and is signed in."""
    with console.client() as root:
        query = f"?organisation={org}" if org else ""
        answer = root.post(MEMBERS + query, json={"email": email, "role": role})
        assert answer.status_code == 201, answer.text
        link = answer.json()["data"]["link"]
    with browser(console) as people:
        answer = joined(people, link, name=email.partition("@")[0].capitalize())
        assert answer.status_code == 303, answer.text
        signed_in(people, answer)
        yield people


def joined(people: httpx2.Client, link: str, **form: str) -> httpx2.Response:
    """The form behind a link, sent."""
    parts = urlsplit(link)
    token = parse_qs(parts.query)["token"][0]
    return people.post(parts.path, data={"token": token, "password": PASSWORD, "again": PASSWORD, **form})


def sign_in(people: httpx2.Client, email: str, password: str = PASSWORD, **headers: str) -> httpx2.Response:
    return people.post("/sign-in", data={"email": email, "password": password}, headers=headers)


def sign_in_with_master_key(people: httpx2.Client) -> httpx2.Client:
    answer = people.post("/sign-in", data={"key": MASTER_KEY})
    return signed_in(people, answer)


def signed_in(people: httpx2.Client, answer: httpx2.Response) -> httpx2.Client:
    """From now on with the cookie that this answer set, and the session's token."""
    assert answer.status_code == 303, answer.text
    people.headers["cookie"] = answer.headers["set-cookie"].partition(";")[0]
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', people.get("/platform/account").text)
    assert found
    people.headers["x-csrf-token"] = found[1]
    return people
