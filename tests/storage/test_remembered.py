"""An answer is read once in its time, and the least used goes first."""

from trunkline.storage.remembered import MOST_ROWS_OF_ONE, Remembered


def test_an_answer_is_read_once_in_its_time():
    remembered, read = Remembered(), []

    def answer():
        read.append(1)
        return {"a": len(read)}

    assert [remembered.answer("question", time, answer) for time in (1, 1, 2, 2)] == [{"a": 1}] * 2 + [{"a": 2}] * 2
    assert remembered.answer("another", 2, answer) == {"a": 3}


def test_it_holds_no_more_than_so_many_rows_and_forgets_what_was_not_asked_for():
    remembered, read = Remembered(most_rows=10), []

    def asked(question):
        return remembered.answer(question, 1, lambda: read.append(question) or [0] * 3)

    for question in ("a", "b", "a", "c", "a", "b"):
        assert asked(question) == [0] * 3
    assert read == ["a", "b", "c", "b"]


def test_what_is_very_long_is_not_remembered():
    remembered, read = Remembered(), []
    for _ in range(2):
        remembered.answer("long", 1, lambda: read.append(1) or [0] * (MOST_ROWS_OF_ONE + 1))
    assert len(read) == 2
