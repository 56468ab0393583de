"""Walks every link of every page, as somebody unknown and as somebody signed in: all lead somewhere, also those into the middle of a page.

Every link that is seen is followed. Of pages of one shape (a path of the router, with or without a query) a few are looked through for more links: a
hundred models have one page, and filters of filters have no end.
"""

import re
from collections import Counter, deque
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

import httpx2
import pytest

from tests.fakes.pages import PAGES, addresses

LEADING = {"a": ("href",), "link": ("href",), "script": ("src",), "img": ("src",), "use": ("href",)}
PARTS = ("hx-get",)
LOOKED_THROUGH = 3
SEEDS = [address for address in addresses() if "{" not in address]
SHAPES = sorted(PAGES, key=lambda path: path.count("{"))


class Links(HTMLParser):
    """What a page leads to, what of it can be led to, and forms that only ask."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        self.ids |= {held[name] for name in ("id", "name") if name in held}
        self.found += [held[name] for name in (*LEADING.get(tag, ()), *PARTS) if name in held]
        if tag == "form" and held.get("method", "get").lower() == "get" and "action" in held:
            self.found.append(held["action"])


class Walk:
    """Over one site, from the start page and the pages' own addresses, with the cookies of its client."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client
        self._waiting = deque((seed, "the list of pages") for seed in SEEDS)
        self._answers: dict[str, httpx2.Response] = {}
        self._ids: dict[str, set[str]] = {}
        self._looked: Counter[tuple[str, bool]] = Counter()
        self.broken: list[str] = []

    @property
    def followed(self) -> set[str]:
        return set(self._answers)

    def to_its_end(self) -> None:
        seen: set[str] = set()
        while self._waiting:
            link, page = self._waiting.popleft()
            if link not in seen:
                seen.add(link)
                self._follow(link, page)

    def _follow(self, link: str, page: str) -> None:
        address, _, fragment = link.partition("#")
        answer = self._answers.get(address)
        if answer is None:
            answer = self._answers[address] = self._client.get(address, follow_redirects=False)
            self._look_through(address, answer)
        if answer.status_code >= 400:
            self.broken.append(f"{page} leads to {link}: {answer.status_code}")
        elif fragment and address in self._ids and unquote(fragment) not in self._ids[address]:
            self.broken.append(f"{page} leads to {link}: there is no such place on that page")

    def _look_through(self, address: str, answer: httpx2.Response) -> None:
        if answer.is_redirect:
            self._waiting.append((urljoin(address, answer.headers["location"]), address))
        if not answer.headers.get("content-type", "").startswith("text/html"):
            return
        links = Links(answer.text)
        self._ids[address] = links.ids
        shape = shape_of(address)
        self._looked[shape] += 1
        if self._looked[shape] <= LOOKED_THROUGH and answer.status_code == 200:
            self._waiting += [(urljoin(address, link), address) for link in links.found if is_ours(link)]


def is_ours(link: str) -> bool:
    return not urlsplit(link).scheme and not link.startswith("//")


def shape_of(address: str) -> tuple[str, bool]:
    parts = urlsplit(address)
    path = next((one for one in SHAPES if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", one), parts.path)), parts.path)
    return path, bool(parts.query)


def test_nothing_leads_nowhere_for_somebody_unknown(stranger: httpx2.Client) -> None:
    walk = Walk(stranger)
    walk.to_its_end()
    assert walk.broken == []
    assert {"/", "/sign-in", "/static/app.css", "/api/v1/models", "/openai/o4-mini"} <= walk.followed


def test_nothing_leads_nowhere_for_somebody_signed_in(operator: httpx2.Client) -> None:
    walk = Walk(operator)
    walk.to_its_end()
    assert walk.broken == []
    assert {"/platform/providers", "/platform/routing", "/platform/settings"} <= walk.followed


@pytest.mark.parametrize(
    ("page", "broken"),
    [
        ('<a href="/nope">', True),
        ('<a href="/#nope">', True),
        ('<p id="there"></p><a href="#there">', False),
        ('<div hx-get="/nope">', True),
        ('<form action="/nope">', True),
        ('<form method="post" action="/nope">', False),
        ('<a href="https://example.com/nope">', False),
        ('<link href="/nope.css">', True),
    ],
)
def test_a_broken_link_is_found(page: str, broken: bool) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        is_there = not request.url.path.startswith("/nope")
        return httpx2.Response(200 if is_there else 404, html=page if is_there else "")

    walk = Walk(httpx2.Client(transport=httpx2.MockTransport(answer), base_url="http://site"))
    walk.to_its_end()
    assert bool(walk.broken) is broken
