"""`make screenshots`: every page of the console on the demo's traffic, light and dark, wide and narrow, as pictures in `.run/screenshots`.

    python scripts/screenshots.py [--world empty|crowded] [--only /models] [--readme]

`--world empty` is a gateway at its first start, `crowded` one with 200 models, long names and very large numbers. With `--readme` the few that the README
shows are written to `docs/images` too, as WebP. Needs Debian's Chromium (`scripts/debian.py chromium`).
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import multiprocessing
import os
import re
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import gateway, pages, stacks  # noqa: E402
from bench.pages import MASTER_KEY  # noqa: E402
from bench.types import Target  # noqa: E402
from tests.fakes.browsing import CHROMIUM, NARROW, PATIENCE_MS, WIDE, settled  # noqa: E402  What the tests use.
from tests.fakes.pages import UNKNOWN_ONLY, addresses, filled  # noqa: E402
from trunkline.accounts import secrets_file  # noqa: E402
from trunkline.cli.demo import free_port, run_demo  # noqa: E402
from trunkline.settings import load_settings  # noqa: E402

OUT = ROOT / ".run" / "screenshots"
IMAGES = ROOT / "docs" / "images"
SPEED = 1.0
"""At another one, what has just been measured would not fit its history."""
STREAMS = 3
CROWD = 50_000
"""Records."""
READY_S = 90.0
SETTLE_S = 3.0
"""Of the demo's own traffic before the first picture, so that the figures of today are there."""
MODEL = "openai/o4-mini"
README = {
    # Picture -> address, theme, height in CSS pixels.
    "model": (f"/{MODEL}", "light", 1000),
    "logs": ("/platform/logs", "light", 800),
    "record": ("/platform/logs/{record}", "dark", 900),
    "status": ("/status", "dark", 800),
}
SCHEMES = ("light", "dark")
SIZES = {"wide": WIDE, "narrow": NARROW}


class World(msgspec.Struct, frozen=True):
    """A running gateway; `master_key` signs in, `ids` are those of a `record` and a `key`, where there are any."""

    port: int
    master_key: str
    ids: dict[str, str] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def demo() -> Iterator[World]:
    """The demo as its users have it, in a folder of which we know, so that its master key can be read."""
    with tempfile.TemporaryDirectory(prefix="trunkline-shots-") as folder:
        port = free_port()
        process = multiprocessing.get_context("spawn").Process(target=_run_demo, args=(folder, port))
        process.start()
        try:
            _wait_ready(port)
            secrets = secrets_file.load_or_make(load_settings(Path(folder) / "trunkline.toml", {}).secrets_path)
            time.sleep(SETTLE_S)
            record = asked(port, secrets.master_key)
            yield World(port, secrets.master_key, {"record": record, **a_key(port, secrets.master_key)})
        finally:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGTERM)
            process.join()


@contextlib.contextmanager
def empty() -> Iterator[World]:
    """No provider, no record."""
    with _running(lambda _, folder: stacks.Launch(*_alone(folder), "/readyz")) as running:
        yield World(running.target.port, MASTER_KEY)


def _alone(folder: Path) -> tuple[list[str], Target]:
    port = free_port()
    return gateway.serve_argv(gateway.written(folder, ""), port), Target("127.0.0.1", port, "/", "")


@contextlib.contextmanager
def crowded() -> Iterator[World]:
    """Every provider, 200 models, long names, numbers up to 10^15."""
    with _running(_crowd) as running:
        yield World(running.target.port, MASTER_KEY, pages.ids(running))


def _crowd(upstream: stacks.Upstream, folder: Path) -> stacks.Launch:
    made = pages.launch(CROWD, upstream, folder)
    config = folder / "trunkline.toml"
    config.write_text(config.read_text() + "".join(_long_named(number) for number in range(1, 101)))
    with contextlib.closing(sqlite3.connect(gateway.store_path(folder), isolation_level=None)) as store:
        store.execute(
            "UPDATE use_rollups SET input_tokens = input_tokens * 1000000000, cost_pico_usd = cost_pico_usd * 1000000"
        )
    return made


def _long_named(number: int) -> str:
    slug = f"acme/an-instruction-tuned-mixture-of-experts-with-a-name-that-goes-on-{number}x22b-preview"
    name = f"Acme: An instruction-tuned mixture of experts with a name that goes on, {number}x22B (preview)"
    return (
        f'[[models]]\nslug = "{slug}"\nname = "{name}"\ncontext_tokens = {number}0_000\n'
        f'[[models.offers]]\nprovider = "one"\nupstream_model = "m{number}"\nprotocols = ["openai.chat"]\n'
        f'price = [{{ item = "prompt", unit = "perMTokens", value = "0.{number:03}" }}, '
        f'{{ item = "completion", unit = "perMTokens", value = "{number}" }}]\n'
    )


@contextlib.contextmanager
def _running(launch: Callable[[stacks.Upstream, Path], stacks.Launch]) -> Iterator[stacks.Running]:
    with tempfile.TemporaryDirectory(prefix="trunkline-shots-") as folder:
        stack = stacks.Stack("Trunkline", "", launch)
        running = stacks.Running(stack, stacks.Upstream(9), Path(folder) / "gateway", ())
        try:
            yield running
        finally:
            running.stop()


