"""Who may call what: every route of the management API and every page, by each kind of caller. A new route without a row fails."""

import itertools
import secrets
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi.routing import iter_route_contexts

from tests.fakes.people import MEMBERS, browser, member_browser
from trunkline.accounts.roles import ALLOWED, covers, may
from trunkline.accounts.types import DEFAULT_ORGANISATION, Actor
from trunkline.web.app import make_app
from trunkline.web.session import PLATFORM_PLACES

API = "/api/v1/management"
ANYONE = "anyone"
"""Inference keys too, of which each reads what was asked with it."""
OPEN = "open"
"""Without any key."""
KEY = {"name": "x"}
BUDGET = {"scope": "organisation", "period": "day", "limit_usd": "5"}
SECRET = {"provider": "acme", "secret": "sk-a-key-of-acme-0123456789"}

# Method and path -> the act of `accounts.roles`, and a body that is good.
ROUTES: dict[tuple[str, str], tuple[str, Any]] = {
    ("GET", f"{API}/openapi.json"): (OPEN, None),
    ("GET", "/api/v1/generation"): (ANYONE, None),
    ("GET", f"{API}/generation"): (ANYONE, None),
    ("GET", f"{API}/keys"): ("keys", None),
    ("POST", f"{API}/keys"): ("keys", KEY),
    ("GET", f"{API}/keys/{{key_id}}"): ("keys", None),
    ("PATCH", f"{API}/keys/{{key_id}}"): ("keys", {"name": "y"}),
    ("POST", f"{API}/keys/{{key_id}}/rotate"): ("keys", {}),
    ("DELETE", f"{API}/keys/{{key_id}}"): ("keys", None),
    ("GET", f"{API}/budgets"): ("budgets.see", None),
    ("POST", f"{API}/budgets"): ("budgets", BUDGET),
    ("GET", f"{API}/budgets/{{budget_id}}"): ("budgets.see", None),
    ("PATCH", f"{API}/budgets/{{budget_id}}"): ("budgets", {"limit_usd": "6"}),
    ("DELETE", f"{API}/budgets/{{budget_id}}"): ("budgets", None),
    ("GET", f"{API}/credentials"): ("credentials", None),
    ("POST", f"{API}/credentials"): ("credentials", SECRET),
    ("GET", f"{API}/credentials/{{credential_id}}"): ("credentials", None),
    ("POST", f"{API}/credentials/{{credential_id}}/rotate"): ("credentials", {"secret": SECRET["secret"]}),
    ("DELETE", f"{API}/credentials/{{credential_id}}"): ("credentials", None),
    ("GET", f"{API}/providers"): ("installation", None),
    ("GET", f"{API}/records"): ("use", None),
    ("GET", f"{API}/records/export"): ("export", None),
    ("GET", f"{API}/credits"): ("credits.see", None),
    ("GET", f"{API}/credits/statement"): ("credits.see", None),
    ("POST", f"{API}/credits"): ("credits", {"amount_usd": "1"}),
    ("POST", f"{API}/credits/{{wallet_id}}/adjustments"): ("credits", {"amount_usd": "1", "note": "x"}),
    ("GET", f"{API}/payg/balance"): ("credits.see", None),
    ("GET", f"{API}/flow_rate"): ("credits.see", None),
    ("GET", f"{API}/subscription/detail"): ("credits.see", None),
    ("GET", MEMBERS): ("members", None),
    ("POST", MEMBERS): ("members", {"email": "EMAIL"}),
    ("GET", f"{MEMBERS}/{{member_id}}"): ("members", None),
    ("PATCH", f"{MEMBERS}/{{member_id}}"): ("members", {"name": "x"}),
    ("POST", f"{MEMBERS}/{{member_id}}/disable"): ("members", None),
    ("POST", f"{MEMBERS}/{{member_id}}/enable"): ("members", None),
    ("POST", f"{MEMBERS}/{{member_id}}/password-link"): ("members", None),
    ("GET", f"{API}/organisations"): ("organisations.see", None),
    ("POST", f"{API}/organisations"): ("organisations", {"name": "x"}),
    ("GET", f"{API}/organisations/{{organisation_id}}"): ("organisations.see", None),
    ("PATCH", f"{API}/organisations/{{organisation_id}}"): ("organisations", {"prepaid": False}),
    ("GET", f"{API}/projects"): ("projects.see", None),
    ("POST", f"{API}/projects"): ("projects", {"name": "NAME"}),
    ("GET", f"{API}/projects/{{project_id}}"): ("projects.see", None),
    ("PATCH", f"{API}/projects/{{project_id}}"): ("projects", {"archived": True}),
    ("GET", f"{API}/audit"): ("audit", None),
} | {
    ("GET", f"{API}/statistics/{name}"): ("installation", None)
    for name in ("timeseries", "market-share", "market_share", "leaderboard", "model-usage", "model_usage", "performance", "trending", "offers")
}  # fmt: skip
WHOSE = {"member_id", "key_id", "project_id", "budget_id", "credential_id", "wallet_id", "organisation_id"}

