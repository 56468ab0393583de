"""What each role may do: one table, for API, pages and docs alike. In: an `Actor`, an act. Out: how far the actor's reach goes.

The master key may do everything, in every organisation. Management keys have the role admin in their organisation. Admins of the first organisation
also run the installation: its settings, routing and providers. Inference keys are no actors: they read their own generations, and nothing else.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

from trunkline.accounts.types import DEFAULT_ORGANISATION, Actor
from trunkline.errors import AccessDenied, NotFound

Reach = Literal["none", "own", "organisation", "everything"]
"""What is the member's own; what belongs to the actor's organisation; what there is."""
Act = Literal[
    "account",
    "keys",
    "use",
    "credentials",
    "projects.see",
    "budgets.see",
    "members",
    "projects",
    "budgets",
    "credits.see",
    "export",
    "audit",
    "organisations.see",
    "installation",
    "credits",
    "organisations",
]


class Allowed(msgspec.Struct, frozen=True):
    """How far the roles go in one act. `operator`: admins of the first organisation."""

    words: str
    member: Reach
    admin: Reach
    operator: Reach


def _same(words: str, member: Reach, admin: Reach) -> Allowed:
    return Allowed(words, member, admin, admin)


ALLOWED: Mapping[Act, Allowed] = MappingProxyType(
    {
        "account": _same("Change one's name and password, end one's sessions", "own", "own"),
        "keys": _same("See, make, change, rotate and revoke API keys", "own", "organisation"),
        "use": _same("See logs, usage and cost; ask in the chat", "own", "organisation"),
        "credentials": _same("Keep keys of providers in the store", "own", "organisation"),
        "projects.see": _same("See projects", "organisation", "organisation"),
        "budgets.see": _same("See budgets and what is left of them", "own", "organisation"),
        "members": _same("Invite, change and disable members; make links for new passwords", "none", "organisation"),
        "projects": _same("Make, rename and archive projects", "none", "organisation"),
        "budgets": _same("Set and end budgets; make management keys", "none", "organisation"),
        "credits.see": _same("See credits and the ledger", "none", "organisation"),
        "export": _same("Export records", "none", "organisation"),
        "audit": _same("Read the audit log", "none", "organisation"),
        "organisations.see": _same("See the organisation", "none", "organisation"),
        "installation": Allowed(
            "See settings, routing and providers of the installation, and figures over all organisations; try credentials",
            "none",
            "none",
            "everything",
        ),
        "credits": Allowed("Put credits in, adjust them", "none", "none", "organisation"),
        "organisations": _same("Make and change organisations; act in any of them", "none", "none"),
    }
)
"""Act -> who may do it, from what everyone may to what only the master key may."""


def reach(actor: Actor, act: Act) -> Reach:
    """How far this actor goes in it."""
    if actor.kind == "master":
        return "everything"
    allowed = ALLOWED[act]
    if actor.role == "member":
        return allowed.member
    return allowed.operator if actor.org_id == DEFAULT_ORGANISATION else allowed.admin


def may(actor: Actor, act: Act) -> bool:
    """Whether at all."""
    return reach(actor, act) != "none"


def demand(actor: Actor, act: Act) -> Reach:
    """The reach. Raises AccessDenied where there is none."""
    found = reach(actor, act)
    if found == "none":
        raise AccessDenied(f"your role may not do this: {ALLOWED[act].words[0].lower()}{ALLOWED[act].words[1:]}")
    return found


def covers(actor: Actor, act: Act, org_id: str, member_id: str = "") -> bool:
    """Whether the actor may do it to what belongs to this organisation and, where it is somebody's own, this member."""
    match reach(actor, act):
        case "everything":
            return True
        case "organisation":
            return org_id == actor.org_id
        case "own":
            return org_id == actor.org_id and bool(member_id) and member_id == actor.id
        case _:
            return False


def organisation_of(actor: Actor, asked: str | None) -> str:
    """In which organisation something is to be done: the actor's own unless the master key asks for another.

    NotFound for another one of anybody else: whether it exists is not told.
    """
    if not asked or asked == actor.org_id:
        return actor.org_id
    if reach(actor, "organisations") == "everything":
        return asked
    raise NotFound(f"there is no organisation {asked[:60]}", param="organisation")
