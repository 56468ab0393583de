"""Which of a provider's keys goes with an attempt. In: refusals as they come. Out: a `Key`: in turn among those that do not rest.

A limit, or a model that a key may not use, concerns that key at one offer; a key that is wrong or has no credit rests everywhere.
Kept by the keys themselves, so that a key that a reload brings is not taken for the one that stood in its place.
"""

from collections.abc import Collection, Iterator
from typing import Any

from trunkline.providers.accounts import Account
from trunkline.providers.discreet import Discreet

REFUSED_REST_S = 600.0
"""For a key that is wrong, without credit or without access: a person has to mend it."""
LIMITED_REST_S = 2.0
"""For a 429 that says no time; twice as long with each that follows, up to the next."""
LIMITED_REST_MOST_S = 60.0
MAX_RETRY_AFTER_S = 300.0
"""A provider's wish is honoured up to this, see `routing.health`."""
OWN = "own"
"""The name of a key that is the asking member's own."""
EVERYWHERE = ""
"""In place of an offer."""
_NO_ACCESS = 403


class Key(Discreet, frozen=True):
    """The key of one attempt. `name` is for records: `#2` is the second of several, `own` the caller's; an only key has none."""

    index: int = 0
    secret: str | None = None
    name: str = ""
    own: bool = False
    """The asking member's own: what it costs is billed to that member by the provider."""

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "name", self.name


NO_KEY = Key()
"""Of a provider that needs none, or has a credential in place of it."""


class _Rest:
    """Of one key, at one offer or everywhere."""

    __slots__ = ("refusals", "since_s", "until_s")

    def __init__(self) -> None:
        self.refusals = 0
        self.since_s = self.until_s = 0.0


class _Keys:
    """Of one provider."""

    __slots__ = ("keys", "rests", "secrets", "turn")

    def __init__(self, secrets: tuple[str, ...], own: int = 0) -> None:
        self.secrets = secrets
        several = len(secrets) > 1
        self.keys = tuple(
            Key(n, secret, OWN if n < own else f"#{n + 1}" if several else "", n < own)
            for n, secret in enumerate(secrets)
        ) or (NO_KEY,)
        self.turn = 0
        self.rests: dict[tuple[str, str], _Rest] = {}
        """(key, offer or `EVERYWHERE`) -> its rest."""

    def rested_at(self, key: Key, offer: str) -> float:
        """When it may be used at the offer again, by the clock of `now_s`."""
        if not self.rests or key.secret is None:
            return 0.0
        rests = self.rests
        found = [rests[name].until_s for name in ((key.secret, EVERYWHERE), (key.secret, offer)) if name in rests]
        return max(found, default=0.0)

    def resting_since(self, key: Key, offer: str) -> float:
        assert key.secret is not None
        rests = self.rests
        found = [rests[name].since_s for name in ((key.secret, EVERYWHERE), (key.secret, offer)) if name in rests]
        return max(found, default=0.0)


class ProviderKeys:
    """The keys of all providers, and which of them rest. Lives as long as the process."""

    def __init__(self) -> None:
        self._of: dict[str, _Keys] = {}

    def take(
        self,
        account: Account,
        wanted: int | None = None,
        *,
        offer: str = EVERYWHERE,
        now_s: float = 0.0,
        tried: Collection[int] = (),
    ) -> Key:
        """The wanted key where it does not rest (it may hold a cache), else the next in turn; where all rest, the one that does so longest."""
        held = self._of.get(account.provider.slug if not account.whose else _name(account))
        if held is None or held.secrets is not account.keys:
            held = self._held(account)
        keys = held.keys
        if len(keys) == 1:
            return keys[0]
        if account.own:
            for key in keys[: account.own]:
                if key.index not in tried and held.rested_at(key, offer) <= now_s:
                    return key
        if (
            wanted is not None
            and wanted < len(keys)
            and wanted not in tried
            and held.rested_at(keys[wanted], offer) <= now_s
        ):
            return keys[wanted]
        for ahead in range(len(keys)):
            key = keys[(held.turn + ahead) % len(keys)]
            if key.index not in tried and held.rested_at(key, offer) <= now_s:
                held.turn = key.index + 1
                return key
        untried = [key for key in keys if key.index not in tried] or keys
        return min(untried, key=lambda key: held.resting_since(key, offer))

    def has_other(self, account: Account, offer: str, now_s: float, tried: Collection[int]) -> bool:
        """Whether there is a key that was not tried and does not rest."""
        held = self._held(account)
        return any(key.index not in tried and held.rested_at(key, offer) <= now_s for key in held.keys)

    def free_in_s(self, account: Account, offer: str, now_s: float) -> float:
        """How long no key may be used at the offer; 0 while one may."""
        held = self._held(account)
        return max(0.0, min(held.rested_at(key, offer) for key in held.keys) - now_s)

    def refused(
        self,
        account: Account,
        key: Key,
        offer: str,
        status: int,
        now_s: float,
        retry_after_s: float | None,
        *,
        limited: bool,
    ) -> bool:
        """Let one of several keys rest. Whether that is news: it was good before. `limited`: it is good, and used too much."""
        held = self._held(account)
        if len(held.keys) == 1 or key.secret is None:
            return True
        name = (key.secret, offer if limited or status == _NO_ACCESS else EVERYWHERE)
        rest = held.rests.get(name)
        if rest is None:
            rest = held.rests[name] = _Rest()
        is_news = rest.refusals == 0
        rest.refusals += 1
        rest.since_s = now_s
        rest.until_s = max(rest.until_s, now_s + _rest_s(rest.refusals, retry_after_s, limited=limited))
        return is_news

    def good(self, account: Account, key: Key, offer: str) -> None:
        """It was taken: what it was refused before is over."""
        rests = self._held(account).rests
        if rests and key.secret is not None:
            rests.pop((key.secret, EVERYWHERE), None)
            rests.pop((key.secret, offer), None)

    def _held(self, account: Account) -> _Keys:
        held = self._of.get(_name(account))
        if held is not None and held.secrets is account.keys:
            return held
        made = _Keys(account.keys, account.own)
        if held is not None:
            # A reload: who is still there goes on as it was.
            made.turn = held.turn
            made.rests = {name: rest for name, rest in held.rests.items() if name[0] in account.keys}
        self._of[_name(account)] = made
        return made


def _name(account: Account) -> str:
    """A provider's keys are others where its account is not everyone's."""
    return f"{account.provider.slug} {account.whose}" if account.whose else account.provider.slug


def _rest_s(refusals: int, retry_after_s: float | None, *, limited: bool) -> float:
    if not limited:
        return REFUSED_REST_S
    if retry_after_s:
        return min(retry_after_s, MAX_RETRY_AFTER_S)
    return min(LIMITED_REST_S * 2.0 ** min(refusals - 1, 10), LIMITED_REST_MOST_S)
