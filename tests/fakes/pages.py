"""Every page of the console by its path in the app's router, with addresses to look at: for the browser's tests, screenshots and the bench.

`{record}` in an address stands for the id of a record, `{key}` for that of an API key, `{budget}`, `{credential}` and `{member}` likewise; `{join}`
for the address of an invitation.
"""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

from fastapi.routing import iter_route_contexts

from trunkline.web.app import make_app

PAGES: dict[str, tuple[str, ...]] = {
    "/": ("/",),
    "/sign-in": ("/sign-in",),
    "/sign-in/join": ("{join}",),
    "/platform/account": ("/platform/account",),
    "/platform/members": ("/platform/members",),
    "/platform/members/{member_id}": ("/platform/members/{member}",),
    "/platform/projects": ("/platform/projects", "/platform/projects?archived=1"),
    "/platform/organisations": ("/platform/organisations",),
    "/platform/audit": ("/platform/audit", "/platform/audit?action=sign_in"),
    "/models": ("/models", "/models?q=mini"),
    "/models/compare": ("/models/compare?m=openai/o4-mini&m=openai/gpt-5",),
    "/providers": ("/providers",),
    "/providers/{slug}": ("/providers/openai",),
    "/status": ("/status",),
    "/{author}/{model:path}": ("/openai/o4-mini",),
    "/platform/chat": ("/platform/chat",),
    "/platform/logs": ("/platform/logs",),
    "/platform/logs/{id}": ("/platform/logs/{record}",),
    "/platform/logs/{id}/replay": ("/platform/logs/{record}/replay",),
    "/platform/logs/{id}/curl": ("/platform/logs/{record}/curl",),
    "/platform/usage": ("/platform/usage",),
    "/platform/cost": ("/platform/cost",),
    "/platform/credits": ("/platform/credits", "/platform/credits?spending=1"),
    "/platform/keys": ("/platform/keys",),
    "/platform/keys/{key_id}": ("/platform/keys/{key}",),
    "/platform/keys/{key_id}/revoke": ("/platform/keys/{key}/revoke",),
    "/platform/budgets": ("/platform/budgets", "/platform/budgets?ended=1"),
    "/platform/budgets/{budget_id}": ("/platform/budgets/{budget}",),
    "/platform/credentials/{credential_id}": ("/platform/credentials/{credential}",),
    "/platform/providers": ("/platform/providers",),
    "/platform/routing": ("/platform/routing",),
    "/platform/settings": ("/platform/settings",),
}
PARTS: frozenset[str] = frozenset({"/first-steps", "/platform/logs/tail", "/platform/logs/{id}/bodies/{number}"})
"""Paths that answer with a piece of a page for htmx, or with a file."""
ELSEWHERE: frozenset[str] = frozenset(
    {"/sign-in/first", "/sign-in/password", "/sign-in/oidc", "/sign-in/oidc/callback"}
)
"""Paths that show the page of `/sign-in/join` to others, or lead to another site and back."""
UNKNOWN_ONLY = ("/sign-in",)
"""Whoever has signed in is led on from here."""


def routed() -> set[str]:
    """Paths of the console that answer a GET and are no part of the API."""
    app = make_app(cast(Any, SimpleNamespace()))
    found = [(route.path, route.methods) for route in iter_route_contexts(app.routes)]
    return {path for path, methods in found if path and methods and "GET" in methods and not path.startswith("/api/")}


def addresses() -> Iterator[str]:
    """One after another, as far as they are there."""
    there = routed()
    for path, shown in PAGES.items():
        if path in there:
            yield from shown


def filled(address: str, ids: Mapping[str, str]) -> str | None:
    """The address with these ids in it; None where one of its own is not among them."""
    try:
        return address.format_map(ids)
    except KeyError:
        return None
