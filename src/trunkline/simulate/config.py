"""How the simulated providers behave: from a TOML (or JSON) file, the command line, or a test at run time.

In: TOML or JSON objects. Out: frozen `SimulationConfig` and `Behaviour`; a `ConfigError` names file and key.
"""

from pathlib import Path
from typing import Any

import msgspec

from trunkline.errors import ConfigError
from trunkline.simulate.spread import Spread

RATES = ("reset_rate", "stall_rate", "cut_rate", "error_event_rate", "malformed_rate", "wrong_type_rate", "empty_rate")
"""Shares of requests (0 to 1) that go wrong in one of these ways; the sum with `error_rates` is at most 1."""


class Behaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One provider. Without delays and rates it answers everything at once."""

    models: tuple[str, ...] = ()
    """Names that it knows, for the list of models and the 404. Empty: every name."""
    reasoning_models: tuple[str, ...] = ("o1*", "o3*", "o4*", "gpt-5*")
    """Patterns of names that spend reasoning tokens and refuse `stop`, `max_tokens`, `temperature` and the like."""
    signing_models: tuple[str, ...] = ("gemini-3*", "gemini-4*")
    """Patterns of Gemini's names whose calls must come back with their signature."""
    bound_models: tuple[str, ...] = ("claude-fable-5-[1-9]*", "claude-mythos-5-[1-9]*")
    """Patterns of Claude's names whose thinking is bound to the conversation before it."""
    cache_min_tokens: int = 1024
    """Shortest part of a prompt that Anthropic's cache takes in."""
    api_keys: tuple[str, ...] = ()
    """Keys that it takes. Empty: any, or none."""
    ttft_ms: Spread | None = None
    """From the request to the first byte of the answer."""
    tokens_per_s: Spread | None = None
    """All output tokens, reasoning included, over the time from the first to the last delta."""
    speed: float = 1.0
    """Divides every wait."""
    error_rates: dict[int, float] = {}
    """Status -> share of requests."""
    retry_after_s: float = 1.0
    """Told with a 429 and a 503."""
    reset_rate: float = 0.0
    stall_rate: float = 0.0
    cut_rate: float = 0.0
    error_event_rate: float = 0.0
    malformed_rate: float = 0.0
    wrong_type_rate: float = 0.0
    empty_rate: float = 0.0
    tool_call_rate: float = 0.0
    """Share of prompts with tools (and `tool_choice` auto) that are answered by a call; which ones, the prompt's hash
    says."""

    def __post_init__(self) -> None:
        shares = [*self.error_rates.values(), *(getattr(self, name) for name in RATES)]
        if any(share < 0 for share in shares) or sum(shares) > 1:
            raise ValueError("rates must lie between 0 and 1, and their sum must not pass 1")
        if any(not 400 <= status <= 599 for status in self.error_rates):
            raise ValueError("error_rates takes statuses from 400 to 599")
        if self.speed <= 0:
            raise ValueError("speed must be greater than 0")


class SimulationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All providers of one server. A provider's name is its path prefix; one that is not listed behaves as
    `default`."""

    seed: int = 0
    default: Behaviour = Behaviour()
    providers: dict[str, Behaviour] = {}

    def behaviour(self, provider: str) -> Behaviour:
        return self.providers.get(provider, self.default)


def load_config(path: Path) -> SimulationConfig:
    """Reads the file of `trunkline simulate --config`."""
    try:
        content = path.read_bytes()
        decode = msgspec.json.decode if content.startswith(b"{") else msgspec.toml.decode
        return decode(content, type=SimulationConfig)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigError(f"{error}. docs/simulate.md lists the keys", where=str(path)) from error


def changed(behaviour: Behaviour, fields: dict[str, Any]) -> Behaviour:
    """`behaviour` with some fields replaced by JSON values; raises `msgspec.ValidationError` with the field's path."""
    return msgspec.convert(msgspec.to_builtins(behaviour) | fields, Behaviour, str_keys=True)
