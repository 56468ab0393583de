"""An answer in canonical form. In: a codec's `read_response`, or `fold` over events. Out: another codec's `write_response`."""

from enum import StrEnum

import msgspec

from trunkline.ir.fault import Fault
from trunkline.ir.parts import Carry, Part
from trunkline.ir.usage import Usage


class FinishReason(StrEnum):
    """Why an answer ended. The values are what records show."""

    END = "stop"
    """The model was done."""
    TOOL_CALLS = "tool_calls"
    """It waits for results. Readers derive it from the parts where their protocol says only `STOP` or `completed`."""
    LENGTH = "length"
    STOP_SEQUENCE = "stop_sequence"
    """A stop word was hit and the protocol says so; in Chat it looks like END."""
    CONTENT_FILTER = "content_filter"
    """Blocked from outside: safety, recitation, a blocked prompt."""
    REFUSAL = "refusal"
    """The model itself would not."""
    PAUSED = "pause_turn"
    """To be continued by sending the turn back (Anthropic's server tools)."""
    CONTEXT_FULL = "context_length"
    BROKEN_TOOL_CALL = "malformed_tool_call"
    OTHER = "other"


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the answers; nearly always the only one."""

    parts: tuple[Part, ...] = ()
    finish: FinishReason | None = None
    """None where the answer was cut."""
    native_finish: str = ""
    """The origin's own word."""
    stop_sequence: str | None = None


class Response(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    id: str = ""
    model: str = ""
    """As the provider wrote it."""
    created_s: int = 0
    candidates: tuple[Candidate, ...] = ()
    usage: Usage | None = None
    """None where the provider told nothing."""
    raw_usage: msgspec.Raw = msgspec.Raw(b"null")
    service_tier: str = ""
    """The one that served, which sets the price."""
    fault: Fault | None = None
    """An error that was told inside the answer (status 200, or within a stream)."""
    carry: Carry | None = None
