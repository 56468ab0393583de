"""What the demo is made of: both providers' figures, the gateway's file, and questions for its traffic.

In: ports, a folder, the shipped catalog. Out: texts and frozen values; nothing is started or written here.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from string import Template

import msgspec

from trunkline.catalog.types import Catalog
from trunkline.records.types import Record
from trunkline.simulate.config import Behaviour, SimulationConfig
from trunkline.simulate.history import Simulated, history
from trunkline.simulate.spread import Spread

MODEL = "openai/o4-mini"
KEY = "simulated"
KEY_NAMES = ("demo", "Acme shop (made up)", "Acme help desk (made up)")
"""Of the gateway's keys: the one for the reader, and those that the past is told of besides."""
PAST_RECORDS = 3_000
"""So many of the past are in the log; the figures are of them all."""
FIGURES = {
    "azure-sim": (Spread(1945, 223_821, 30_199.85), Spread(15.65, 138.49, 65.33)),
    "openai-sim": (Spread(1677, 93_499, 7_973.91), Spread(36.37, 100.14, 48.77)),
}
"""Provider -> first-token latency in ms and throughput in tokens/s, as measured for this model in October 2025."""
TARGETS = (MODEL, f"{MODEL}:azure", f"{MODEL}:openai")
"""Models of the traffic. Routing prefers the quicker provider, so each is also asked for by name to have figures."""
QUESTIONS = (
    "What is in this image?",
    "Name three rivers.",
    "Write a haiku about trunk lines.",
    "Explain a hash in one paragraph.",
)
FILE = Template(
    """# Made by `trunkline demo`; gone when it ends. Both providers are simulated: no answer is a real model's.
[server]
host = "127.0.0.1"
port = $port
drain_s = 2

[store]
url = "sqlite:///$folder/demo.db"

[embedded]
enabled = false

[detect]
local_servers = false

# Of these made-up conversations the logs may show every byte.
[capture]
bodies = "full"

[providers.openai]
base_url = "$simulator/openai-sim/v1"
api_key = "$key"
local = true
data_policy = { training = false, retention_days = 0, moderation = "developer" }

[providers.azure]
base_url = "$simulator/azure-sim/openai/v1"
api_key = "$key"
local = true
data_policy = { training = false, retention_days = 30, moderation = "developer" }

[[models]]
slug = "$model"

[[models.offers]]
provider = "openai"
upstream_model = "o4-mini"
protocols = ["openai.chat"]
simulated = true
deadlines = { connect_s = 5, first_event_s = 300, idle_s = 120, total_s = 1800 }
data_policy = { training = false, retention_days = 0, moderation = "developer" }

[[models.offers]]
provider = "azure"
upstream_model = "o4-mini"
protocols = ["openai.chat"]
simulated = true
deadlines = { connect_s = 5, first_event_s = 300, idle_s = 120, total_s = 1800 }
data_policy = { training = false, retention_days = 30, moderation = "developer" }

# What the simulator could answer but nobody should take for the real thing.
$others
"""
)


def simulation(speed: float) -> SimulationConfig:
    """Both providers at `speed` times their pace; each takes the one key only."""
    return SimulationConfig(
        providers={
            name: Behaviour(api_keys=(KEY,), ttft_ms=ttft_ms, tokens_per_s=tokens_per_s, speed=speed)
            for name, (ttft_ms, tokens_per_s) in FIGURES.items()
        }
    )


def simulation_file(speed: float) -> bytes:
    """The same as JSON; `trunkline simulate --config` takes that too."""
    return msgspec.json.encode(simulation(speed))


def past(catalog: Catalog, now_ms: float, key_ids: Sequence[str], random: Random) -> Iterator[Record]:
    """Ninety days of made-up traffic of the model, by the same figures. `catalog` is the demo's gateway's."""
    offers = [Simulated(offer, *FIGURES[f"{offer.provider}-sim"]) for offer in catalog.models[MODEL].offers]
    return history(offers, now_ms, key_ids, random, catalog.version)


def gateway_file(port: int, simulator: str, folder: Path, catalog: Catalog) -> str:
    """The demo's trunkline.toml. `simulator` is the address of the simulated providers, without a path."""
    return FILE.substitute(
        port=port, folder=folder, simulator=simulator, key=KEY, model=MODEL, others=switched_off(catalog)
    )


def switched_off(catalog: Catalog) -> str:
    """All other offers of the two providers."""
    return "\n".join(
        f'[[models]]\nslug = "{model.slug}"\n[[models.offers]]\nprovider = "{offer.provider}"\nenabled = false'
        for model in catalog.models.values()
        if model.slug != MODEL
        for offer in model.offers
        if offer.provider in ("openai", "azure")
    )
