"""Reads the keys for the data plane, on the driver. In: the store's URL. Out: the keys, whenever they have changed (see `following`)."""

from trunkline.accounts.keys import ApiKey
from trunkline.storage.columns import KEY_COLUMNS
from trunkline.storage.following import Following
from trunkline.storage.key_rows import read_key
from trunkline.storage.reading import Reader

_SELECT_KEYS = f"SELECT {', '.join(KEY_COLUMNS)} FROM api_keys WHERE revoked_ms IS NULL ORDER BY created_ms, id"  # noqa: S608 - names of ours


class KeyFeed(Following[list[ApiKey]]):
    """The data plane's view of the keys: all that were not revoked, oldest first. Lives as long as the gateway; polled by one thread."""

    def __init__(self, url: str) -> None:
        super().__init__(url, load_keys)


def load_keys(reader: Reader) -> list[ApiKey]:
    return [read_key(dict(zip(KEY_COLUMNS, row, strict=True))) for row in reader.rows(_SELECT_KEYS)]
