"""How a request reaches an offer and its answer the caller, by the protocols of both sides.

In: what was asked, a plan's step, an account. Out: a `Way`: the upstream's body, and what is made of the answer.

* `ChatWay`: Chat Completions on both sides, bytes through, looked at by the hand-made observers of `openai_chat`. The hot path.
* `SameWay`: another protocol on both sides: bytes through, watched through the protocol's codec.
* `TranslatedWay`: two protocols, through the canonical form.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

import msgspec

from trunkline.errors import ConfigError
from trunkline.execution.asked import Asked
from trunkline.execution.bill import Bill
from trunkline.execution.codecs import codec_of
from trunkline.execution.failure import Failure, of_provider, told_inside
from trunkline.execution.gateway import Snapshot
from trunkline.execution.passthrough import ChatTerms, Passthrough
from trunkline.execution.respond import JSON_HEADERS, STREAM_HEADERS, Headers, Reply
from trunkline.execution.seen import Observed, Seen
from trunkline.execution.streaming import Streaming, Terms
from trunkline.execution.translation import Route, Translation, Watching
from trunkline.execution.transport.types import UpstreamResponse
from trunkline.ir.fault import Fault
from trunkline.ir.loss import Loss
from trunkline.ir.response import Response
from trunkline.ir.usage import Usage
from trunkline.protocols import cost_in, stopping, tools
from trunkline.protocols.codec import CHAT, GEMINI, MESSAGES, RESPONSES, StreamReader, Target
from trunkline.protocols.facts import attributes
from trunkline.protocols.openai_chat import answer, errors
from trunkline.protocols.openai_chat.request import GATEWAY_KEYS, ChatRequest, upstream_body
from trunkline.protocols.openai_chat.stop import cut_answer
from trunkline.protocols.openai_chat.usage import read_usage, write_usage
from trunkline.protocols.rawjson import UNREADABLE, is_null, join, raw, split
from trunkline.providers.accounts import Account
from trunkline.providers.targets import Edits, edits, protocol_for, target
from trunkline.records.types import Attempt
from trunkline.routing.types import Step


class Sent(msgspec.Struct, frozen=True):
    """The upstream's body, what it needs of headers, and what of the caller's request it lacks."""

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    losses: tuple[Loss, ...] = ()


class Way(ABC):
    """One attempt's way. Lives as long as it."""

    protocol: str
    """The provider's."""

    def __init__(self, asked: Asked, step: Step) -> None:
        self._asked = asked
        self._step = step

    @abstractmethod
    def sent(self) -> Sent:
        """The request. Raises InvalidParams where the offer's protocol has no place for something that the answer would be wrong without."""

    @abstractmethod
    def read_usage(self, raw_usage: bytes) -> Usage:
        """Of the provider's answer."""

    @abstractmethod
    def read_fault(self, body: bytes) -> Fault:
        """Of the provider's error."""

    @abstractmethod
    def read(self, body: bytes) -> Observed | Failure:
        """A whole answer. Raises one of `rawjson.UNREADABLE` where it is none."""

    @abstractmethod
    def written(self, bill: Bill, earlier: list[Attempt], *, include_cost: bool) -> bytes:
        """The caller's answer, after `read`."""

    @abstractmethod
    def streaming(
        self,
        response: UpstreamResponse,
        reply: Reply,
        bill: Bill,
        terms: Terms,
        now_s: Callable[[], float],
        on_commit: Callable[[float], None],
    ) -> Streaming:
        """Who brings a stream to the caller."""

    @property
    def stream_headers(self) -> Headers:
        return STREAM_HEADERS


def way(
    asked: Asked,
    step: Step,
    account: Account,
    snapshot: Snapshot,
    request_id: str,
    created_s: int,
    *,
    forgetting: bool,
) -> Way:
    """The way of one attempt. The caller's own protocol is taken where the offer speaks it. `forgetting`: without earlier turns' reasoning."""
    offer = step.offer
    has_state = asked.has_state or forgetting
    if asked.protocol == CHAT and CHAT in offer.protocols and CHAT in account.base_urls and not has_state:
        return ChatWay(asked, step, account, created_s)
    protocol = protocol_for(account, offer, asked.protocol)
    if protocol is None:
        raise ConfigError(
            f"{offer.provider} has no address for any protocol of {offer.id}: give `base_urls`",
            where=f"providers.{offer.provider}",
        )
    told = target(
        account, offer, snapshot.catalog.models[offer.model], protocol, stream=asked.facts.stream, request_id=request_id
    )
    missing = attributes(step.dropped + step.emulated)
    as_it_is = not (missing or has_state or asked.previous or asked.recalled or asked.door.array_framing)
    if protocol == asked.protocol and as_it_is:
        return SameWay(asked, step, told, reasons=snapshot.catalog.models[offer.model].reasoning)
    if missing:
        quirks = msgspec.structs.replace(
            told.quirks,
            refused=told.quirks.refused | (missing - {"stop"}),
            max_stops=0 if "stop" in missing else told.quirks.max_stops,
        )
        told = msgspec.structs.replace(told, quirks=quirks)
    if forgetting:
        told = msgspec.structs.replace(told, quirks=msgspec.structs.replace(told.quirks, thinking_back="never"))
    return TranslatedWay(asked, step, told, edits(account, offer, protocol))


