"""The exceptions that a caller may see, and what each means on the wire.

    TrunklineError
    ├── ConfigError              a file or variable is wrong: the start stops, with file, key and the mend
    ├── StoreError               the store cannot be read or written
    │   └── StoreAway            it is not there now, and may come by itself
    ├── RequestError             ends a request; status, type, whether the client should try again
    │   ├── InvalidParams        400 invalid_params
    │   ├── AccessDenied         403 access_denied
    │   ├── InsufficientCredit   402 insufficient_credit
    │   ├── RejectNoCredit       402 reject_no_credit
    │   ├── QuoteExceeded        402 quote_exceeded
    │   ├── InvalidModel         404 invalid_model
    │   ├── ModelNotSupported    404 model_not_supported
    │   ├── NotFound             404 not_found
    │   ├── Conflict             409 conflict
    │   ├── InProgress           409 request_in_progress
    │   ├── PayloadTooLarge      413 invalid_params
    │   ├── KeyReused            422 invalid_params
    │   ├── Unprocessable        422 provider_unprocessable_entity_error
    │   ├── RateLimited          429 rate_limit
    │   ├── InternalError        500 internal_server_error
    │   ├── NoProviderAvailable  502 no_provider_available
    │   ├── Overloaded           503 overloaded
    │   └── UpstreamTimeout      504 provider_timeout
    └── TransportError           an upstream call failed below HTTP (see `execution.transport`); never leaves `execution`

The types are ZenMux's words (https://docs.zenmux.ai/guide/advanced/error-codes), so that clients which read them decide rightly.
"""

from collections.abc import Sequence
from typing import Any


class TrunklineError(Exception):
    """Root of everything that this project raises on purpose."""


class ConfigError(TrunklineError):
    """Configuration that cannot be used. `where` names file and key; the message ends with what would fix it."""

    def __init__(self, message: str, *, where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where


class StoreError(TrunklineError):
    """The store could not be opened, read or written."""


class StoreAway(StoreError):
    """It cannot be reached or is starting: another try may find it there."""


class TransportError(TrunklineError):
    """An upstream call failed below HTTP. `kind` is one of the causes that `routing` and the records know."""

    kind = "transport"
    is_held = False
    """Its reader took no more of the answer when it happened: nothing is known of the provider then."""


class RequestError(TrunklineError):
    """Ends a request. `param` names the field of the caller that is at fault, if one is."""

    status = 500
    type = "internal_server_error"

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.is_final = self.status == 500
        """Trying again is of no use: a mistake of ours, or every offer was tried already. Of 4xx the status says it."""
        self.candidates: Sequence[Any] = ()
        """Of a refused plan: the offers that were looked at, with the reason for each, for the record."""


class InvalidParams(RequestError):
    status, type = 400, "invalid_params"


class AccessDenied(RequestError):
    status, type = 403, "access_denied"


class InsufficientCredit(RequestError):
    """A budget is spent."""

    status, type = 402, "insufficient_credit"


class RejectNoCredit(RequestError):
    """A prepaid organisation has nothing left."""

    status, type = 402, "reject_no_credit"


class QuoteExceeded(RequestError):
    """This request may cost more than a budget has left."""

    status, type = 402, "quote_exceeded"


class InvalidModel(RequestError):
    status, type = 404, "invalid_model"


class ModelNotSupported(RequestError):
    status, type = 404, "model_not_supported"


class NotFound(RequestError):
    status, type = 404, "not_found"


class Conflict(RequestError):
    """What is asked for does not go with what is there."""

    status, type = 409, "conflict"


class InProgress(RequestError):
    """A request with the same `Idempotency-Key` is still being answered."""

    status, type = 409, "request_in_progress"


class PayloadTooLarge(RequestError):
    status, type = 413, "invalid_params"


class KeyReused(RequestError):
    """An `Idempotency-Key` came with another request before."""

    status, type = 422, "invalid_params"


class Unprocessable(RequestError):
    status, type = 422, "provider_unprocessable_entity_error"


class RateLimited(RequestError):
    status, type = 429, "rate_limit"


class InternalError(RequestError):
    status, type = 500, "internal_server_error"


class NoProviderAvailable(RequestError):
    status, type = 502, "no_provider_available"


class Overloaded(RequestError):
    status, type = 503, "overloaded"


class UpstreamTimeout(RequestError):
    status, type = 504, "provider_timeout"