# Paths of pages that somebody must be signed in for -> the act. Of each the reader is found out by the same code.
PAGES = {path: act for path, _, act in PLATFORM_PLACES} | {
    "/platform/account": "account",
    "/platform/organisations": "organisations",
}


def routes(prefix: str) -> set[tuple[str, str]]:
    app = make_app(cast(Any, SimpleNamespace()))
    found = [(route.path or "", route.methods or set()) for route in iter_route_contexts(app.routes)]
    return {(method, path) for path, methods in found for method in methods - {"HEAD"} if path.startswith(prefix)}


def test_no_route_of_the_api_is_forgotten():
    assert routes("/api/") == set(ROUTES)


def test_no_page_of_the_platform_is_forgotten():
    first_parts = {"/".join(path.split("/")[:3]) for _, path in routes("/platform/")}
    # Those that are parts of another page: a session's own key, a reload from the page of credentials, kept credentials.
    assert first_parts - {"/platform/session-key", "/platform/reload", "/platform/credentials"} == set(PAGES)


class Caller:
    """Somebody who calls: over `client`, as `actor` (None: of no role)."""

    def __init__(self, client, actor: Actor | None, org_id: str = DEFAULT_ORGANISATION) -> None:
        self.client, self.actor, self.org_id = client, actor, org_id


@pytest.fixture(scope="module")
def callers(console):
    with console.client() as root:
        org = root.post(f"{API}/organisations", json={"name": "other"}).json()["data"]["id"]
        keys = {
            "key": root.post(f"{API}/keys", json={"name": "m", "kind": "management", "organisation": org}).json()[
                "secret"
            ],
            "inference": root.post(f"{API}/keys", json={"name": "i"}).json()["secret"],
        }
        with (
            console.client(None) as nobody,
            console.client(keys["inference"]) as inference,
            console.client(keys["key"]) as key,
            member_browser(console, "member@example.com") as member,
            member_browser(console, "operator@example.com", "admin") as operator,
            member_browser(console, "admin@example.com", "admin", org) as admin,
        ):
            yield {
                "nobody": Caller(nobody, None),
                "inference": Caller(inference, None),
                "member": Caller(member, Actor("member", id_of(root, "member@"), "", "member")),
                "admin": Caller(admin, Actor("member", "x", "", "admin", org), org),
                "key": Caller(key, Actor("key", "x", "", "admin", org), org),
                "operator": Caller(operator, Actor("member", "x", "", "admin")),
                "master": Caller(root, Actor("master", "master", "", "admin")),
            }


def id_of(root, email: str) -> str:
    return str(root.get(MEMBERS, params={"text": email}).json()["data"][0]["id"])


def made(root, param: str, org: str) -> str:
    """The id of something new that belongs to an organisation."""
    name, query = secrets.token_hex(6), {"organisation": org}
    if param == "organisation_id":
        return org
    if param == "budget_id":
        project = made(root, "project_id", org)
        body = {**BUDGET, "scope": "project", "scope_id": project, "organisation": org}
        return str(root.post(f"{API}/budgets", json=body).json()["id"])
    answer = {
        "member_id": lambda: root.post(MEMBERS, params=query, json={"email": f"{name}@example.com"}),
        "project_id": lambda: root.post(f"{API}/projects", params=query, json={"name": name}),
        "key_id": lambda: root.post(f"{API}/keys", json={"name": name, **query}),
        "credential_id": lambda: root.post(f"{API}/credentials", json={**SECRET, "name": name, **query}),
        "wallet_id": lambda: root.post(f"{API}/credits", params=query, json={"amount_usd": "1", "name": name}),
    }[param]()
    assert answer.status_code == 201, answer.text
    told = answer.json()
    found = told.get("data", told)
    return str(found.get("member", found).get("id") or found["wallet_id"])


