"""Why an attempt did not answer the caller. In: causes, statuses, the provider's words. Out: `Failure`, with words that are fit to be shown."""

import re
from collections.abc import Iterable

import msgspec

from trunkline.execution.blame import blame
from trunkline.ir.fault import Blame, Fault

# Providers repeat a part of the key that they refuse, and the account it belongs to.
_SECRET = re.compile(r"\b(?:(?:sk|key|gsk|xai|org|proj)[-_]|AIza)[A-Za-z0-9*_-]{6,}")
MAX_WORDS = 500
LIMITED = 429
# Reasoning that another account made, which cannot be opened here: https://developers.openai.com/api/docs/guides/reasoning#encrypted-reasoning-items,
# https://ai.google.dev/gemini-api/docs/thought-signatures.
_STATE = re.compile(
    r"encrypted content|encrypted_content|thought ?signature|signature.{0,40}(invalid|verif)|invalid.{0,20}signature",
    re.IGNORECASE,
)

OF_THE_ACCOUNT = frozenset({400, 401, 402, 403, 429})
"""Statuses with which providers refuse a key, see `blame`."""


class Failure(msgspec.Struct, frozen=True):
    """`cause` is a word of `records.types.Attempt.outcome`; `fault` has the provider's own words, if there were any."""

    cause: str
    blame: Blame
    status: int = 0
    fault: Fault = Fault()
    retry_after_s: float | None = None

    @property
    def shown_message(self) -> str:
        """The words for records, logs and callers."""
        return _SECRET.sub("[key]", self.fault.message)[:MAX_WORDS]

    @property
    def is_of_the_account(self) -> bool:
        """The provider refuses the key that it came with: wrong, without credit, without access."""
        return self.blame is Blame.OPERATOR and self.status in OF_THE_ACCOUNT

    @property
    def is_of_foreign_state(self) -> bool:
        """The request brings reasoning that this account cannot open."""
        return self.status == 400 and self.cause == "status" and _STATE.search(self.fault.message) is not None

    def without(self, keys: Iterable[str]) -> "Failure":
        """The same without the operator's keys, wherever the provider repeats them."""
        fault = self.fault
        for key in keys:
            if key in f"{fault.message}{fault.code}{fault.type}{fault.param}":
                fault = Fault(
                    fault.message.replace(key, "[key]"),
                    fault.code.replace(key, "[key]"),
                    fault.type.replace(key, "[key]"),
                    fault.param and fault.param.replace(key, "[key]"),
                )
        return self if fault is self.fault else msgspec.structs.replace(self, fault=fault)


def of_provider(cause: str, message: str, status: int = 200) -> Failure:
    """The provider's fault, in our words."""
    return Failure(cause, Blame.PROVIDER, status, Fault(message=message))


def told_inside(fault: Fault, status: int = 0) -> Failure:
    """An error that came in the body or the stream of an answer with status 200, as the status that it means; 0: its words say which."""
    status = status or _status_inside(fault)
    return Failure("in_stream_error", blame(status, fault), status, fault)


def _status_inside(fault: Fault) -> int:
    if len(fault.code) == 3 and fault.code.isascii() and fault.code.isdigit():
        return int(fault.code)
    return 400 if fault.type == "invalid_request_error" else 500
