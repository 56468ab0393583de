"""A gateway over providers of all four protocols: simulated ones, that refuse what the vendors refuse, and scripted ones. Fixture `four`.

Models: `acme/over-KIND` has one simulated offer that speaks KIND (`chat`, `responses`, `messages`, `gemini`), `acme/everywhere` one of each,
`acme/twins-KIND` two of KIND, `acme/KIND-N` two scripted ones at `first-KIND` and `second-KIND`, the last `HASTY` of them with little patience.
Nobody answers at the first offer of `acme/refused-KIND`.
"""

from collections.abc import Iterator

import pytest

from tests.fakes.gateway import OPERATOR_KEY, PRICE, GatewayProcess, base_toml, eventually, start_gateway
from tests.fakes.simulated import SimulatedProvider
from tests.fakes.talking import CHAT, GEMINI, MESSAGES, RESPONSES
from tests.fakes.upstream import Upstream

KINDS = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES, "gemini": GEMINI}
UPSTREAM_MODELS = {
    "chat": "o4-mini",
    "responses": "gpt-5.2",
    "messages": "claude-opus-4-5",
    "gemini": "gemini-3-pro-preview",
}
CONVERSE = "bedrock.converse"
BEDROCK_MODELS = {"nova": "us.amazon.nova-2-lite-v1:0", "claude": "us.anthropic.claude-haiku-4-5-20251001-v1:0"}
"""Converse is spoken by providers alone: `acme/bedrock-nova` and `acme/bedrock-claude` have one simulated offer each, and `acme/bedrock-failing`
is for failures, which are remembered."""
SCRIPTED = 84
HASTY = 8
CAPABLE = (
    'context_tokens = 200_000\nmax_output_tokens = 32_000\ninput = ["text", "image", "file", "audio"]\nreasoning = true'
)
ALIASES = 'aliases = ["claude-acme-9", "gpt-acme", "gemini-acme"]'
QUICK = "deadlines = { connect_s = 0.5, first_event_s = 0.4, idle_s = 0.4, total_s = 5.0 }"


def base_url(kind: str, root: str) -> str:
    """OpenAI's base ends in its version, the others' do not."""
    return f"{root}/v1" if kind in ("chat", "responses") else root


def provider(slug: str, kind: str, root: str) -> str:
    url = f'base_urls = {{ "{KINDS[kind]}" = "{base_url(kind, root)}" }}'
    return f'[providers.{slug}]\nname = "{slug}"\n{url}\napi_key = "{OPERATOR_KEY}"\n'


def model(slug: str, *offers: tuple[str, str, str], more: str = "", keys: str = "") -> str:
    """Each offer is (provider, kind, upstream model)."""
    lines = ["[[models]]", f'slug = "{slug}"', CAPABLE, more]
    for at, kind, upstream_model in offers:
        lines += ["[[models.offers]]", f'provider = "{at}"', f'upstream_model = "{upstream_model}"']
        lines += [f'protocols = ["{KINDS.get(kind, CONVERSE)}"]', f"price = {PRICE}", keys]
    return "\n".join(lines)


def four_toml(simulated: SimulatedProvider, upstream: Upstream) -> str:
    parts: list[str] = []
    for kind, name in UPSTREAM_MODELS.items():
        parts.append(provider(f"sim-{kind}", kind, f"http://127.0.0.1:{simulated.port}/sim-{kind}"))
        ranked = [f"{rank}-{kind}" for rank in ("first", "second")]
        parts += [provider(slug, kind, f"http://127.0.0.1:{upstream.port}/{slug}") for slug in ranked]
        parts.append(provider(f"refused-{kind}", kind, "http://127.0.0.1:9"))
        parts.append(model(f"acme/over-{kind}", (f"sim-{kind}", kind, name)))
        parts.append(
            model(f"acme/refused-{kind}", (f"refused-{kind}", kind, "x"), (f"second-{kind}", kind, f"refused-{kind}"))
        )
    for kind in KINDS:
        for number in range(SCRIPTED):
            offers = [(f"{rank}-{kind}", kind, f"{kind}-{number}") for rank in ("first", "second")]
            parts.append(model(f"acme/{kind}-{number}", *offers, keys=QUICK if number >= SCRIPTED - HASTY else ""))
    parts.append(model("acme/bound", ("sim-messages", "messages", "claude-fable-5-1")))
    for kind, name in UPSTREAM_MODELS.items():
        parts.append(provider(f"twin-{kind}", kind, f"http://127.0.0.1:{simulated.port}/twin-{kind}"))
        parts.append(model(f"acme/twins-{kind}", (f"sim-{kind}", kind, name), (f"twin-{kind}", kind, name)))
    for slug in ("sim-bedrock", "failing-bedrock"):
        url = f"http://127.0.0.1:{simulated.port}/{slug}"
        parts.append(f'[providers.{slug}]\nbase_urls = {{ "{CONVERSE}" = "{url}" }}\napi_key = "{OPERATOR_KEY}"\n')
    for name, upstream_model in BEDROCK_MODELS.items():
        parts.append(model(f"acme/bedrock-{name}", ("sim-bedrock", "converse", upstream_model)))
    parts.append(model("acme/bedrock-failing", ("failing-bedrock", "converse", BEDROCK_MODELS["nova"])))
    everywhere = [(f"sim-{kind}", kind, name) for kind, name in UPSTREAM_MODELS.items()]
    parts.append(model("acme/everywhere", *everywhere, more=ALIASES))
    return "\n".join(parts)


@pytest.fixture(scope="session")
def four(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, simulated_server: SimulatedProvider
) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("four")
    config = base_toml(folder, gateway="keepalive_s = 0.05") + four_toml(simulated_server, upstream)
    made = start_gateway(folder, config)
    eventually(lambda: made.get("/api/v1/generation?id=none").status == 404, "the console's readiness")
    yield made
    assert made.stop() == 0, made.log
