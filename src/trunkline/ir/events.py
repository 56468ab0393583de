"""An answer as it comes, in canonical form. In: a codec's stream reader. Out: another's stream writer, and `ir.fold`.

Order: Start; per part PartStart, Delta..., PartEnd, where parts may interleave; per candidate Finish; UsageSeen at any time, the last counts.
An `index` names a part within the whole answer, in order of its beginning, never used twice. Deltas are passed on at once.
"""

import msgspec

from trunkline.ir.fault import Fault
from trunkline.ir.parts import Carry, Citation, Logprob, Part
from trunkline.ir.response import FinishReason
from trunkline.ir.usage import Usage


class Start(msgspec.Struct, frozen=True, gc=False):
    id: str = ""
    model: str = ""
    created_s: int = 0


class PartStart(msgspec.Struct, frozen=True):
    """`part` is what is known at its beginning: kind, id, name, and content that comes whole (Opaque, ToolResult, redacted Thinking).

    Its text or arguments are empty if deltas follow. A carry that is known by now is in it.
    """

    index: int
    part: Part
    choice: int = 0


class Delta(msgspec.Struct, frozen=True, gc=False):
    """More of a part: of its text, or of a ToolCall its arguments. Never empty, unless it brings log probabilities."""

    index: int
    text: str
    logprobs: tuple[Logprob, ...] = ()


class Cited(msgspec.Struct, frozen=True):
    """A citation of an open Text part."""

    index: int
    citation: Citation


class PartEnd(msgspec.Struct, frozen=True):
    """`carry`, where there is one, takes the place of that in PartStart: signatures come last."""

    index: int
    carry: Carry | None = None


class UsageSeen(msgspec.Struct, frozen=True):
    """The counts so far; a later one replaces an earlier one whole, so readers whose wire tells them in pieces put these together."""

    usage: Usage
    raw: msgspec.Raw
    service_tier: str = ""


class Finish(msgspec.Struct, frozen=True):
    """A candidate has ended; all of its parts have."""

    reason: FinishReason
    native: str = ""
    stop_sequence: str | None = None
    choice: int = 0


class Failed(msgspec.Struct, frozen=True):
    """The provider told an error inside the stream: the last event of all. `status` is what it would have been as an answer, 0 if unsaid."""

    fault: Fault
    status: int = 0


Event = Start | PartStart | Delta | Cited | PartEnd | UsageSeen | Finish | Failed
