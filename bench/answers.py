"""What the bench's upstream says, in each of the four protocols: whole answers and streams, as bytes that are made once.

Out: a `Voice` a protocol: the beginning of a stream, one event of text, the end (it repeats the whole text where the
protocol does), and a whole answer. Shapes: https://platform.openai.com/docs/api-reference/responses-streaming,
https://platform.claude.com/docs/en/build-with-claude/streaming, https://ai.google.dev/api/generate-content.
"""

from collections.abc import Callable

import msgspec

from bench.bodies import CHAT, GEMINI, MESSAGES, RESPONSES

ANSWER_TEXT = "Hello! How can I help you today?"
_TOKEN = " token"


class Voice(msgspec.Struct, frozen=True):
    """All bytes but `answer` are framed as chunks of HTTP/1.1."""

    begin: bytes
    event: bytes
    end: Callable[[int, bool], bytes]
    """In: how many events of text there were, and whether the client asked for usage (Chat alone asks)."""
    answer: bytes


def answer(model: str, ident: str) -> str:
    """A chat completion as OpenAI gives it, with usage; also what nginx serves in the request rows."""
    return (
        f'{{"id":"chatcmpl-{ident}","object":"chat.completion","created":1764000000,"model":"{model}","choices":[{{"index":0,"message":'
        f'{{"role":"assistant","content":"{ANSWER_TEXT}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":19,'
        '"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":'
        '{"reasoning_tokens":0,"audio_tokens":0}},"service_tier":"default","system_fingerprint":"bench"}'
    )


def _framed(event: str) -> bytes:
    data = event.encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


_LAST = b"0\r\n\r\n"


def _chat() -> Voice:
    def chunk(choices: str, usage: str = "") -> bytes:
        return _framed(
            'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1764000000,"model":"alpha-1",'
            f'"service_tier":"default","system_fingerprint":"bench","choices":{choices}{usage}}}\n\n'
        )

    def delta(delta: str, finish: str = "null") -> str:
        return f'[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}]'

    finish = chunk(delta("{}", '"stop"'))
    usage = chunk("[]", ',"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29}')
    done = _framed("data: [DONE]\n\n") + _LAST
    return Voice(
        begin=chunk(delta('{"role":"assistant","content":"","refusal":null}')),
        event=chunk(delta(f'{{"content":"{_TOKEN}"}}')),
        end=lambda _events, wants_usage: finish + (usage if wants_usage else b"") + done,
        answer=answer("alpha-1", "bench").encode(),
    )


def _responses() -> Voice:
    place = '"item_id":"msg_bench","output_index":0,"content_index":0'

    def event(name: str, rest: str, number: int) -> bytes:
        return _framed(f'event: {name}\ndata: {{"type":"{name}","sequence_number":{number},{rest}}}\n\n')

    def part(text: str) -> str:
        return f'{{"type":"output_text","annotations":[],"logprobs":[],"text":"{text}"}}'

    def item(status: str, content: str) -> str:
        return f'{{"id":"msg_bench","type":"message","status":"{status}","role":"assistant","content":[{content}]}}'

    def response(status: str, output: str, usage: str) -> str:
        return (
            f'{{"id":"resp_bench","object":"response","created_at":1764000000,"status":"{status}","background":false,"error":null,'
            f'"incomplete_details":null,"instructions":null,"max_output_tokens":null,"model":"alpha-1","output":[{output}],'
            '"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":null,"summary":null},"service_tier":"default",'
            '"store":false,"temperature":1.0,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,'
            f'"truncation":"disabled","usage":{usage},"user":null,"metadata":{{}}}}'
        )

    used = (
        '{"input_tokens":19,"input_tokens_details":{"cached_tokens":0},"output_tokens":10,'
        '"output_tokens_details":{"reasoning_tokens":0},"total_tokens":29}'
    )
    started = response("in_progress", "", "null")

    def end(events: int, _wants_usage: bool) -> bytes:
        text = _TOKEN * events
        whole = item("completed", part(text))
        return b"".join(
            (
                event("response.output_text.done", f'{place},"text":"{text}","logprobs":[]', events + 4),
                event("response.content_part.done", f'{place},"part":{part(text)}', events + 5),
                event("response.output_item.done", f'"output_index":0,"item":{whole}', events + 6),
                event("response.completed", f'"response":{response("completed", whole, used)}', events + 7),
                _LAST,
            )
        )

    return Voice(
        begin=event("response.created", f'"response":{started}', 0)
        + event("response.in_progress", f'"response":{started}', 1)
        + event("response.output_item.added", f'"output_index":0,"item":{item("in_progress", "")}', 2)
        + event("response.content_part.added", f'{place},"part":{part("")}', 3),
        # One number for all: the bytes are fixed, and no client of the bench looks at it.
        event=event("response.output_text.delta", f'{place},"delta":"{_TOKEN}","logprobs":[]', 4),
        end=end,
        answer=response("completed", item("completed", part(ANSWER_TEXT)), used).encode(),
    )


def _messages() -> Voice:
    def event(name: str, rest: str = "") -> bytes:
        return _framed(f'event: {name}\ndata: {{"type":"{name}"{rest}}}\n\n')

    def message(content: str, reason: str, output_tokens: int) -> str:
        return (
            f'{{"id":"msg_bench","type":"message","role":"assistant","model":"alpha-1","content":[{content}],"stop_reason":{reason},'
            '"stop_sequence":null,"usage":{"input_tokens":19,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,'
            f'"output_tokens":{output_tokens},"service_tier":"standard"}}}}'
        )

    last = (
        event("content_block_stop", ',"index":0')
        + event(
            "message_delta", ',"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":10}'
        )
        + event("message_stop")
        + _LAST
    )
    return Voice(
        begin=event("message_start", f',"message":{message("", "null", 1)}')
        + event("content_block_start", ',"index":0,"content_block":{"type":"text","text":""}')
        + event("ping"),
        event=event("content_block_delta", f',"index":0,"delta":{{"type":"text_delta","text":"{_TOKEN}"}}'),
        end=lambda _events, _wants_usage: last,
        answer=message(f'{{"type":"text","text":"{ANSWER_TEXT}"}}', '"end_turn"', 10).encode(),
    )


def _gemini() -> Voice:
    def body(text: str, finish: str) -> str:
        return (
            f'{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}],"role":"model"}}{finish},"index":0}}],'
            '"usageMetadata":{"promptTokenCount":19,"candidatesTokenCount":10,"totalTokenCount":29,'
            '"promptTokensDetails":[{"modality":"TEXT","tokenCount":19}]},"modelVersion":"alpha-1","responseId":"bench"}'
        )

    stop = ',"finishReason":"STOP"'
    # Google ends the lines of its events with both bytes, and repeats the usage in each.
    last = _framed(f"data: {body('', stop)}\r\n\r\n") + _LAST
    return Voice(
        begin=b"",
        event=_framed(f"data: {body(_TOKEN, '')}\r\n\r\n"),
        end=lambda _events, _wants_usage: last,
        answer=body(ANSWER_TEXT, stop).encode(),
    )


def voices() -> dict[str, Voice]:
    """By protocol."""
    return {CHAT: _chat(), RESPONSES: _responses(), MESSAGES: _messages(), GEMINI: _gemini()}


def protocol_of(path: bytes) -> str:
    """Which protocol a path of the upstream is, as providers have them."""
    if b"/models/" in path:
        return GEMINI
    if b"/responses" in path:
        return RESPONSES
    return MESSAGES if b"/messages" in path else CHAT
