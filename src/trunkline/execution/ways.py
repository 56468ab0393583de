"""How a request reaches an offer and its answer the caller, by the protocols of both sides.

In: what was asked, a plan's step, an account. Out: a `Way`: the upstream's body, and what is made of the answer.

* `ChatWay`: Chat Completions on both sides, bytes through, looked at by the hand-made observers of `openai_chat`. The hot path.
* `SameWay`: another protocol on both sides: bytes through, watched through the protocol's codec.
* `TranslatedWay`: two protocols, through the canonical form.
* `ContinuedWay`: what another offer began, whatever its protocol (see `rescue`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec

from trunkline.errors import ConfigError
from trunkline.execution.asked import Asked
from trunkline.execution.bill import Bill
from trunkline.execution.codecs import codec_of
from trunkline.execution.failure import Failure, of_provider, told_inside
from trunkline.execution.gateway import Snapshot
from trunkline.execution.naming import Naming
from trunkline.execution.passthrough import ChatTerms, Passthrough
from trunkline.execution.rescue import Continuation, Keeping, Splice, continued, is_worth_keeping, marked, switches
from trunkline.execution.respond import JSON_HEADERS, STREAM_HEADERS, Headers, Reply
from trunkline.execution.seen import Observed, Seen
from trunkline.execution.streaming import Streaming, Terms
from trunkline.execution.translation import Rescue, Route, Translation, Watching
from trunkline.execution.transport.types import UpstreamResponse
from trunkline.ir.fault import Fault
from trunkline.ir.loss import Loss
from trunkline.ir.request import Request
from trunkline.ir.response import Response
from trunkline.ir.usage import Usage
from trunkline.protocols import cost_in, model_in, sse, stopping, tools
from trunkline.protocols.codec import CHAT, GEMINI, MESSAGES, RESPONSES, Place, StreamReader, StreamWriter, Target
from trunkline.protocols.facts import attributes
from trunkline.protocols.limiting import with_limit
from trunkline.protocols.openai_chat import answer, errors
from trunkline.protocols.openai_chat.request import GATEWAY_KEYS, ChatRequest, upstream_body
from trunkline.protocols.openai_chat.stop import cut_answer
from trunkline.protocols.openai_chat.usage import read_usage, write_usage
from trunkline.protocols.rawjson import UNREADABLE, is_null, join, raw, split
from trunkline.providers.accounts import Account
from trunkline.providers.targets import Edits, edits, protocol_for, target
from trunkline.records.types import Attempt
from trunkline.routing.types import Step

_S = TypeVar("_S", bound=Streaming)


class Sent(msgspec.Struct, frozen=True):
    """The upstream's body, what it needs of headers, and what of the caller's request it lacks."""

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    losses: tuple[Loss, ...] = ()


class Way(ABC):
    """One attempt's way. Lives as long as it."""

    protocol: str
    """The provider's."""

    def __init__(self, asked: Asked, step: Step, keeps: Callable[[], Target] | None = None) -> None:
        """`keeps`: what the caller has of a stream must be known, since another offer could go on with it; and how it is read."""
        self._asked = asked
        self._step = step
        self._keeps = keeps
        self._streaming: Streaming | None = None

    def continuation(self) -> Continuation | None:
        """After a stream that broke: where another offer can go on with it; None where none can."""
        streaming = self._streaming
        if streaming is None or not streaming.committed or not streaming.is_kept:
            return None
        try:
            place = self._place()
        except UNREADABLE:
            return None
        if place is None:
            return None
        return continued(self._asked, self._step.offer.model, place, streaming.usage, streaming.observed.answer_id)

    def _place(self) -> Place | None:
        """Where the caller is. Raises one of `rawjson.UNREADABLE`."""
        return None

    def _begun(self, streaming: _S) -> _S:
        streaming.is_kept = self._keeps is not None
        streaming.is_one = "n" not in self._asked.facts.parameters
        self._streaming = streaming
        return streaming

    @property
    def _told_model(self) -> str:
        """What an answer that passes through is to call its model; empty: it stays as it is, as all of it does where the caller wants no cost in it."""
        return "" if self._asked.facts.include_cost is False else self._step.shown_model

    def _named(self, bill: Bill, body: bytes, protocol: str) -> bytes:
        """A whole answer that passes through."""
        model = self._told_model
        return _harmlessly(bill, body, lambda: model_in.put_into_body(protocol, body, model)) if model else body

    def _resumed(self, keeping: Keeping | None) -> Place | None:
        """Where the caller is in a stream that was passed on as it came."""
        kept = keeping.kept if keeping is not None else None
        if not kept or self._keeps is None:
            return None
        asked = self._asked
        return codec_of(asked.protocol).resume(
            sse.events(kept), asked.answer_context(self._step.shown_model), self._keeps()
        )

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
        on_commit: Callable[[float], bool],
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
    continuation: Continuation | None = None,
) -> Way:
    """The way of one attempt. The caller's own protocol is taken where the offer speaks it. `forgetting`: without earlier turns' reasoning;
    `continuation`: going on with what another offer began."""
    offer = step.offer
    model = snapshot.catalog.models[offer.model]
    has_state = asked.has_state or forgetting
    speaks_chat = CHAT in offer.protocols and CHAT in account.base_urls
    keeps: Callable[[], Target] | None = None
    if asked.facts.stream and is_worth_keeping(model, offer):

        def keeps() -> Target:
            return target(account, offer, model, asked.protocol, stream=True, request_id=request_id)

    if asked.protocol == CHAT and speaks_chat and not has_state and continuation is None:
        return ChatWay(asked, step, account, created_s, keeps)
    protocol = protocol_for(account, offer, asked.protocol)
    if continuation is not None and isinstance(offer.prefill, str) and speaks_chat:
        # Vendors' own ways are words of this protocol.
        protocol = CHAT
    if protocol is None:
        raise ConfigError(
            f"{offer.provider} has no address for any protocol of {offer.id}: give `base_urls`",
            where=f"providers.{offer.provider}",
        )
    told = target(account, offer, model, protocol, stream=asked.facts.stream, request_id=request_id)
    missing = attributes(step.dropped + step.emulated)
    as_it_is = not (missing or has_state or asked.previous or asked.recalled or asked.door.array_framing)
    if protocol == asked.protocol and as_it_is and continuation is None:
        return SameWay(asked, step, told, keeps, reasons=model.reasoning)
    if missing:
        quirks = msgspec.structs.replace(
            told.quirks,
            refused=told.quirks.refused | (missing - {"stop"}),
            max_stops=0 if "stop" in missing else told.quirks.max_stops,
        )
        told = msgspec.structs.replace(told, quirks=quirks)
    if forgetting:
        told = msgspec.structs.replace(told, quirks=msgspec.structs.replace(told.quirks, thinking_back="never"))
    if continuation is not None:
        return ContinuedWay(asked, step, told, edits(account, offer, protocol), keeps, continuation)
    return TranslatedWay(asked, step, told, edits(account, offer, protocol), keeps)


