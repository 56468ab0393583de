"""The catalog as it is in force: shipped, then downloaded, then `catalog.d/*.toml`, then `trunkline.toml`.

In: files and parsed layers. Out: a frozen `Catalog`. With nothing but the shipped layer no checker is imported: start time
counts.
"""

import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trunkline.catalog.merge import Draft
from trunkline.catalog.types import Catalog
from trunkline.errors import ConfigError

if TYPE_CHECKING:
    from trunkline.catalog.schema import CatalogLayer

COMPILED = "catalog.json"


def load(
    layers: Sequence["CatalogLayer"] = (),
    shipped: bool = True,
    downloaded: Path | None = None,
    overlay_dir: Path | None = None,
) -> Catalog:
    """Everything that is known, the later layer the stronger. Raises `ConfigError` naming file and key.

    `downloaded` and `overlay_dir` may be absent on disk; `layers` are those of the operator's own file.
    """
    base = shipped_catalog() if shipped else None
    found = [*downloaded_layer(downloaded), *overlay_layers(overlay_dir), *layers]
    if base is not None and not found:
        return base
    draft = Draft(base)
    for layer in found:
        draft.apply(layer)
    return draft.finish()


def shipped_catalog() -> Catalog:
    """The compiled data of this version."""
    return msgspec.json.decode((data_dir() / COMPILED).read_bytes(), type=Catalog)


def compile_shipped() -> Catalog:
    """The shipped TOML files, checked and merged; what `trunkline catalog build` writes."""
    draft = Draft()
    for layer in shipped_layers():
        draft.apply(layer)
    return draft.finish()


def encode(catalog: Catalog) -> bytes:
    """One model or provider a line, so that a change reads well in a diff."""
    models = _lines(catalog.models)
    providers = _lines(catalog.providers)
    aliases = msgspec.json.encode(dict(sorted(catalog.aliases.items())))
    profiles = b",\n".join(msgspec.json.encode(profile) for profile in catalog.profiles)
    head = b'{"version":"' + catalog.version.encode() + b'",\n'
    body = b'"providers":' + providers + b',\n"models":' + models + b',\n"profiles":[\n' + profiles + b"\n]"
    return head + body + b',\n"aliases":' + aliases + b"}\n"


def shipped_layers() -> "list[CatalogLayer]":
    """The files under `data/` as they are laid: profiles, providers, facts from packages, then the hand-kept models, which win."""
    generated = sorted((f for f in (data_dir() / "generated").iterdir() if f.name.endswith(".toml")), key=_name)
    first = [data_dir() / "profiles.toml", data_dir() / "providers.toml"]
    ordered = [*first, *generated, data_dir() / "models.toml"]
    return [read_layer(file, f"shipped {file.name}") for file in ordered]


def downloaded_layer(path: Path | None) -> "list[CatalogLayer]":
    """What `trunkline catalog fetch` has stored, if anything."""
    if path is None or not path.is_file():
        return []
    return [check_downloaded(_text(path, str(path)), str(path))]


def check_downloaded(text: str, where: str) -> "CatalogLayer":
    """A layer from elsewhere: it may say what exists and what it costs, never where keys go. Raises `ConfigError`."""
    layer = _parse(text, where)
    for slug, provider in layer.providers.items():
        reach = sorted(provider.model_fields_set & REACH)
        if reach:
            mend = f"a downloaded layer must not say where keys go: put `{reach[0]}` into a file of your own"
            raise ConfigError(mend, where=f"{where}: providers.{slug}.{reach[0]}")
    return layer


REACH = frozenset(
    {"base_url", "base_urls", "auth", "api_key", "api_keys", "key_env", "variables", "resource", "endpoint", "headers"}
    | {"api_version", "project", "location", "region", "local", "profile", "protocol_headers"}
    | {"accepts", "credentials"}
)
"""Keys of a provider that decide which server gets which secret."""


def overlay_layers(folder: Path | None) -> "list[CatalogLayer]":
    """`catalog.d/*.toml`, by name."""
    if folder is None or not folder.is_dir():
        return []
    return [read_layer(path, str(path)) for path in sorted(folder.glob("*.toml"))]


def read_layer(file: Traversable | Path, where: str) -> "CatalogLayer":
    """One TOML file, checked."""
    return _parse(_text(file, where), where)


def _text(file: Traversable | Path, where: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}; make it a readable TOML file in UTF-8", where=where) from None


def _parse(text: str, where: str) -> "CatalogLayer":
    from trunkline.catalog.schema import parse_layer

    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not TOML: {error}; mend that line", where=where) from None
    return parse_layer(raw, where)


def data_dir() -> Traversable:
    """Where the shipped data lies."""
    return files("trunkline.catalog") / "data"


def _name(file: Traversable) -> str:
    return file.name


def _lines(entries: Mapping[str, msgspec.Struct]) -> bytes:
    rows = (msgspec.json.encode(slug) + b":" + msgspec.json.encode(entry) for slug, entry in sorted(entries.items()))
    return b"{\n" + b",\n".join(rows) + b"\n}"
