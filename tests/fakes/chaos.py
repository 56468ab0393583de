"""A gateway over scripted providers of all four protocols, for everything that can go wrong with them. Fixture `chaos`.

`chaos.model(sort, kind)` is a model that nobody has used, at `first-KIND` and `second-KIND`, in this order; `SORTS` says which there are.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.four import KINDS, base_url
from tests.fakes.gateway import OPERATOR_KEY, PRICE, Answer, GatewayProcess, Open, base_toml, eventually, start_gateway
from tests.fakes.talking import USERS, request, understood
from tests.fakes.upstream import Call, Script, Upstream
from trunkline.records.types import Attempt, Record

ANSWER_PICO_USD = 33_000_000
"""What the answers of `tests.fakes.wires` cost: 10 tokens in, 5 out."""
_PATIENT = "connect_s = 0.5, first_event_s = 10.0, idle_s = 10.0, total_s = 10.0"
_QUICK = "connect_s = 0.5, first_event_s = 0.4, idle_s = 0.4, total_s = 5.0"
_BRIEF = "connect_s = 0.5, first_event_s = 0.4, idle_s = 0.4, total_s = 0.4"
SORTS: dict[str, tuple[int, str, str]] = {
    # sort: how many of each kind, deadlines, more keys of both offers
    "plain": (110, _PATIENT, ""),
    "quick": (10, _QUICK, ""),
    "brief": (6, _BRIEF, ""),
    "abortable": (16, _PATIENT, "abortable = true"),
    "continuing": (16, _PATIENT, "prefill = true"),
    "quick-continuing": (4, _QUICK, "prefill = true"),
}
KEYED = 12
KEYS = ("sk-key-one-0123456789", "sk-key-two-0123456789", "sk-key-three-0123456789")


@dataclass
class ChaosModel:
    gateway: GatewayProcess
    upstream: Upstream
    kind: str
    slug: str
    providers: tuple[str, str]

    @property
    def name(self) -> str:
        """What both providers call it."""
        return self.slug.replace("/", "--")

    @property
    def protocol(self) -> str:
        return KINDS[self.kind]

    def plays(self, *first: Script, second: Script | None = None) -> None:
        self.upstream.plays(self.providers[0], self.name, *first)
        if second is not None:
            self.upstream.plays(self.providers[1], self.name, second)

    def request(self, *, stream: bool = False, **fields: Any) -> tuple[str, dict[str, Any]]:
        return request(self.protocol, self.slug, USERS[self.protocol]("hi"), stream=stream, **fields)

    def ask(self, *, stream: bool = False, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
        path, body = self.request(stream=stream, **fields)
        return self.gateway.request("POST", path, body, headers)

    def open(self, *, headers: dict[str, str] | None = None, **fields: Any) -> Open:
        path, body = self.request(stream=True, **fields)
        return Open(*self.gateway._send("POST", path, body, headers, None))

    def text(self, answer: Answer, *, stream: bool) -> str:
        assert answer.status == 200, answer.body
        return understood(self.protocol, answer, stream=stream).text

    def call(self, number: int = 0) -> Call:
        return self.upstream.call(self.name, number)

    def call_at(self, place: int) -> Call:
        """The first call that came or will come to one of its providers, of two that are under way at once: 0 or 1."""
        calls = (self.call(number) for number in (0, 1))
        return next(call for call in calls if call.provider == self.providers[place])

    @property
    def asked(self) -> list[str]:
        """`first` and `second`, as they were called."""
        return [("first", "second")[self.providers.index(call.provider)] for call in self.upstream.calls(self.name)]

    def record(self, answer: Answer | Open) -> Record:
        return self.gateway.record(answer.id)


def told(attempts: tuple[Attempt, ...]) -> list[tuple[str, str, str]]:
    """Which provider, what became of it, and what was done about it."""
    return [(one.provider.partition("-")[0], one.outcome, one.decision) for one in attempts]


class Chaos:
    """Hands out each model once. Lives as long as the session."""

    def __init__(self, gateway: GatewayProcess, upstream: Upstream) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self._numbers = {(sort, kind): itertools.count() for sort in (*SORTS, "keyed") for kind in KINDS}

    def model(self, sort: str = "plain", kind: str = "chat") -> ChaosModel:
        number = self._next(sort, kind, SORTS[sort][0])
        slug = f"acme/{sort}-{kind}-{number}"
        return ChaosModel(self.gateway, self.upstream, kind, slug, (f"first-{kind}", f"second-{kind}"))

    def keyed(self) -> ChaosModel:
        """Its first provider, which only this model has, has the three `KEYS`."""
        number = self._next("keyed", "chat", KEYED)
        return ChaosModel(
            self.gateway, self.upstream, "chat", f"acme/keyed-{number}", (f"keyed-{number}", "second-chat")
        )

    def unreachable(self, how: str, kind: str, *, stream: bool) -> ChaosModel:
        """Its first provider cannot be called."""
        slug = f"acme/{how}-{kind}-{int(stream)}"
        return ChaosModel(self.gateway, self.upstream, kind, slug, (how, f"second-{kind}"))

    def _next(self, sort: str, kind: str, most: int) -> int:
        number = next(self._numbers[sort, kind])
        assert number < most, f"there are no more {sort} models of {kind}: raise SORTS"
        return number


UNREACHABLE = {"refused": "connect", "deaf": "timeout_connect", "untrusted": "tls"}


def _provider(slug: str, kind: str, root: str, keys: str) -> str:
    return f'[providers.{slug}]\nbase_urls = {{ "{KINDS[kind]}" = "{base_url(kind, root)}" }}\n{keys}\n'


def _model(slug: str, kind: str, providers: tuple[str, ...], deadlines: str, more: str = "") -> str:
    lines = ["[[models]]", f'slug = "{slug}"', "context_tokens = 200_000", "max_output_tokens = 32_000"]
    for provider in providers:
        lines += ["[[models.offers]]", f'provider = "{provider}"', f'upstream_model = "{slug.replace("/", "--")}"']
        lines += [f'protocols = ["{KINDS[kind]}"]', f"price = {PRICE}", f"deadlines = {{ {deadlines} }}", more]
    return "\n".join(lines)


def chaos_toml(upstream: Upstream, unreachable: dict[str, str]) -> str:
    root, one_key = f"http://127.0.0.1:{upstream.port}", f'api_key = "{OPERATOR_KEY}"'
    parts: list[str] = []
    for kind in KINDS:
        both = (f"first-{kind}", f"second-{kind}")
        parts += [_provider(slug, kind, f"{root}/{slug}", one_key) for slug in both]
        for sort, (count, deadlines, more) in SORTS.items():
            parts += [_model(f"acme/{sort}-{kind}-{n}", kind, both, deadlines, more) for n in range(count)]
        for how in UNREACHABLE:
            place = unreachable[how].removesuffix("/v1")
            parts.append(_provider(f"{how}-{kind}", kind, place, one_key))
            parts += [_model(f"acme/{how}-{kind}-{n}", kind, (f"{how}-{kind}", both[1]), _PATIENT) for n in (0, 1)]
    for n in range(KEYED):
        keys = ", ".join(f'"{key}"' for key in KEYS)
        parts.append(_provider(f"keyed-{n}", "chat", f"{root}/keyed-{n}", f"api_keys = [{keys}]"))
        parts.append(_model(f"acme/keyed-{n}", "chat", (f"keyed-{n}", "second-chat"), _PATIENT))
    return "\n".join(parts)


@pytest.fixture(scope="session")
def chaos(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, unreachable: dict[str, str]) -> Iterator[Chaos]:
    folder: Path = tmp_path_factory.mktemp("chaos")
    made = start_gateway(folder, base_toml(folder, gateway="drain_cap_s = 2.0") + chaos_toml(upstream, unreachable))
    eventually(lambda: made.get("/api/v1/generation?id=none").status == 404, "the console's readiness")
    yield Chaos(made, upstream)
    assert made.stop() == 0, made.log
