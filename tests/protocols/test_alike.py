"""Events that differ from the last one in their text alone tell what they would if each was read, and all others are read."""

from collections.abc import Callable

import msgspec
import pytest

from trunkline.ir.events import Delta, Event
from trunkline.protocols.alike import Alike
from trunkline.protocols.anthropic_messages import codec as messages
from trunkline.protocols.codec import StreamReader, Target
from trunkline.protocols.gemini import codec as gemini
from trunkline.protocols.openai_chat import codec as chat
from trunkline.protocols.openai_responses import codec as responses

READERS = {one.NAME: one.stream_reader for one in (chat, responses, messages, gemini)}
WORDS = [" one", " two", 'said "three"', " vier für\n", "", "content", "text", " one", " \\u", "ü", " ten"]


def chat_event(text: str, index: int = 0) -> bytes:
    said = msgspec.json.encode(text).decode()
    return f'data: {{"id":"c","choices":[{{"index":{index},"delta":{{"content":{said}}}}}]}}\n\n'.encode()


def responses_event(text: str, number: int = 4) -> bytes:
    said = msgspec.json.encode(text).decode()
    kind = "response.output_text.delta"
    return f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":{number},"output_index":0,"content_index":0,"delta":{said}}}\n\n'.encode()


def messages_event(text: str, index: int = 0) -> bytes:
    said = msgspec.json.encode(text).decode()
    kind = "content_block_delta"
    return f'event: {kind}\ndata: {{"type":"{kind}","index":{index},"delta":{{"type":"text_delta","text":{said}}}}}\n\n'.encode()


def gemini_event(text: str) -> bytes:
    said = msgspec.json.encode(text).decode()
    return f'data: {{"candidates":[{{"content":{{"parts":[{{"text":{said}}}],"role":"model"}},"index":0}}]}}\r\n\r\n'.encode()


EVENTS: dict[str, Callable[[str], bytes]] = {
    "openai.chat": chat_event,
    "openai.responses": responses_event,
    "anthropic.messages": messages_event,
    "gemini": gemini_event,
}


class Counting:
    """A reader that counts what it is given to read."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader
        self.going_on = reader.going_on
        self.read = 0

    def feed(self, event: bytes) -> list[Event]:
        self.read += 1
        return self._reader.feed(event)

    def end(self) -> list[Event]:
        return self._reader.end()

    @property
    def done(self) -> bool:
        return self._reader.done


def reader_of(protocol: str) -> Counting:
    return Counting(READERS[protocol](Target(protocol=protocol, upstream_model="acme-1", stream=True)))


def through(reader: Counting, events: list[bytes]) -> list[Event]:
    """As a stream is translated."""
    alike, seen = Alike(reader), list[Event]()
    for one in events:
        if text := alike.text(one):
            seen.append(Delta(alike.index, text))
            continue
        read = reader.feed(one)
        alike.learn(one, read)
        seen += read
    return seen


def read_each(protocol: str, events: list[bytes]) -> list[Event]:
    reader = reader_of(protocol)
    return [event for one in events for event in reader.feed(one)]


@pytest.mark.parametrize("protocol", EVENTS)
def test_whatever_the_text_is_it_is_the_one_that_was_sent(protocol: str) -> None:
    events = [EVENTS[protocol](word) for word in WORDS * 2]
    assert through(reader_of(protocol), events) == read_each(protocol, events)


@pytest.mark.parametrize("protocol", EVENTS)
def test_of_a_long_text_only_the_first_events_are_read(protocol: str) -> None:
    reader = reader_of(protocol)
    through(reader, [EVENTS[protocol](f" {number}") for number in range(100)])
    assert reader.read == 2


def test_the_numbers_of_responses_grow() -> None:
    reader, events = reader_of("openai.responses"), [responses_event(f" w{at}", at) for at in range(8, 120)]
    assert through(reader, events) == read_each("openai.responses", events)
    assert reader.read == 2


@pytest.mark.parametrize("protocol", ["openai.chat", "anthropic.messages"])
def test_what_belongs_to_another_part_is_read(protocol: str) -> None:
    write: Callable[[str, int], bytes] = chat_event if protocol == "openai.chat" else messages_event
    events = [write(f" {at}", index) for at, index in enumerate((0, 0, 0, 1, 1, 0, 1, 1, 1, 0, 0))]
    assert through(reader_of(protocol), events) == read_each(protocol, events)


def test_a_finish_that_looks_like_a_text_is_read() -> None:
    events = [chat_event(" one"), chat_event(" two"), chat_event(" three")]
    last = events[-1].replace(b'"}}]}', b'"},"finish_reason":"stop"}]}')
    assert through(reader_of("openai.chat"), [*events, last]) == read_each("openai.chat", [*events, last])


def test_arguments_of_chat_are_read_each_since_their_end_is_in_them() -> None:
    def event(piece: str) -> bytes:
        call = msgspec.json.encode({"index": 0, "function": {"arguments": piece}}).decode()
        return f'data: {{"choices":[{{"index":0,"delta":{{"tool_calls":[{call}]}}}}]}}\n\n'.encode()

    first = b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f"}}]}}]}\n\n'
    events = [first, event("{}"), event(" "), event(" "), event(" "), chat_event("text")]
    reader = reader_of("openai.chat")
    assert through(reader, events) == read_each("openai.chat", events)
    assert reader.read == len(events)


def test_citations_of_gemini_have_their_places_in_all_of_the_text() -> None:
    cited = (
        b'data: {"candidates":[{"content":{"parts":[{"text":"."}]},"index":0,"groundingMetadata":{"groundingChunks":'
        b'[{"web":{"uri":"https://example.com","title":"A"}}],"groundingSupports":[{"segment":{"startIndex":0,"endIndex":9,'
        b'"text":" one two t"},"groundingChunkIndices":[0]}]}}]}\r\n\r\n'
    )
    events = [*(gemini_event(word) for word in (" one", " two", " three", " four")), cited]
    assert through(reader_of("gemini"), events) == read_each("gemini", events)


def test_streams_whose_events_have_more_that_changes_are_not_compared_for_long() -> None:
    reader = reader_of("openai.chat")
    alike = Alike(reader)
    for number in range(20):
        one = chat_event(" word").replace(b'"c"', b'"c%d"' % number)
        alike.learn(one, reader.feed(one))
    one = chat_event(" word")
    alike.learn(one, reader.feed(one))
    assert alike.text(one) == ""
