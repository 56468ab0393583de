"""The local models as a catalog layer. In: the cache directory. Out: a dict in the shape of the configuration file,
and what is absent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from trunkline.embedded.manifest import Weights, load_manifest
from trunkline.embedded.supervisor import CONTEXT_TOKENS
from trunkline.embedded.transport import LOCAL_HOST
from trunkline.embedded.weights import find

PROVIDER = "local"
PROFILE = "small-local"
PARAMETERS = (
    "max_completion_tokens", "temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty",
    "repetition_penalty", "seed", "stop", "logit_bias", "logprobs", "top_logprobs", "n",
    "response_format", "structured_outputs", "tools", "tool_choice", "parallel_tool_calls",
)  # fmt: skip
FREE = [
    {"item": item, "unit": "perMTokens", "value": "0", "source": "runs on this machine"}
    for item in ("prompt", "completion")
]
DEADLINES = {"connect_s": 5, "first_event_s": 300, "idle_s": 120, "total_s": 1800}
"""A prompt of 4,000 tokens takes a minute and more before the first token comes, and two others may be before it."""


class Absent(msgspec.Struct, frozen=True):
    """A local model that cannot be called now, and the step that would change it."""

    model: str
    reason: str


def local_layer(cache_dir: Path, manifest: Mapping[str, Weights] | None = None) -> dict[str, Any]:
    """Provider and models whose weights are here. Without any: an empty layer."""
    present = {name: weights for name, weights in (manifest or load_manifest()).items() if find(weights, cache_dir)}
    if not present:
        return {}
    # The most able first: a list of models is read from its top.
    models = sorted(present.items(), key=lambda item: -item[1].bytes)
    return {"providers": {PROVIDER: _provider()}, "models": [_model(name, weights) for name, weights in models]}


def absent(cache_dir: Path, manifest: Mapping[str, Weights] | None = None) -> list[Absent]:
    """The models of the manifest whose weights are not here."""
    return [
        Absent(f"{PROVIDER}/{name}", f"not fetched ({weights.bytes / 1e6:.0f} MB); run `trunkline models pull {name}`")
        for name, weights in (manifest or load_manifest()).items()
        if find(weights, cache_dir) is None
    ]


def _provider() -> dict[str, Any]:
    return {
        "name": "This machine",
        "base_url": f"http://{LOCAL_HOST}/v1",
        "auth": "none",
        "local": True,
        "profile": PROFILE,
        "data_policy": {"training": False, "retention_days": 0, "moderation": "none"},
    }


def _model(name: str, weights: Weights) -> dict[str, Any]:
    offer = {
        "provider": PROVIDER,
        "upstream_model": name,
        "protocols": ["openai.chat"],
        "price": FREE,
        "context_tokens": CONTEXT_TOKENS,
        "max_output_tokens": CONTEXT_TOKENS,
        "supported_parameters": list(PARAMETERS),
        "abortable": True,
        "deadlines": DEADLINES,
    }
    return {
        "slug": f"{PROVIDER}/{name}",
        "name": f"{weights.title} (local)",
        "description": (
            f"Runs on this machine ({weights.quantisation}). Small: real answers, often wrong. {weights.licence}."
        ),
        "context_tokens": CONTEXT_TOKENS,
        "max_output_tokens": CONTEXT_TOKENS,
        "input": ["text"],
        "reasoning": False,
        "offers": [offer],
    }
