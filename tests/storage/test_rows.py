import json
import sqlite3
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.records import a_record
from trunkline.errors import StoreError
from trunkline.records.types import Attempt, Candidate, Record
from trunkline.storage.columns import RECORD_COLUMNS
from trunkline.storage.rows import BRIEF_COLUMNS, BRIEF_REST, RecordEncoder, read_record
from trunkline.storage.storable import NOTE, storable_record

_ENCODER = RecordEncoder()
_SIMPLE: dict[object, st.SearchStrategy[Any]] = {
    str: st.text(max_size=5),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
    msgspec.Raw: st.builds(
        lambda value: msgspec.Raw(json.dumps(value).encode()), st.dictionaries(st.text(max_size=3), st.integers())
    ),
}


def anything(type_: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type, whatever fields the structs have."""
    if type_ in _SIMPLE:
        return _SIMPLE[type_]
    if get_origin(type_) is tuple:
        return st.lists(anything(get_args(type_)[0]), max_size=2).map(tuple)
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        return st.builds(type_, **{name: anything(hint) for name, hint in get_type_hints(type_).items()})
    return st.one_of([anything(part) for part in get_args(type_)])


def stored(record: Record) -> Record:
    return read_record(_ENCODER.row(record))


@given(record=anything(Record))
def test_every_record_comes_back_as_it_was(record: Record):
    assert stored(record) == record


def test_a_full_record_comes_back_as_it_was():
    assert stored(a_record(1)) == a_record(1)


def test_values_come_back_with_their_types():
    again = stored(a_record(1))
    assert again.streamed is True
    assert type(again.usage) is type(a_record(1).usage)
    assert type(again.attempts[0]) is Attempt
    assert bytes(again.attempts[1].raw_usage) == b'{"prompt_tokens": 107}'


def test_most_records_are_brief_and_say_the_same_as_all_their_columns():
    brief = _ENCODER.brief_row(a_record(1))
    assert brief is not None
    full = dict(zip(RECORD_COLUMNS, _ENCODER.row(a_record(1)), strict=True))
    fixed = {
        name: sqlite3.connect(":memory:").execute(f"SELECT {sql}").fetchone()[0] for name, sql in BRIEF_REST.items()
    }
    assert dict(zip(BRIEF_COLUMNS, brief, strict=True)) | fixed == full


@given(record=anything(Record))
def test_a_record_with_more_than_the_usual_columns_is_not_brief(record: Record):
    full = dict(zip(RECORD_COLUMNS, _ENCODER.row(record), strict=True))
    usual = {"session_id": "", "outcome": "ok", "status": 200}
    is_usual = all(full[name] == usual.get(name, 0) for name in BRIEF_REST)
    assert (_ENCODER.brief_row(record) is not None) is is_usual


@pytest.mark.parametrize("name", [*BRIEF_REST])
def test_each_of_the_columns_that_are_left_out_makes_a_record_unusual(name: str):
    changes: dict[str, Any] = {name: {"outcome": "error", "session_id": "s"}.get(name, 7)}
    if name not in Record.__struct_fields__:
        changes = {"usage": msgspec.structs.replace(a_record(1).usage, **changes)}
    assert _ENCODER.brief_row(a_record(1, **changes)) is None


def test_a_bill_that_is_that_of_the_last_attempt_is_written_once():
    record = a_record(1)
    apart = msgspec.structs.replace(record, cost=msgspec.structs.replace(record.cost))
    assert len(_ENCODER.detail(record)) < len(_ENCODER.detail(apart)) - 50
    assert stored(record) == stored(apart) == record


def test_plans_that_are_remembered_are_not_mixed_up():
    encoder = RecordEncoder()
    records = [a_record(number, plan=(Candidate(f"offer {number % 100}", 1),)) for number in range(300)]
    assert [read_record(encoder.row(record)) for record in records] == records


def test_a_row_of_an_older_version_without_the_newest_fields_is_still_read():
    row = list(_ENCODER.row(a_record(1)))
    detail = json.loads(row[-1])
    attempts = next(part for part in detail if isinstance(part, list) and part and part[0][0] == "azure")
    for attempt in attempts:
        del attempt[Attempt.__struct_fields__.index("upstream_request_id") :]
    row[-1] = json.dumps(detail).encode()
    again = read_record(row)
    assert again.attempts[1].upstream_request_id == ""
    assert again.attempts[1].usage == a_record(1).attempts[1].usage


def test_a_detail_that_cannot_be_read_names_its_record():
    row = (*_ENCODER.row(a_record(7))[:-1], b"[]")
    with pytest.raises(StoreError, match="req_000007"):
        read_record(row)


def test_the_row_has_a_value_for_each_column():
    assert len(_ENCODER.row(a_record(1))) == len(RECORD_COLUMNS)


def test_what_can_be_stored_is_not_changed():
    assert storable_record(a_record(1)) is not None
    assert storable_record(a_record(1)) == a_record(1)


def test_the_fields_of_stored_structs_are_only_ever_added_at_the_end():
    # Stored rows are read by position. Add new fields to the end of these lists too; never change what is there.
    assert Attempt.__struct_fields__[:15] == (
        "provider", "offer", "upstream_model", "started_ms", "ended_ms", "outcome", "status", "message",
        "first_token_ms", "last_token_ms", "usage", "cost", "raw_usage", "upstream_request_id", "reused_connection",
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"user_agent": "half a pair \ud83d"},
        {"cost_pico_usd": 10**30},
        {"first_token_ms": float("nan")},
        {"ended_ms": float("inf")},
        {"attempts": (msgspec.structs.replace(a_record(1).attempts[0], raw_usage=msgspec.Raw(b"{")),)},
    ],
    ids=["half a pair", "more money than there is", "no number", "no end", "raw usage that is no JSON"],
)
def test_what_cannot_be_stored_is_replaced_and_the_record_says_so(changes):
    clean = storable_record(a_record(1, **changes))
    assert clean.notes == (*a_record(1).notes, NOTE)
    assert stored(clean) == clean
