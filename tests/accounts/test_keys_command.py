import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trunkline.accounts.keys import KeyRing
from trunkline.accounts.secrets_file import load_or_make
from trunkline.cli.keys import keys
from trunkline.settings import load_settings
from trunkline.storage.keys_sync import KeyFeed
from trunkline.storage.queries import Store


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "trunkline.toml"
    path.write_text(f'[store]\nurl = "sqlite:///{tmp_path}/trunkline.db"\n')
    return path


def call(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(keys, [*arguments, "--config", str(config)], catch_exceptions=False)


def made(config: Path, *arguments: str) -> dict[str, object]:
    return json.loads(call(config, "create", "--json", *arguments).stdout)


def authenticates(config: Path, secret: str, now_ms: float) -> bool:
    """Whether a gateway with this configuration takes the secret."""
    settings = load_settings(config, {})
    feed = KeyFeed(settings.store.url)
    found = feed.poll()
    feed.close()
    ring = KeyRing(load_or_make(settings.secrets_path).pepper, master_key="m", keys=found)
    return ring.authenticate(secret, now_ms) is not None


def test_a_created_key_is_taken_by_the_gateway_even_before_its_first_start(config):
    key = made(config, "--name", "laptop")
    assert key["name"] == "laptop"
    assert authenticates(config, key["secret"], key["created_ms"])


def test_a_key_for_some_time_ends(config):
    key = made(config, "--expires", "30d")
    end_ms = key["created_ms"] + 30 * 86_400_000
    assert key["expires_ms"] == end_ms
    assert authenticates(config, key["secret"], end_ms - 1)
    assert not authenticates(config, key["secret"], end_ms)


def test_a_key_may_want_nothing_kept(config):
    assert made(config, "--zero-retention")["zero_retention"] is True
    assert made(config)["zero_retention"] is False


def test_a_revoked_key_is_taken_no_more(config):
    key = made(config)
    assert call(config, "revoke", key["id"]).exit_code == 0
    assert not authenticates(config, key["secret"], key["created_ms"])


def test_the_secret_alone_is_on_standard_output_and_the_note_beside_it(config):
    result = call(config, "create", "--name", "laptop")
    assert result.stdout.strip().startswith("sk-tl-")
    assert "only time" in result.stderr


def test_neither_secret_nor_hash_is_ever_shown_again(config):
    key = made(config, "--name", "laptop")
    settings = load_settings(config, {})

    async def stored_hash() -> str:
        async with await Store.open(settings.store.url) as store:
            return (await store.list_keys())[0].hash

    shown = (
        call(config, "list").output + call(config, "list", "--json").output + call(config, "revoke", key["id"]).output
    )
    assert "laptop" in shown
    assert key["hint"] in shown
    assert key["secret"] not in shown
    assert asyncio.run(stored_hash()) not in shown


def test_the_list_tells_the_state_of_each_key(config):
    made(config, "--name", "first")
    revoked = made(config, "--name", "second")
    call(config, "revoke", revoked["id"])
    states = {key["name"]: key["revoked_ms"] is not None for key in json.loads(call(config, "list", "--json").stdout)}
    assert states == {"first": False, "second": True}


def test_an_empty_list_says_how_to_make_a_key(config):
    assert "trunkline keys create" in call(config, "list").output


def test_an_unknown_key_is_named(config):
    result = call(config, "revoke", "key_nope")
    assert result.exit_code == 1
    assert "no key key_nope" in result.output


@pytest.mark.parametrize("time", ["30", "d", "0d", "-1d", "1.5h", "30 d", "9999999d"])
def test_a_time_that_is_none_is_refused_with_an_example(config, time):
    result = call(config, "create", f"--expires={time}")
    assert result.exit_code == 2
    assert "write for example" in result.output
