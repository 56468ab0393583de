"""What many callers at once get past: wrong passwords, keys of an issuer that nobody can read, a search that ends early."""

import asyncio
import base64
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException

from tests.fakes.console import CONFIG, MASTER_KEY
from trunkline.api.management.console import Console
from trunkline.api.management.oidc import OidcError, _imported
from trunkline.api.management.records import _reached
from trunkline.api.management.sessions import ACCOUNT_TRIES, Doorkeeper
from trunkline.errors import InvalidParams
from trunkline.settings import load_settings
from trunkline.snapshot import build_with_servers
from trunkline.storage import migrate
from trunkline.storage.logs import Place
from trunkline.storage.queries import Store

EXPONENT = "AQAB"
MODULUS = base64.urlsafe_b64encode(b"\xc1" + bytes(254) + b"\x01").rstrip(b"=").decode()
READABLE = {"kty": "RSA", "kid": "good", "n": MODULUS, "e": EXPONENT}


async def test_wrong_passwords_at_once_are_compared_no_oftener_than_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(CONFIG.format(folder=tmp_path))
    settings = load_settings(tmp_path / "t.toml", {"MASTER_KEY": MASTER_KEY, "TRUNKLINE_CACHE": str(tmp_path)})
    migrate.upgrade(settings.store.url)
    # Of two gateways, before one store.
    doorkeepers = Doorkeeper(), Doorkeeper()
    async with await Store.open(settings.store.url) as store:
        console = Console(settings, build_with_servers(settings, {}), b"pepper", MASTER_KEY, store)
        tries = (
            doorkeepers[number % 2].with_password(console, "alice@example.com", "wrong", f"192.0.2.{number}")
            for number in range(100)
        )
        ends = await asyncio.gather(*tries, return_exceptions=True)
    compared = [end for end in ends if end is None]
    assert len(compared) == ACCOUNT_TRIES
    assert {end.status_code for end in ends if isinstance(end, HTTPException)} == {429}


def test_keys_of_an_issuer_that_cannot_be_read_are_passed_over() -> None:
    unknown = [{"kty": "AKP", "kid": "new"}, {"kty": "EC", "crv": "P-1", "x": "AA", "y": "AA"}, {"kid": "x"}, "text", 1]
    keys = _imported({"keys": [*unknown, READABLE]})
    assert [key.kid for key in keys.keys] == ["good"]
    for nothing in ({"keys": unknown}, {"keys": {}}, {}):
        with pytest.raises(OidcError, match="cannot be read"):
            _imported(nothing)


def test_the_place_that_a_search_reached_is_taken_back() -> None:
    assert _reached("before:1800000000000.5") == Place(1_800_000_000_000.5, "")
    assert _reached("rec_1") is None
    for wrong in ("before:", "before:nan", "before:soon"):
        with pytest.raises(InvalidParams):
            _reached(wrong)