def called(caller: Caller, root, method: str, path: str, target_org: str) -> int:
    for param in WHOSE:
        if f"{{{param}}}" in path:
            path = path.format(**{param: made(root, param, target_org)})
    body = ROUTES_BODY.get((method, path)) or next(
        (body for (m, p), (_, body) in ROUTES.items() if m == method and same(p, path)), None
    )
    if isinstance(body, dict):
        fresh = secrets.token_hex(6)
        body = {
            name: {"EMAIL": f"{fresh}@example.com", "NAME": fresh}.get(value, value)
            if isinstance(value, str)
            else value
            for name, value in body.items()
        }
    return int(caller.client.request(method, path, json=body).status_code)


ROUTES_BODY: dict[tuple[str, str], Any] = {}


def same(pattern: str, path: str) -> bool:
    parts = list(itertools.zip_longest(pattern.split("/"), path.split("/")))
    return all(one == other or (one is not None and one.startswith("{")) for one, other in parts)


NAMES = ("nobody", "inference", "member", "admin", "key", "operator", "master")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("method", "path"), list(ROUTES), ids=lambda value: value.removeprefix(API))
def test_a_route_is_for_those_who_may(callers, name, method, path):
    caller, root = callers[name], callers["master"].client
    act = ROUTES[method, path][0]
    status = called(caller, root, method, path, caller.org_id)
    if act in (OPEN, ANYONE):
        assert (status == 403) == (act == ANYONE and name == "nobody")
        return
    is_allowed = caller.actor is not None and (
        covers(caller.actor, act, caller.org_id) if "{" in path else may(caller.actor, act)
    )
    # Another's is not there for those who may do it to their own alone.
    own_alone = caller.actor is not None and may(caller.actor, act)
    if is_allowed:
        assert status not in (401, 403, 404), status
    else:
        assert status == (404 if own_alone else 403) or (status == 404 and caller.actor is not None and "{" in path), (
            status
        )


@pytest.mark.parametrize("name", ["member", "admin", "key", "operator"])
@pytest.mark.parametrize(
    ("method", "path"), [key for key in ROUTES if "{" in key[1]], ids=lambda value: value.removeprefix(API)
)
def test_what_belongs_to_another_organisation_is_not_there(callers, name, method, path):
    caller, root = callers[name], callers["master"].client
    other = callers["admin"].org_id if caller.org_id == DEFAULT_ORGANISATION else DEFAULT_ORGANISATION
    status = called(caller, root, method, path, other)
    assert status == 404 or (status == 403 and not may(caller.actor, ROUTES[method, path][0])), status


@pytest.mark.parametrize("path", [MEMBERS, f"{API}/projects", f"{API}/audit", f"{API}/budgets", f"{API}/credits"])
def test_another_organisation_cannot_be_named(callers, path):
    answer = callers["admin"].client.get(path, params={"organisation": DEFAULT_ORGANISATION})
    assert answer.status_code == 404, answer.text


@pytest.mark.parametrize("name", ["member", "admin", "operator"])
@pytest.mark.parametrize("path", list(PAGES))
def test_a_page_is_for_those_who_may(callers, name, path):
    caller = callers[name]
    status = caller.client.get(path).status_code
    assert status == (200 if may(caller.actor, PAGES[path]) else 403), path


@pytest.mark.parametrize("path", list(PAGES))
def test_a_page_asks_to_sign_in_first(console, path):
    with browser(console) as people:
        assert people.get(path).headers["location"].startswith("/sign-in?next=")


def test_a_session_changes_nothing_without_its_token(callers):
    client = callers["operator"].client
    token = client.headers.pop("x-csrf-token")
    try:
        assert client.get(f"{API}/projects").status_code == 200
        assert client.post(f"{API}/projects", json={"name": "csrf"}).status_code == 403
        assert (
            client.post(f"{API}/projects", json={"name": "csrf"}, headers={"x-csrf-token": "0" * 64}).status_code == 403
        )
    finally:
        client.headers["x-csrf-token"] = token


def test_every_act_of_the_table_is_asked_for_somewhere():
    asked = {act for act, _ in ROUTES.values()} | set(PAGES.values())
    assert set(ALLOWED) - asked == set()
