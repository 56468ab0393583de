import json
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.records import a_record
from trunkline.errors import StoreError
from trunkline.records.types import Attempt, Record
from trunkline.storage.columns import RECORD_COLUMNS
from trunkline.storage.rows import read_record, record_row
from trunkline.storage.storable import NOTE, storable_record

_ENCODER = msgspec.json.Encoder()
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
    return read_record(record_row(record, _ENCODER))


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


def test_a_row_of_an_older_version_without_the_newest_fields_is_still_read():
    row = list(record_row(a_record(1), _ENCODER))
    detail = json.loads(row[-1])
    attempts = next(part for part in detail if isinstance(part, list) and part and part[0][0] == "azure")
    for attempt in attempts:
        del attempt[Attempt.__struct_fields__.index("upstream_request_id") :]
    row[-1] = json.dumps(detail).encode()
    again = read_record(row)
    assert again.attempts[1].upstream_request_id == ""
    assert again.attempts[1].usage == a_record(1).attempts[1].usage


def test_a_detail_that_cannot_be_read_names_its_record():
    row = (*record_row(a_record(7), _ENCODER)[:-1], b"[]")
    with pytest.raises(StoreError, match="req_000007"):
        read_record(row)


def test_the_row_has_a_value_for_each_column():
    assert len(record_row(a_record(1), _ENCODER)) == len(RECORD_COLUMNS)


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
    ids=str,
)
def test_what_cannot_be_stored_is_replaced_and_the_record_says_so(changes):
    clean = storable_record(a_record(1, **changes))
    assert clean.notes == (*a_record(1).notes, NOTE)
    assert stored(clean) == clean
