"""What the console process works with: settings, the catalog in force, secrets, the open store. In: settings. Out: a
`Console`.

Management API and pages are functions over it. A reload puts new settings and a new catalog in place, both or neither.
"""

import asyncio
import datetime
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from trunkline.accounts import secrets_file
from trunkline.accounts.stored_keys import StoredKey
from trunkline.catalog.types import Catalog
from trunkline.execution.gateway import Snapshot
from trunkline.providers.accounts import Absent, Account
from trunkline.settings import Settings, load_settings, taken_over
from trunkline.snapshot import build_with_servers, with_stored
from trunkline.storage.credential_cipher import CredentialCipher
from trunkline.storage.credentials import credentials_in_force
from trunkline.storage.followed import keys_revision
from trunkline.storage.queries import Store


@dataclass
class Console:
    """Lives as long as the console process. Clock and randomness are parameters, for tests."""

    settings: Settings
    state: Snapshot
    pepper: bytes = field(repr=False)
    master_key: str = field(repr=False)
    store: Store
    now_ms: Callable[[], float] = lambda: time.time() * 1000
    random_bytes: Callable[[int], bytes] = secrets.token_bytes
    unusable: list[str] = field(default_factory=list)
    """What is wrong with stored keys of providers that cannot be opened."""
    _bare: Snapshot | None = None
    """Of files and environment alone."""
    _stored: list[StoredKey] = field(default_factory=list, repr=False)
    _revision: int = -1
    _reloading: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Raises ConfigError or StoreError; the store must have its schema already."""
        kept = secrets_file.load_or_make(settings.secrets_path)
        console = cls(
            settings=settings,
            state=await effective(settings),
            pepper=kept.pepper,
            master_key=settings.auth.master_key or kept.master_key,
            store=await Store.open(settings.store.url),
        )
        console._bare = console.state
        await console.follow()
        return console

    async def reload(self) -> None:
        """Take the file over as it is now, but for what needs a new start. Raises ConfigError, and then nothing has changed."""
        # One after the other, so that the file as it is after the last signal is what counts.
        async with self._reloading:
            settings = taken_over(self.settings, load_settings(self.settings.path, self.settings.env))
            state = await effective(settings)
            kept = secrets_file.load_or_make(settings.secrets_path)
            self.master_key = settings.auth.master_key or kept.master_key
            self.settings, self._bare = settings, state
            self._put()

    async def follow(self) -> None:
        """Take over the keys of providers that the store keeps, as gateways do. Raises StoreError where it cannot be read."""
        revision = await keys_revision(self.store)
        if revision == self._revision:
            return
        keys, self.unusable = CredentialCipher(self.pepper).keys(await credentials_in_force(self.store))
        self._revision = revision
        if keys != self._stored:
            self._stored = keys
            self._put()

    def _put(self) -> None:
        assert self._bare is not None, "set when it is opened"
        self.state, _ = with_stored(self._bare, self.settings, self._stored)

    async def close(self) -> None:
        await self.store.close()

    @property
    def catalog(self) -> Catalog:
        return self.state.catalog

    @property
    def accounts(self) -> Mapping[str, Account | Absent]:
        """Provider -> how it is reached, or why it is not."""
        return self.state.accounts

    def today(self) -> str:
        """The day in UTC, as an ISO date."""
        return datetime.datetime.fromtimestamp(self.now_ms() / 1000, datetime.UTC).date().isoformat()


async def effective(settings: Settings) -> Snapshot:
    """What is in force: shipped, downloaded, local weights, servers found on this machine, `catalog.d`, the file."""
    return build_with_servers(settings, await _servers(settings))


async def _servers(settings: Settings) -> Mapping[str, Any]:
    if not settings.detect.local_servers:
        return {}
    from trunkline.embedded.detect import detect, detected_layer

    return detected_layer(await detect(settings.env, own_ports=(settings.server.port,)))
