"""Error answers of Bedrock: a message in the body, the name of the exception in a header, and the same as frames of a stream.

In: a status or a named cause. Out: a frozen `ErrorAnswer`; bytes of a frame. Names and statuses:
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html#API_runtime_ConverseStream_Errors
"""

from math import ceil

import msgspec

from trunkline.simulate.converse.frames import exception
from trunkline.simulate.vendor_errors import ErrorAnswer, RefusedError

STATUS: dict[int, tuple[str, str]] = {
    400: ("ValidationException", "Simulated: the request is not valid."),
    403: ("AccessDeniedException", "You don't have access to the model with the specified model ID."),
    404: ("ResourceNotFoundException", "Could not resolve the foundation model from the provided model identifier."),
    408: ("ModelTimeoutException", "Model has timed out in processing the request. Try your request again."),
    424: (
        "ModelErrorException",
        "The system encountered an unexpected error during processing. Try your request again.",
    ),
    429: ("ThrottlingException", "Too many requests, please wait before trying again."),
    500: (
        "InternalServerException",
        "The system encountered an unexpected error during processing. Try your request again.",
    ),
    503: ("ServiceUnavailableException", "Bedrock is unable to process your request."),
}


def answered(status: int, name: str, message: str, more: tuple[tuple[bytes, bytes], ...] = ()) -> ErrorAnswer:
    kind = (b"x-amzn-errortype", f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/".encode())
    return ErrorAnswer(status, msgspec.json.encode({"message": message}), (kind, *more))


def failed(status: int, retry_after_s: float | None) -> ErrorAnswer:
    name, message = STATUS.get(status, STATUS[500] if status >= 500 else STATUS[400])
    more = () if retry_after_s is None else ((b"retry-after", b"%d" % ceil(retry_after_s)),)
    return answered(status, name, message, more)


def refuse(message: str) -> RefusedError:
    return RefusedError(answered(400, "ValidationException", message))


def malformed(message: str) -> RefusedError:
    """What the model's own checks say, in Amazon's words around them."""
    return refuse(
        f"The model returned the following errors: Malformed input request: {message}, please reformat your input and try again."
    )


def wrong_key(*, given: bool) -> RefusedError:
    message = "Invalid API Key format: Must start with pre-defined prefix" if given else "Missing Authentication Token"
    return RefusedError(answered(403, "AccessDeniedException", message))


def unknown_model(_model: str) -> RefusedError:
    return refuse("The provided model identifier is invalid.")


def unknown_path(_method: str, _path: str) -> RefusedError:
    return RefusedError(answered(404, "UnknownOperationException", "Simulated: no such operation."))


def wrong_method(method: str, path: str) -> RefusedError:
    return RefusedError(answered(405, "UnknownOperationException", f"{method} is not allowed on {path}."))


def bad_directive(message: str) -> RefusedError:
    return refuse(f"[simulated] {message}")


def error_frame(_sent: int) -> bytes:
    """What a stream says when the model fails in its middle."""
    return exception("modelStreamErrorException", "The system encountered an unexpected error during processing.")
