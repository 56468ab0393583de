"""What the parts of the bench say to each other: load orders and their results, measured samples, and the whole
report."""

import msgspec


class Target(msgspec.Struct, frozen=True):
    """Where the load goes and as what; `path` may have places for `{model}` and `{operation}`, as Gemini's. `headers`
    are those that the stack needs."""

    host: str
    port: int
    path: str
    model: str
    headers: dict[str, str] = {}
    protocol: str = "openai.chat"


class LoadOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the load generator. `closed`: `connections` each send the next request when the answer is there, for
    `seconds`. `open`: `rate_per_s` requests, sent at drawn times whatever the answers do. `streams`: `connections`
    streams of `events` events, one each `every_ms`. `hold`: the same, left open until told."""

    mode: str
    target: Target
    connections: int
    seconds: float = 0.0
    rate_per_s: float = 0.0
    events: int = 0
    every_ms: int = 0
    seed: int = 1
    body_bytes: int = 0
    """What the body of a request is padded to; 0 is the small chat request."""
    image: bool = False
    """Whether the padding is an image."""
    warm_requests: int = 300
    """Before the measured part of `closed`."""


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the load generator saw. Latencies are by percentile, see `PERCENTILES`."""

    requests: int
    warmed: int = 0
    """Requests sent before the measured part."""
    errors: dict[str, int] = {}
    wall_s: float = 0.0
    own_cpu_s: float = 0.0
    latency_us: list[float] = []
    """From the time a request was due to the end of its answer."""
    lag_us: list[float] = []
    """From the time a request was due to its sending: how late the generator itself was (open loop only)."""
    events: int = 0
    reads: int = 0
    """Body reads of streams: near `events` where events came one at a time."""


PERCENTILES = (*range(100), 99.5, 99.9, 100)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One measured run of one stack. `value` is in the row's unit, None where the stack failed; the rest tells
    whether to trust it."""

    row: str
    stack: str
    round: int
    value: float | None = None
    requests: int = 0
    warmed: int = 0
    events: int = 0
    reads: int = 0
    errors: dict[str, int] = {}
    wall_s: float = 0.0
    stack_cpu_s: float = 0.0
    """Of all its processes."""
    busiest_cpu_s: float = 0.0
    """Of the one process that used most: the one that proxies."""
    load_cpu_s: float = 0.0
    upstream_cpu_s: float = 0.0
    others: float = 0.0
    """CPU time of everything else on the machine, in cores."""
    latency_us: list[float] = []
    lag_us: list[float] = []
    detail: dict[str, float] = {}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run, as written to bench/results/."""

    meta: dict[str, str]
    stacks: dict[str, str]
    """Name -> version, in the order of the table; the first is the floor where nginx could be had."""
    samples: list[Sample]
    notes: list[str] = []