WORLDS = {"demo": demo, "empty": empty, "crowded": crowded}


def _run_demo(folder: str, port: int) -> None:
    asyncio.run(run_demo(Path(folder), port, SPEED, STREAMS))


def _wait_ready(port: int) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            if _ask(port, "GET", "/readyz", "")[0] == 200:
                return
        time.sleep(0.1)
    raise SystemExit("the demo did not get ready; its lines above say why")


def _ask(port: int, method: str, path: str, key: str, body: Any = None) -> tuple[int, str, bytes]:
    """Status, request id and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    with contextlib.closing(connection):
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("x-request-id", ""), answer.read()


def asked(port: int, key: str) -> str:
    """The id of a request of our own, once its record can be read; at the provider that begins sooner."""
    body = {
        "model": f"{MODEL}:openai",
        "messages": [{"role": "user", "content": "Write a haiku about trunk lines."}],
        "stream": True,
    }
    _, id_, _ = _ask(port, "POST", "/api/v1/chat/completions", key, body)
    while _ask(port, "GET", f"/api/v1/generation?id={id_}", key)[0] == 404:
        time.sleep(0.1)
    return id_


def a_key(port: int, master_key: str) -> dict[str, str]:
    """The id of one of its keys."""
    found = json.loads(_ask(port, "GET", "/api/v1/management/keys", master_key)[2])["data"]
    return {"key": found[0]["id"]} if found else {}


def signed_in(browser: Browser, running: World) -> Any:
    """What a browser keeps of having signed in."""
    page = browser.new_page(base_url=running.address)
    page.goto("/sign-in?next=/")
    page.get_by_label("Master key").fill(running.master_key)
    page.locator("main").get_by_role("button", name="Sign in").click()
    page.wait_for_url("/")
    state = page.context.storage_state()
    page.context.close()
    return state


def open_page(browser: Browser, running: World, state: Any, scheme: Any, size: Any, scale: float = 1) -> Page:
    context = browser.new_context(
        base_url=running.address, storage_state=state, color_scheme=scheme, viewport=size, device_scale_factor=scale,
        reduced_motion="reduce", locale="en-GB", timezone_id="UTC",
    )  # fmt: skip
    context.set_default_timeout(PATIENCE_MS)
    return context.new_page()


def take_all(browser: Browser, running: World, state: Any, prefix: str, only: str) -> None:
    """Every page whole, however long."""
    OUT.mkdir(parents=True, exist_ok=True)
    for address in addresses():
        path = filled(address, running.ids)
        if path is None or not address.startswith(only):
            continue
        for scheme in SCHEMES:
            for words, size in SIZES.items():
                page = open_page(browser, running, None if address in UNKNOWN_ONLY else state, scheme, size)
                page.goto(path)
                settled(page)
                picture = OUT / f"{prefix}{file_name(address)}-{words}-{scheme}.png"
                page.screenshot(path=picture, full_page=True)
                page.context.close()
        print(f"{address}: {prefix}{file_name(address)}-*.png", flush=True)


def take_for_readme(browser: Browser, running: World, state: Any) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    there = set(addresses())
    for name, (address, scheme, height) in README.items():
        if address not in there:
            print(f"{address} is not there, so there is no {name}.webp", file=sys.stderr)
            continue
        page = open_page(browser, running, state, scheme, {"width": 1280, "height": height}, 1.5)
        page.goto(address.format_map(running.ids))
        settled(page)
        taken = page.screenshot()
        page.context.close()
        (IMAGES / f"{name}.webp").write_bytes(webp(browser, taken))


def webp(browser: Browser, png: bytes) -> bytes:
    """The same picture, some ten times smaller; Chromium is the encoder."""
    page = browser.new_page()
    page.route("http://picture.test/*", lambda route: route.fulfill(body=png, content_type="image/png"))
    page.route("http://picture.test/", lambda route: route.fulfill(body="<p>", content_type="text/html"))
    page.goto("http://picture.test/")
    found: list[int] = page.evaluate(
        """async () => {
          const picture = await createImageBitmap(await (await fetch("/picture.png")).blob());
          const canvas = new OffscreenCanvas(picture.width, picture.height);
          canvas.getContext("2d").drawImage(picture, 0, 0);
          const made = await canvas.convertToBlob({ type: "image/webp", quality: 0.82 });
          return [...new Uint8Array(await made.arrayBuffer())];
        }"""
    )
    page.context.close()
    return bytes(found)


def file_name(address: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", address.lower()).strip("-") or "start"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--world", choices=sorted(WORLDS), default="demo")
    parser.add_argument("--only", default="", help="pages whose address begins so")
    parser.add_argument("--readme", action="store_true", help="write docs/images too")
    given = parser.parse_args(argv)
    with WORLDS[given.world]() as running, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        state = signed_in(browser, running)
        take_all(browser, running, state, "" if given.world == "demo" else f"{given.world}-", given.only)
        if given.readme:
            take_for_readme(browser, running, state)
        browser.close()
    print(f"Pictures are in {OUT.relative_to(ROOT)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
