"""`trunkline simulate`: serves simulated providers until it is told to stop.

In: a TOML file or options for all providers. Out: a line on stdout with the address, once it takes connections.
"""

from pathlib import Path
from typing import Any

import click
import msgspec

from trunkline.errors import ConfigError
from trunkline.simulate.config import Behaviour, SimulationConfig, load_config
from trunkline.simulate.server import listen, make_server
from trunkline.simulate.spread import Spread


class SpreadType(click.ParamType[Spread]):
    """One number, or MIN/MAX/AVG."""

    name = "MIN/MAX/AVG"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Spread:
        parts = str(value).split("/")
        try:
            figures = [float(part) for part in parts]
            return Spread(figures[0], figures[-2], figures[-1]) if len(figures) == 3 else Spread(*figures * 3)
        except (ValueError, TypeError) as error:
            self.fail(f"{value!r} is neither one number nor MIN/MAX/AVG: {error}", param, ctx)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=9101, show_default=True, help="Port; 0 takes a free one.")
@click.option("--config", "path", type=click.Path(path_type=Path), help="TOML file with each provider's behaviour.")
@click.option("--seed", type=int, help="Same seed, same question: same answer.")
@click.option("--ttft-ms", type=SpreadType(), help="First-token latency of all providers that the file does not name.")
@click.option("--tokens-per-s", type=SpreadType(), help="Throughput of all providers that the file does not name.")
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="Divide every wait by this.")
def simulate(
    host: str,
    port: int,
    path: Path | None,
    seed: int | None,
    ttft_ms: Spread | None,
    tokens_per_s: Spread | None,
    speed: float | None,
) -> None:
    """Serve simulated providers in all four protocols. No answer is a real model's, and each one says so."""
    config = load_config(path) if path else SimulationConfig()
    config = overridden(config, seed, {"ttft_ms": ttft_ms, "tokens_per_s": tokens_per_s}, speed)
    try:
        listener = listen(host, port)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}", where="--port") from error
    bound = listener.getsockname()[1]
    paths = "OpenAI: /v1, Azure: /openai/v1, Anthropic: /v1/messages, Gemini: /v1beta, others: /NAME/..."
    click.echo(f"Simulated providers on http://{host}:{bound}  ({paths})")
    make_server(config).run(sockets=[listener])


def overridden(
    config: SimulationConfig, seed: int | None, figures: dict[str, Spread | None], speed: float | None
) -> SimulationConfig:
    """The file's config with what the command line says put over it; `speed` holds for every provider."""
    default = msgspec.structs.replace(config.default, **{name: value for name, value in figures.items() if value})
    providers = config.providers
    if speed is not None:
        default = at_speed(default, speed)
        providers = {name: at_speed(behaviour, speed) for name, behaviour in providers.items()}
    return SimulationConfig(config.seed if seed is None else seed, default, providers)


def at_speed(behaviour: Behaviour, speed: float) -> Behaviour:
    return msgspec.structs.replace(behaviour, speed=speed)
