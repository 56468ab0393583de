"""The seam between the canonical form and a wire protocol: what each of the four protocols' `codec` modules offers, and what it is told.

Sans-IO, synchronous, without clock or randomness: times and ids come in the contexts. A module is the codec; its readers and writers of
streams are the only objects, and live as long as their stream. See docs/decisions/0002-canonical-form.md for how to write one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from trunkline.errors import RequestError
from trunkline.ir.events import Event
from trunkline.ir.facts import RequestFacts
from trunkline.ir.fault import Fault
from trunkline.ir.loss import Loss
from trunkline.ir.parts import Turn
from trunkline.ir.request import Request
from trunkline.ir.response import Response
from trunkline.ir.usage import Usage
from trunkline.protocols.rawjson import Fields

CHAT = "openai.chat"
RESPONSES = "openai.responses"
MESSAGES = "anthropic.messages"
GEMINI = "gemini"
CONVERSE = "bedrock.converse"
ALL = (CHAT, RESPONSES, MESSAGES, GEMINI)
"""Those that clients speak. Amazon's Converse is spoken by providers alone."""


class Quirks(msgspec.Struct, frozen=True, kw_only=True):
    """How one offer differs from the rest of its protocol (a profile of the model's family, as data). Defaults are the vendor's own current models."""

    refused: frozenset[str] = frozenset()
    """Attributes of `Request` that this offer answers with an error: dropped with notice, e.g. sampling of reasoning models."""
    refused_while_thinking: frozenset[str] = frozenset()
    """Attributes that cannot be said together with reasoning; of `tool_choice` only `required`, which wins over reasoning."""
    accepted: frozenset[str] = frozenset()
    """Attributes that this offer takes by their own name though its protocol has none, e.g. `top_k` of vLLM."""
    limit_word: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    """Chat only."""
    limit_required: bool = False
    """Without a limit from the caller the offer's own is sent (Anthropic)."""
    max_temperature: float = 2.0
    max_stops: int = 4

    reasoning: Literal["effort", "budget", "toggle", "none"] = "effort"
    """What is taken: an effort (Gemini: level, Anthropic: adaptive with effort), a budget, only on and off, or nothing."""
    efforts: tuple[str, ...] = ("minimal", "low", "medium", "high")
    """Those taken, in rising order; another one becomes the nearest."""
    min_budget_tokens: int = 1024
    can_disable_reasoning: bool = True
    thinking_back: Literal["own", "text", "never"] = "own"
    """Of earlier turns' reasoning the next request must have: only what the target can verify, the text of all, or nothing."""
    thinking_word: Literal["reasoning_content", "reasoning"] = "reasoning_content"
    """Chat only."""
    reasoning_word: Literal["reasoning_effort", "thinking", "enable_thinking", "reasoning", "reasoningConfig"] = (
        "reasoning_effort"
    )
    """Chat and Converse: where on, off and a budget are said. An effort stands in `reasoning_effort`, but for `reasoning`, which has all of it.
    In Converse `thinking` is Claude's (its effort has a place of its own), `reasoningConfig` Nova's."""
    top_k_word: Literal["top_k", "inferenceConfig.topK"] = "top_k"
    """Converse only: the name among the model's own fields."""
    content_parts: bool = True
    """Chat only. False: content of texts alone goes as one string (https://api-docs.deepseek.com/api/create-chat-completion)."""

    system_role: Literal["any", "system", "developer", "user"] = "any"
    """The only word for a system prompt that the offer takes. `user`: it knows none. Slots (Messages, Gemini) take any."""
    system_in_middle: bool = True
    """False: a system turn behind the first other turn goes out as the user's text, in its place."""
    alternate_roles: bool = False
    """True: consecutive turns of a role become one."""
    tool_id: Literal["any", "words", "nine"] = "any"
    """The alphabet of tool ids: `words` is [a-zA-Z0-9_-]{1,64} (Anthropic), `nine` is [a-zA-Z0-9]{9} (Mistral)."""
    schema: Literal["full", "subset", "none"] = "full"
    """Of tools and formats. `subset`: OpenAPI words only (Gemini's `parameters`). `none`: no `json_schema` format."""
    strict_tools: bool = True
    tool_choice: frozenset[str] = frozenset({"required", "none", "named", "allowed"})
    """Words beside `auto`. Where `named` or `allowed` lacks, only the named tools are sent; where `required` lacks, the request is refused."""
    custom_tools: bool = False
    cache_marks: bool = False
    tool_marks: bool = True
    """Where there are marks, tools may have them (Nova's must not)."""
    error_flag: bool = True
    """Converse only. False: a result that is an error cannot be told from others."""
    media: frozenset[str] = frozenset({"image", "file", "audio", "video"})
    """Kinds of `Media` that the offer takes; another one is refused by name."""
    media_urls: bool = True
    """False: only data (Bedrock)."""
    media_in_results: bool = True
    """False: images in tool results move into a user turn behind them (Chat)."""


