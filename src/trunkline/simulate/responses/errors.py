"""Refusals in the words of the Responses API.

In: the place in the body, and what is there. Out: a `RefusedError`. The shape is that of all of OpenAI's errors
(https://platform.openai.com/docs/guides/error-codes); `code` tells what is wrong, `param` where.
"""

from typing import Any

from trunkline.simulate.vendor_errors import RefusedError, refuse

KINDS = {str: "a string", int: "an integer", float: "a decimal", bool: "a boolean", list: "an array", dict: "an object"}


def missing(where: str) -> RefusedError:
    return refuse(f"Missing required parameter: '{where}'.", param=where, code="missing_required_parameter")


def unknown(where: str) -> RefusedError:
    return refuse(f"Unknown parameter: '{where}'.", param=where, code="unknown_parameter")


def unsupported(where: str) -> RefusedError:
    message = f"Unsupported parameter: '{where}' is not supported with this model."
    return refuse(message, param=where, code="unsupported_parameter")


def wrong_type(where: str, expected: str, value: Any) -> RefusedError:
    got = KINDS.get(type(value), "null")
    return refuse(
        f"Invalid type for '{where}': expected {expected}, but got {got} instead.", param=where, code="invalid_type"
    )


def invalid_value(where: str, value: Any, allowed: tuple[str, ...]) -> RefusedError:
    quoted = [f"'{name}'" for name in allowed]
    listed = ", ".join(quoted[:-1]) + (", and " if len(quoted) > 2 else " and ") + quoted[-1]
    return refuse(f"Invalid value: '{value}'. Supported values are: {listed}.", param=where, code="invalid_value")


def below(where: str, least: int, value: Any, *, kind: str = "integer") -> RefusedError:
    message = f"Invalid '{where}': {kind} below minimum value. Expected a value >= {least}, but got {value} instead."
    return refuse(message, param=where, code=f"{kind}_below_min_value")


def above(where: str, most: int, value: Any) -> RefusedError:
    message = f"Invalid '{where}': decimal above maximum value. Expected a value <= {most}, but got {value} instead."
    return refuse(message, param=where, code="decimal_above_max_value")


def wrong_id(where: str, id_: Any, prefix: str) -> RefusedError:
    message = f"Invalid '{where}': '{id_}'. Expected an ID that begins with '{prefix}'."
    return refuse(message, param=where, code="invalid_value")


def too_long(where: str, most: int, length: int) -> RefusedError:
    message = (
        f"Invalid '{where}': string too long. Expected a string with maximum length {most}, but got a string with "
        f"length {length} instead."
    )
    return refuse(message, param=where, code="string_above_max_length")
