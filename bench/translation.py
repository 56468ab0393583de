"""The rows of translation: for each protocol of a client and each of a provider, CPU a request of 4 KB, CPU an event of
a stream, and CPU and memory of a request with a 10 MB image.

In: the lab and this build. Out: samples `translated_request@CLIENT->PROVIDER` and so on. The four directions from a
protocol to itself are measured in the same way, as what the twelve others are held against.
"""

from functools import partial

import msgspec

from bench.bodies import SHORT
from bench.gateway import count, data_plane_pid, store_path, version
from bench.procs import Child, peak_rss_mb, rss_mb, start_peak
from bench.rows import Lab
from bench.stacks import Running, Stack, Upstream, direction, trunkline_translates
from bench.types import LoadOrder, Sample

REQUEST, EVENT, IMAGE_CPU, IMAGE_MEMORY = (
    "translated_request",
    "translated_event",
    "translated_image_cpu_ms",
    "translated_image_memory",
)
ROWS = (REQUEST, EVENT, IMAGE_CPU, IMAGE_MEMORY)
REQUEST_BYTES = 4096
IMAGE_BYTES = 10_000_000
_MB = 1 << 20


class Extent(msgspec.Struct, frozen=True):
    """How much is measured a direction. Times are seconds unless named."""

    rounds: int
    request_s: float
    streams: int
    events: int
    every_ms: int
    image_s: float
    warm_requests: int
    warm_images: int


FULL = Extent(
    rounds=2, request_s=1.5, streams=100, events=250, every_ms=20, image_s=1.5, warm_requests=300, warm_images=2
)
QUICK = Extent(
    rounds=1, request_s=0.3, streams=30, events=150, every_ms=5, image_s=0.3, warm_requests=100, warm_images=1
)


def directions() -> list[tuple[str, str]]:
    """Client and provider, all sixteen."""
    return [(client, provider) for client in SHORT for provider in SHORT]


def _each_once() -> list[tuple[str, str]]:
    """Four directions in which each protocol is once the client's and once the provider's."""
    names = list(SHORT)
    return list(zip(names, names[1:] + names[:1], strict=True))


def is_translated(client: str, provider: str) -> bool:
    return client != provider


def cell(row: str, client: str, provider: str) -> str:
    return f"{row}@{client}->{provider}"


def translation(lab: Lab, extent: Extent, python: str) -> None:
    stack = Stack("Trunkline", version(python), partial(trunkline_translates, python=python))
    with lab.upstream("events") as (child, upstream):
        _rows(lab, extent, stack, child, upstream)
        _images(lab, extent, stack, child, upstream)


def _rows(lab: Lab, extent: Extent, stack: Stack, child: Child, upstream: Upstream) -> None:
    """CPU a request and an event: the same method as that of the first rows."""
    with lab.running([stack], upstream, "translation") as started:
        for running in started:
            for number in range(1, extent.rounds + 1):
                for client, provider in directions():
                    _request(lab, extent, running, child, number, client, provider)
                    _stream(lab, extent, running, child, number, client, provider)
        _count(lab, started)


def _request(lab: Lab, extent: Extent, running: Running, child: Child, number: int, client: str, provider: str) -> None:
    order = LoadOrder(
        mode="closed",
        target=direction(running.launch.target, client, provider),
        connections=lab.plan.connections,
        seconds=extent.request_s,
        warm_requests=extent.warm_requests,
        body_bytes=REQUEST_BYTES,
    )
    sample = lab.measure(cell(REQUEST, client, provider), number, running, child, order)
    value = None if sample.errors or not sample.requests else sample.stack_cpu_s / sample.requests * 1e6
    lab.add(msgspec.structs.replace(sample, value=value))


def _stream(lab: Lab, extent: Extent, running: Running, child: Child, number: int, client: str, provider: str) -> None:
    """Through the events of text that the provider sent: those that only begin and end a stream are its overhead."""
    order = LoadOrder(
        mode="streams",
        target=direction(running.launch.target, client, provider),
        connections=extent.streams,
        events=extent.events,
        every_ms=extent.every_ms,
    )
    sample = lab.measure(cell(EVENT, client, provider), number, running, child, order)
    sent = extent.streams * extent.events
    value = sample.stack_cpu_s / sent * 1e6 if sample.events >= sent and not sample.errors else None
    lab.add(msgspec.structs.replace(sample, value=value))


def _images(lab: Lab, extent: Extent, stack: Stack, child: Child, upstream: Upstream) -> None:
    """A gateway of its own, warmed by small requests. Memory is the most that the data plane had while one image after
    the other went through, less what it had before the very first: what one direction leaves behind is thus counted
    in the next ones."""
    with lab.running([stack], upstream, "translation-images") as started:
        for running in started:
            for client, provider in _each_once():
                _warm(lab, running, child, client, provider)
            pid = data_plane_pid(running.child.pids())
            before_mb = rss_mb(pid)
            for client, provider in directions():
                _image(lab, extent, running, child, pid, before_mb, client, provider)
        _count(lab, started)


def _warm(lab: Lab, running: Running, child: Child, client: str, provider: str) -> None:
    order = LoadOrder(
        mode="closed",
        target=direction(running.launch.target, client, provider),
        connections=1,
        warm_requests=20,
        body_bytes=REQUEST_BYTES,
    )
    lab.measure("warm", 1, running, child, order)


def _image(
    lab: Lab,
    extent: Extent,
    running: Running,
    child: Child,
    pid: int,
    before_mb: float,
    client: str,
    provider: str,
) -> None:
    order = LoadOrder(
        mode="closed",
        target=direction(running.launch.target, client, provider),
        connections=1,
        seconds=extent.image_s,
        warm_requests=extent.warm_images,
        body_bytes=IMAGE_BYTES,
        image=True,
    )
    start_peak(pid)
    sample = lab.measure(cell(IMAGE_CPU, client, provider), 1, running, child, order)
    failed = bool(sample.errors) or not sample.requests
    peak_mb = peak_rss_mb(pid)
    lab.add(msgspec.structs.replace(sample, value=None if failed else sample.stack_cpu_s / sample.requests * 1000))
    grown = (peak_mb - before_mb) * _MB / IMAGE_BYTES
    detail = {"peak_rss_mb": peak_mb, "rss_before_mb": before_mb}
    lab.add(
        Sample(
            row=cell(IMAGE_MEMORY, client, provider),
            stack=running.name,
            round=1,
            value=None if failed else grown,
            detail=detail,
        )
    )


def _count(lab: Lab, started: list[Running]) -> None:
    """Each of these requests has its record, too."""
    for running in started:
        running.stop()
        stored = count(store_path(running.folder), "records")
        sent = lab.sent.get(running.folder, 0)
        lab.add(Sample(row="records", stack=running.name, round=1, value=stored, requests=sent))
