"""The profile `small-local`, answers: a llama-server's stream turned into OpenAI's form, streamed or whole.

In: a `Plan` and the child's bytes. Out: chunks, or one completion, with calls where the model meant one. No IO.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from trunkline.protocols.openai_chat.small_calls import Call, Depth, Sniffer, read_calls
from trunkline.protocols.openai_chat.small_models import Plan, correction
from trunkline.protocols.sse import Framer

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(dict[str, Any]).decode


class Answer:
    """Turns the child's stream into choices of OpenAI's form. Lives as long as one request, its further try included.

    `feed` bytes; at their end `retry()` may give another plan whose stream is fed too; `close` gives what ends the
    answer.
    A choice is `{"index", "delta", "finish_reason"}`, to be framed by `Sse` or folded by `Whole`.
    """

    def __init__(self, plan: Plan, call_id: Callable[[], str]) -> None:
        self._plan = self._first_plan = plan
        self._call_id = call_id
        self._framer = Framer()
        self._sniffer = Sniffer(tuple(plan.tools))
        self._reader = CallReader()
        self._calls = 0
        self._finish: dict[int, str] = {0: ""}
        self._retried = False
        self._begun: set[int] = set()
        self.usage: dict[str, Any] = {}
        self.head: dict[str, Any] = {}
        """`id`, `created` and `system_fingerprint` of the child's first event."""
        self.error: dict[str, Any] | None = None
        """The child's own error inside the stream; nothing follows it."""
        self.done = False
        """The child said `[DONE]`."""

    def feed(self, chunk: bytes) -> list[dict[str, Any]]:
        choices: list[dict[str, Any]] = []
        for line in self._framer.feed(chunk).splitlines():
            if line.startswith(b"data: "):
                choices += self._event(line[6:])
        return choices

    def _event(self, data: bytes) -> Iterator[dict[str, Any]]:
        if data == b"[DONE]":
            self.done = True
            return
        event = _DECODE(data)
        if "error" in event:
            self.error = error_body(event["error"])
            return
        if not self.head:
            self.head = {key: event[key] for key in ("id", "created", "system_fingerprint") if key in event}
        self._add_usage(event.get("usage") or {})
        for choice in event.get("choices", ()):
            yield from self._choice(choice)

    def _choice(self, choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
        index = choice.get("index", 0)
        if choice.get("finish_reason"):
            self._finish[index] = choice["finish_reason"]
        if index not in self._begun:
            self._begun.add(index)
            yield _delta({"role": "assistant", "content": None if self._plan.mode == "forced" else ""}, index)
        text = choice.get("delta", {}).get("content")
        if not text:
            return
        if self._plan.mode == "text":
            yield _delta({"content": text}, index, choice.get("logprobs"))
        elif self._plan.mode == "forced":
            yield from self._forced(text)
        else:
            yield from _texts(self._sniffer.feed(text))

    def _forced(self, text: str) -> Iterator[dict[str, Any]]:
        name, arguments = self._reader.feed(text)
        if name:
            yield self._call_delta(
                {"id": self._call_id(), "type": "function", "function": {"name": name, "arguments": ""}}
            )
        if arguments:
            yield self._call_delta({"function": {"arguments": arguments}})
        self._calls = max(self._calls, int(self._reader.named))

    def _call_delta(self, call: dict[str, Any], index: int = 0) -> dict[str, Any]:
        return _delta({"tool_calls": [{"index": index, **call}]})

    def retry(self) -> Plan | None:
        """The further try that is needed, if one is; its stream is to be fed next."""
        if self._plan.mode != "auto" or self._retried or not self._sniffer.calling:
            return None
        calls = read_calls(self._sniffer.held, self._plan.tools)
        if not calls or not calls[0].fault:
            return None
        self._retried = True
        self._plan = correction(self._first_plan, calls[0])
        self._framer = Framer()
        self.done = False
        return self._plan

    def give_up(self) -> None:
        """The further try could not be made: `close` gives what the model said first."""
        self._plan = self._first_plan

    def close(self) -> list[dict[str, Any]]:
        """The last choices: held text or calls, and the reason why it ended."""
        choices: list[dict[str, Any]] = []
        if self._plan.mode == "auto":
            choices += self._held_calls() if self._sniffer.calling else _texts(self._sniffer.end())
        for index, reason in sorted(self._finish.items()):
            finish = "tool_calls" if self._calls and reason in ("stop", "") else (reason or "stop")
            choices.append({"index": index, "delta": {}, "logprobs": None, "finish_reason": finish})
        return choices

    def _held_calls(self) -> list[dict[str, Any]]:
        """Usable calls; where there is none, the model's words as text rather than nothing."""
        calls = [call for call in read_calls(self._sniffer.held, self._plan.tools) if not call.fault]
        if self._plan.request.parallel_tool_calls is False:
            calls = calls[:1]
        self._calls = len(calls)
        if not calls:
            return list(_texts(self._sniffer.held))
        return [self._whole_call(index, call) for index, call in enumerate(calls)]

    def _whole_call(self, index: int, call: Call) -> dict[str, Any]:
        function = {"name": call.name, "arguments": call.arguments}
        return self._call_delta({"id": self._call_id(), "type": "function", "function": function}, index)

    def _add_usage(self, usage: dict[str, Any]) -> None:
        """Counts of a further try are added: its tokens were read and written too."""
        for key in ("prompt_tokens", "completion_tokens", "total_tokens"):
            if key in usage:
                self.usage[key] = self.usage.get(key, 0) + usage[key]
        details = usage.get("prompt_tokens_details")
        if details:
            before = self.usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
            self.usage["prompt_tokens_details"] = {"cached_tokens": before + details.get("cached_tokens", 0)}


def _texts(text: str) -> Iterator[dict[str, Any]]:
    if text:
        yield _delta({"content": text})


def _delta(delta: dict[str, Any], index: int = 0, logprobs: Any = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}


class CallReader:
    """Reads `{"name": ..., "arguments": {...}}` as it comes: the name once it is whole, the arguments as they are.
    Lives as long as one call."""

    def __init__(self) -> None:
        self._text = ""
        self._depth: Depth | None = None
        self._over = False
        self.named = False

    def feed(self, text: str) -> tuple[str, str]:
        """(name or "", more of the arguments)"""
        self._text += text
        name = self._name()
        return name, self._arguments() if self.named else ""

    def _name(self) -> str:
        head, colon, rest = self._text.partition('"arguments"')
        if self.named or not colon:
            return ""
        self.named = True
        self._text = rest
        return str(_DECODE(head.rstrip().rstrip(",") + "}")["name"])

    def _arguments(self) -> str:
        if self._depth is None:
            start = self._text.find("{")
            if start < 0:
                return ""
            self._text, self._depth = self._text[start:], Depth()
        fresh, self._text = self._text, ""
        return "" if self._over else self._until_closed(fresh, self._depth)

    def _until_closed(self, text: str, depth: Depth) -> str:
        for index, char in enumerate(text):
            if depth.step(char) == 0:
                self._over = True
                return text[: index + 1]
        return text


class Sse:
    """Frames choices as OpenAI's chunks. Lives as long as one streamed answer."""

    def __init__(self, plan: Plan) -> None:
        self._model = plan.model
        self._usage_wanted = plan.usage_wanted

    def frames(self, answer: Answer, choices: list[dict[str, Any]]) -> bytes:
        """One event for each choice. `usage` is null in them where its chunk was asked for, as OpenAI does."""
        usage = {"usage": None} if self._usage_wanted else {}
        return b"".join(self._frame(answer, {"choices": [choice], **usage}) for choice in choices)

    def end(self, answer: Answer) -> bytes:
        """What follows the last choice."""
        usage = (
            self._frame(answer, {"choices": [], "usage": answer.usage}) if self._usage_wanted and answer.usage else b""
        )
        return usage + b"data: [DONE]\n\n"

    def _frame(self, answer: Answer, rest: dict[str, Any]) -> bytes:
        chunk = {**answer.head, "object": "chat.completion.chunk", "model": self._model, **rest}
        return b"data: " + _ENCODE(chunk) + b"\n\n"


class Whole:
    """Folds choices into one `chat.completion`. Lives as long as one answer that is not streamed."""

    def __init__(self, plan: Plan) -> None:
        self._model = plan.model
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, choices: list[dict[str, Any]]) -> None:
        for choice in choices:
            self._add(choice)

    def _add(self, choice: dict[str, Any]) -> None:
        index = choice["index"]
        message = {"role": "assistant", "content": None, "refusal": None}
        held = self._choices.setdefault(
            index, {"index": index, "message": message, "logprobs": None, "finish_reason": None}
        )
        delta = choice["delta"]
        if delta.get("content") is not None:
            held["message"]["content"] = (held["message"]["content"] or "") + delta["content"]
        for call in delta.get("tool_calls", ()):
            _add_call(held["message"].setdefault("tool_calls", []), call)
        if choice["logprobs"]:
            held["logprobs"] = held["logprobs"] or {"content": [], "refusal": None}
            held["logprobs"]["content"] += choice["logprobs"].get("content") or []
        held["finish_reason"] = choice["finish_reason"] or held["finish_reason"]

    def body(self, answer: Answer) -> bytes:
        choices = [self._choices[index] for index in sorted(self._choices)]
        for choice in choices:
            message = choice["message"]
            if message.get("tool_calls") and not message["content"]:
                message["content"] = None
        head = {**answer.head, "object": "chat.completion", "model": self._model}
        return _ENCODE(head | {"choices": choices, "usage": answer.usage})


