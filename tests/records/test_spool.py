"""What is in the spool is there again after a crash, in its order; what was cut off is not, and takes nothing else with it."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trunkline.errors import StoreError
from trunkline.records.spool import Spool, abandoned, claim

MUCH = 1_000_000


def all_of(spool: Spool) -> list[bytes]:
    found = []
    while (frame := spool.peek()) is not None:
        found.append(frame)
        spool.done()
    return found


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def opened() -> Iterator[Callable[..., Spool]]:
    """Opens spools that are closed with the test."""
    spools: list[Spool] = []

    def open_one(folder: Path, max_bytes: int, **options: int) -> Spool:
        spools.append(Spool(folder, max_bytes, **options))
        return spools[-1]

    yield open_one
    for spool in spools:
        spool.close()


def test_frames_come_out_in_the_order_in_which_they_went_in(opened, tmp_path):
    spool = opened(tmp_path, MUCH)
    frames = [os.urandom(size) for size in (1, 1000, 0, 30)]
    for frame in frames:
        spool.append(frame)
    assert all_of(spool) == frames
    assert (spool.is_empty, spool.waiting_bytes, files(tmp_path)) == (True, 0, [])


def test_what_was_not_brought_over_is_there_for_the_next_process(opened, tmp_path):
    before = opened(tmp_path, MUCH)
    for frame in (b"a", b"b", b"c"):
        before.append(frame)
    assert before.peek() == b"a"
    before.done()
    after = opened(tmp_path, MUCH)
    # The file is not done with: all of it comes once more.
    assert all_of(after) == [b"a", b"b", b"c"]


def test_a_frame_stays_until_it_is_done(opened, tmp_path):
    spool = opened(tmp_path, MUCH)
    spool.append(b"a")
    assert [spool.peek(), spool.peek()] == [b"a", b"a"]
    assert not spool.is_empty


def test_frames_may_be_read_while_others_are_written(opened, tmp_path):
    spool = opened(tmp_path, MUCH)
    spool.append(b"a")
    assert spool.peek() == b"a"
    spool.append(b"b")
    spool.done()
    assert not spool.is_empty
    assert all_of(spool) == [b"b"]
    spool.append(b"c")
    assert all_of(spool) == [b"c"]


def test_many_frames_are_in_many_files_each_of_which_goes_when_it_is_done_with(opened, tmp_path):
    spool = opened(tmp_path, MUCH, segment_bytes=100)
    frames = [bytes([number]) * 30 for number in range(10)]
    for frame in frames:
        spool.append(frame)
    many = len(files(tmp_path))
    spool.peek()
    for _ in range(3):
        spool.done()
        spool.peek()
    assert len(files(tmp_path)) == many - 1
    assert all_of(opened(tmp_path, MUCH)) == frames[3:]


def test_no_more_than_there_is_room_for(opened, tmp_path):
    spool = opened(tmp_path, 100)
    spool.append(bytes(60))
    with pytest.raises(StoreError, match="spool_max_mb"):
        spool.append(bytes(60))
    assert all_of(spool) == [bytes(60)]
    spool.append(bytes(60))


@pytest.mark.parametrize("cut", range(1, 33))
def test_a_frame_that_a_crash_cut_off_is_left_out_without_ado(opened, tmp_path, cut):
    spool = opened(tmp_path, MUCH)
    for frame in (b"whole", bytes(20)):
        spool.append(frame)
    spool.close()
    [path] = tmp_path.iterdir()
    os.truncate(path, path.stat().st_size - cut)
    after = opened(tmp_path, MUCH)
    assert all_of(after) == [b"whole"]
    assert (after.damaged, files(tmp_path)) == (0, [])


def test_a_damaged_frame_costs_no_other_file_and_is_kept_for_people(opened, tmp_path):
    spool = opened(tmp_path, MUCH, segment_bytes=10)
    for frame in (b"one", b"two", b"three"):
        spool.append(frame)
    spool.close()
    path = sorted(tmp_path.iterdir())[1]
    path.write_bytes(path.read_bytes().replace(b"two", b"TWO"))
    after = opened(tmp_path, MUCH)
    assert all_of(after) == [b"one", b"three"]
    assert (after.damaged, files(tmp_path)) == (1, ["000000000002.damaged"])


def test_a_disk_that_is_full_leaves_nothing_of_the_frame(opened, tmp_path, monkeypatch):
    spool = opened(tmp_path, MUCH)
    spool.append(b"before")

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", full)
        with pytest.raises(StoreError, match="No space left"):
            spool.append(b"lost")
    spool.append(b"after")
    assert all_of(spool) == [b"before", b"after"]


def test_what_is_of_no_use_here_is_put_aside(opened, tmp_path):
    spool = opened(tmp_path, MUCH)
    spool.append(b"odd")
    spool.append(b"good")
    spool.put_aside(spool.peek())
    spool.done()
    assert all_of(spool) == [b"good"]
    [path] = tmp_path.glob("*.unreadable")
    assert path.read_bytes() == b"odd"


def test_only_the_owner_may_read_it(opened, tmp_path):
    opened(tmp_path, MUCH).append(b"secret")
    [path] = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


def test_each_process_has_a_folder_of_its_own_and_those_of_the_dead_are_found(tmp_path):
    first, second = claim(tmp_path / "spool"), claim(tmp_path / "spool")
    assert [slot.folder.name for slot in (first, second)] == ["0", "1"]
    assert list(abandoned(tmp_path / "spool")) == []
    first.release()
    [found] = abandoned(tmp_path / "spool")
    assert found.folder == first.folder
    found.release()
    assert claim(tmp_path / "spool").folder == first.folder
    second.release()


def test_a_folder_keeps_the_name_under_which_its_processes_write(tmp_path):
    slot = claim(tmp_path)
    assert [slot.owner("gw_1"), slot.owner("gw_2")] == ["gw_1", "gw_1"]
    slot.release()


def test_a_folder_that_cannot_be_made_is_named_with_the_mend(tmp_path):
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(StoreError, match=r"correct \[store\] spool_dir"):
        claim(tmp_path / "spool")


def test_some_of_the_oldest_frames_are_the_same_until_they_are_done(opened, tmp_path):
    spool = opened(tmp_path, MUCH, segment_bytes=57)
    for number in range(6):
        spool.append(b"frame %d" % number)
    assert spool.peek_some(2) == spool.peek_some(64) == [b"frame 0", b"frame 1"]
    spool.done()
    # To the end of their file.
    assert spool.peek_some(64) == [b"frame 2"]
    spool.done()
    assert spool.peek_some(64) == [b"frame 3", b"frame 4", b"frame 5"]
    spool.done()
    assert spool.is_empty


def test_what_lies_before_something_damaged_is_not_gone_before_it_is_done(opened, tmp_path):
    spool = opened(tmp_path, MUCH)
    for number in range(3):
        spool.append(b"frame %d" % number)
    [path] = tmp_path.glob("*.journal")
    text = path.read_bytes()
    path.write_bytes(text.replace(b"frame 2", b"xxxxx 2"))
    assert spool.peek_some(64) == [b"frame 0", b"frame 1"]
    assert path.exists()
    spool.done()
    assert (spool.peek_some(64), spool.damaged, spool.is_empty) == ([], 1, True)
