"""The most that an answer can cost at an offer: what is held before it is asked for. In: price lines, bounds on tokens. Out: whole pico-USD, never too few.

Of several prices for one thing the dearest counts, whatever the tier or the hour; of bands of length those that a prompt of at most so many tokens can be in.
"""

import math
from fractions import Fraction

import msgspec

from trunkline.catalog.types import PriceLine
from trunkline.pricing.rate import PICO_PER_USD

_INPUT = frozenset(
    {"prompt", "input_cache_read", "input_cache_write", "input_cache_write_5_min", "input_cache_write_1_h", "audio"}
)
_OUTPUT = frozenset({"completion", "internal_reasoning"})
_MOST_IMAGES = 10
"""That one answer brings, where each has a price: https://platform.openai.com/docs/api-reference/images/create (n)."""
_ROUNDING = 16
"""Each line of a bill is rounded by itself, at most half a pico-USD up."""
_TOKENS = 10**6


class Ceiling(msgspec.Struct, frozen=True):
    """Pico-USD at most, a token and a request."""

    input: int
    output: int
    request: int
    parts: int = 1
    """Of so many parts of a pico-USD `input` and `output` are whole numbers; `request` is whole pico-USD."""

    @property
    def is_free(self) -> bool:
        return not (self.input or self.output or self.request)

    def cost(self, input_tokens: int, output_tokens: int) -> int:
        """Of an answer with at most so many tokens."""
        if self.is_free:
            return 0
        tokens = self.input * input_tokens + self.output * output_tokens
        return -(-tokens // self.parts) + self.request + _ROUNDING

    def output_for(self, pico_usd: int, input_tokens: int) -> int | None:
        """How many tokens of output so much money is sure to pay, beside the prompt; None: any number. Below nothing where it does not pay the prompt."""
        if not self.output:
            return None
        rest = pico_usd - self.cost(input_tokens, 0)
        return rest * self.parts // self.output


def ceiling(lines: tuple[PriceLine, ...], prompt_tokens: int, today: str, *, draws: bool = False) -> Ceiling | None:
    """None where prompt or completion has no price: then nothing is known. `today` is an ISO date; `draws`: what comes out may be pictures."""
    holding = [line for line in lines if _may_hold(line, prompt_tokens, today)]
    if not {"prompt", "completion"} <= {line.item for line in holding}:
        return None
    by_token = [line for line in holding if line.unit == "perMTokens"]
    each = [line for line in holding if line.unit == "perCount"]
    output = _OUTPUT | {"image"} if draws else _OUTPUT
    request = max([_amount(line) for line in each if line.item == "request"], default=Fraction(0))
    if draws:
        request += _MOST_IMAGES * max([_amount(line) for line in each if line.item == "image"], default=Fraction(0))
    dearest_in = max([_amount(line) for line in by_token if line.item in _INPUT], default=Fraction(0))
    dearest_out = max([_amount(line) for line in by_token if line.item in output], default=Fraction(0))
    parts = math.lcm(dearest_in.denominator, dearest_out.denominator)
    return Ceiling(
        int(dearest_in * parts), int(dearest_out * parts), -(-request.numerator // request.denominator), parts
    )


def _may_hold(line: PriceLine, prompt_tokens: int, today: str) -> bool:
    over = line.when.prompt_tokens_gt
    if over is not None and prompt_tokens <= over:
        return False
    # A request near midnight may end on the next day; a price that has just ended is no dearer for being counted.
    return line.valid_to is None or line.valid_to >= today


def _amount(line: PriceLine) -> Fraction:
    """Pico-USD for one token, request or picture."""
    scale = _TOKENS if line.unit == "perMTokens" else 1
    return Fraction(line.value) * PICO_PER_USD / scale
