"""API keys as rows. In: `ApiKey`, or the columns of a row. Out: the other. Without SQLAlchemy, for the data plane too."""

from collections.abc import Mapping
from typing import Any

import msgspec

from trunkline.accounts.keys import ApiKey
from trunkline.accounts.types import NO_RULES, KeyRules
from trunkline.storage.columns import KEY_COLUMNS

_rules = msgspec.json.Decoder(KeyRules)


def key_values(key: ApiKey) -> dict[str, Any]:
    """By column."""
    values = {name: getattr(key, name) for name in KEY_COLUMNS}
    return values | {"rules": msgspec.json.encode(key.rules).decode()}


def read_key(columns: Mapping[str, Any]) -> ApiKey:
    """Of the columns of `api_keys`. SQLite has no booleans."""
    changed = {"zero_retention": bool(columns["zero_retention"]), "rules": _read_rules(columns["rules"])}
    return ApiKey(**dict(columns) | changed)


def _read_rules(text: str) -> KeyRules:
    """Most keys have none, and are told by that one object."""
    rules = _rules.decode(text)
    return NO_RULES if rules == NO_RULES else rules
