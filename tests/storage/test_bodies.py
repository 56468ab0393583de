"""Bodies on the disk: by day, encrypted, redacted, after their records; dropped rather than waited for; deleted with their days."""

import sqlite3

import msgspec
import pytest

from tests.fakes.records import START_MS, a_record
from trunkline.errors import StoreError
from trunkline.records.bodies import DAY_MS, MARGIN_BYTES, Body, Captured, CapturePolicy
from trunkline.records.redaction import rules_of
from trunkline.storage.bodies import Bodies, WithBodies
from trunkline.storage.body_files import BodyFiles, BodyReader, day_file
from trunkline.storage.cipher import Cipher

CIPHER = Cipher(b"p" * 32)
SECRET = "sk-" + "a1B2" * 6
FULL = CapturePolicy("full", 2048, 7, rules_of(("keys",), []))


def captured(number=0, data=b'{"model": "x"}', received_ms=START_MS, view="client_request", **fields):
    body = Body(
        view, target="POST /v1", headers=(("user-agent", f"a {SECRET}"),), size_bytes=len(data), data=data, **fields
    )
    return Captured(f"req_{number:06}", "key_1", received_ms, (body,))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "trunkline.db.bodies"


def keep(bodies, *all_captured):
    for one in all_captured:
        assert bodies.put(one)
    bodies.stored([a_record(int(one.id[4:])) for one in all_captured])
    while not bodies.store(1.0):
        pass


def found(folder, number=0, received_ms=START_MS):
    return BodyReader(folder, CIPHER).find(f"req_{number:06}", received_ms)


def test_what_was_put_is_found_again(folder):
    bodies = Bodies(BodyFiles(folder), CIPHER, FULL)
    keep(bodies, captured(1), captured(2, data=b"y" * 1500))
    assert found(folder, 1).bodies[0].data == b'{"model": "x"}'
    assert found(folder, 2).bodies[0].data == b"y" * 1500
    assert found(folder, 3) is None
    assert bodies.stats().kept == 2
    assert bodies.stats().waiting_bytes == 0


def test_keys_of_the_operator_are_taken_out_of_every_view_and_are_not_stored_themselves(folder):
    one = captured(data=b'data: {"echo": "is plain"}\n\ndata: {"echo": "Secret1234!"}\n\n')
    body = msgspec.structs.replace(one.bodies[0], target="POST /plainSecret1234", headers=(("via", "plainSecret1234"),))
    keep(
        Bodies(BodyFiles(folder), CIPHER, FULL),
        msgspec.structs.replace(one, bodies=(body, *one.bodies), secrets=("plainSecret1234",)),
    )
    kept = found(folder)
    assert kept.secrets == ()
    assert (kept.bodies[0].target, kept.bodies[0].headers) == ("POST /[key]", (("via", "[key]"),))
    assert [body.data for body in kept.bodies] == [b'data: {"echo":"is [key]"}\n\ndata: {"echo":"!"}\n\n'] * 2
    assert "plainSecret1234" not in repr(msgspec.structs.replace(one, secrets=("plainSecret1234",)))


def test_half_a_key_at_the_cut_is_not_kept_where_much_before_it_was_taken_out(folder):
    whole = b"plainSecret1234 " * 200
    size = FULL.max_bytes + MARGIN_BYTES
    one = captured(data=whole[: size - 6], is_cut=True)
    keep(Bodies(BodyFiles(folder), CIPHER, FULL), msgspec.structs.replace(one, secrets=("plainSecret1234",)))
    assert b"plain" not in found(folder).bodies[0].data


def test_it_waits_for_its_record(folder):
    bodies = Bodies(BodyFiles(folder), CIPHER, FULL)
    bodies.put(captured())
    assert bodies.store(1.0)
    assert found(folder) is None
    bodies.stored([a_record(0)])
    bodies.store(1.0)
    assert found(folder) is not None