def _add_call(calls: list[dict[str, Any]], part: dict[str, Any]) -> None:
    if "id" in part:
        calls.append({"id": part["id"], "type": "function", "function": dict(part["function"])})
    else:
        calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]


def refusal(status: int, body: bytes) -> tuple[int, bytes]:
    """The child's error answer as OpenAI would give it (https://platform.openai.com/docs/guides/error-codes)."""
    try:
        error = _DECODE(body).get("error")
    except msgspec.DecodeError:
        error = None
    return status, _ENCODE(
        error_body(error if isinstance(error, dict) else {"message": "the local model gave no answer"})
    )


def error_body(error: dict[str, Any]) -> dict[str, Any]:
    """An error object in OpenAI's shape. A prompt over the limit has the code that clients look for."""
    if error.get("type") == "exceed_context_size_error":
        message = (
            f"This model's maximum context length is {error.get('n_ctx')} tokens. "
            f"However, your messages resulted in {error.get('n_prompt_tokens')} tokens. "
            "Please reduce the length of the messages."
        )
        return {
            "error": {
                "message": message,
                "type": "invalid_request_error",
                "param": "messages",
                "code": "context_length_exceeded",
            }
        }
    kind = str(error.get("type") or "server_error")
    return {
        "error": {
            "message": str(error.get("message") or "unknown"),
            "type": kind,
            "param": error.get("param"),
            "code": None,
        }
    }