QUIRKS: Mapping[str, Quirks] = {
    # https://platform.openai.com/docs/api-reference/chat/create
    CHAT: Quirks(
        custom_tools=True, efforts=("minimal", "low", "medium", "high", "xhigh"),
        media=frozenset({"image", "file", "audio"}), media_in_results=False,
    ),
    # https://platform.openai.com/docs/api-reference/responses/create. It has no stop words at all.
    RESPONSES: Quirks(
        custom_tools=True, efforts=("minimal", "low", "medium", "high", "xhigh"), max_stops=0, media=frozenset({"image", "file"}),
    ),
    # https://platform.claude.com/docs/en/api/messages, .../build-with-claude/effort, .../build-with-claude/mid-conversation-system-messages
    MESSAGES: Quirks(
        limit_required=True, max_temperature=1.0, max_stops=8191, efforts=("low", "medium", "high", "xhigh", "max"), tool_id="words",
        system_in_middle=False, alternate_roles=True, cache_marks=True, media=frozenset({"image", "file"}),
        tool_choice=frozenset({"required", "none", "named"}),
        # https://platform.claude.com/docs/en/build-with-claude/extended-thinking#feature-compatibility
        refused_while_thinking=frozenset({"temperature", "top_p", "top_k", "tool_choice"}),
    ),
    # https://ai.google.dev/api/generate-content#generationconfig, https://ai.google.dev/gemini-api/docs/thinking
    GEMINI: Quirks(max_stops=5, system_in_middle=False, alternate_roles=True, strict_tools=False, can_disable_reasoning=False),
    # https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, .../userguide/conversation-inference-supported-models-features.html:
    # what every model takes; more is in the profiles of those that take it.
    CONVERSE: Quirks(
        max_temperature=1.0, reasoning="none", tool_id="words", system_in_middle=False, alternate_roles=True, schema="none", strict_tools=False,
        tool_choice=frozenset(), media=frozenset({"image", "file"}), media_urls=False, error_flag=False,
    ),
}  # fmt: skip
"""What holds where an offer's profile says nothing; a profile starts from its protocol's."""


class RequestContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a body alone does not say."""

    request_id: str
    secret: bytes
    """For `protocols.carry`. One per account, so that nobody opens what another was given."""
    states: Mapping[str, bytes] = {}
    """What the store had for `carry.stored_ids(body)`."""
    headers: Mapping[str, str] = {}
    """The caller's, names in lower case, without credentials: `anthropic-beta` and its like."""
    path_model: str = ""
    """Gemini: the model in the path. Wins over the body."""
    path_stream: bool = False
    """Gemini: `streamGenerateContent`."""
    peeked: "Peeked | None" = None
    """What `peek` said of the same body: it need not be taken apart again."""
    previous: bytes = b""
    """Responses: the items of the stored conversation that `previous_response_id` names, a JSON list of input items; they go first."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a codec must know of the offer that is called."""

    protocol: str
    upstream_model: str
    dialect: str = ""
    """Who can read this offer's carries back, where not all of the protocol can: `azure`, `deepseek`. See `Carry.origin`."""
    quirks: Quirks = Quirks()
    max_output_tokens: int | None = None
    stream: bool = False
    """Whether the upstream is asked for a stream, which may differ from what the caller asked."""
    request_id: str = ""
    """Seed of the ids that an answer lacks, such as those of Gemini's function calls: `call_{request_id}_{n}`."""


