"""One gateway for all flows, over a scripted provider and the simulated ones; a second one with little patience."""

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import trustme

from tests.fakes.chaos import chaos
from tests.fakes.four import four
from tests.fakes.gateway import (
    DEADLINE_S,
    FREE,
    PRICE,
    Answer,
    Fresh,
    GatewayProcess,
    Open,
    base_toml,
    eventually,
    model_toml,
    models_toml,
    o4_mini_toml,
    offer_toml,
    provider_toml,
    session_id,
    start_gateway,
    upstream_name,
)
from tests.fakes.simulated import SimulatedProvider, simulated, simulated_server
from tests.fakes.upstream import Call, Script, Upstream, upstream

__all__ = ["chaos", "four", "session_id", "simulated", "simulated_server", "upstream"]


@dataclass
class Model:
    """A model that only this test uses, at `first` and `second`, and what is asked of it."""

    gateway: GatewayProcess
    upstream: Upstream
    slug: str

    @property
    def name(self) -> str:
        """What both providers call it."""
        return upstream_name(self.slug)

    def plays(self, first: Script, *more: Script, second: Script | None = None) -> None:
        self.upstream.plays("first", self.name, first, *more)
        if second is not None:
            self.upstream.plays("second", self.name, second)

    def ask(self, message: str = "hi", **fields: Any) -> Answer:
        return self.gateway.chat(self.slug, message, **fields)

    def stream(self, message: str = "hi", **fields: Any) -> Answer:
        return self.gateway.stream(self.slug, message, **fields)

    def open(self, message: str = "hi", **fields: Any) -> Open:
        return self.gateway.open(self.slug, message, **fields)

    @property
    def calls(self) -> list[Call]:
        return self.upstream.calls(self.name)

    def call_left(self, number: int = 0) -> bool:
        """Whether the gateway closes the connection of this call."""
        return self.upstream.call(self.name, number).left.wait(DEADLINE_S)

    @property
    def asked(self) -> list[str]:
        """The providers that were called, in order."""
        return [call.provider for call in self.calls]


@pytest.fixture(scope="session")
def unreachable() -> Iterator[dict[str, str]]:
    """Base URLs at which nobody answers: `refused`, `deaf` (takes no connection) and `untrusted` (its certificate)."""
    with socket.socket() as closed, socket.socket() as full:
        closed.bind(("127.0.0.1", 0))
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        untrusted = Upstream(context)
        yield {
            "refused": f"http://127.0.0.1:{closed.getsockname()[1]}/v1",
            "deaf": f"http://127.0.0.1:{full.getsockname()[1]}/v1",
            "untrusted": untrusted.url("untrusted"),
        }
        untrusted.stop()
        for filler in fillers:
            filler.close()


HEADER_AUTH = 'auth = "header:api-key"\nheaders = { "x-version" = "2" }'


def flows_toml(upstream: Upstream, simulated: SimulatedProvider, unreachable: dict[str, str]) -> str:
    quick = "deadlines = { connect_s = 0.4, first_event_s = 5.0, idle_s = 5.0, total_s = 5.0 }"
    return "\n".join(
        [
            provider_toml("first", upstream.url("first")),
            provider_toml("second", upstream.url("second")),
            *[provider_toml(slug, url) for slug, url in unreachable.items()],
            '[providers.keyless]\nbase_url = "http://127.0.0.1:9/v1"\nkey_env = ["KEYLESS_API_KEY"]\n',
            f'[providers.many]\nbase_url = "{upstream.url("many")}"\napi_keys = ["sk-one", "sk-two"]\n',
            provider_toml("header", f"{upstream.url('header')}?api-version=preview", "sk-header", HEADER_AUTH),
            o4_mini_toml(simulated),
            models_toml(),
            *[model_toml(f"acme/{slug}", (slug, "second"), "", quick) for slug in unreachable],
            model_toml("acme/keyless", ("keyless",)),
            model_toml("acme/many", ("many",)),
            model_toml("acme/header", ("header",)),
            model_toml("acme/unpriced", ("first",)).replace(PRICE, "[]"),
            model_toml("acme/free", ("first",)).replace(PRICE, FREE),
            model_toml("acme/toolless", ("first",), "", 'supported_parameters = ["temperature"]'),
            model_toml("acme/unequal", ("first",), "", 'supported_parameters = ["seed"]')
            + offer_toml("acme/unequal", "second"),
            model_toml("acme/leaving", ("first",), "", 'shutdown_on = "2020-01-01"')
            + offer_toml("acme/leaving", "second"),
        ]
    )


@pytest.fixture(scope="session")
def gateway(
    tmp_path_factory: pytest.TempPathFactory,
    upstream: Upstream,
    simulated_server: SimulatedProvider,
    unreachable: dict[str, str],
) -> Iterator[GatewayProcess]:
    """The gateway that most tests share, with the settings that a newcomer has."""
    folder = tmp_path_factory.mktemp("gateway")
    server = 'cors_origins = ["https://app.example.com"]'
    config = base_toml(folder, server=server) + flows_toml(upstream, simulated_server, unreachable)
    made = start_gateway(folder, config)
    # It is ready when model traffic can begin; the console comes a moment later.
    eventually(lambda: made.get("/api/v1/generation?id=none").status == 404, "the console's readiness")
    yield made
    assert made.stop() == 0, made.log


@pytest.fixture(scope="session")
def fresh(gateway: GatewayProcess, upstream: Upstream) -> Fresh:
    return Fresh(gateway, upstream)


@pytest.fixture
def model(fresh: Fresh) -> Model:
    return Model(fresh.gateway, fresh.upstream, fresh())


@pytest.fixture
def model_of(fresh: Fresh):
    """A model of a kind: see `MODEL_KINDS`."""
    return lambda kind: Model(fresh.gateway, fresh.upstream, fresh(kind))


STRICT = "keepalive_s = 0.05\ndrain_cap_s = 0.3\ninclude_cost = false\nrequire_parameters = true"


@pytest.fixture(scope="session")
def brisk_gateway(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[GatewayProcess]:
    """A gateway that says it is alive every 50 ms, takes small bodies, reads on for 300 ms after a client left, adds no
    cost to answers, and drops no parameters."""
    folder = tmp_path_factory.mktemp("brisk")
    base = base_toml(folder, server="max_body_bytes = 100000", gateway=STRICT)
    providers = provider_toml("first", upstream.url("first")) + provider_toml("second", upstream.url("second"))
    made = start_gateway(folder, base + providers + models_toml("brisk", most=20))
    yield made
    assert made.stop() == 0, made.log


@pytest.fixture(scope="session")
def brisk_fresh(brisk_gateway: GatewayProcess, upstream: Upstream) -> Fresh:
    return Fresh(brisk_gateway, upstream, "brisk")


@pytest.fixture
def brisk_choosy(brisk_fresh: Fresh) -> Model:
    return Model(brisk_fresh.gateway, brisk_fresh.upstream, brisk_fresh("choosy"))


@pytest.fixture
def brisk_model(brisk_fresh: Fresh) -> Model:
    return Model(brisk_fresh.gateway, brisk_fresh.upstream, brisk_fresh())
