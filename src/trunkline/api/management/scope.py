"""Whose requests somebody may see: everyone's, their organisation's, their own. In: an actor. Out: the ids of keys, or None for everything.

Records know the key that they were asked with, and keys whose they are.
"""

import msgspec

from trunkline.accounts.keys import MASTER_ID, ApiKey
from trunkline.accounts.roles import covers, reach
from trunkline.accounts.types import DEFAULT_ORGANISATION, Actor
from trunkline.api.management.console import Console
from trunkline.records.types import Record
from trunkline.storage.people import find_organisations

MOST_KEYS = 20_000
"""The newest; what databases take in one question is about 32,000."""


class Scope(msgspec.Struct, frozen=True):
    """`keys` is None where there is no limit."""

    keys: tuple[str, ...] | None = None

    def has(self, key_id: str) -> bool:
        """Whether what was asked with this key may be seen."""
        return self.keys is None or key_id in self.keys


EVERYTHING = Scope()


async def scope_of(console: Console, actor: Actor) -> Scope:
    """What an actor may see of logs, use and cost. With a single organisation its administrators see everything."""
    how_far = reach(actor, "use")
    if how_far == "everything":
        return Scope()
    if how_far == "organisation" and len(await find_organisations(console.store, limit=2)) == 1:
        return Scope()
    keys = [key.id for key in await console.store.list_keys() if covers(actor, "use", key.org_id, key.member_id)]
    if covers(actor, "use", DEFAULT_ORGANISATION):
        keys.insert(0, MASTER_ID)
    return Scope(tuple(keys[:MOST_KEYS]))


async def may_read(console: Console, who: Actor | ApiKey, record: Record) -> bool:
    """Whether somebody may see a request. An inference key: what was asked with it."""
    if isinstance(who, ApiKey):
        return who.id == record.key_id
    if reach(who, "use") == "everything":
        return True
    return (await scope_of(console, who)).has(record.key_id)
