"""What a gateway finds at its start, on both kinds of stores: what waited on the disk, and requests that nobody ended."""

from pathlib import Path

import pytest

from tests.fakes.kept import CIPHER
from tests.fakes.records import a_record, an_intent
from tests.fakes.stores import AnyBatch, AnyStore
from trunkline.errors import StoreError
from trunkline.records.spool import Spool, claim
from trunkline.storage.frames import Frames
from trunkline.storage.gateway_store import GatewayStore, Left, WritingPlace, opened
from trunkline.storage.postgres_batch import PostgresBatch

MUCH = 10_000_000


@pytest.fixture
def place(any_store: AnyStore, tmp_path: Path) -> WritingPlace:
    return WritingPlace(any_store.url, tmp_path / "trunkline.db", tmp_path / "spool", MUCH)


def told(error: str) -> None:
    raise AssertionError(error)


def patient(batch: AnyBatch) -> AnyBatch:
    """A slow machine is no fault here, and there is no journal in between."""
    if isinstance(batch, PostgresBatch):
        batch._patience_s = None
    return batch


def crash(place: WritingPlace, *, spooled: list, intents: list) -> str:
    """A gateway that wrote and died; its name."""
    slot = claim(place.spool)
    held = GatewayStore(place, CIPHER, slot)
    batch = patient(held.batch())
    batch.write([], intents, [])
    batch.close()
    spool = Spool(slot.folder, MUCH)
    for records, ended in spooled:
        spool.append(Frames(CIPHER, place.beside).encode(records, [], ended, []))
    spool.close()
    slot.release()
    return held.gateway


def test_what_waited_is_stored_before_requests_without_an_end_are_closed(place, any_store):
    crash(place, spooled=[([a_record(1)], ["req_000001"])], intents=[an_intent(1), an_intent(2)])
    with opened(place, CIPHER, told) as store:
        assert (store.brought_over, store.interrupted) == (1, 1)
        assert [record.outcome for record in any_store.records()] == ["ok", "interrupted"]
        assert any_store.records()[0] == a_record(1)
        assert any_store.count("intents") == 0


def test_the_next_start_finds_nothing_more(place, any_store):
    crash(place, spooled=[([a_record(1)], [])], intents=[an_intent(2)])
    for expected in ((1, 1), (0, 0)):
        with opened(place, CIPHER, told) as store:
            assert (store.brought_over, store.interrupted) == expected
    assert any_store.count("records") == 2


def test_a_connection_of_the_writer_writes_as_this_gateway(place, any_store):
    with opened(place, CIPHER, told) as store:
        batch = patient(store.batch())
        batch.write([], [an_intent(1)], [])
        batch.close()
        assert any_store.rows("SELECT gateway FROM intents") == [(store.gateway if any_store.is_postgres else "",)]


def test_without_room_on_the_disk_there_is_no_journal_and_no_folder(any_store, tmp_path):
    place = WritingPlace(any_store.url, tmp_path / "trunkline.db", tmp_path / "spool", 0)
    with opened(place, CIPHER, told) as store:
        assert store.journal is None
        store.batch().close()
    assert not (tmp_path / "spool").exists()


def test_a_second_gateway_on_the_same_file_is_refused(tmp_path, path, url):
    place = WritingPlace(url, path, tmp_path / "spool", MUCH)
    with opened(place, CIPHER, told), pytest.raises(StoreError, match="another gateway"), opened(place, CIPHER, told):
        pass


def test_several_gateways_of_a_machine_leave_each_other_s_alone(postgres_store, tmp_path):
    place = WritingPlace(postgres_store.url, tmp_path / "trunkline", tmp_path / "spool", MUCH)
    with opened(place, CIPHER, told) as first:
        batch = patient(first.batch())
        batch.write([], [an_intent(1)], [])
        batch.close()
        with opened(place, CIPHER, told) as second:
            assert first.gateway != second.gateway
            assert second.interrupted == 0
            assert postgres_store.count("gateways") == 2
    assert postgres_store.count("intents") == 1


def test_a_gateway_takes_over_what_another_of_its_machine_left(postgres_store, tmp_path):
    place = WritingPlace(postgres_store.url, tmp_path / "trunkline", tmp_path / "spool", MUCH)
    with opened(place, CIPHER, told):
        # In the second folder.
        dead = crash(place, spooled=[([a_record(1)], ["req_000001"])], intents=[an_intent(1), an_intent(2)])
    left = Left()
    with opened(place, CIPHER, told, left) as store:
        assert store.gateway != dead
        assert (store.brought_over, store.interrupted) == (1, 1)
    assert ([record.id for record in left.records], left.gateways, left.ours) == (["req_000002"], [dead], store.gateway)
