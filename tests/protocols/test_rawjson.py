"""Top-level keys change, every other byte of a value stays."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.protocols.rawjson import is_null, join, raw, split

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=6))
def test_an_object_that_is_taken_apart_and_put_together_means_the_same(value: dict[str, object]) -> None:
    assert json.loads(join(split(json.dumps(value).encode()))) == value


def test_values_keep_their_bytes_numbers_and_blanks_and_escapes_included() -> None:
    body = b'{"a":1.10, "b" : [1,  2.0e1], "c":"\\u00e9\\/", "d":{"x" :12345678901234567890123}}'
    fields = split(body)
    assert bytes(fields["a"]) == b"1.10"
    assert bytes(fields["b"]) == b"[1,  2.0e1]"
    assert bytes(fields["c"]) == b'"\\u00e9\\/"'
    assert bytes(fields["d"]) == b'{"x" :12345678901234567890123}'
    assert join(fields) == b'{"a":1.10,"b":[1,  2.0e1],"c":"\\u00e9\\/","d":{"x" :12345678901234567890123}}'


def test_of_a_key_that_stands_twice_the_last_one_counts() -> None:
    assert join(split(b'{"model":"a","model":"b"}')) == b'{"model":"b"}'


def test_odd_keys_are_written_as_json() -> None:
    assert json.loads(join({'a"b\n': raw(1), "": raw(2), "é": raw(3)})) == {'a"b\n': 1, "": 2, "é": 3}


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        split(body)


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":}', b'{"a":1}x', b"\xff"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        split(body)


def test_absent_and_null_are_the_same() -> None:
    assert is_null(None)
    assert is_null(msgspec.Raw(b"null"))
    assert not is_null(msgspec.Raw(b"false"))
