"""`/platform/settings`: what holds, and where it comes from. In: the console. Out: a page to read: the file wins, and only the file is changed.

Secrets are shown as set or not. What the file says now is compared with what runs.
"""

import platform
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from trunkline import __version__
from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.catalog.schema import CatalogLayer
from trunkline.errors import ConfigError
from trunkline.settings import NEEDS_START, OVERRIDES, Settings, keys_for_next_start, load_settings, taken_over
from trunkline.storage.standing import standing
from trunkline.web.render import pages_of
from trunkline.web.session import PlatformReader, demand

VARIABLE_OF = {place: name for name, place in OVERRIDES.items()}


class Row(msgspec.Struct, frozen=True):
    """One setting. `source`: file, environment, default, or made (by the gateway itself)."""

    key: str
    value: str
    source: str
    place: str = ""
    needs_start: bool = False


class Layer(msgspec.Struct, frozen=True):
    """A part of the catalog, the strongest last."""

    name: str
    text: str


router = APIRouter(include_in_schema=False)


@router.api_route("/platform/settings", methods=["GET", "HEAD"], response_class=Response)
async def settings_page(request: Request, console: ConsoleOf, reader: PlatformReader) -> Response:
    """The page."""
    demand(reader, "installation")
    settings = console.settings
    written, fault = _written(settings)
    catalog = console.catalog
    today = console.today()
    shown = {
        "path": settings.path.absolute() if settings.path else None,
        "fault": fault,
        "waiting": _waiting(settings, written),
        "next_start": _next_start(settings, written),
        "sections": [(name, list(_rows(name, section, settings, written))) for name, section in _sections(settings)],
        "version": __version__,
        "python": platform.python_version(),
        "catalog": catalog,
        "offer_count": sum(len(model.offers) for model in catalog.models.values()),
        "callable_count": sum(bool(console.state.callable_offers(model, today)) for model in catalog.models.values()),
        "layers": _layers(console),
        "store": await standing(console.store),
        "store_files": _store_files(settings),
        "secrets_path": settings.secrets_path,
    }
    return pages_of(request).page(request, "settings.html", shown)


def _written(settings: Settings) -> tuple[Settings | None, str]:
    """What the file says now, without the variables that win over it; the fault where it is wrong."""
    env = {name: value for name, value in settings.env.items() if name not in OVERRIDES}
    try:
        return load_settings(settings.path, env), ""
    except ConfigError as error:
        return None, str(error)


def _with_variables(settings: Settings, written: Settings) -> Settings:
    """The same as it would hold here: what a variable says stays as it runs."""
    for name, (section, key) in OVERRIDES.items():
        if settings.env.get(name):
            held = getattr(getattr(settings, section), key)
            written = replace(written, **{section: getattr(written, section).model_copy(update={key: held})})
    return written


def _waiting(settings: Settings, written: Settings | None) -> list[str]:
    """What a reload would change."""
    if written is None:
        return []
    coming = taken_over(settings, _with_variables(settings, written))
    keys = [
        f"{name}.{key}"
        for name, section in _sections(settings)
        for key in type(section).model_fields
        if getattr(section, key) != getattr(getattr(coming, name), key)
    ]
    if coming.own_layers != settings.own_layers or coming.provider_keys != settings.provider_keys:
        keys.append("models and providers")
    return keys


def _next_start(settings: Settings, written: Settings | None) -> list[str]:
    return [] if written is None else list(keys_for_next_start(settings, _with_variables(settings, written)))


def _sections(settings: Settings) -> Iterator[tuple[str, BaseModel]]:
    for name in settings.__dataclass_fields__:
        section = getattr(settings, name)
        if isinstance(section, BaseModel) and not isinstance(section, CatalogLayer):
            yield name, section


def _rows(name: str, section: BaseModel, settings: Settings, written: Settings | None) -> Iterator[Row]:
    in_file = _in_file(name, written)
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        needs_start = key in NEEDS_START.get(name, ())
        source, place = _source(name, key, value, settings, written, in_file)
        if isinstance(value, BaseModel):
            for inner, inner_field in type(value).model_fields.items():
                text = _text(getattr(value, inner)) if inner_field.repr else _is_set(getattr(value, inner))
                yield Row(f"{key}.{inner}", text, source, place, needs_start)
        elif field.repr is False:
            yield _secret(key, value, source, place, settings, needs_start=needs_start)
        else:
            yield Row(key, _text(value), source, place, needs_start)


def _in_file(name: str, written: Settings | None) -> Mapping[str, Any]:
    """Key -> value, of what the file itself has of a section."""
    section = getattr(written, name, None)
    return {key: getattr(section, key) for key in section.model_fields_set} if isinstance(section, BaseModel) else {}


def _source(
    name: str, key: str, value: Any, settings: Settings, written: Settings | None, in_file: Mapping[str, Any]
) -> tuple[str, str]:
    variable = VARIABLE_OF.get((name, key))
    if variable and settings.env.get(variable):
        # `serve` tells its processes in these variables where they really listen, whatever that came from.
        if key in in_file and in_file[key] == value:
            return "file", ""
        is_default = written is not None and key not in in_file and getattr(getattr(written, name), key) == value
        return ("default", "") if is_default else ("environment", f"{variable}, or the command line")
    section = getattr(settings, name)
    return ("file", "") if key in section.model_fields_set else ("default", "")


def _secret(key: str, value: Any, source: str, place: str, settings: Settings, *, needs_start: bool) -> Row:
    if value is None and key == "master_key":
        return Row(key, "set", "made", f"by the gateway itself, in {settings.secrets_path}")
    return Row(key, _is_set(value), source, place, needs_start)


def _is_set(value: Any) -> str:
    """All that is told of a secret."""
    return "set" if value else "not set"


def _text(value: Any) -> str:
    """As TOML has it, but for the quotes; an address without what stands for a password."""
    if value is None or value in ((), ""):
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return ", ".join(_text(one) for one in value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return f"{value:,}" if value >= 100_000 else str(value)
    text = str(value)
    return _without_password(text) if "://" in text and "@" in text else text


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    return parts._replace(netloc=f"...@{parts.netloc.rpartition('@')[2]}").geturl()


def _layers(console: Console) -> list[Layer]:
    settings = console.settings
    found = [Layer("shipped", "with this version")]
    if settings.downloaded_catalog.is_file():
        found.append(Layer("downloaded", str(settings.downloaded_catalog)))
    local = [
        provider.name
        for provider in console.catalog.providers.values()
        if provider.local and not _is_written(provider.slug, settings)
    ]
    if local:
        found.append(Layer("found on this machine", ", ".join(local)))
    return found + [
        Layer(layer.where, _counted(layer)) for layer in settings.own_layers if layer.models or layer.providers
    ]


def _is_written(slug: str, settings: Settings) -> bool:
    return any(slug in layer.providers for layer in settings.own_layers)


def _counted(layer: CatalogLayer) -> str:
    models, providers = len(layer.models), len(layer.providers)
    return (
        f"{models} {'model' if models == 1 else 'models'}, {providers} {'provider' if providers == 1 else 'providers'}"
    )


def _store_files(settings: Settings) -> list[tuple[Path, int]]:
    """The store's own files and their bytes."""
    path = settings.store.path
    files = [path, path.with_name(f"{path.name}-wal")]
    return [(file, file.stat().st_size) for file in files if file.is_file()]