def test_each_day_has_a_file_readable_by_its_owner_alone(folder):
    keep(Bodies(BodyFiles(folder), CIPHER, FULL), captured(1), captured(2, received_ms=START_MS + DAY_MS))
    names = sorted(path.name for path in folder.glob("*.db"))
    assert names == ["bodies-2026-01-01.db", "bodies-2026-01-02.db"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {(folder / name).stat().st_mode & 0o777 for name in names} == {0o600}


def test_secrets_are_gone_before_anything_is_written(folder):
    keep(Bodies(BodyFiles(folder), CIPHER, FULL), captured(data=f'{{"content": "my key is {SECRET}"}}'.encode()))
    body = found(folder).bodies[0]
    assert body.data == b'{"content": "my key is [redacted: key]"}'
    assert body.headers == (("user-agent", "a [redacted: key]"),)


def test_a_secret_at_the_cut_is_not_half_kept(folder):
    data = b"x" * (2048 - 10) + b" " + SECRET.encode() + b" and more" * 10
    keep(Bodies(BodyFiles(folder), CIPHER, FULL), captured(data=data))
    body = found(folder).bodies[0]
    assert body.is_cut
    assert len(body.data) == 2048
    assert b"sk-" not in body.data


def test_metadata_has_no_data(folder):
    bare = Captured("req_000000", "key_1", START_MS, (Body("client_request", size_bytes=5),))
    keep(Bodies(BodyFiles(folder), CIPHER, CapturePolicy("metadata")), bare)
    assert found(folder).bodies[0].data is None


def test_nobody_reads_them_without_the_secret_or_in_anothers_place(folder):
    keep(Bodies(BodyFiles(folder), CIPHER, FULL), captured(1), captured(2))
    path = day_file(folder, int(START_MS // DAY_MS))
    for file in folder.iterdir():
        assert b"model" not in file.read_bytes()
    with pytest.raises(StoreError):
        BodyReader(folder, Cipher(b"q" * 32)).find("req_000001", START_MS)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE bodies SET data = (SELECT data FROM bodies WHERE id = 'req_000001') WHERE id = 'req_000002'"
        )
    connection.close()
    with pytest.raises(StoreError):
        found(folder, 2)


def test_days_that_are_over_are_deleted(folder):
    bodies = Bodies(BodyFiles(folder), CIPHER, FULL, unix_ms=lambda: START_MS + 8 * DAY_MS)
    keep(bodies, captured(1), captured(2, received_ms=START_MS + DAY_MS))
    (folder / "bodies-notaday-x.db").touch()
    bodies.purge()
    assert found(folder, 1) is None
    assert found(folder, 2, START_MS + DAY_MS) is not None
    assert not list(folder.glob("bodies-2026-01-01*"))


def test_too_many_are_dropped_and_counted(folder):
    bodies = Bodies(BodyFiles(folder), CIPHER, FULL, max_waiting_bytes=3000)
    assert bodies.put(captured(1))
    assert bodies.put(captured(2))
    assert not bodies.put(captured(3))
    assert bodies.stats().dropped == 1
    bodies.stored([a_record(1), a_record(2)])
    bodies.store(1.0)
    assert bodies.put(captured(4))


def test_a_disk_that_takes_none_is_told_once_and_tried_again(folder):
    errors = []
    bodies = Bodies(BodyFiles(folder), CIPHER, FULL, errors.append)
    folder.write_text("a file is in the way")
    bodies.put(captured(1))
    bodies.stored([a_record(1)])
    bodies.store(1.0)
    bodies.store(1.0)
    assert len(errors) == 1
    folder.unlink()
    bodies.store(1.0)
    assert found(folder, 1) is not None
    assert bodies.stats().last_error == ""


def test_one_that_cannot_be_redacted_is_not_stored(folder):
    bodies = Bodies(BodyFiles(folder), CIPHER, FULL)
    keep(bodies, captured(1, data="not bytes"), captured(2))
    assert found(folder, 1) is None
    assert found(folder, 2) is not None
    assert bodies.stats().dropped == 1


def test_closing_writes_what_is_left(folder):
    bodies = Bodies(BodyFiles(folder), CIPHER, FULL)
    bodies.put(captured(1))
    bodies.stored([a_record(1)])
    bodies.close()
    assert found(folder, 1) is not None


class Records:
    """A batch whose records are stored, or not."""

    def __init__(self, fails=False):
        self.fails = fails

    def write(self, records, intents, ended, changes=()):
        if self.fails:
            raise StoreError("no room")

    def fold(self, now_ms):
        return True

    def purge(self, now_ms, rows):
        return 3

    def close(self):
        pass


def test_the_writers_batch_takes_bodies_along(folder):
    bodies = Bodies(BodyFiles(folder), CIPHER, FULL)
    bodies.put(captured(1))
    batch = WithBodies(Records(), bodies)
    batch.write([a_record(1)], [], [])
    assert found(folder, 1) is not None
    assert batch.fold(0.0)
    assert batch.purge(0.0, 10) == 3


def test_a_record_that_was_not_stored_keeps_its_body_waiting(folder):
    bodies = Bodies(BodyFiles(folder), CIPHER, FULL)
    bodies.put(captured(1))
    with pytest.raises(StoreError):
        WithBodies(Records(fails=True), bodies).write([a_record(1)], [], [])
    assert found(folder, 1) is None
    WithBodies(Records(), bodies).write([a_record(1)], [], [])
    assert found(folder, 1) is not None


def test_what_does_not_fit_into_a_turn_is_left_for_the_next(folder):
    ticks = iter(range(1000))
    bodies = Bodies(BodyFiles(folder), CIPHER, FULL, clock=lambda: float(next(ticks)))
    for number in (1, 2):
        bodies.put(captured(number))
    bodies.stored([a_record(1), a_record(2)])
    assert not bodies.store(0.5)
    assert found(folder, 2) is None
    assert bodies.store(0.5)
    assert found(folder, 2) is not None
