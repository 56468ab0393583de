"""What is kept is of no use to who has the store alone, nor in any other row."""

import msgspec
import pytest

from tests.fakes.kept import CIPHER, a_kept
from trunkline.errors import StoreError
from trunkline.storage.cipher import Cipher

SAMPLES = {
    "empty": b"",
    "short": b"a secret thought",
    "text": b"a secret thought " * 1000,
    "noise": bytes(range(256)) * 8,
}


def sealed(**changes: object):
    kept = a_kept(**changes)
    return msgspec.structs.replace(kept, data=CIPHER.seal(kept))


@pytest.mark.parametrize("data", SAMPLES.values(), ids=SAMPLES)
def test_what_was_sealed_opens_again(data):
    assert CIPHER.open(sealed(data=data)) == a_kept(data=data)


@pytest.mark.parametrize("data", SAMPLES.values(), ids=SAMPLES)
def test_another_process_with_the_same_pepper_opens_it(data):
    assert Cipher(b"pepper of the tests, 32 bytes long").open(sealed(data=data)).data == data


def test_nothing_of_the_data_is_to_be_seen():
    assert b"secret" not in sealed(data=b"a secret thought").data


def test_the_same_data_is_another_text_each_time():
    assert sealed().data != sealed().data


def test_text_takes_less_room_than_it_has():
    assert len(sealed(data=SAMPLES["text"]).data) < len(SAMPLES["text"]) / 10


@pytest.mark.parametrize("changed", [{"key": "tl1sBBBB"}, {"kind": "response"}, {"key_id": "key_2"}], ids=str)
def test_in_another_row_it_does_not_open(changed):
    with pytest.raises(StoreError, match="cannot be decrypted"):
        CIPHER.open(msgspec.structs.replace(sealed(), **changed))


def test_with_another_pepper_it_does_not_open():
    with pytest.raises(StoreError, match="secrets file"):
        Cipher(b"another pepper").open(sealed())


@pytest.mark.parametrize("place", [0, 1, 13, -1])
def test_a_changed_byte_is_noticed(place):
    data = bytearray(sealed().data)
    data[place] ^= 3
    with pytest.raises(StoreError, match="was changed"):
        CIPHER.open(a_kept(data=bytes(data)))


@pytest.mark.parametrize("length", [0, 1, 12, 20])
def test_a_row_that_was_cut_is_noticed(length):
    with pytest.raises(StoreError, match="was changed"):
        CIPHER.open(a_kept(data=sealed().data[:length]))


def test_neither_the_cipher_nor_what_is_kept_shows_its_secret():
    assert repr(CIPHER) == "Cipher(...)"
    assert repr(a_kept()) == "Kept(state 'tl1sAAAA', 16 bytes)"
