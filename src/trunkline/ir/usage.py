"""Token and request counts of one answer, in buckets that do not overlap.

In: what a protocol's `read_usage` found. Out: what `pricing` charges and the records keep. The buckets add up: no token is in two of them.
"""

import msgspec


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Counts of one answer. All are tokens, but for `web_searches` (calls).

    `input_tokens` is uncached text input, `output_tokens` is visible text output without reasoning; the totals are properties.
    `estimated` is true when the provider told nothing and the counts are our own guess.
    """

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    """Written to a cache whose time to live the provider does not tell."""
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    output_audio_tokens: int = 0
    output_image_tokens: int = 0
    web_searches: int = 0
    estimated: bool = False

    @property
    def total_input_tokens(self) -> int:
        """Everything that went in, cached or not."""
        cached = (
            self.cache_read_tokens + self.cache_write_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens
        )
        return self.input_tokens + cached + self.input_audio_tokens + self.input_image_tokens

    @property
    def total_output_tokens(self) -> int:
        """Everything that came out, reasoning included."""
        return self.output_tokens + self.reasoning_tokens + self.output_audio_tokens + self.output_image_tokens
