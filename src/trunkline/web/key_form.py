"""The form of a key and its rules. In: what a browser sent; a key. Out: a body for the API's rules, or what is wrong in words; the form as it is filled in."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from trunkline.accounts.keys import ApiKey
from trunkline.api.management.console import Console
from trunkline.api.management.key_bodies import PROTOCOLS
from trunkline.errors import InvalidParams
from trunkline.records.figures import DAY_S
from trunkline.storage.people import MemberQuery, find_members
from trunkline.storage.projects import ProjectQuery, find_projects
from trunkline.web.session import Reader

LIFETIMES = (("", "Never"), ("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "1 year"))
"""Days; or the reader's own date, in `until`."""
NUMBERS = ("requests_per_minute", "tokens_per_minute", "concurrency")
MOST_CHOICES = 500
Body = TypeVar("Body", bound=BaseModel)


def read_form(kind: type[Body], fields: Mapping[str, Any]) -> tuple[Body | None, list[str]]:
    """The body, or what is wrong with it."""
    try:
        return kind.model_validate(fields), []
    except ValidationError as error:
        return None, [_told(fault) for fault in error.errors(include_url=False, include_input=False)]


def lifetime(form: Mapping[str, str], now_ms: float) -> dict[str, Any]:
    """Until the end of the day of `until`, else so many days as `expires` says; nothing without an end. Raises InvalidParams."""
    until, expires = form.get("until", "").strip(), form.get("expires", "")
    if until:
        try:
            last = datetime.strptime(until, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            raise InvalidParams(f"The last day is a date such as 2027-01-31, not {until[:40]!r}.") from None
        left_s = int(last.timestamp() + DAY_S - now_ms / 1000)
        if left_s <= 0:
            raise InvalidParams(f"The last day, {until}, is over.")
        return {"expires_in_s": left_s}
    if expires not in dict(LIFETIMES):
        raise InvalidParams(f"A key ends after one of the times in the list, not {expires[:40]!r}.")
    return {"expires_in_s": int(expires) * DAY_S} if expires else {}


def rules(form: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a `RulesBody`."""
    found: dict[str, Any] = {name: _names(form.get(name, "")) for name in ("models", "providers")}
    found["protocols"] = [name for name in PROTOCOLS if form.get(f"protocol.{name}") == "on"]
    for name in NUMBERS:
        # What is no number is refused with its name by the body.
        found[name] = form.get(name, "").strip().replace(",", "") or None
    found["data_policy"] = {
        "no_training": form.get("no_training") == "on",
        "zero_retention": form.get("policy_zero_retention") == "on",
        "region": form.get("region", "").strip(),
    }
    return found


def filled(key: ApiKey) -> dict[str, str]:
    """The form as it stands for a key."""
    rules, on = key.rules, "on"
    made = {
        "name": key.name,
        "zero_retention": on if key.zero_retention else "",
        "project_id": key.project_id,
        "models": "\n".join(rules.models),
        "providers": "\n".join(rules.providers),
        "no_training": on if rules.data_policy.no_training else "",
        "policy_zero_retention": on if rules.data_policy.zero_retention else "",
        "region": rules.data_policy.region,
        "until": _last_day(key),
    }
    made |= {f"protocol.{name}": on for name in rules.protocols}
    return made | {name: str(getattr(rules, name) or "") for name in NUMBERS}


async def choices(console: Console, reader: Reader) -> dict[str, Any]:
    """What the form lets the reader choose from."""
    org_id = reader.actor.org_id
    projects = await find_projects(console.store, ProjectQuery(org_id=org_id, archived=False, limit=MOST_CHOICES))
    query = MemberQuery(org_id=org_id, limit=MOST_CHOICES)
    members = await find_members(console.store, query) if reader.may("members") else []
    return {
        "lifetimes": LIFETIMES,
        "today": console.today(),
        "faults": [],
        "filled": {},
        "protocols": PROTOCOLS,
        "projects": projects,
        "members": [one for one in members if one.disabled_ms is None],
        "names_of_members": {one.id: one.name or one.email for one in members},
        "names_of_projects": {one.id: one.name for one in projects},
        "providers": sorted(console.catalog.providers),
    }


def _names(text: str) -> list[str]:
    """Separated by commas, blanks or line ends."""
    return text.replace(",", " ").split()


def _last_day(key: ApiKey) -> str:
    """The day within which it ends."""
    if key.expires_ms is None:
        return ""
    return datetime.fromtimestamp((key.expires_ms - 1) / 1000, UTC).date().isoformat()


def _told(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"] if part != "rules") or "form"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{place.capitalize()}: {message[0].lower()}{message[1:]}."