class ChatWay(Way):
    protocol = CHAT

    def __init__(self, asked: Asked, step: Step, account: Account, created_s: int) -> None:
        super().__init__(asked, step)
        self._edits = edits(account, step.offer, CHAT)
        self._created_s = created_s
        self._answer = answer.NOTHING
        self._body = b""

    def sent(self) -> Sent:
        asked, step, changes = self._asked, self._step, self._edits
        body = upstream_body(
            ChatRequest(asked.fields, asked.facts),
            model=step.offer.upstream_model,
            drop=step.dropped + step.emulated + changes.drop,
            rename=changes.rename,
            ask_usage=asked.facts.stream and changes.ask_usage,
        )
        if step.dropped or step.emulated or changes.rename or changes.drop:
            return Sent(body, (), tuple(self._losses(changes)))
        return Sent(body)

    def _losses(self, changes: Edits) -> Iterable[Loss]:
        offer, step = self._step.offer, self._step
        for name in changes.drop:
            if name in self._asked.fields and name not in step.dropped:
                yield Loss(name, "dropped", f"{offer.provider} refuses it")
        for name in step.dropped:
            yield Loss(name, "dropped", f"{offer.id} does not support it")
        for name in step.emulated:
            yield Loss(name, "emulated", f"{offer.id} does not take it; done on the answer")
        for name, new in changes.rename.items():
            if name in self._asked.fields and name not in step.dropped:
                yield Loss(name, "renamed", f"{offer.provider} calls it {new}")

    def read_usage(self, raw_usage: bytes) -> Usage:
        return read_usage(raw_usage)

    def read_fault(self, body: bytes) -> Fault:
        return errors.read_fault(body)

    def read(self, body: bytes) -> Observed | Failure:
        seen = answer.read(body)
        if seen.error is not None:
            return told_inside(errors.read_stream_fault(seen.error))
        if not seen.has_choices:
            return of_provider("empty", "the answer has no choices")
        stop = self._asked.facts.stop
        self._answer = seen
        self._body = cut_answer(body, stop) if stop and self._step.emulated else body
        return seen

    def written(self, bill: Bill, earlier: list[Attempt], *, include_cost: bool) -> bytes:
        usage = bill.usage
        if not include_cost or usage is None:
            return self._body
        told = self._answer.usage or write_usage(usage)
        return _harmlessly(bill, self._body, lambda: answer.put_cost(self._body, told, *bill.written(earlier)))

    def streaming(
        self,
        response: UpstreamResponse,
        reply: Reply,
        bill: Bill,
        terms: Terms,
        now_s: Callable[[], float],
        on_commit: Callable[[float], None],
    ) -> Streaming:
        facts, step = self._asked.facts, self._step
        asked = ChatTerms(
            step.offer.upstream_model, facts.stop if step.emulated else (), facts.wants_usage, self._created_s
        )
        return Passthrough(response, reply, bill, terms, asked, now_s, on_commit)


class _CodecWay(Way):
    """A way on which the provider's side is read by its codec."""

    def __init__(self, asked: Asked, step: Step, told: Target) -> None:
        super().__init__(asked, step)
        self._target = told
        self.protocol = told.protocol
        self._codec = codec_of(told.protocol)

    def read_usage(self, raw_usage: bytes) -> Usage:
        return self._codec.read_usage(raw_usage)

    def read_fault(self, body: bytes) -> Fault:
        return self._codec.read_fault(body)

    def _response(self, body: bytes) -> Response | Failure:
        response = self._codec.read_response(body, self._target)
        if response.fault is not None:
            return told_inside(response.fault)
        if not response.candidates:
            return of_provider("empty", "the answer has no content")
        return response

    def _reader(self) -> StreamReader:
        return self._codec.stream_reader(self._target)


class SameWay(_CodecWay):
    def __init__(self, asked: Asked, step: Step, told: Target, *, reasons: bool) -> None:
        super().__init__(asked, step, told)
        self._reasons = reasons
        self._body = b""

    def sent(self) -> Sent:
        return Sent(
            _with_model(self._asked, self.protocol, self._step.offer.upstream_model, reasons=self._reasons),
            _forwarded(self._asked, self.protocol),
        )

    def read(self, body: bytes) -> Observed | Failure:
        response = self._response(body)
        if isinstance(response, Failure):
            return response
        self._body = body
        seen = Seen()
        seen.see_whole(response)
        return seen

    def written(self, bill: Bill, earlier: list[Attempt], *, include_cost: bool) -> bytes:
        if not include_cost or bill.usage is None:
            return self._body
        return _harmlessly(
            bill, self._body, lambda: cost_in.put_into_body(self.protocol, self._body, *bill.written(earlier))
        )

    def streaming(
        self,
        response: UpstreamResponse,
        reply: Reply,
        bill: Bill,
        terms: Terms,
        now_s: Callable[[], float],
        on_commit: Callable[[float], None],
    ) -> Streaming:
        asked, protocol = self._asked, self.protocol

        def committed(at_s: float) -> None:
            if protocol == RESPONSES:
                asked.ending = watching
            on_commit(at_s)

        watching = Watching(response, reply, bill, terms, self._reader(), protocol, now_s, committed)
        return watching


