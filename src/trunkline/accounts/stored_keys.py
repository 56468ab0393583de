"""A provider's key that the store keeps, opened. In: nothing. Out: the struct, which never shows the secret."""

import msgspec

from trunkline.accounts.types import DEFAULT_ORGANISATION


class StoredKey(msgspec.Struct, frozen=True):
    """Requests of its organisation use it; with `member_id`, those of this member's API keys alone, before any other key."""

    provider: str
    secret: str
    org_id: str = DEFAULT_ORGANISATION
    member_id: str = ""

    def __repr__(self) -> str:
        return f"StoredKey(provider={self.provider!r})"
