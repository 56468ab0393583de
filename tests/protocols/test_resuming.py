"""What was said so far: the text, the part that is open, the next one's number; in the room that the text takes."""

import tracemalloc

from trunkline.ir.events import Delta, Finish, PartEnd, PartStart
from trunkline.ir.parts import Text, ToolCall
from trunkline.protocols.codec import Said
from trunkline.protocols.resuming import Saying, said_of


def test_texts_are_put_together_and_the_open_part_is_known() -> None:
    events = [PartStart(0, Text("a")), Delta(0, "b"), PartEnd(0), PartStart(1, Text("")), Delta(1, "c")]
    assert said_of(events) == Said("abc", 1, 2)
    assert said_of([*events, PartEnd(1)]) == Said("abc", None, 2)
    assert said_of([]) == Said("", None, 0)


def test_nothing_goes_on_from_a_call_another_candidate_two_open_texts_or_an_end() -> None:
    text = [PartStart(0, Text("a")), Delta(0, "b")]
    for more in (
        PartStart(1, ToolCall("c1", "weather", "{}")),
        PartStart(1, Text(""), 1),
        PartStart(1, Text("")),
        Finish("stop"),
    ):
        assert said_of([*text, more]) is None


def test_a_word_takes_the_room_of_its_letters_and_what_nothing_goes_on_from_none() -> None:
    saying = Saying()
    saying.feed([PartStart(0, Text(""))])
    tracemalloc.start()
    try:
        for number in range(20_000):
            saying.feed([Delta(0, f"{number:5d}")])
        kept, _ = tracemalloc.get_traced_memory()
        saying.feed([PartStart(1, ToolCall("c1", "weather", ""))])
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert saying.characters == 100_000
    assert kept < 2 * saying.characters
    assert left < 20_000