class ChatWay(Way):
    protocol = CHAT

    def __init__(
        self, asked: Asked, step: Step, account: Account, created_s: int, keeps: Callable[[], Target] | None
    ) -> None:
        super().__init__(asked, step, keeps)
        self._keeping: Keeping | None = None
        self._edits = edits(account, step.offer, CHAT)
        self._created_s = created_s
        self._answer = answer.NOTHING
        self._body = b""

    def sent(self) -> Sent:
        asked, step, changes = self._asked, self._step, self._edits
        fields = asked.fields
        if step.max_output_tokens is not None:
            fields = with_limit(fields, CHAT, step.max_output_tokens)
        body = upstream_body(
            ChatRequest(fields, asked.facts),
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
        body, usage = self._named(bill, self._body, CHAT), bill.usage
        if not include_cost or usage is None:
            return body
        told = self._answer.usage or write_usage(usage)
        return _harmlessly(bill, body, lambda: answer.put_cost(body, told, *bill.written(earlier)))

    def streaming(
        self,
        response: UpstreamResponse,
        reply: Reply,
        bill: Bill,
        terms: Terms,
        now_s: Callable[[], float],
        on_commit: Callable[[float], bool],
    ) -> Streaming:
        facts, step = self._asked.facts, self._step
        asked = ChatTerms(
            step.offer.upstream_model,
            facts.stop if step.emulated else (),
            facts.wants_usage,
            self._created_s,
        )
        if self._keeps is not None:
            reply = self._keeping = Keeping(reply)
        if self._told_model:
            reply = Naming(reply, CHAT, self._told_model)
        return self._begun(Passthrough(response, reply, bill, terms, asked, now_s, on_commit))

    def _place(self) -> Place | None:
        return self._resumed(self._keeping)


class _CodecWay(Way):
    """A way on which the provider's side is read by its codec."""

    def __init__(self, asked: Asked, step: Step, told: Target, keeps: Callable[[], Target] | None) -> None:
        super().__init__(asked, step, keeps)
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
    def __init__(
        self, asked: Asked, step: Step, told: Target, keeps: Callable[[], Target] | None, *, reasons: bool
    ) -> None:
        super().__init__(asked, step, told, keeps)
        self._keeping: Keeping | None = None
        self._reasons = reasons
        self._body = b""

    def sent(self) -> Sent:
        return Sent(
            _with_model(self._asked, self.protocol, self._step, reasons=self._reasons),
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
        body = self._named(bill, self._body, self.protocol)
        if not include_cost or bill.usage is None:
            return body
        return _harmlessly(bill, body, lambda: cost_in.put_into_body(self.protocol, body, *bill.written(earlier)))

    def streaming(
        self,
        response: UpstreamResponse,
        reply: Reply,
        bill: Bill,
        terms: Terms,
        now_s: Callable[[], float],
        on_commit: Callable[[float], bool],
    ) -> Streaming:
        asked, protocol = self._asked, self.protocol

        def committed(at_s: float) -> None:
            if on_commit(at_s) and protocol == RESPONSES:
                asked.ending = watching

        if self._keeps is not None:
            reply = self._keeping = Keeping(reply)
        if self._told_model:
            reply = Naming(reply, protocol, self._told_model)
        watching = Watching(response, reply, bill, terms, self._reader(), protocol, now_s, committed)
        return self._begun(watching)

    def _place(self) -> Place | None:
        return self._resumed(self._keeping)


class TranslatedWay(_CodecWay):
    def __init__(
        self, asked: Asked, step: Step, told: Target, changes: Edits, keeps: Callable[[], Target] | None
    ) -> None:
        super().__init__(asked, step, told, keeps)
        self._translation: Translation | None = None
        self._writer: StreamWriter | None = None
        self._edits = changes
        self._stop_here: tuple[str, ...] = ()
        self._answer = Response()

    def sent(self) -> Sent:
        made = self._codec.write_request(self._request(), self._target)
        self._stop_here = made.stop_here
        body = _edited(made.body, self._edits) if self.protocol == CHAT else made.body
        told = _forwarded(self._asked, self.protocol) if self.protocol == self._asked.protocol else ()
        return Sent(body, made.headers + told, made.losses)

    def _request(self) -> Request:
        return _limited(self._asked.canonical(), self._step)

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
        return codec_of(self._asked.protocol).write_response(
            response, self._asked.answer_context(self._step.shown_model), shown
        )

    def streaming(
        self,
        response: UpstreamResponse,
        reply: Reply,
        bill: Bill,
        terms: Terms,
        now_s: Callable[[], float],
        on_commit: Callable[[float], bool],
    ) -> Streaming:
        asked = self._asked
        writer = self._writer = codec_of(asked.protocol).stream_writer(asked.answer_context(self._step.shown_model))
        route = self._route(writer)

        def committed(at_s: float) -> None:
            # Not before: what it wrote of an answer that came to nothing was thrown away.
            if on_commit(at_s):
                asked.ending = writer

        translation = self._translation = Translation(response, reply, bill, terms, route, now_s, committed)
        return self._begun(translation)

    def _route(self, writer: StreamWriter, splice: Splice | None = None) -> Route:
        return Route(
            self._reader(),
            writer,
            stopping.StopAt(self._stop_here) if self._stop_here else None,
            tools.restorer(self._asked.canonical()),
            splice,
        )

    def _place(self) -> Place | None:
        """The writer is there already."""
        if self._translation is None or self._writer is None:
            return None
        said = self._translation.kept.said
        return None if said is None else Place(said, self._writer)

    @property
    def stream_headers(self) -> Headers:
        return JSON_HEADERS if self._asked.door.array_framing else STREAM_HEADERS


class ContinuedWay(TranslatedWay):
    """Through the canonical form, whatever the protocols: the caller's stream is of another's making."""

    def __init__(
        self,
        asked: Asked,
        step: Step,
        told: Target,
        changes: Edits,
        keeps: Callable[[], Target] | None,
        continuation: Continuation,
    ) -> None:
        super().__init__(asked, step, told, changes, keeps)
        self._continuation = continuation

    def sent(self) -> Sent:
        sent = super().sent()
        more = switches(self._step.offer.prefill) if self.protocol == CHAT and self._continuation.beginning else {}
        return msgspec.structs.replace(sent, body=_with_members(sent.body, more)) if more else sent

    def _request(self) -> Request:
        request, is_chat = _limited(self._continuation.request, self._step), self.protocol == CHAT
        return marked(request, self._step.offer.prefill) if is_chat else request

    def continuation(self) -> Continuation | None:
        before, streaming, translation = self._continuation, self._streaming, self._translation
        if streaming is None or translation is None:
            return before
        said = translation.kept.said if streaming.is_kept else None
        if said is None:
            return None
        place = Place(said, before.writer)
        return continued(self._asked, before.model, place, streaming.usage, before.answer_id, before)

    def streaming(
        self,
        response: UpstreamResponse,
        reply: Reply,
        bill: Bill,
        terms: Terms,
        now_s: Callable[[], float],
        on_commit: Callable[[float], bool],
    ) -> Streaming:
        before = self._continuation
        # It is where the caller is, whatever comes of this attempt.
        self._asked.ending = before.writer
        route = self._route(before.writer, Splice(before, self._step.offer.prefill))
        rescue = self._translation = Rescue(response, reply, bill, terms, route, before, now_s, on_commit)
        rescue.kept.feed(before.said)
        return self._begun(rescue)


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


def _with_members(body: bytes, more: Mapping[str, bool]) -> bytes:
    return join(split(body) | {name: raw(value) for name, value in more.items()})


def _harmlessly(bill: Bill, body: bytes, edited: Callable[[], bytes]) -> bytes:
    """The edited body. What goes wrong while editing marks the record, and never reaches the caller."""
    try:
        return edited()
    except UNREADABLE as error:
        bill.notes.append(f"the answer could not be edited: {error}")
        return body


def _with_word(value: msgspec.Raw | None, word: str) -> msgspec.Raw:
    """A list of words with one more."""
    words = msgspec.json.decode(value) if value is not None and not is_null(value) else []
    return raw([*words, word]) if isinstance(words, list) and word not in words else raw(words)


def _limited(request: Request, step: Step) -> Request:
    limit = step.max_output_tokens
    return request if limit is None else msgspec.structs.replace(request, max_output_tokens=limit)


def _with_model(asked: Asked, protocol: str, step: Step, *, reasons: bool) -> bytes:
    """The caller's body with the provider's name of the model; of the rest every byte stays (design.md 3.7)."""
    fields = {name: value for name, value in asked.fields.items() if name not in GATEWAY_KEYS}
    if step.max_output_tokens is not None:
        fields = with_limit(fields, protocol, step.max_output_tokens)
    if protocol not in _NO_MODEL:
        fields["model"] = raw(step.offer.upstream_model)
    if protocol == RESPONSES:
        # What is stored, this gateway stores: the next turn may go to another provider.
        fields["store"] = raw(False)
        if asked.is_stored and reasons:
            fields["include"] = _with_word(fields.get("include"), "reasoning.encrypted_content")
    return join(fields)