class AnswerContext(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer to the caller is made with."""

    request: Request
    """As `read_request` gave it: tools to be echoed, what was asked to be shown, whether usage is wanted."""
    request_id: str
    """Seed of the ids that the caller's protocol wants: see `own_id`."""
    model: str
    """The name that the caller asked for."""
    created_s: int
    secret: bytes
    keep: Callable[[str, bytes], None]
    """`StateStore.keep`."""
    array_framing: bool = False
    """Gemini without `alt=sse`: a stream is a JSON array."""
    previous_id: str = ""
    """Responses: the `previous_response_id` that was asked for, to be repeated."""
    is_stored: bool = False
    """Responses: this answer is kept for later requests."""


def own_id(kind: str, request_id: str, number: int | None = None) -> str:
    """An id of ours for an answer (`resp_...`, `msg_...`, `chatcmpl-...`) or an item of it; kind is what stands before. The same in body and stream."""
    seed = request_id.removeprefix("req_")
    return f"{kind}{seed}" if number is None else f"{kind}{seed}_{number}"


class Bill(msgspec.Struct, frozen=True):
    """The cost that goes into the usage of an answer: JSON of a number of USD, and of its details. Empty: none is shown."""

    cost: bytes = b""
    details: bytes = b""


class UpstreamBody(msgspec.Struct, frozen=True):
    body: bytes
    losses: tuple[Loss, ...] = ()
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """That this body needs, e.g. `anthropic-beta`."""
    stop_here: tuple[str, ...] = ()
    """Stop words that the provider was not told: whoever pumps the answer cuts it at the first of them."""


class Peeked(msgspec.Struct, frozen=True):
    """A request, taken apart at the top level only: all that is needed to route it, and to pass it on to an offer of the same protocol."""

    fields: Fields
    facts: RequestFacts
    turns: tuple[Turn, ...] | None = None
    """Of the conversation, where all of it is written in the usual way, so that it was read in one go."""


UNHEARD: Callable[[str], object] = len
"""For readers that keep nothing of a text."""


class StreamReader(Protocol):
    """Reads one upstream stream. An index is given to each part, and `Finish` to each candidate, also where the wire has no words for it."""

    def feed(self, event: bytes) -> list[Event]:
        """The events of one whole SSE event. [] for comments and pings. Raises one of `rawjson.UNREADABLE` where it is not one of the protocol."""
        ...

    def end(self) -> list[Event]:
        """What is still owed once the connection has ended. No Finish among all events means that the answer was cut."""
        ...

    def going_on(self, index: int) -> Callable[[str], object] | None:
        """Whom to tell the text of events that differ from the last one in their text alone, instead of having `feed` read them: the last one was a single
        `Delta` of this part. None where each has to be read."""
        ...

    @property
    def done(self) -> bool:
        """The wire's own end has come ([DONE], message_stop, response.completed): nothing more needs to be waited for."""
        ...


class StreamWriter(Protocol):
    """Writes one stream to the caller. Each event of `feed` but Finish and UsageSeen is on the wire when it returns."""

    def feed(self, event: Event) -> bytes:
        """The bytes for an event, b"" where there are none yet. `Failed` never comes here: see `fail`."""
        ...

    def end(self, bill: Bill) -> bytes:
        """Finish, usage with cost, and the protocol's end."""
        ...

    def fail(self, error: RequestError) -> bytes:
        """The error event of a stream that was begun (or not), in its order and numbering. Nothing may follow."""
        ...


class Said(msgspec.Struct, frozen=True):
    """The text that a caller has of an answer that broke off, and where in the answer's parts it stands."""

    text: str
    open_index: int | None
    """Of the text part that has begun and not ended."""
    next_index: int
    """Of the next part."""


class Place(msgspec.Struct, frozen=True):
    """The same, with a writer that goes on at that place of the caller's stream."""

    said: Said
    writer: StreamWriter


class ProviderCodec(Protocol):
    """The half of a protocol's module `codec` that faces providers; all there is of one that no client speaks. Errors: `write_request` raises
    `InvalidParams` naming the caller's field and the mend; readers of upstream bytes raise one of `rawjson.UNREADABLE`."""

    NAME: str

    def write_request(self, request: Request, target: Target) -> UpstreamBody:
        """Begins with `settle.settle(request, target)`, which leaves only what the target can be told."""
        ...

    def read_response(self, body: bytes, target: Target) -> Response: ...

    def stream_reader(self, target: Target) -> StreamReader: ...

    def read_usage(self, raw: bytes | msgspec.Raw) -> Usage: ...

    def read_fault(self, body: bytes) -> Fault: ...


class Codec(ProviderCodec, Protocol):
    """A protocol's module `codec`, whole. `read_request` raises `InvalidParams` as `write_request` does; writers of answers do not raise."""

    def peek(self, body: bytes, context: RequestContext, vocabulary: frozenset[str]) -> Peeked:
        """The facts that routing needs, without the canonical form. `vocabulary` is the catalog's, Chat's words. Equal to `facts.facts_of`."""
        ...

    def read_request(self, body: bytes, context: RequestContext) -> Request: ...

    def write_response(self, response: Response, context: AnswerContext, bill: Bill) -> bytes: ...

    def stream_writer(self, context: AnswerContext) -> StreamWriter: ...

    def resume(self, sent: Sequence[bytes], context: AnswerContext, target: Target) -> Place | None:
        """Where the caller is in a stream of which a provider wrote the whole events `sent`; None where no other can go on."""
        ...

    def keepalive(self, context: AnswerContext) -> bytes:
        """Bytes that keep a silent stream open and that every client skips, at its start and between events."""
        ...

    def write_usage(self, usage: Usage) -> bytes: ...

    def error_body(self, error: RequestError, request_id: str) -> bytes: ...