class TranslatedWay(_CodecWay):
    def __init__(self, asked: Asked, step: Step, told: Target, changes: Edits) -> None:
        super().__init__(asked, step, told)
        self._edits = changes
        self._stop_here: tuple[str, ...] = ()
        self._answer = Response()

    def sent(self) -> Sent:
        made = self._codec.write_request(self._asked.canonical(), self._target)
        self._stop_here = made.stop_here
        body = _edited(made.body, self._edits) if self.protocol == CHAT else made.body
        told = _forwarded(self._asked, self.protocol) if self.protocol == self._asked.protocol else ()
        return Sent(body, made.headers + told, made.losses)

    def read(self, body: bytes) -> Observed | Failure:
        response = self._response(body)
        if isinstance(response, Failure):
            return response
        seen = Seen()
        seen.see_whole(response)
        restore = tools.restorer(self._asked.canonical())
        cut = stopping.cut(response, self._stop_here) if self._stop_here else response
        self._answer = restore.response(cut) if restore is not None else cut
        return seen

    def written(self, bill: Bill, earlier: list[Attempt], *, include_cost: bool) -> bytes:
        response = self._answer
        if response.usage is None:
            response = msgspec.structs.replace(response, usage=bill.usage)
        shown = bill.shown(earlier, include=include_cost)
        return codec_of(self._asked.protocol).write_response(response, self._asked.answer_context(), shown)

    def streaming(
        self,
        response: UpstreamResponse,
        reply: Reply,
        bill: Bill,
        terms: Terms,
        now_s: Callable[[], float],
        on_commit: Callable[[float], None],
    ) -> Streaming:
        asked = self._asked
        writer = codec_of(asked.protocol).stream_writer(asked.answer_context())
        route = Route(
            self._reader(),
            writer,
            stopping.StopAt(self._stop_here) if self._stop_here else None,
            tools.restorer(asked.canonical()),
        )

        def committed(at_s: float) -> None:
            # Not before: what it wrote of an answer that came to nothing was thrown away.
            asked.ending = writer
            on_commit(at_s)

        return Translation(response, reply, bill, terms, route, now_s, committed)

    @property
    def stream_headers(self) -> Headers:
        return JSON_HEADERS if self._asked.door.array_framing else STREAM_HEADERS


# What of the caller's headers a provider of the same protocol needs: https://docs.claude.com/en/api/beta-headers.
_FORWARDED = {MESSAGES: ("anthropic-beta",), RESPONSES: (), GEMINI: (), CHAT: ()}
_NO_MODEL = (GEMINI,)
"""Protocols whose body names no model: it is in the path."""


def _forwarded(asked: Asked, protocol: str) -> tuple[tuple[bytes, bytes], ...]:
    headers = asked.door.headers
    return tuple(
        (name.encode(), headers[name].encode("ascii", "ignore")) for name in _FORWARDED[protocol] if name in headers
    )


def _edited(body: bytes, changes: Edits) -> bytes:
    """A Chat body with a vendor's own words; without usage in its stream where that is not known there."""
    if not changes.drop and not changes.rename and changes.ask_usage:
        return body
    fields = split(body)
    for name in (*changes.drop, *(() if changes.ask_usage else ("stream_options",))):
        fields.pop(name, None)
    for name, new in changes.rename.items():
        if name in fields and new not in fields:
            fields[new] = fields.pop(name)
    return join(fields)


def _harmlessly(bill: Bill, body: bytes, edited: Callable[[], bytes]) -> bytes:
    """The edited body. What goes wrong while adding marks the record, and never reaches the caller."""
    try:
        return edited()
    except UNREADABLE as error:
        bill.notes.append(f"cost could not be put in: {error}")
        return body


def _with_word(value: msgspec.Raw | None, word: str) -> msgspec.Raw:
    """A list of words with one more."""
    words = msgspec.json.decode(value) if value is not None and not is_null(value) else []
    return raw([*words, word]) if isinstance(words, list) and word not in words else raw(words)


def _with_model(asked: Asked, protocol: str, model: str, *, reasons: bool) -> bytes:
    """The caller's body with the provider's name of the model; of the rest every byte stays (design.md 3.7)."""
    fields = {name: value for name, value in asked.fields.items() if name not in GATEWAY_KEYS}
    if protocol not in _NO_MODEL:
        fields["model"] = raw(model)
    if protocol == RESPONSES:
        # What is stored, this gateway stores: the next turn may go to another provider.
        fields["store"] = raw(False)
        if asked.is_stored and reasons:
            fields["include"] = _with_word(fields.get("include"), "reasoning.encrypted_content")
    return join(fields)
