"""What this machine offers a gateway: providers with keys, servers that run here, local models. In: settings. Out: rows, and the models
that can be called now.
"""

import datetime

import msgspec

from trunkline.api.management.console import effective
from trunkline.catalog.query import has_ended
from trunkline.catalog.types import Catalog
from trunkline.embedded import machine
from trunkline.embedded.detect import Detection, detect
from trunkline.embedded.offers import PROVIDER as LOCAL
from trunkline.embedded.offers import absent
from trunkline.execution.gateway import Snapshot
from trunkline.providers.accounts import Absent, Account
from trunkline.settings import Settings

SILENT = "nothing listens on"
"""How `detect` begins the reason of a server that is not there."""


class Row(msgspec.Struct, frozen=True):
    """One source of models: there, or why not and what would bring it."""

    name: str
    found: bool
    text: str


class Findings(msgspec.Struct, frozen=True):
    rows: list[Row]
    callable_models: list[str]


async def look(settings: Settings) -> Findings:
    """Look at everything; takes less than a second, calls nobody outside this machine."""
    state = await effective(settings)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    catalog, reached = state.catalog, state.accounts
    detection = await detect(settings.env, own_ports=(settings.server.port,)) if settings.detect.local_servers else None
    found_kinds = {server.kind for server in detection.found} if detection else set()
    vendors = {slug: state for slug, state in reached.items() if slug != LOCAL and slug not in found_kinds}
    rows = [*_local_rows(settings, catalog), *_server_rows(detection), *_vendor_rows(vendors, catalog, today)]
    return Findings(sorted(rows, key=lambda row: not row.found), callable_models(state, today))


def callable_models(state: Snapshot, today: str) -> list[str]:
    """The slugs of the models with an offer that can be called and has not ended. `today` is an ISO date."""
    return [slug for slug, model in state.catalog.models.items() if state.callable_offers(model, today)]


def _local_rows(settings: Settings, catalog: Catalog) -> list[Row]:
    if not settings.embedded.enabled:
        return [Row("Local models", False, "switched off by [embedded] enabled = false")]
    reasons = machine.runtime_reasons()
    if reasons:
        return [Row("Local models", False, "; ".join(reasons))]
    here = [Row(slug, True, "runs on this machine") for slug in catalog.models if slug.startswith(f"{LOCAL}/")]
    return here + [Row(item.model, False, item.reason) for item in absent(settings.cache_dir)]


def _server_rows(detection: Detection | None) -> list[Row]:
    if detection is None:
        return [Row("Servers on this machine", False, "not looked for: [detect] local_servers = false")]
    rows = [
        Row(server.name, True, f"{server.base_url}: {', '.join(server.models) or 'no model loaded'}")
        for server in detection.found
    ]
    # Most are simply not there; only where something else is in the way is the reason of interest by itself.
    silent = [name for name, reason in detection.absent if reason.startswith(SILENT)]
    rows += [Row(name, False, reason) for name, reason in detection.absent if name not in silent]
    if not silent:
        return rows
    return [*rows, Row("Servers on this machine", False, f"{', '.join(silent)}: {SILENT} their usual ports")]


def _vendor_rows(states: dict[str, Account | Absent], catalog: Catalog, today: str) -> list[Row]:
    offers = (offer for model in catalog.models.values() for offer in model.offers)
    offered = {offer.provider for offer in offers if not has_ended(offer, today)}
    return [
        Row(state.provider.name, False, state.reason)
        if isinstance(state, Absent)
        else Row(state.provider.name, True, f"a key was found; {', '.join(state.hosts)}")
        for slug, state in sorted(states.items())
        if slug in offered
    ]
