"""Where this installation's credentials come from. In: the console. Out: for each provider its sources by name, never a value.

The order is that of `providers.accounts.resolve`: what the operator wrote, the usual variables, then what stands for a key.
"""

import msgspec

from trunkline.api.management.console import Console
from trunkline.catalog.schema import CatalogLayer, ProviderLayer
from trunkline.catalog.types import Provider
from trunkline.providers.accounts import Absent, Account
from trunkline.providers.credential_files import METADATA
from trunkline.settings import Settings


class Source(msgspec.Struct, frozen=True):
    """Something that opens a provider: where it was found, and what named that place."""

    kind: str
    """`variable`, `file`, `configuration` (the key stands in it), `metadata`, or `store`."""
    name: str
    named_by: str = ""
    """The file of the configuration, with the key in it; empty where nobody had to name it."""


class Credentials(msgspec.Struct, frozen=True):
    """What one provider is opened with."""

    slug: str
    count: int
    """Keys or credentials that are in use."""
    sources: tuple[Source, ...]
    address_variables: tuple[str, ...] = ()
    """Variables that fill the provider's address."""
    headers: tuple[str, ...] = ()
    """Names of the headers that the operator added."""
    switched_off: bool = False


def credentials(console: Console, slug: str) -> Credentials:
    """Of a provider of the catalog."""
    state, settings = console.accounts[slug], console.settings
    layers = [layer for layer in settings.own_layers if slug in layer.providers]
    provider = state.provider
    if isinstance(state, Absent):
        said = [
            layer.providers[slug].enabled for layer in layers if "enabled" in layer.providers[slug].model_fields_set
        ]
        return Credentials(slug, 0, (), switched_off=said[-1:] == [False])
    return Credentials(
        slug,
        len(state.keys) or int(state.credential is not None),
        tuple(_sources(state, layers, settings)),
        tuple(name for name in provider.variables.values() if settings.env.get(name)),
        tuple(settings.provider_headers.get(slug, ())),
    )


def _sources(account: Account, layers: list[CatalogLayer], settings: Settings) -> list[Source]:
    provider = account.provider
    if account.keys:
        written = _written_keys(provider, layers) if settings.provider_keys.get(provider.slug) else []
        variable = "" if written else _first_set(provider, settings)
        found = written or ([Source("variable", variable)] if variable else [])
        return found + [Source("store", "")] * (len(account.keys) - len(found))
    if account.credential is not None:
        return [_credential(provider, layers, settings)]
    return []


def _written_keys(provider: Provider, layers: list[CatalogLayer]) -> list[Source]:
    """Of the last layer that holds keys: it replaces the earlier."""
    for layer in reversed(layers):
        found = [
            _named(text, key, layer.where, provider.slug) for key, text in _secrets(layer.providers[provider.slug])
        ]
        if found:
            return found
    return []


def _secrets(written: ProviderLayer) -> list[tuple[str, str]]:
    one = [("api_key", written.api_key)] if written.api_key is not None else []
    many = [(f"api_keys[{number}]", secret) for number, secret in enumerate(written.api_keys)]
    return [(key, secret.get_secret_value()) for key, secret in one + many]


def _named(text: str, key: str, where: str, slug: str) -> Source:
    kind, _, name = text.partition(":")
    place = f"{where}: [providers.{slug}] {key}"
    if kind == "env":
        return Source("variable", name, place)
    if kind == "file":
        return Source("file", name, place)
    return Source("configuration", place)


def _first_set(provider: Provider, settings: Settings) -> str:
    return next((name for name in provider.key_env if settings.env.get(name, "").strip()), "")


def _credential(provider: Provider, layers: list[CatalogLayer], settings: Settings) -> Source:
    """Google's and AWS's, in the order of `providers.credential_files`."""
    for layer in reversed(layers):
        named = layer.providers[provider.slug].credentials
        if named:
            place = f"{layer.where}: [providers.{provider.slug}] credentials"
            return Source("metadata" if named == METADATA else "file", named, place)
    variable = "AWS_ACCESS_KEY_ID" if provider.accepts == "aws" else "GOOGLE_APPLICATION_CREDENTIALS"
    if settings.env.get(variable):
        return Source("variable", variable)
    return Source("file", "application_default_credentials.json of gcloud")
