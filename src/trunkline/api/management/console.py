"""What the console process works with: settings, the catalog in force, secrets, the open store. In: settings. Out: a
`Console`.

Management API and pages are functions over it. A reload puts new settings and a new catalog in place, both or neither.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from trunkline.accounts import secrets_file
from trunkline.catalog.types import Catalog
from trunkline.errors import ConfigError
from trunkline.execution.gateway import Snapshot
from trunkline.providers.accounts import Absent, Account
from trunkline.settings import Settings, load_settings
from trunkline.snapshot import build
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

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Raises ConfigError or StoreError; the store must have its schema already."""
        kept = secrets_file.load_or_make(settings.secrets_path)
        return cls(
            settings=settings,
            state=await effective(settings),
            pepper=kept.pepper,
            master_key=settings.auth.master_key or kept.master_key,
            store=await Store.open(settings.store.url),
        )

    async def reload(self) -> None:
        """Take the file over as it is now. Raises ConfigError, and then nothing has changed."""
        settings = load_settings(self.settings.path, self.settings.env)
        if settings.store != self.settings.store:
            raise ConfigError(
                "the store changes at the next start only; start anew", where=f"{settings.path}: store.url"
            )
        state = await effective(settings)
        self.master_key = settings.auth.master_key or secrets_file.load_or_make(settings.secrets_path).master_key
        self.settings, self.state = settings, state

    async def close(self) -> None:
        await self.store.close()

    @property
    def catalog(self) -> Catalog:
        return self.state.catalog

    @property
    def accounts(self) -> Mapping[str, Account | Absent]:
        """Provider -> how it is reached, or why it is not."""
        return self.state.accounts

    def can_call(self, provider: str) -> bool:
        """Whether requests can go to this provider now."""
        return isinstance(self.accounts.get(provider), Account)


async def effective(settings: Settings) -> Snapshot:
    """What is in force: shipped, downloaded, local weights, servers found on this machine, `catalog.d`, the file."""
    return build(settings, [*_local_layers(settings), *await _detected_layers(settings)])


def _local_layers(settings: Settings) -> list[Mapping[str, Any]]:
    if not settings.embedded.enabled:
        return []
    from trunkline.embedded import machine
    from trunkline.embedded.offers import local_layer

    if machine.runtime_reasons():
        return []
    return [local_layer(settings.cache_dir)]


async def _detected_layers(settings: Settings) -> list[Mapping[str, Any]]:
    if not settings.detect.local_servers:
        return []
    from trunkline.embedded.detect import detect, detected_layer

    detection = await detect(settings.env, own_ports=(settings.server.port,))
    return [detected_layer(detection)]
