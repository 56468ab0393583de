"""Writes a configuration as TOML. In: tables of texts, numbers, flags, lists and tables. Out: text that reads back as the same."""

import json
import re
from collections.abc import Mapping
from typing import Any

_HEADS = ("slug", "provider")
"""What models and offers are known by."""
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def write_toml(tables: Mapping[str, Any]) -> str:
    """Tables of tables get heads of their own; lists of tables too."""
    return "\n".join(_table(tables, ())).strip() + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = []
    plain = {name: value for name, value in table.items() if not _has_head(value, path)}
    if path and (plain or not table):
        lines.append(f"[{'.'.join(map(_key, path))}]")
    lines += [f"{_key(name)} = {_value(value)}" for name, value in plain.items()]
    if lines:
        lines.append("")
    for name, value in table.items():
        if name in plain:
            continue
        if isinstance(value, Mapping):
            lines += _table(value, (*path, name))
            continue
        for one in value:
            inner = _table(one, (*path, name))
            lines += [f"[[{'.'.join(map(_key, (*path, name)))}]]", *inner[1:]]
    return lines


def _has_head(value: Any, path: tuple[str, ...]) -> bool:
    """Tables stand below a head of their own down to the second level, and so do models and offers; prices stand in one line."""
    if isinstance(value, Mapping):
        return len(path) < 2
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], Mapping)
        and not value[0].keys().isdisjoint(_HEADS)
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A basic string of TOML is one of JSON, but for DEL: https://toml.io/en/v1.0.0#string
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(name)} = {_value(one)}' for name, one in value.items())} }}"
    return repr(value)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)
