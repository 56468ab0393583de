"""Reads the stored keys of providers for the data plane, on the driver. In: the store's URL, the pepper. Out: the keys, opened, when they may have changed."""

from collections.abc import Callable

from trunkline.accounts.stored_keys import StoredKey
from trunkline.accounts.types import StoredCredential
from trunkline.storage.columns import CREDENTIAL_COLUMNS
from trunkline.storage.credential_cipher import CredentialCipher, SealedCredential
from trunkline.storage.following import Following
from trunkline.storage.reading import Reader

_SELECT = (
    f"SELECT {', '.join(CREDENTIAL_COLUMNS)}, sealed FROM provider_credentials "  # noqa: S608 - names of ours
    "WHERE revoked_ms IS NULL ORDER BY created_ms, id"
)


class CredentialFeed(Following[list[StoredKey]]):
    """All that hold, oldest first. Lives as long as the gateway; polled by one thread. `tell` gets what is wrong with one that cannot be opened."""

    def __init__(self, url: str, cipher: CredentialCipher, tell: Callable[[str], None]) -> None:
        def load(reader: Reader) -> list[StoredKey]:
            keys, faults = cipher.keys(_sealed(reader))
            for fault in faults:
                tell(fault)
            return keys

        super().__init__(url, load)


def _sealed(reader: Reader) -> list[SealedCredential]:
    found = []
    for row in reader.rows(_SELECT):
        *shown, sealed = row
        found.append(SealedCredential(StoredCredential(*shown), sealed))
    return found
