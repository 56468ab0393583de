import msgspec
import pytest

from tests.fakes.kept import CIPHER, a_kept
from tests.fakes.records import a_record, an_intent
from trunkline.errors import StoreError
from trunkline.records.types import Forgotten
from trunkline.storage.cipher import Cipher
from trunkline.storage.frames import Frames
from trunkline.storage.storable import NOTE


@pytest.fixture
def frames(tmp_path):
    return Frames(CIPHER, tmp_path / "rejected")


def test_a_batch_comes_back_as_it_was(frames):
    batch = ([a_record(1), a_record(2)], [an_intent(3)], ["req_000002"], [a_kept("a"), Forgotten("b")])
    assert frames.decode(frames.encode(*batch)) == batch


def test_what_is_kept_is_encrypted(frames):
    frame = frames.encode([], [], [], [a_kept("a", b"a secret thought")])
    assert b"secret" not in frame
    with pytest.raises(StoreError):
        Frames(Cipher(b"another pepper, 32 bytes long too"), frames._rejected).decode(frame)


def test_what_cannot_be_written_is_cleaned_and_at_last_put_aside(frames):
    odd = [a_record(1), a_record(2, user_agent="\ud800"), a_record(3, cost_pico_usd=10**40), a_record(4, cost=None)]
    records, intents, _, _ = frames.decode(frames.encode(odd, [an_intent(5, model=None)], [], []))
    assert [record.id for record in records] == ["req_000001", "req_000002", "req_000003"]
    assert records[0] == a_record(1)
    assert NOTE in records[1].notes
    assert intents == []
    assert len(frames._rejected.read_text().splitlines()) == 2


def test_what_is_no_batch_is_told(frames):
    for frame in (b"", b"\xc1", msgspec.msgpack.encode([1, 2])):
        with pytest.raises(StoreError, match="cannot be read"):
            frames.decode(frame)
